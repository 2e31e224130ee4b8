/** A rank that is killed, a launch that is told to stop, and what goes on behind them with other numbers of ranks. */
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { newestGood } from '../../../core/io/checkpoint.ts';
import { Workplace } from '../../support/runs.ts';
import {
  describeWithMpi,
  hashesOf,
  launched,
  LaunchedRun,
  metricsOf,
  relativeDifference,
  timeless,
  weightsOf,
} from './ranks.ts';

const place = new Workplace();
const tasks = {
  sft: 'recipe: { use: sft, steps: 40, batch: 8, examples: 64, warmup: 0, saveEvery: 1 }',
  grpo: 'rewards: [is-color]\nrecipe: { use: grpo, steps: 40, prompts: 4, promptsAtOnce: 1, groupSize: 4, miniBatches: 2, warmup: 0, saveEvery: 1, evaluations: 0, rationaleTokens: 8 }',
} as const;

/** Data position, controllers and history: what a checkpoint knows beside weights, at which every number of ranks goes on. */
async function stateOf(directory: string, step: number): Promise<Record<string, unknown>> {
  const file = join(directory, 'checkpoints', `step-${String(step).padStart(6, '0')}`, 'state.json');
  const { metrics: _position, ...state } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  return state;
}

describeWithMpi('ranks that end early', () => {
  test.each(Object.entries(tasks))(
    '%s: one of four killed ends all within seconds and is named; one and two go on, at the very place',
    { timeout: 900_000 },
    async (name, recipe) => {
      const preset = place.preset(name, `optimizer: { use: adamw, learningRate: 1e-3 }\n${recipe}\n`);
      const directory = place.free();
      const run = new LaunchedRun(4, preset, directory);
      await run.hasTaken(3);
      const killed = performance.now();
      process.kill(run.processOf(2), 'SIGKILL');
      expect(await run.end()).toBe(1);
      expect((performance.now() - killed) / 1000).toBeLessThan(15);
      expect(run.said).toMatch(/RANK_DIED[^]*rank 2 of 4 .*Go on .* with: npx reasongen launch --ranks 4 /);
      const { step: saved } = await newestGood(directory);
      const more = saved + 2;
      const settings = [`recipe.steps=${more}`];
      // Copies of one directory, gone on with by one process and by two.
      const [one, two] = [place.free(), place.free()];
      for (const copy of [one, two]) cpSync(directory, copy, { recursive: true });
      const alone = await place.command('resume', one, '--set', settings[0] ?? '');
      expect(alone.code, alone.errors).toBe(0);
      await launched(2, two, two, settings);
      for (const each of [one, two]) expect(metricsOf(each).map(({ step }) => step)).toEqual(numbers(more));
      expect(metricsOf(two).slice(0, saved).map(timeless)).toEqual(metricsOf(one).slice(0, saved).map(timeless));
      const [after, other] = [await stateOf(one, more), await stateOf(two, more)];
      for (const key of ['step', 'data', 'position', 'tooLong', 'updates']) expect(other[key]).toEqual(after[key]);
      expect(relativeDifference(await weightsOf(one), await weightsOf(two))).toBeLessThan(1e-3);
    },
  );

  test('told to stop it saves, and goes on to the end of a run that nobody stopped', { timeout: 900_000 }, async () => {
    const preset = place.preset('stopped', `optimizer: { use: adamw, learningRate: 1e-3 }\n${tasks.sft}\n`);
    const whole = await launched(2, preset, place.free());
    const run = new LaunchedRun(2, preset, place.free());
    await run.hasTaken(2);
    run.child.kill('SIGTERM');
    expect(await run.end()).toBe(143);
    expect(run.said).not.toContain('RANK_DIED');
    // As a scheduler does it: the same command once more.
    const again = new LaunchedRun(2, preset, run.directory, [], { SLURM_RESTART_COUNT: '1' });
    expect(await again.end()).toBe(0);
    expect(again.said).toContain('SLURM_RESTART_COUNT=1');
    expect(metricsOf(run.directory).map(timeless)).toEqual(metricsOf(whole).map(timeless));
    expect(await hashesOf(run.directory)).toEqual(await hashesOf(whole));
  });
});

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}
