import { existsSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import type { Evaluation } from '../contracts/evaluation.ts';
import { PresetError } from '../errors.ts';
import { readRunRecords } from '../io/records.ts';
import { loadPreset } from '../preset/load.ts';
import { headlineOf } from '../recipes/evaluate.ts';
import { freeRunDirectory, isStarted } from '../run.ts';
import type { CommandContext } from './context.ts';
import { inWordsOfFlags } from './flags.ts';
import {
  chooserSettings,
  flagsOfModel,
  locateModel,
  publishedBatch,
  publishedPreset,
  publishedSampling,
  runAsPreset,
  withoutTraining,
} from './model.ts';
import { namedBenchmarks } from './named-benchmarks.ts';
import { run } from './run.ts';

export interface EvaluateOptions {
  /** A published model (a folder, or `hub:OWNER/NAME`), or a run. */
  readonly model?: string;
  /** A folder of pictures that another tool has drawn: no model is needed. */
  readonly pictures?: string;
  /** Names with commas between them, instead of the benchmarks of the preset. */
  readonly benchmark?: string;
  /** A file of questions about pictures, for the benchmark `understanding`. */
  readonly questions?: string;
  readonly weights?: string;
  /** Whether the rewards judge the drawings as well. */
  readonly judge?: boolean;
  /** Drawings of which each picture is the best, by the reward `chosenBy`. */
  readonly bestOf?: number;
  readonly chosenBy?: string;
  readonly json?: boolean;
}

/** What is evaluated, as a preset and settings that go before those of the user. */
interface Subject {
  readonly file: string;
  readonly settings: readonly string[];
  /** Of the run: a run's own name is taken by the run. */
  readonly name: string;
}

/**
 * `evaluate`: draws the prompts of benchmarks with the model of a preset, of a run or of a published folder, or takes the pictures of a folder;
 * judges them and prints the scores. A directory with a run that was stopped is gone on with by `resume`.
 */
export async function evaluate(
  preset: string | undefined,
  options: EvaluateOptions,
  context: CommandContext,
): Promise<number> {
  const { weights, pictures, benchmark, model, json = false } = options;
  const typed = [
    { flag: '--weights', path: 'recipe.weights', value: weights },
    { flag: '--pictures', path: 'recipe.pictures', value: pictures },
    { flag: '--benchmark', path: 'benchmarks', value: benchmark },
    { flag: '--questions', path: 'benchmarks.understanding.questions', value: options.questions },
    { flag: '--best-of', path: 'recipe.bestOf', value: options.bestOf },
    { flag: '--chosen-by', path: 'recipe.chosenBy', value: options.chosenBy },
    ...flagsOfModel(model === undefined ? {} : { model }),
  ];
  return inWordsOfFlags(typed, async () => {
    const subject = await subjectOf(preset, options, context);
    const settings = [...subject.settings, ...context.settings];
    const runDirectory = resolve(context.runDirectory ?? freeRunDirectory(subject.name));
    const exitCode = await run(subject.file, { ...context, settings, runDirectory });
    if (isStarted(runDirectory)) context.write(await results(runDirectory, json));
    return exitCode;
  });
}

async function subjectOf(
  preset: string | undefined,
  options: EvaluateOptions,
  context: CommandContext,
): Promise<Subject> {
  const { pictures, model, weights: typed, judge = false } = options;
  const training = judge ? ['extensions=[]'] : withoutTraining;
  if (pictures !== undefined) {
    if (model !== undefined || typed !== undefined) throw twoSubjects();
    const settings = [...training, recipeSetting({ use: 'evaluate-pictures', pictures: resolve(pictures) })];
    const file = preset ?? publishedPreset;
    const name = `${basename(resolve(pictures))}-evaluation`;
    return { file, name, settings: [...settings, ...(await benchmarkSettings(options, preset, settings, context))] };
  }
  const choice = runAsPreset({
    ...(preset !== undefined && { preset }),
    ...(model !== undefined && { model }),
    ...(typed !== undefined && { weights: typed }),
  });
  const { preset: chosen, model: published } = choice;
  const located = await locateModel(choice, { needsCodec: true, environment: context.environment });
  const { file, weights } = located;
  const recipe = {
    use: 'evaluate',
    ...(published !== undefined && { ...publishedSampling, ...publishedBatch }),
    ...(options.bestOf !== undefined && { bestOf: options.bestOf, chosenBy: options.chosenBy }),
    ...(weights !== undefined && { weights }),
  };
  const choosing = judge
    ? []
    : await chooserSettings(
        { bestOf: options.bestOf, chosenBy: options.chosenBy },
        file,
        [...located.settings, ...context.settings],
        context.environment,
        // A preset may leave its weights to --weights.
        weights === undefined ? undefined : recipeSetting({ use: 'evaluate', weights }),
      );
  const settings = [...located.settings, ...training, ...choosing, recipeSetting(recipe)];
  const benchmarks = await benchmarkSettings(options, published === undefined ? file : undefined, settings, context);
  const all = [...settings, ...benchmarks];
  const isPreset = chosen !== undefined && !(existsSync(chosen) && statSync(chosen).isDirectory());
  const name = isPreset
    ? (await loadPreset(file, { settings: [...all, ...context.settings], environment: context.environment })).name
    : `${basename(resolve(chosen ?? published ?? ''))}-evaluation`;
  return { file, name, settings: all };
}

function recipeSetting(recipe: Readonly<Record<string, unknown>>): string {
  return `recipe=${JSON.stringify(recipe)}`;
}

const asksQuestions = 'understanding';

/** The benchmarks that were named, if any were. */
async function benchmarkSettings(
  { benchmark, questions }: EvaluateOptions,
  preset: string | undefined,
  settings: readonly string[],
  context: CommandContext,
): Promise<string[]> {
  const names = benchmark ?? (questions === undefined ? undefined : asksQuestions);
  if (names === undefined) return [];
  const asked = questions === undefined ? {} : { [asksQuestions]: { questions: resolve(questions) } };
  return namedBenchmarks(names, preset, [...settings, ...context.settings], context, asked);
}

function twoSubjects(): PresetError {
  return new PresetError({
    code: 'WHICH_MODEL',
    message: 'pictures and a model are named',
    place: '--pictures',
    hint: 'pictures that are there need no model: leave out --model and --weights, or --pictures',
  });
}

async function results(directory: string, json: boolean): Promise<string> {
  const { evaluations } = await readRunRecords(directory);
  if (json) {
    const records = evaluations.map(({ samples: _samples, verdicts: _verdicts, ...record }) => record);
    return `${JSON.stringify({ directory, evaluations: records }, undefined, 2)}\n`;
  }
  return evaluations.map((record) => lines(record, evaluations.length > 1)).join('');
}

/** A score says whose it is where there are several. */
function lines(record: Evaluation, isOneOfMany: boolean): string {
  const { benchmark, split, overall, title, comparable, unavailable = {}, subScores = {} } = record;
  if (title === undefined) return `${benchmark}, ${split}: ${overall.passes} of ${overall.total} pass\n`;
  const scores = Object.entries(subScores).map(
    ([name, { value }]) => `  ${name}: ${value.toFixed(value > 1.5 ? 2 : 3)}`,
  );
  const missing = Object.entries(unavailable).map(([name, why]) => `  ${name}: not available, ${why}`);
  const standing =
    comparable === undefined
      ? []
      : [`  comparable: ${comparable.yes ? 'yes' : `no, because ${comparable.because.join('; ')}`}`];
  const whose = isOneOfMany ? `${benchmark}, ${split}: ` : '';
  return [`${whose}${headlineOf(record)}`, ...scores, ...missing, ...standing].map((line) => `${line}\n`).join('');
}
