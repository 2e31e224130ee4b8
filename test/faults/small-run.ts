/**
 * A run without a device: what a recipe does with files, at the same places, and nothing else. `node small-run.ts DIRECTORY` starts
 * or goes on; the weights are a function of the step. For the walk of all faults, which needs thousands of runs.
 */
import { existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ReasongenError, formatError } from '../../core/errors.ts';
import { explainError } from '../../core/failure.ts';
import { listCheckpoints, openNewest, pruneCheckpoints, saveCheckpoint } from '../../core/io/checkpoint.ts';
import { createRun, openRun, tidyRun } from '../../core/io/run-directory.ts';
import { isDone } from '../../core/run.ts';

const steps = 4;

async function work(directory: string): Promise<void> {
  // Beside the run, where no fault comes: the last step of which a save has said that it is done.
  const witness = `${directory}.saved`;
  const command = ['small-run'];
  const description = { versions: {}, adapter: {}, seeds: {}, hashes: {} };
  const run = existsSync(join(directory, 'run.json'))
    ? await openRun(directory, command)
    : await createRun({ directory, name: 'small', preset: 'name: small\n', description, command });
  const known = new Map<string, string>();
  let failure: unknown;
  try {
    let [step, value] = [0, 1];
    const checkpoints = await listCheckpoints(directory);
    const promised = existsSync(witness) ? Number(readFileSync(witness, 'utf8')) : 0;
    if ((checkpoints.at(-1)?.step ?? 0) < promised) throw new Error(`step ${promised} was saved, and is gone`);
    if (checkpoints.length > 0) {
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
      writeFileSync(witness, String(step));
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

/** Starts or goes on in a directory, and says on `errors` what ended it. Returns the exit code. */
export async function smallRun(directory: string, errors: { write(text: string): unknown }): Promise<number> {
  try {
    // As a training does: what has ended is left as it is.
    if (await isDone(directory)) {
      await tidyRun(directory);
      errors.write('NOTHING_TO_TRAIN\n');
      return 7;
    }
    await work(directory);
    return 0;
  } catch (error) {
    const shown = explainError(error);
    errors.write(`${formatError(shown)}\n`);
    return shown instanceof ReasongenError ? shown.exitCode : 1;
  }
}

const [, script = '', directory = ''] = process.argv;
if (realpathSync(script) === fileURLToPath(import.meta.url))
  process.exitCode = await smallRun(directory, process.stderr);
