/** What `init` is told: by flags, by answers on a terminal, or by neither, when the defaults hold. */
import { existsSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { exitCodes, ReasongenError, suggest } from '../../errors.ts';
import { unexpandedPath } from '../../unexpanded.ts';

export const starterModels = ['nano', 'janus-pro-1b', 'janus-pro-7b'] as const;
export type StarterModel = (typeof starterModels)[number];

export interface StarterOptions {
  readonly model?: string;
  readonly reward?: string;
  readonly data?: string;
}

export interface StarterChoices {
  /** Absolute. */
  readonly folder: string;
  readonly model: StarterModel;
  /** Name of the new reward. */
  readonly reward: string;
  /** A file of prompts, absolute; undefined for those of the model's preset. */
  readonly data: string | undefined;
}

export interface Terminal {
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WritableStream;
}

const defaultFolder = 'my-judge';

/** `terminal` is where to ask for what no flag says. `isTaken` tells whether something is called like that already. */
export async function chooseStarter(
  folder: string | undefined,
  options: StarterOptions,
  terminal: Terminal | undefined,
  isTaken: (reward: string) => boolean,
): Promise<StarterChoices> {
  const questions = terminal && openQuestions(terminal);
  try {
    const choose = async <Value>(
      given: string | undefined,
      question: string,
      fallback: string,
      read: (text: string) => Value,
    ): Promise<Value> => {
      if (given !== undefined || questions === undefined) return read(given ?? fallback);
      return questions.ask(question, fallback, read);
    };
    const place = await choose(folder, 'Folder', defaultFolder, readFolder);
    const model = await choose(options.model, `Model (${starterModels.join(', ')})`, 'nano', readModel);
    const name = rewardNamed(basename(place), isTaken);
    const reward = await choose(options.reward, 'Name of your reward', name, (text) => readReward(text, isTaken));
    const data = await choose(options.data, 'A file of prompts, one a line, or none', 'none', readData);
    return { folder: place, model, reward, data };
  } finally {
    questions?.close();
  }
}

function readFolder(text: string): string {
  const unexpanded = unexpandedPath(text, undefined);
  if (unexpanded !== undefined) throw unexpanded;
  const folder = resolve(text);
  if (existsSync(folder) && !statSync(folder).isDirectory())
    throw badChoice('BAD_FOLDER', `${text} is a file`, 'name a new folder, or one to write into');
  return folder;
}

function readModel(text: string): StarterModel {
  const model = starterModels.find((each) => each === text);
  if (model === undefined)
    throw badChoice('UNKNOWN_MODEL', `there is no model "${text}"`, suggest(text, starterModels));
  return model;
}

const namePattern = /^[a-z][a-z0-9-]*$/;

/** The name as it was, if a component of this kind can have it. */
export function componentName(text: string, kind: string): string {
  if (namePattern.test(text)) return text;
  throw badChoice('BAD_NAME', `"${text}" is no name of a ${kind}`, 'small letters, digits and hyphens, a letter first');
}

function readReward(text: string, isTaken: (reward: string) => boolean): string {
  componentName(text, 'reward');
  if (isTaken(text))
    throw badChoice('NAME_TAKEN', `"${text}" comes with reasongen already`, 'name your reward otherwise');
  return text;
}

/** The folder's name where it can be one. */
function rewardNamed(folder: string, isTaken: (reward: string) => boolean): string {
  return namePattern.test(folder) && !isTaken(folder) ? folder : 'my-reward';
}

function readData(text: string): string | undefined {
  if (text === 'none') return undefined;
  const file = resolve(text);
  if (existsSync(file) && !statSync(file).isDirectory()) return file;
  const unexpanded = unexpandedPath(text, undefined);
  throw unexpanded ?? badChoice('MISSING_FILE', `no file is at ${text}`, 'name a file of prompts, or none');
}

function badChoice(code: string, message: string, hint: string): ReasongenError {
  return new ReasongenError({ code, message, hint, exitCode: exitCodes.badPreset });
}

interface Questions {
  /** Asks again until `read` takes the answer; an empty answer is the fallback. */
  ask<Value>(question: string, fallback: string, read: (text: string) => Value): Promise<Value>;
  close(): void;
}

function openQuestions({ input, output }: Terminal): Questions {
  const reader = createInterface({ input, terminal: false });
  // Lines are taken from here one by one: those typed ahead are not lost.
  const lines = reader[Symbol.asyncIterator]();
  return {
    async ask(question, fallback, read) {
      for (;;) {
        output.write(`${question} [${fallback}]: `);
        const { done, value } = await lines.next();
        if (done === true)
          throw badChoice(
            'NOT_ANSWERED',
            'the input ended before every question was answered',
            'nothing has been written; --yes takes the defaults',
          );
        const answer = value.trim();
        try {
          return read(answer === '' ? fallback : answer);
        } catch (error) {
          if (!(error instanceof ReasongenError)) throw error;
          output.write(`  ${error.message}. ${error.hint ?? ''}\n`);
        }
      }
    },
    close: () => reader.close(),
  };
}
