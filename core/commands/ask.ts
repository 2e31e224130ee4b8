import { resolve } from 'node:path';
import { readTextRows } from '../io/text-rows.ts';
import type { CommandContext } from './context.ts';
import { inWordsOfFlags } from './flags.ts';
import { flagsOfModel, locateModel, type ModelChoice, runAsPreset } from './model.ts';
import { run } from './run.ts';

export interface AskOptions extends ModelChoice {
  /** Pictures of the first question. */
  readonly image: readonly string[];
  /** Questions behind the first. */
  readonly turn: readonly string[];
  /** A file with more questions: text with one a line, or JSON or a table with a `question`. */
  readonly turns?: string;
  readonly seed?: number;
  readonly out?: string;
}

/** `ask QUESTION`: runs the recipe `ask` on the components of a preset, of a run or of a published model. */
export async function ask(question: string, given: AskOptions, context: CommandContext): Promise<number> {
  const options = runAsPreset(given);
  return inWordsOfFlags(
    [
      { flag: '--weights', path: 'recipe.weights', value: options.weights },
      ...options.image.map((value) => ({ flag: '--image', path: 'recipe.turns[0].pictures', value })),
      { flag: '--turn', path: 'recipe.turns', value: undefined },
      { flag: '--seed', path: 'seed', value: options.seed },
      ...flagsOfModel(options),
    ],
    () => answer(question, options, context),
  );
}

async function answer(question: string, options: AskOptions, context: CommandContext): Promise<number> {
  const { file, weights, settings } = await locateModel(options, {
    needsCodec: false,
    environment: context.environment,
  });
  const more = options.turns === undefined ? [] : await readTextRows(options.turns, 'question');
  const questions = [question, ...options.turn, ...more.map(({ text }) => text)];
  const turns = questions.map((each, index) => ({
    question: each,
    ...(index === 0 && { pictures: options.image.map((path) => resolve(path)) }),
  }));
  const recipe = { use: 'ask', turns, ...(weights !== undefined && { weights }) };
  return run(file, {
    ...context,
    settings: [
      ...settings,
      'extensions=[]',
      'rewards=[]',
      `recipe=${JSON.stringify(recipe)}`,
      ...(options.seed === undefined ? [] : [`seed=${options.seed}`]),
      ...context.settings,
    ],
    runDirectory: options.out ?? context.runDirectory,
  });
}
