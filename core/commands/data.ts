/** `data`: what training and measuring are made from, before there is a run. */
import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { PromptItem } from '../contracts/dataset.ts';
import {
  estimateTokens,
  planRationales,
  type RationaleCounts,
  usualInstruction,
  writeRationales,
} from '../data/rationales.ts';
import { findLeaks, type Leak, type PlacedPrompt } from '../data/leaks.ts';
import { exitCodes, PresetError, ReasongenError, suggest } from '../errors.ts';
import { takeLock } from '../io/lock.ts';
import { namedFiles } from '../io/named-files.ts';
import { readTextRows } from '../io/text-rows.ts';
import { readKey } from '../keys.ts';
import { type Log, silentLog } from '../log.ts';
import { loadCatalogOf } from '../preset/load.ts';
import type { CommandContext } from './context.ts';
import { makeFolderOf, writeResult } from './result-file.ts';

export interface PromptsOptions {
  readonly objects?: string;
  readonly seed: number;
  readonly count: number;
  readonly task: readonly string[];
  readonly out: string;
}

/** What the benchmark takes. */
const mostDraws = 100_000;

/** `data prompts`: prompts by the rules of GenEval, from any list of objects, with what a judge needs to check each. */
export async function makePrompts(
  { objects, seed, count, task, out }: PromptsOptions,
  { log }: CommandContext,
): Promise<number> {
  refuseExisting(out);
  // One in five of them is of each kind but single objects; some are drawn twice, and count once.
  const draws = Math.min(mostDraws, Math.max(100, Math.ceil(count * (task.length > 0 ? 2 : 0.4))));
  const { prompts, tasks } = await benchmarkPrompts('geneval', {
    seed,
    draws,
    ...(objects !== undefined && { ontology: resolve(objects) }),
  });
  const strange = task.find((each) => !tasks.includes(each));
  if (strange !== undefined)
    throw new PresetError({
      code: 'UNKNOWN_TASK',
      message: `there is no task "${strange}"`,
      place: '--task',
      hint: suggest(strange, tasks),
    });
  const fitting = prompts.filter((item) => task.length === 0 || task.includes(item.task));
  const chosen = evenly(fitting, count);
  const lines = chosen.map(({ specification }) => `${JSON.stringify(specification)}\n`);
  await writeResult(out, lines.join(''), 'writing prompts');
  const byTask = tasks
    .map((name) => `${name} ${chosen.filter((item) => item.task === name).length}`)
    .filter((line) => !line.endsWith(' 0'));
  log.info(`${chosen.length} prompts in ${out}: ${byTask.join(', ')}`);
  if (chosen.length < count)
    log.warn(
      `the rules gave ${chosen.length} different prompts from these objects in ${draws} draws of each kind, ${count} were asked for`,
    );
  return exitCodes.done;
}

function evenly<Item>(items: readonly Item[], count: number): Item[] {
  if (count >= items.length) return [...items];
  return Array.from({ length: count }, (_, index) => items[Math.floor(((index + 0.5) * items.length) / count)]).filter(
    (item) => item !== undefined,
  );
}

async function benchmarkPrompts(
  name: string,
  options: Readonly<Record<string, unknown>>,
): Promise<{ readonly prompts: readonly PromptItem[]; readonly tasks: readonly string[] }> {
  const catalog = await loadCatalogOf([]);
  const component = catalog.component('benchmark', name);
  if (component === undefined) {
    const known = catalog.components('benchmark').map((each) => each.name);
    throw new PresetError({
      code: 'UNKNOWN_COMPONENT',
      message: `there is neither a file nor a benchmark "${name}"`,
      hint: suggest(name, known),
    });
  }
  const missing = (): never => {
    throw new PresetError({
      code: 'NEEDS_A_RUN',
      message: `the prompts of benchmark "${name}" cannot be had without a run`,
      hint: 'write them into a file, and name that',
    });
  };
  const made = await component.create(component.options.parse(options), {
    log: silentLog(),
    seed: 0,
    calls: { run: missing, spend: () => {} },
    path: (relative) => resolve(relative),
    get: missing,
    getAll: async () => [],
    onDevice: () => missing,
    model: missing,
    published: missing,
    onDispose: () => {},
  });
  const splits = made.splits ?? (['seen', 'heldout'] as const);
  const count = made.size ?? 2000;
  return {
    tasks: made.tasks,
    prompts: splits
      .filter((split) => split === 'heldout' || splits.length === 1)
      .flatMap((split) => made.prompts(split, count, 0)),
  };
}

