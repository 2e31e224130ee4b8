/** Rationales for prompts, written by a model behind a chat endpoint: rows in the columns that `caption-data` reads, one file that grows and is gone on with. */
import { realpath } from 'node:fs/promises';
import { exchanged, oneLine } from '../answered.ts';
import { exitCodes, ReasongenError } from '../errors.ts';
import { diskError, hasCode } from '../io/disk.ts';
import { JsonLines } from '../io/json-lines.ts';
import { readTextRows, type TextRow } from '../io/text-rows.ts';
import { PolicedCalls } from '../judging/calls.ts';
import type { Log } from '../log.ts';
import { z } from '../preset/zod.ts';

export interface RationaleOptions {
  /** Of the endpoint up to its version: `http://localhost:8000/v1`. */
  readonly url: string;
  readonly model: string;
  readonly key: string | undefined;
  /** What is asked; `{prompt}` stands for the prompt. */
  readonly instruction: string;
  readonly maxTokens: number;
  readonly atOnce: number;
}

export const usualInstruction = [
  'You are about to draw a picture for this prompt: {prompt}',
  'Before you draw, plan it in two or three plain sentences: every object with its number, color and place, and what surrounds them.',
  'Answer with the plan alone, without a list, a heading or quotes.',
].join('\n');

/** What is there to do, before anything is asked. */
export interface RationaleWork {
  /** Rows to be asked about, each prompt once. */
  readonly rows: readonly TextRow[];
  readonly done: number;
  /** Prompts that stood in the file more than once. */
  readonly repeated: number;
  /** Of rationales that are there already: another prompt does not get the same one. */
  readonly written: Set<string>;
  /** The file that grows. */
  readonly out: JsonLines;
}

/** Reads the prompts and what an earlier session has written. */
export async function planRationales(prompts: string, out: string): Promise<RationaleWork> {
  const rows = await readTextRows(prompts, 'prompt');
  const done = new Map<string, string>();
  const lines = await JsonLines.open(await realFile(out), 'rationales', (value, place) => {
    const row = doneSchema.safeParse(value).data;
    if (row === undefined)
      throw new ReasongenError({
        code: 'BAD_RATIONALES',
        message: 'this line is no row with brief_caption and detailed_caption',
        place,
        hint: 'name another file: what is there is gone on with, and nothing is overwritten',
        exitCode: exitCodes.badPreset,
      });
    done.set(row.brief_caption, row.detailed_caption);
    return true;
  });
  const first = new Map<string, TextRow>();
  for (const row of rows) if (!first.has(row.text)) first.set(row.text, row);
  const open = [...first.values()].filter(({ text }) => !done.has(text));
  return {
    rows: open,
    done: first.size - open.length,
    repeated: rows.length - first.size,
    written: new Set([...done.values()].map(bare)),
    out: lines,
  };
}

const doneSchema = z.looseObject({ brief_caption: z.string(), detailed_caption: z.string() });

/** A file that a person names may be a link to it. */
async function realFile(path: string): Promise<string> {
  return realpath(path).catch((cause: unknown) => {
    if (hasCode(cause, 'ENOENT')) return path;
    throw diskError(cause, 'reading what is written already', path);
  });
}

/** About four characters are a token. */
export function estimateTokens(
  { rows }: Pick<RationaleWork, 'rows'>,
  { instruction, maxTokens }: Pick<RationaleOptions, 'instruction' | 'maxTokens'>,
): { readonly read: number; readonly written: number } {
  const read = rows.reduce((sum, { text }) => sum + Math.ceil((instruction.length + text.length) / 4) + 8, 0);
  return { read, written: rows.length * maxTokens };
}

export interface RationaleCounts {
  readonly written: number;
  /** The same words as for another prompt, nothing, or cut off by the limit: left out, and asked again by the next call. */
  readonly repeated: number;
  readonly empty: number;
  readonly cut: number;
}

/** Asks about every row and appends what is answered, a line each. What was appended stays, however this ends. */
export async function writeRationales(
  work: RationaleWork,
  options: RationaleOptions,
  log: Log,
  signal: AbortSignal,
): Promise<RationaleCounts> {
  const counts = { written: 0, repeated: 0, empty: 0, cut: 0 };
  const calls = new PolicedCalls({
    settings: { atOnce: options.atOnce },
    who: `the model ${options.model}`,
    component: 'rationales',
    folder: undefined,
    log,
  });
  const progress = log.progress('writing rationales', work.rows.length, { unit: 'prompt' });
  /** Nothing more is asked behind the first; answers that are under way are paid for, and kept. */
  let failure: unknown;
  const one = async (row: TextRow): Promise<void> => {
    try {
      const { text, isCut } = await calls.run(async (inner) => {
        if (failure !== undefined) throw failure;
        return ask(row.text, options, inner);
      }, signal);
      const rationale = text.trim();
      const key = bare(rationale);
      if (isCut) counts.cut++;
      else if (rationale === '') counts.empty++;
      else if (work.written.has(key)) counts.repeated++;
      else {
        work.written.add(key);
        counts.written++;
        const columns = { ...row.columns, prompt: undefined };
        await work.out.append({ ...columns, brief_caption: row.text, detailed_caption: rationale });
      }
      progress.advance(1);
    } catch (error) {
      failure ??= error;
    }
  };
  await Promise.all(work.rows.map(one));
  progress.end();
  await calls.close();
  if (failure !== undefined) throw failure;
  return counts;
}

function bare(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();
}

const answerSchema = z.looseObject({
  choices: z
    .array(
      z.looseObject({ finish_reason: z.string().nullish(), message: z.looseObject({ content: z.string().nullish() }) }),
    )
    .min(1),
});

async function ask(
  prompt: string,
  { url, model, key, instruction, maxTokens }: RationaleOptions,
  signal: AbortSignal,
): Promise<{ readonly text: string; readonly isCut: boolean }> {
  const body = JSON.stringify({
    model,
    max_tokens: maxTokens,
    temperature: 0.7,
    messages: [{ role: 'user', content: instruction.replaceAll('{prompt}', () => prompt) }],
  });
  const headers = { 'content-type': 'application/json', ...(key !== undefined && { authorization: `Bearer ${key}` }) };
  const { response, text } = await exchanged(
    `${url.replace(/\/$/, '')}/chat/completions`,
    { method: 'POST', headers, body, signal },
    { url },
  );
  const answer = response.ok ? parseAnswer(text) : undefined;
  if (answer === undefined)
    throw new ReasongenError({
      code: 'ENDPOINT_REFUSED',
      message: response.ok
        ? 'it answered something that is no chat completion'
        : `it answered ${response.status} ${response.statusText}: ${oneLine(text)}`,
      place: url,
      hint: 'check the address, which ends with its version (…/v1), the model and the key',
    });
  const [choice] = answer.choices;
  return { text: behindThoughts(choice?.message.content ?? ''), isCut: choice?.finish_reason === 'length' };
}

/** Servers that do not part a model's thoughts from its answer leave them in front of it; what opens them may stand in the template, not here. */
function behindThoughts(text: string): string {
  const answer = text.replace(/^[^]*<\/think>/, '');
  return /^\s*<think>/.test(answer) ? '' : answer;
}

function parseAnswer(text: string): z.output<typeof answerSchema> | undefined {
  try {
    return answerSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
