import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Environment } from '../environment.ts';
import { ReasongenError, exitCodes, shellWord } from '../errors.ts';
import { samplingOptions } from '../drawing/drawer.ts';
import { loadPreset } from '../preset/load.ts';
import { changedPreset, refuseChanges } from '../run-inputs.ts';
import { isStarted, pluginCopies, resolvedPreset } from '../run.ts';
import type { CommandContext } from './context.ts';
import { inWordsOfFlags } from './flags.ts';
import {
  chooserSettings,
  flagsOfModel,
  locateModel,
  type ModelChoice,
  publishedBatch,
  publishedSampling,
  runAsPreset,
  withoutTraining,
} from './model.ts';
import { namedBenchmarks } from './named-benchmarks.ts';
import { resume, run } from './run.ts';

export interface GenerateOptions extends ModelChoice {
  readonly prompt: readonly string[];
  /** Rationales of the prompts in their order, or one for all of them; false: draw without any. */
  readonly rationale?: readonly string[] | boolean;
  /** Drawings for each prompt. */
  readonly count?: number;
  readonly seed?: number;
  readonly out?: string;
  /** Drawings of which each picture is the best, by the reward `judge`. */
  readonly bestOf?: number;
  readonly judge?: string;
  /** A benchmark whose prompts are drawn, into the folders that its original scorer reads. */
  readonly layout?: string;
}

/**
 * `generate`: runs the recipe `generate` on the components of a preset, whatever the recipe of that preset is. Into a directory
 * that holds such a run already it draws what is missing there, unless anything about the run differs.
 */
export async function generate(given: GenerateOptions, context: CommandContext): Promise<number> {
  const options = runAsPreset(given);
  return inWordsOfFlags(
    [
      { flag: '--weights', path: 'recipe.weights', value: options.weights },
      { flag: '--prompt', path: 'recipe.prompts', value: options.prompt[0] },
      { flag: '--count', path: 'recipe.samplesPerPrompt', value: options.count },
      { flag: '--rationale', path: 'recipe.rationale', value: undefined },
      { flag: '--seed', path: 'seed', value: options.seed },
      { flag: '--best-of', path: 'recipe.bestOf', value: options.bestOf },
      { flag: '--judge', path: 'recipe.chosenBy', value: options.judge },
      { flag: '--judge', path: 'rewards', value: options.judge },
      { flag: '--layout', path: 'benchmarks', value: options.layout },
      ...flagsOfModel(options),
    ],
    () => draw(options, context),
  );
}

async function draw(options: GenerateOptions, context: CommandContext): Promise<number> {
  if (options.layout !== undefined && options.prompt.length > 0) throw promptsTwice();
  const {
    file,
    weights,
    settings: components,
  } = await locateModel(options, { needsCodec: true, environment: context.environment });
  const { layout } = options;
  const prompts = withRationales(options.prompt, options.rationale);
  const recipe = {
    ...(layout !== undefined && options.model === undefined && (await drawnAs(file, context))),
    ...(layout === undefined ? { use: 'generate' } : { use: 'evaluate', judge: false }),
    ...(options.model !== undefined && publishedSampling),
    ...(options.model !== undefined && layout !== undefined && publishedBatch),
    ...(prompts.length > 0 && { prompts }),
    ...(options.rationale === false && { rationale: false }),
    ...(options.seed !== undefined && layout !== undefined && { evaluationSeed: options.seed }),
    ...(options.count !== undefined && { samplesPerPrompt: options.count }),
    ...(options.bestOf !== undefined && { bestOf: options.bestOf, chosenBy: options.judge }),
    ...(weights !== undefined && { weights }),
  };
  const choice = { bestOf: options.bestOf, chosenBy: options.judge };
  const subject = [...components, ...withoutTraining, `recipe=${JSON.stringify(recipe)}`];
  const known = options.model === undefined ? file : undefined;
  const settings = [
    ...subject,
    ...(await chooserSettings(choice, file, [...components, ...context.settings], context.environment)),
    ...(layout === undefined ? [] : await namedBenchmarks(layout, known, [...subject, ...context.settings], context)),
    ...(options.seed === undefined ? [] : [`seed=${options.seed}`]),
    ...context.settings,
  ];
  const runDirectory = options.out ?? context.runDirectory;
  if (runDirectory === undefined || !isStarted(runDirectory)) return run(file, { ...context, settings, runDirectory });
  await refuseOtherSettings(file, settings, resolve(runDirectory), context.environment);
  // Prompts and weights are compared drawing by drawing: new prompts are drawn, pictures of other weights are refused.
  const acceptChanges = (changes: readonly string[]): boolean =>
    changes.every((change) => /^recipe\.(promptFile|weights): /.test(change));
  return resume(runDirectory, { again: true, acceptChanges }, { ...context, settings: [] });
}