export interface LeaksOptions {
  readonly near: number;
  readonly json?: boolean;
}

/** Leaks named in the text. */
const mostNamed = 20;

/** `data leaks TRAINING AGAINST...`: prompts of benchmarks among those that are trained on. Ends with 1 where there are any. */
export async function lookForLeaks(
  training: string,
  against: readonly string[],
  { near, json = false }: LeaksOptions,
  { write }: CommandContext,
): Promise<number> {
  const trained = await placedPrompts(training);
  const measured = (await Promise.all(against.map(placedPrompts))).flat();
  const leaks = findLeaks(trained, measured, near);
  if (json) write(`${JSON.stringify({ training: trained.length, benchmark: measured.length, leaks }, undefined, 2)}\n`);
  else write(leaksText(leaks, trained.length, measured.length));
  return leaks.length > 0 ? exitCodes.failure : exitCodes.done;
}

/** Of a file, or of a benchmark by name. */
async function placedPrompts(name: string): Promise<PlacedPrompt[]> {
  if (existsSync(name) || /[./\\]/.test(name))
    return someOf(
      name,
      (await readTextRows(name, 'prompt')).map(({ text: prompt, place }) => ({ prompt, place })),
    );
  const { prompts } = await benchmarkPrompts(name, {});
  return prompts.map(({ prompt }) => ({ prompt, place: name }));
}

/** Nothing has nothing in common with anything, which is no finding. */
function someOf(file: string, prompts: readonly PlacedPrompt[]): PlacedPrompt[] {
  if (prompts.length > 0) return [...prompts];
  throw new PresetError({
    code: 'NO_PROMPTS',
    message: 'this file holds no prompts',
    place: file,
    hint: 'name the file of the prompts: text with one a line, JSON Lines with `prompt`, or a table with a column `prompt`',
  });
}

function leaksText(leaks: readonly Leak[], trained: number, measured: number): string {
  const count = (kind: Leak['kind']): number => leaks.filter((leak) => leak.kind === kind).length;
  const head = `${trained} training prompts, ${measured} of benchmarks: ${count('exact')} stand in both, ${count('normalized')} but for case, articles and plurals, ${count('near')} nearly`;
  const lines = leaks
    .slice(0, mostNamed)
    .map(
      ({ kind, training, benchmark, similarity }) =>
        `  ${kind === 'near' ? `near ${similarity.toFixed(2)}` : kind}  ${training.place}: ${training.prompt}  |  ${benchmark.place}: ${benchmark.prompt}`,
    );
  const more = leaks.length > mostNamed ? [`  … ${leaks.length - mostNamed} more: --json lists them`] : [];
  return `${[head, ...lines, ...more].join('\n')}\n`;
}

export interface RationalesOptions {
  readonly url: string;
  readonly model: string;
  readonly out: string;
  readonly instruction?: string;
  readonly maxTokens: number;
  readonly atOnce: number;
  readonly keyVariable?: string;
  readonly priceRead?: number;
  readonly priceWritten?: number;
  /** Without it only the estimate is made. */
  readonly yes?: boolean;
}

