/** The directory of one run, open for writing by one process; what lies in it is described in `records.ts`. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import type { Evaluation } from '../contracts/evaluation.ts';
import { exitCodes, ReasongenError, shellWord } from '../errors.ts';
import { scrub, scrubbedJson } from '../scrub.ts';
import { tidy } from './checkpoint-folder.ts';
import { disk, diskError, removeTemporaries, replaceFile } from './disk.ts';
import { takeLock, type Lock } from './lock.ts';
import { MetricsFile, type Metrics } from './metrics.ts';
import { presetOriginsFile, readRunRecord, type RunFailure, type RunRecord, type RunSession } from './records.ts';
import { appendFileSync, mkdir } from './files.ts';

/** What is known when a run starts; `describe` adds the rest when it is known. */
export type RunDescription = Omit<RunRecord, 'format' | 'version' | 'name' | 'sessions'>;

export interface CreateOptions {
  /** Must be new or empty. */
  readonly directory: string;
  readonly name: string;
  /** Text of the resolved preset. */
  readonly preset: string;
  /** The same, each value followed by where it came from. */
  readonly origins?: string;
  readonly description: RunDescription;
  /** Fills the directory, before `preset.yaml` is written, with what that names. */
  readonly fill?: (directory: string) => Promise<void>;
  readonly command: readonly string[];
  readonly now?: () => Date;
}

/** The resolved preset in a run directory: loading it gives the run again. */
export const presetFile = 'preset.yaml';

/** Makes the directory of a new run and locks it. Overwrites nothing. */
export async function createRun(options: CreateOptions): Promise<RunDirectory> {
  const { now = () => new Date() } = options;
  const path = resolve(options.directory);
  if (!(await isHalfMade(path, options.preset))) await requireEmpty(path);
  // Of a stage that has not begun: what its chain names must be there at every moment.
  const hadPreset = existsSync(join(path, presetFile));
  const lock = await takeLock(join(path, 'lock'));
  try {
    // Again: another process may have made a whole run in between.
    const isHalf = await isHalfMade(path, options.preset);
    if (isHalf) await clear(path);
    await requireEmpty(path, isHalf ? [presetFile] : []);
  } catch (cause) {
    lock.release();
    throw cause;
  }
  try {
    await options.fill?.(path);
    if (options.origins !== undefined) await replaceFile(join(path, presetOriginsFile), options.origins);
    await replaceFile(join(path, presetFile), options.preset);
    const record: RunRecord = {
      format: 'reasongen-run',
      version: 1,
      name: options.name,
      ...options.description,
      sessions: [{ command: options.command, startedAt: now().toISOString() }],
    };
    const run = new RunDirectory(path, record, lock, now);
    await run.describe({});
    return run;
  } catch (cause) {
    // Half a run would be in the way of the next try.
    for (const name of ['run.json', 'metrics.ndjson', presetOriginsFile, ...(hadPreset ? [] : [presetFile])])
      await disk.rm(join(path, name), { force: true });
    lock.release();
    throw diskError(cause, 'creating the run', path);
  }
}

/** Opens and locks an existing run to go on with it, and notes the new session in run.json. */
export async function openRun(
  directory: string,
  command: readonly string[],
  now: () => Date = () => new Date(),
): Promise<RunDirectory> {
  const path = resolve(directory);
  await readRunRecord(path);
  const lock = await takeLock(join(path, 'lock'));
  try {
    await removeLeftovers(path);
    // Read again: the process that had the lock before may have written since.
    const record = await readRunRecord(path);
    const session = { command, startedAt: now().toISOString() };
    const run = new RunDirectory(path, { ...record, sessions: [...record.sessions, session] }, lock, now);
    await run.describe({});
    return run;
  } catch (cause) {
    lock.release();
    throw diskError(cause, 'opening the run', path);
  }
}

/** Opens a run to which another process writes: nothing that is written through it comes to the disk. */
export async function followRun(directory: string): Promise<RunDirectory> {
  const path = resolve(directory);
  return new RunDirectory(path, await readRunRecord(path), undefined, () => new Date());
}

function noMetrics(path: string): RunDirectory['metrics'] {
  return { path, append: () => {}, position: () => 0, truncate: () => {}, close: () => {} };
}

