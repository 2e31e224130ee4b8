/**
 * A run without a device: what a recipe does with files, at the same places, and nothing else. `node small-run.ts DIRECTORY` starts
 * or goes on; the weights are a function of the step. For the walk of all faults, which needs thousands of runs.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ReasongenError, formatError } from '../../core/errors.ts';
import { explainError } from '../../core/failure.ts';
import { listCheckpoints, openNewest, pruneCheckpoints, saveCheckpoint } from '../../core/io/checkpoint.ts';
import { createRun, openRun } from '../../core/io/run-directory.ts';

const steps = 4;
const [directory = ''] = process.argv.slice(2);

async function work(): Promise<void> {
  const command = ['small-run'];
  const description = { versions: {}, adapter: {}, seeds: {}, hashes: {} };
  const run = existsSync(join(directory, 'run.json'))
    ? await openRun(directory, command)
    : await createRun({ directory, name: 'small', preset: 'name: small\n', description, command });
  const known = new Map<string, string>();
  let failure: unknown;
  try {
    let [step, value] = [0, 1];
    if ((await listCheckpoints(directory)).length > 0) {
      const { state, skipped } = await openNewest(directory);
      for (const { path } of skipped) await run.warn(`${path} is passed over`);
      [step, value] = [Number(state['step']), Number(state['value'])];
      run.metrics.truncate(Number(state['metrics']));
    } else run.metrics.truncate(0);
    while (step < steps) {
      step++;
      value = (value * 48271) % 2147483647;
      run.writeStep(step, { value });
      run.log(`step ${step}`);
      const data = Float32Array.from({ length: 100 }, (_, index) => value % (index + 7));
      const tensors = new Map([['w', { shape: [100], data }]]);
      const state = { step, value, metrics: run.metrics.position() };
      await saveCheckpoint(directory, step, { weights: tensors, optimizer: tensors, state }, { prune: false, known });
      await pruneCheckpoints(directory, { keep: 2 }, known);
    }
    const counted = { passes: 1, total: 2 };
    await run.writeEvaluation({
      label: 'after',
      benchmark: 'b',
      step,
      split: 'heldout',
      seed: value,
      count: 2,
      sampling: {},
      overall: counted,
      tasks: { t: counted },
      extra: {},
      samples: [],
    });
  } catch (error) {
    failure = error;
  }
  await run.close(failure === undefined ? 'done' : 'failed');
  if (failure !== undefined) throw failure as Error;
}

try {
  await work();
} catch (error) {
  const shown = explainError(error);
  process.stderr.write(`${formatError(shown)}\n`);
  process.exitCode = shown instanceof ReasongenError ? shown.exitCode : 1;
}