/** `data rationales PROMPTS`: asks a chat endpoint for a rationale of every prompt. First what that will take; with --yes it is done. */
export async function makeRationales(
  prompts: string,
  options: RationalesOptions,
  { log, write, environment, signal }: CommandContext,
): Promise<number> {
  const { url, model, out, instruction = usualInstruction, maxTokens, atOnce, keyVariable, yes = false } = options;
  if (!/^https?:\/\//.test(url))
    throw new PresetError({
      code: 'BAD_URL',
      message: `"${url}" is no address of an endpoint`,
      place: '--url',
      hint: 'such as http://localhost:8000/v1',
    });
  if (!instruction.includes('{prompt}'))
    throw new PresetError({
      code: 'BAD_INSTRUCTION',
      message: 'the instruction does not say where the prompt goes',
      place: '--instruction',
      hint: 'write {prompt} where it goes',
    });
  const key = keyVariable === undefined ? undefined : readKey(keyVariable, url, environment);
  if (keyVariable !== undefined && key === undefined)
    throw new PresetError({
      code: 'KEY_NOT_SET',
      message: `${keyVariable} is not set`,
      place: '--key-variable',
      hint: 'set it to the key, or leave the option out where the endpoint wants none',
    });
  if (yes) await makeFolderOf(out);
  // Two at once would ask about every prompt twice, and cut off each other's lines.
  const lock = yes ? await takeLock(join(dirname(out), `.tmp-${basename(out)}.lock`), 'these rationales') : undefined;
  try {
    const work = await planRationales(prompts, out);
    await warnOfPictures(prompts, out, log);
    write(`${estimateText(work, { ...options, instruction })}\n`);
    if (!yes && work.rows.length > 0) log.info('nothing has been asked: --yes does it');
    if (yes && work.rows.length > 0) {
      const counts = await writeRationales(work, { url, model, key, instruction, maxTokens, atOnce }, log, signal);
      sayWritten(counts, options, log);
    }
  } finally {
    lock?.release();
  }
  return exitCodes.done;
}

/** `caption-data` looks for pictures beside the file that names them: a row in another folder would be passed over. */
async function warnOfPictures(prompts: string, out: string, log: Log): Promise<void> {
  const named = await namedFiles(prompts);
  const lost = named.find(({ name }) => !existsSync(resolve(dirname(out), name)));
  if (lost !== undefined)
    log.warn(
      `the rows name files beside them, such as ${lost.name}, which is not beside ${out}: caption-data will look there; write --out into ${dirname(prompts)}`,
    );
}

function sayWritten(
  { written, repeated, empty, cut }: RationaleCounts,
  { out, maxTokens }: RationalesOptions,
  log: Log,
): void {
  log.info(`${written} rationales written into ${out}`);
  const lost = repeated + empty + cut;
  if (lost > 0)
    log.warn(
      `${lost} were left out (${repeated} in the words of another prompt, ${empty} empty, ${cut} cut off at ${maxTokens} tokens); the same command asks for them again`,
    );
}

function estimateText(
  work: Awaited<ReturnType<typeof planRationales>>,
  options: RationalesOptions & { readonly instruction: string },
): string {
  const { read, written } = estimateTokens(work, options);
  const { priceRead, priceWritten } = options;
  const price =
    priceRead === undefined || priceWritten === undefined
      ? ''
      : `, at most ${((read * priceRead + written * priceWritten) / 1e6).toFixed(2)} at these prices`;
  const known = [
    work.done > 0 ? `${work.done} are written already` : '',
    work.repeated > 0 ? `${work.repeated} stand there twice` : '',
  ].filter(Boolean);
  return `${work.rows.length} requests to ${options.model}${known.length > 0 ? ` (${known.join(', ')})` : ''}: about ${read} tokens read, at most ${written} written${price}`;
}

function refuseExisting(out: string): void {
  if (existsSync(out))
    throw new ReasongenError({
      code: 'FILE_EXISTS',
      exitCode: exitCodes.disk,
      message: 'it is there already, and nothing is overwritten',
      place: out,
      hint: 'name another file with --out',
    });
}