/** Removes what killed processes have left in the directory of a run that nobody opens again, because it is done. */
export async function tidyRun(path: string): Promise<void> {
  const lock = await takeLock(join(path, 'lock'));
  try {
    await removeLeftovers(path);
  } catch (cause) {
    throw diskError(cause, 'tidying the run', path);
  } finally {
    lock.release();
  }
}

/** Made by `createRun` and `openRun`; `close` ends it. */
export class RunDirectory {
  readonly path: string;
  readonly metrics: Pick<MetricsFile, 'path' | 'append' | 'position' | 'truncate' | 'close'>;
  #record: RunRecord;
  /** Absent where another process writes. */
  readonly #lock: Lock | undefined;
  readonly #now: () => Date;
  #isClosed = false;

  constructor(path: string, record: RunRecord, lock: Lock | undefined, now: () => Date) {
    this.path = path;
    this.#record = record;
    this.#lock = lock;
    this.#now = now;
    this.metrics = lock === undefined ? noMetrics(path) : new MetricsFile(join(path, 'metrics.ndjson'));
  }

  get record(): RunRecord {
    return this.#record;
  }

  /** Adds to run.json; maps are merged. */
  async describe(more: Partial<RunDescription>): Promise<void> {
    const { versions, adapter, seeds, hashes } = this.#record;
    this.#record = {
      ...this.#record,
      ...more,
      versions: { ...versions, ...more.versions },
      adapter: { ...adapter, ...more.adapter },
      seeds: { ...seeds, ...more.seeds },
      hashes: { ...hashes, ...more.hashes },
    };
    await this.#write('run.json', `${scrubbedJson(this.#record, 2)}\n`);
  }

  /** Writes `preset.yaml` anew when the run goes on with other settings: a later resume needs no one to repeat them. */
  async writePreset(text: string): Promise<void> {
    if ((await readFile(join(this.path, 'preset.yaml'), 'utf8').catch(() => '')) !== text)
      await this.#write('preset.yaml', text);
  }

  /** Notes in run.json what this session did otherwise than asked for. */
  async warn(warning: string): Promise<void> {
    const sessions = [...this.#record.sessions];
    const last = sessions.pop();
    if (last === undefined || last.warnings?.includes(warning) === true) return;
    sessions.push({ ...last, warnings: [...(last.warnings ?? []), warning] });
    this.#record = { ...this.#record, sessions };
    await this.describe({});
  }

  /** Appends the numbers of a step to metrics.ndjson, and when that was: `unixSeconds`. */
  writeStep(step: number, metrics: Metrics): void {
    this.metrics.append({ step, ...metrics, unixSeconds: this.#now().getTime() / 1000 });
  }

  /** Appends a line with the time to log.txt. */
  log(message: string): void {
    if (this.#lock === undefined) return;
    const path = join(this.path, 'log.txt');
    try {
      appendFileSync(path, `${this.#now().toISOString()} ${scrub(message)}\n`);
    } catch (cause) {
      throw diskError(cause, 'writing the log', path);
    }
  }

  /** Writes evaluations/<benchmark>.<split>.<label>.json, and its verdicts with the ending .jsonl before it. */
  async writeEvaluation({ verdicts, ...evaluation }: Evaluation): Promise<void> {
    if (this.#lock === undefined) return;
    const name = join('evaluations', evaluationName(evaluation));
    try {
      await disk.mkdir(join(this.path, 'evaluations'), { recursive: true });
    } catch (cause) {
      throw diskError(cause, 'writing an evaluation', this.path);
    }
    if (verdicts !== undefined)
      await this.#write(`${name}.jsonl`, verdicts.map((verdict) => `${scrubbedJson(verdict)}\n`).join(''));
    await this.#write(`${name}.json`, `${scrubbedJson(evaluation, 1)}\n`);
  }

  /** Notes the outcome in run.json, closes the files and gives the lock back. A second call does nothing. */
  async close(outcome: NonNullable<RunSession['outcome']>, note?: string, error?: RunFailure): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      const sessions = [...this.#record.sessions];
      const last = sessions.pop();
      if (last !== undefined) {
        sessions.push({
          ...last,
          finishedAt: this.#now().toISOString(),
          outcome,
          ...(note === undefined ? {} : { note }),
          ...(error === undefined ? {} : { error }),
        });
      }
      this.#record = { ...this.#record, sessions };
      await this.describe({});
    } finally {
      this.metrics.close();
      this.#lock?.release();
    }
  }

  async #write(name: string, text: string): Promise<void> {
    if (this.#lock === undefined) return;
    const path = join(this.path, name);
    await replaceFile(path, text).catch((cause: unknown) => {
      throw diskError(cause, `writing ${basename(name)}`, path);
    });
  }
}

/** Bytes of a part of a file name that every file system takes three of. */
const longestPart = 60;

/**
 * What the files of an evaluation are called, without their ending. Two evaluations never share a name, not even where capitals are not told
 * apart: all but lower-case letters, digits, `-` and `_` is written as its UTF-8 bytes, `%20`, and what is too long ends in its hash.
 */
export function evaluationName({ benchmark, split, label }: Pick<Evaluation, 'benchmark' | 'split' | 'label'>): string {
  return [benchmark, split, label].map(fileNamePart).join('.');
}

/** A name as a part of a file name, without a dot in it. */
export function fileNamePart(text: string): string {
  const whole = text.replaceAll(/[^a-z0-9_-]/gu, (character) =>
    [...Buffer.from(character)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''),
  );
  if (whole.length <= longestPart) return whole;
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 16);
  return `${whole.slice(0, longestPart - hash.length - 1)}+${hash}`;
}

/** What killed processes were writing: as large as a model where it was a checkpoint. */
async function removeLeftovers(path: string): Promise<void> {
  await removeTemporaries(path, { isDeep: true });
  const checkpoints = join(path, 'checkpoints');
  if (existsSync(checkpoints)) await tidy(checkpoints, disk);
}

/** Whether a directory holds no more than what is written before a run has begun. */
export function hasOnlyBegun(names: readonly string[]): boolean {
  const first =
    /^(lock(\.[\w-]+)?|(preset|origins)\.yaml|plugins|metrics\.ndjson|\.tmp-((preset|origins)\.yaml|run\.json|plugins)-\d+)$/;
  return names.length > 0 && names.every((name) => first.test(name));
}

/** What a process that was killed while it made this very run has left: nothing a user could miss. */
async function isHalfMade(path: string, preset: string): Promise<boolean> {
  const names = await readdir(path).catch((): string[] => []);
  if (!hasOnlyBegun(names)) return false;
  if (
    names.includes('plugins') &&
    !(await readdir(join(path, 'plugins')).catch((): string[] => [])).includes('origins.json')
  )
    return false;
  const read = (name: string): Promise<string | undefined> => readFile(join(path, name), 'utf8').catch(() => undefined);
  return (
    [undefined, preset].includes(await read('preset.yaml')) && [undefined, ''].includes(await read('metrics.ndjson'))
  );
}

async function clear(path: string): Promise<void> {
  try {
    for (const name of await readdir(path))
      if (!name.startsWith('lock') && name !== presetFile)
        await disk.rm(join(path, name), { recursive: true, force: true });
  } catch (cause) {
    throw diskError(cause, 'clearing what a killed process left', path);
  }
}

/** A lock does not count: it may be our own, or that of a process that died before it wrote anything else. */
async function requireEmpty(path: string, but: readonly string[] = []): Promise<void> {
  let names: string[];
  try {
    await mkdir(path, { recursive: true });
    names = (await readdir(path)).filter((name) => !/^lock(\.|$)/.test(name) && !but.includes(name));
  } catch (cause) {
    throw diskError(cause, 'creating the run', path);
  }
  if (names.length === 0) return;
  if (hasOnlyBegun(names) && names.includes(presetFile))
    throw new ReasongenError({
      code: 'INPUTS_CHANGED',
      message: `there is a ${presetFile} already, and it is not that of this run: it is yours, was edited, has been damaged, or was left by a run that never began`,
      place: join(path, presetFile),
      hint: 'nothing is overwritten: put its former text back, remove it, or choose another directory',
      exitCode: exitCodes.badPreset,
    });
  const isRun = names.includes('run.json');
  throw new ReasongenError({
    code: isRun ? 'RUN_EXISTS' : 'DIRECTORY_NOT_EMPTY',
    message: isRun ? 'this directory already holds a run' : 'this directory is not empty and not a run',
    place: path,
    hint: isRun
      ? `go on with it by: npx reasongen resume ${shellWord(path)}; or choose another directory`
      : 'choose another directory; nothing is overwritten',
    exitCode: exitCodes.badPreset,
  });
}
