/**
 * ^C in every phase of a run, as a program of its own: it ends in good order with exit code 130, and what `resume` then makes of
 * it equals the run that nobody interrupted, bit for bit.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { loadCheckpoint } from '../support/checkpoints.ts';
import { readRunRecord } from '../../core/io/records.ts';
import { checkpointOf, checkpoints, evaluationOf, metricsOf, Workplace, type Ended } from '../support/runs.ts';

const place = new Workplace();
const steps = 5;
let whole: Ended;
let preset = '';

beforeAll(async () => {
  preset = place.preset(
    'grpo',
    'rewards: [is-color]\noptimizer: { use: adamw, learningRate: 1e-3 }\n' +
      `recipe: { use: grpo, steps: ${steps}, prompts: 4, groupSize: 4, rationaleTokens: 6, saveEvery: 2, evaluations: 20, evaluateEvery: 2, imageEntropy: { target: 1 } }\n`,
  );
  whole = await place.run(preset);
});

/** What is on the disk after the interruption: the steps that were finished. */
const phases = [
  { phase: 'planning', at: 'plan', step: 0, finished: 0 },
  { phase: 'the first evaluation', at: 'benchmark', step: 0, finished: 0 },
  { phase: 'sampling', at: 'batch', step: 3, finished: 3 },
  { phase: 'judging', at: 'rollout', step: 3, finished: 3 },
  { phase: 'the update', at: 'rewards', step: 3, finished: 3 },
  { phase: 'the end of a step', at: 'step', step: 3, finished: 3 },
  { phase: 'saving', at: 'save', step: 2, finished: 2 },
  { phase: 'an evaluation', at: 'benchmark', step: 2, finished: 2 },
  { phase: 'the last evaluation', at: 'benchmark', step: steps, finished: steps },
];

describe.each(phases)('^C during $phase', ({ at, step, finished }) => {
  test('saves, says how to go on, and the resumed run equals the uninterrupted one', async () => {
    const directory = place.free();
    const press = `extensions=[{ use: interrupter, at: ${at}, step: ${step} }]`;
    const { code, errors } = await place.program(['run', preset, '--run-dir', directory, '--set', press]);
    expect(errors).toContain(`^C at ${at} ${step}`);
    expect(errors).toContain('SIGINT: stopping after this step; once more to stop at once');
    expect(errors).toContain(`go on with: npx reasongen resume ${directory}`);
    expect(errors).not.toMatch(/^\s+at /m);
    expect(code).toBe(130);
    expect((await readRunRecord(directory)).sessions.at(-1)?.outcome).toBe('stopped');
    expect(existsSync(join(directory, 'lock'))).toBe(false);
    expect(metricsOf(directory)).toEqual(metricsOf(whole.directory).slice(0, finished));
    if (finished > 0)
      expect(await loadCheckpoint(join(directory, 'checkpoints', checkpoints(directory).at(-1) ?? ''))).toMatchObject({
        step: finished,
      });

    const resumed = await place.command('resume', directory, '--set', 'extensions=[]');
    expect(resumed.code, resumed.errors).toBe(0);
    expect(metricsOf(directory)).toEqual(metricsOf(whole.directory));
    const [mine, reference] = [checkpointOf(directory, steps), checkpointOf(whole.directory, steps)];
    expect(mine.weights.equals(reference.weights)).toBe(true);
    expect(mine.optimizer.equals(reference.optimizer)).toBe(true);
    expect(mine.state).toEqual(reference.state);
    expect(readdirSync(join(directory, 'evaluations'))).toEqual(readdirSync(join(whole.directory, 'evaluations')));
    for (const label of ['before', 'step-000002', 'step-000004', 'after']) {
      expect(evaluationOf(directory, `swatches.heldout.${label}`)).toEqual(
        evaluationOf(whole.directory, `swatches.heldout.${label}`),
      );
    }
  });
});

test('^C during an evaluation of its own: it ends between two batches, and resumed it makes the whole record', async () => {
  const evaluate = place.preset(
    'evaluate',
    `recipe: { use: evaluate, weights: ${whole.directory}, count: 24, batch: 4, splits: [seen] }\n`,
  );
  const reference = await place.run(evaluate);
  const directory = place.free();
  const { code, errors } = await place.program([
    'run',
    evaluate,
    '--run-dir',
    directory,
    '--set',
    'extensions=[{ use: interrupter, at: benchmark, step: 0 }]',
  ]);
  expect(code, errors).toBe(130);
  expect(existsSync(join(directory, 'evaluations'))).toBe(false);
  expect((await place.command('resume', directory, '--set', 'extensions=[]')).code).toBe(0);
  expect(evaluationOf(directory, 'swatches.seen.evaluation')).toEqual(
    evaluationOf(reference.directory, 'swatches.seen.evaluation'),
  );
});
