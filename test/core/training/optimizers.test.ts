/** Every optimizer keeps its whole state in checkpoints, words as well as floats: a run that is stopped goes on bit for bit. */
import { expect, test } from 'vitest';
import { checkpointOf, metricsOf, Workplace } from '../../support/runs.ts';

const place = new Workplace();
const steps = 4;

test.each(['adamw-8bit', 'muon'])('%s: stopped after two steps and resumed', async (use) => {
  const preset = place.preset(
    use,
    `optimizer: { use: ${use}, learningRate: 1e-3 }\nrecipe: { use: sft, steps: ${steps}, batch: 6, examples: 12, saveEvery: 100 }\n`,
  );
  const whole = await place.run(preset);
  expect(whole.code).toBe(0);
  const stopped = await place.run(preset, { stopAfter: 2 });
  expect(stopped.code).toBe(130);
  const resumed = await place.run('', { resume: stopped });
  expect(metricsOf(resumed.directory)).toEqual(metricsOf(whole.directory));
  const [expected, actual] = [checkpointOf(whole.directory, steps), checkpointOf(resumed.directory, steps)];
  expect(actual.weights.equals(expected.weights)).toBe(true);
  expect(actual.optimizer.equals(expected.optimizer)).toBe(true);
  expect(expected.optimizer.byteLength).toBeGreaterThan(1000);
});
