/**
 * A process that is killed where it stands: resumed, the run comes to the same end as one that nobody disturbed, bit for bit. Here at
 * chosen moments; `test/soak/soak.ts` kills a hundred times at random.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkpointDivergence, noted, trajectoryDivergence } from '../../support/divergence.ts';
import { metricsOf, Workplace } from '../../support/runs.ts';

const place = new Workplace();
const adamw = 'optimizer: { use: adamw, learningRate: 2e-3 }';

const cases = [
  {
    name: 'sft: in an epoch that begins, while saving, and behind a save; with an average and 8-bit states',
    // 20 examples in batches of 12: the second step ends the first epoch.
    preset: `optimizer: { use: adamw-8bit, learningRate: 2e-3 }\nrecipe: { use: sft, steps: 5, batch: 12, examples: 20, schedule: cosine, warmup: 2, saveEvery: 1, ema: { decay: 0.5 } }\n`,
    kills: ['at: batch, step: 2', 'at: save, step: 3', 'at: step, step: 4'],
  },
  {
    name: 'grpo: in the middle of refilling, and between judging and learning',
    preset: `${adamw}\nrewards: [{ use: faulty, fault: half-blind }]\nrecipe: { use: grpo, steps: 4, prompts: 4, groupSize: 4, refillRounds: 3, rationaleTokens: 6, saveEvery: 1, imageEntropy: { target: 1 } }\n`,
    // Half of the prompts get one reward whatever is drawn: their groups are dropped and drawn anew.
    kills: ['at: rollout, step: 2, time: 2', 'at: rewards, step: 3', 'at: save, step: 3'],
  },
] as const;

test('GRPO is killed as often as SFT', () => {
  expect(new Set(cases.map(({ kills }) => kills.length))).toEqual(new Set([3]));
});

test.each(cases)('$name', async ({ name, preset: text, kills }) => {
  const steps = Number(/steps: (\d+)/.exec(text)?.[1]);
  const preset = place.preset('killed', text);
  const whole = await place.run(preset);
  const directory = place.free();
  for (const [index, kill] of kills.entries()) {
    const start = index === 0 ? ['run', preset, '--run-dir', directory] : ['resume', directory];
    const { code } = await place.program([
      ...start,
      '--set',
      `extensions=[{ use: interrupter, signal: SIGKILL, ${kill} }]`,
    ]);
    expect(code, kill).toBe(null);
  }
  const end = await place.command('resume', directory, '--set', 'extensions=[]');
  expect(end.code, end.errors).toBe(0);
  const newest = (of: string): string => join(of, 'checkpoints', `step-${String(steps).padStart(6, '0')}`);
  expect(noted(name, await checkpointDivergence(newest(whole.directory), newest(directory)))).toBeUndefined();
  expect(noted(name, trajectoryDivergence(metricsOf(whole.directory), metricsOf(directory)))).toBeUndefined();
});
