import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { diskError } from '../io/disk.ts';
import type { CommandContext } from './context.ts';
import { locateModel, type ModelChoice } from './model.ts';
import { run } from './run.ts';

export interface AskOptions extends ModelChoice {
  /** Pictures of the first question. */
  readonly image: readonly string[];
  /** Questions behind the first. */
  readonly turn: readonly string[];
  /** A text file with more questions, one a line. */
  readonly turns?: string;
  readonly seed?: number;
  readonly out?: string;
}

/** `ask QUESTION`: runs the recipe `ask` on the components of a preset, of a run or of a published model. */
export async function ask(question: string, options: AskOptions, context: CommandContext): Promise<number> {
  const { file, weights, settings } = await locateModel(options, { needsCodec: false });
  const questions = [question, ...options.turn, ...(options.turns === undefined ? [] : linesOf(options.turns))];
  const turns = questions.map((each, index) => ({
    question: each,
    ...(index === 0 && { pictures: options.image.map((path) => resolve(path)) }),
  }));
  const recipe = { use: 'ask', turns, ...(weights !== undefined && { weights }) };
  return run(file, {
    ...context,
    settings: [
      ...settings,
      `recipe=${JSON.stringify(recipe)}`,
      ...(options.seed === undefined ? [] : [`seed=${options.seed}`]),
      ...context.settings,
    ],
    runDirectory: options.out ?? context.runDirectory,
  });
}

function linesOf(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw diskError(cause, 'reading the questions', path);
  }
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}