/** How a preset for `generate` draws: a benchmark is drawn by another recipe, with the same model and sampling. */
async function drawnAs(file: string, { environment }: CommandContext): Promise<Readonly<Record<string, unknown>>> {
  const [choice] = (await loadPreset(file, { environment })).stages.at(-1)?.preset.components['recipe'] ?? [];
  if (choice?.use !== 'generate') return {};
  const names = ['weights', 'storage', 'batch', 'promptTokens', ...Object.keys(samplingOptions)];
  return Object.fromEntries(Object.entries(choice.options).filter(([name]) => names.includes(name)));
}

function promptsTwice(): ReasongenError {
  return new ReasongenError({
    code: 'PROMPTS_TWICE',
    message: 'the prompts of a benchmark are drawn, and others are given',
    place: '--layout',
    hint: 'leave out --layout or --prompt',
    exitCode: exitCodes.badPreset,
  });
}

function withRationales(
  prompts: readonly string[],
  given: GenerateOptions['rationale'],
): (string | { prompt: string; rationale: string })[] {
  if (given === undefined || typeof given === 'boolean' || given.length === 0) return [...prompts];
  if (given.length !== 1 && given.length !== prompts.length) {
    throw new ReasongenError({
      code: 'RATIONALES_DO_NOT_FIT',
      message: `${given.length} rationales are given for ${prompts.length} prompt(s)`,
      hint: 'give --rationale once for all prompts, or once for every --prompt',
      exitCode: exitCodes.badPreset,
    });
  }
  return prompts.map((prompt, index) => ({ prompt, rationale: given[index] ?? given[0] ?? '' }));
}

/** The run in `directory` must be the one that would be started now. */
async function refuseOtherSettings(
  file: string,
  settings: readonly string[],
  directory: string,
  environment: Environment,
): Promise<void> {
  const edited = await changedPreset(directory);
  if (edited.length > 0) refuseChanges(edited, directory);
  const loaded = await loadPreset(file, { settings, runDirectory: directory, environment });
  const [stage] = loaded.stages;
  if (stage === undefined) throw new RangeError('unreachable: a preset has a stage');
  const linesOf = (text: string): string[] =>
    text
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('#'));
  const there = linesOf(readFileSync(join(directory, 'preset.yaml'), 'utf8'));
  const now = linesOf(resolvedPreset(stage, loaded, directory, pluginCopies(loaded, directory)));
  const onlyThere = there.filter((line) => !now.includes(line));
  const onlyNow = now.filter((line) => !there.includes(line));
  if (there.join('\n') === now.join('\n')) return;
  const some = (lines: readonly string[]): string =>
    lines.length === 0 ? 'nothing more' : `${lines.slice(0, 4).join(', ')}${lines.length > 4 ? ', …' : ''}`;
  throw new ReasongenError({
    code: 'OTHER_SETTINGS',
    message: `this directory holds a run with other settings. There: ${some(onlyThere)}. Now: ${some(onlyNow)}`,
    place: directory,
    hint: `choose another --out; or go on with what is there: npx reasongen resume ${shellWord(directory)}`,
    exitCode: exitCodes.badPreset,
  });
}
