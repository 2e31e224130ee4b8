import { basename, resolve } from 'node:path';
import { readRunRecords } from '../io/records.ts';
import { loadPreset } from '../preset/load.ts';
import { freeRunDirectory, isStarted } from '../run.ts';
import type { CommandContext } from './context.ts';
import { inWordsOfFlags } from './flags.ts';
import { locateModel, withoutTraining } from './model.ts';
import { run } from './run.ts';

export interface EvaluateOptions {
  readonly weights?: string;
  /** Whether the rewards judge the drawings as well. */
  readonly judge?: boolean;
  readonly json?: boolean;
}

/** `evaluate PRESET`: runs the recipe `evaluate` on the components and benchmarks of a preset or of a run, and prints what passed. */
export async function evaluate(preset: string, options: EvaluateOptions, context: CommandContext): Promise<number> {
  const { weights: typed, judge = false, json = false } = options;
  return inWordsOfFlags([{ flag: '--weights', path: 'recipe.weights', value: typed }], async () => {
    const { file, weights } = await locateModel(
      { preset, ...(typed !== undefined && { weights: typed }) },
      { needsCodec: true },
    );
    const recipe = { use: 'evaluate', ...(weights !== undefined && { weights }) };
    const settings = [
      ...(judge ? ['extensions=[]'] : withoutTraining),
      `recipe=${JSON.stringify(recipe)}`,
      ...context.settings,
    ];
    // A run's own name is taken by the run.
    const name =
      file === preset
        ? (await loadPreset(file, { settings, environment: context.environment })).name
        : `${basename(resolve(preset))}-evaluation`;
    const runDirectory = resolve(context.runDirectory ?? freeRunDirectory(name));
    const exitCode = await run(file, { ...context, settings, runDirectory });
    if (isStarted(runDirectory)) context.write(await results(runDirectory, json));
    return exitCode;
  });
}

async function results(directory: string, json: boolean): Promise<string> {
  const { evaluations } = await readRunRecords(directory);
  if (json) {
    const records = evaluations.map(({ samples: _samples, ...record }) => record);
    return `${JSON.stringify({ directory, evaluations: records }, undefined, 2)}\n`;
  }
  return evaluations
    .map(({ benchmark, split, overall }) => `${benchmark}, ${split}: ${overall.passes} of ${overall.total} pass\n`)
    .join('');
}
