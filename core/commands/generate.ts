import { existsSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { freeRunDirectory, presetOfRun } from '../run.ts';
import type { CommandContext } from './context.ts';
import { run } from './run.ts';

export interface GenerateOptions {
  /** A preset file, or a run directory, whose newest weights are then used. */
  readonly preset: string;
  readonly prompt: readonly string[];
  /** Drawings for each prompt. */
  readonly n?: number;
  readonly seed?: number;
  readonly out?: string;
  readonly weights?: string;
}

/** `generate`: runs the recipe `generate` on the components of a preset, whatever the recipe of that preset is. */
export async function generate(options: GenerateOptions, context: CommandContext): Promise<number> {
  const { file, weights } = locate(options.preset, options.weights);
  const recipe = {
    use: 'generate',
    ...(options.prompt.length > 0 && { prompts: options.prompt }),
    ...(options.n !== undefined && { samples: options.n }),
    ...(weights !== undefined && { weights: resolve(weights) }),
  };
  const settings = [
    `recipe=${JSON.stringify(recipe)}`,
    ...(options.seed === undefined ? [] : [`seed=${options.seed}`]),
    ...context.settings,
  ];
  return run(file, { ...context, settings, runDirectory: options.out ?? context.runDirectory });
}

/** `evaluate PRESET`: runs the recipe `evaluate` on the components and benchmarks of a preset or of a run. */
export async function evaluate(preset: string, weightsPath: string | undefined, context: CommandContext): Promise<number> {
  const { file, weights } = locate(preset, weightsPath);
  const recipe = { use: 'evaluate', ...(weights !== undefined && { weights: resolve(weights) }) };
  // A run's own name is taken by the run.
  const runDirectory = context.runDirectory ?? (file === preset ? undefined : freeRunDirectory(`${basename(resolve(preset))}-evaluation`));
  return run(file, { ...context, settings: [`recipe=${JSON.stringify(recipe)}`, ...context.settings], runDirectory });
}

/** A run directory stands for its preset and its own newest weights. */
function locate(preset: string, weights: string | undefined): { readonly file: string; readonly weights: string | undefined } {
  const isRun = existsSync(preset) && statSync(preset).isDirectory();
  return isRun ? { file: presetOfRun(preset), weights: weights ?? preset } : { file: preset, weights };
}
