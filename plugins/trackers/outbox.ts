/**
 * What a tracker is to be told, in order, on disk until it has been taken: a server that is away slows nothing and ends nothing. The run
 * goes on while the sender tries again; what is left when the run ends is sent by a resume or by `reasongen sync`.
 */
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { backoffSeconds, type Log, reasonOf, TryAgainError, z } from '../../core/plugin.ts';

/** One thing to tell. */
export interface Entry {
  /** Of a series, such as the metrics of the steps: a step that was told of already is not told of again, as when a resumed run takes it again. */
  readonly series?: string;
  readonly step: number;
  /** Unix time, in seconds. */
  readonly at: number;
  readonly metrics?: Readonly<Record<string, number>>;
  readonly warning?: string;
  /** Which of the warnings of its step it is, from 1. */
  readonly nth?: number;
  /** The end of the run. */
  readonly outcome?: string;
  readonly message?: string;
}

/**
 * Tells a server. Throws TryAgainError where the server may listen later, and any other error where it never will listen to these
 * entries. May be called with entries that it has told of before, when the program was killed in between.
 */
export type Send = (entries: readonly Entry[], signal: AbortSignal) => Promise<void>;

export interface OutboxOptions {
  /** Of the tracker, for messages. */
  readonly name: string;
  readonly send: Send;
  readonly log: Pick<Log, 'warn'>;
  /** Seconds before the second try, doubled from then on, up to a minute. */
  readonly firstWait?: number;
  /** Entries that are sent at once. */
  readonly atOnce?: number;
}

const stateSchema = z.object({
  /** Bytes of the file that have been taken. */
  sent: z.number().int().nonnegative(),
  /** The last step of each series. */
  told: z.record(z.string(), z.number()),
});

type State = z.output<typeof stateSchema>;

/** Bytes of the file that are read at once. */
const bytesAtOnce = 2 ** 18;

const longestWait = 60;

export class Outbox {
  readonly #path: string;
  readonly #options: OutboxOptions;
  readonly #closing = new AbortController();
  readonly #state: State;
  #size: number;
  #sender: Promise<void> | undefined;
  #isWarned = false;
  /** Asking again would change nothing: the next session tries once more. */
  #isRefused = false;

  /** @param path of its file, `….ndjson`; `….state.json` lies beside it. Continues what an earlier session has left. */
  constructor(path: string, options: OutboxOptions) {
    this.#path = path;
    this.#options = options;
    mkdirSync(dirname(path), { recursive: true });
    this.#state = readState(statePath(path));
    this.#size = existsSync(path) ? statSync(path).size : 0;
    this.#repair();
  }

  /** Entries that wait, in bytes. */
  get waiting(): number {
    return this.#size - this.#state.sent;
  }

  /** Keeps an entry and wakes the sender. Throws nothing: a disk that takes no more is warned of once. */
  put(entry: Entry): void {
    if (this.#knows(entry)) return;
    try {
      const line = Buffer.from(`${JSON.stringify(entry, writeNumber)}\n`);
      appendFileSync(this.#path, line);
      this.#size += line.length;
    } catch (cause) {
      this.#warnOnce(`is told no more of this run: ${reasonOf(cause)}`);
      return;
    }
    this.#remember(entry);
    if (!this.#isRefused) this.#sender ??= this.#sendAll();
  }

  /** Waits until all is sent, at most so many seconds, and stops trying. Says what is left. */
  async close(seconds: number): Promise<void> {
    const late = setTimeout(() => this.#closing.abort(), seconds * 1000);
    await this.#sender;
    clearTimeout(late);
    this.#closing.abort();
    if (this.waiting > 0)
      this.#options.log.warn(
        `${this.#options.name} has not been told everything; the rest is kept in ${this.#path} and sent by: npx reasongen sync RUN`,
      );
  }

  /** Sends what is there. Throws what the server throws. */
  async flush(signal: AbortSignal = this.#closing.signal): Promise<void> {
    while (this.waiting > 0) {
      const { entries, bytes } = this.#next();
      if (entries.length > 0) await this.#options.send(entries, signal);
      this.#state.sent += bytes;
      this.#save();
    }
  }

  /** Tries until all is sent, the server refuses, or the outbox is closed. */
  async #sendAll(): Promise<void> {
    for (let tries = 0; this.waiting > 0 && !this.#closing.signal.aborted;) {
      const before = this.#state.sent;
      try {
        await this.flush();
      } catch (error) {
        if (this.#closing.signal.aborted) break;
        this.#warnOnce(
          `cannot be told of this run: ${reasonOf(error)}; what it is to be told is kept in ${this.#path}`,
        );
        this.#isRefused = !(error instanceof TryAgainError);
        if (!(error instanceof TryAgainError)) break;
        tries = this.#state.sent > before ? 0 : tries + 1;
        const seconds = Math.max(
          error.seconds ?? 0,
          backoffSeconds(tries, Math.random(), { first: this.#options.firstWait ?? 1, longest: longestWait }),
        );
        await sleep(seconds * 1000, undefined, { signal: this.#closing.signal, ref: false }).catch(() => undefined);
      }
    }
    // At once, so that an entry that comes now wakes another.
    this.#sender = undefined;
  }

  /** The next entries of the file, and how many bytes of it they take. */
  #next(): { readonly entries: Entry[]; readonly bytes: number } {
    const lines = this.#lines(this.#state.sent).slice(0, this.#options.atOnce ?? 100);
    return { entries: this.#parsed(lines), bytes: bytesOf(lines) };
  }

  /** Whole lines from a place of the file on, at least one where there is one. */
  #lines(from: number): string[] {
    for (let room = bytesAtOnce; ; room *= 2) {
      const chunk = readRange(this.#path, from, Math.min(room, this.#size - from));
      const whole = chunk.lastIndexOf(10) + 1;
      if (whole > 0) return chunk.toString('utf8', 0, whole).split('\n').slice(0, -1);
      if (from + chunk.length >= this.#size) return [];
    }
  }

  #parsed(lines: readonly string[]): Entry[] {
    return lines.flatMap((line) => {
      try {
        return [parseEntry(line)];
      } catch (cause) {
        this.#warnOnce(`is not told of a line in ${this.#path} that cannot be read: ${reasonOf(cause)}`);
        return [];
      }
    });
  }

  #knows({ series, step }: Entry): boolean {
    return series !== undefined && step <= (this.#state.told[series] ?? Number.NEGATIVE_INFINITY);
  }

  #remember({ series, step }: Entry): void {
    if (series !== undefined) this.#state.told[series] = Math.max(step, this.#state.told[series] ?? step);
  }

  /** Cuts off what a kill has torn, and learns from the rest which steps it tells of. */
  #repair(): void {
    if (this.#state.sent > this.#size) this.#state.sent = 0;
    for (let at = this.#state.sent; at < this.#size;) {
      const lines = this.#lines(at);
      if (lines.length === 0) {
        truncateSync(this.#path, at);
        this.#size = at;
      }
      for (const entry of this.#parsed(lines)) this.#remember(entry);
      at += bytesOf(lines);
    }
  }

  /** What has all been taken is forgotten: the file starts again. */
  #save(): void {
    if (this.waiting === 0) {
      truncateSync(this.#path, 0);
      [this.#size, this.#state.sent] = [0, 0];
    }
    const temporary = `${statePath(this.#path)}.tmp`;
    writeFileSync(temporary, JSON.stringify(this.#state));
    renameSync(temporary, statePath(this.#path));
  }

  #warnOnce(message: string): void {
    if (!this.#isWarned) this.#options.log.warn(`${this.#options.name} ${message}`);
    this.#isWarned = true;
  }
}

function statePath(path: string): string {
  return `${path.replace(/\.ndjson$/, '')}.state.json`;
}

/** A state that cannot be read is one of a first session: entries may then be told of twice, which servers are asked to bear. */
function readState(path: string): State {
  const empty = { sent: 0, told: {} };
  if (!existsSync(path)) return empty;
  try {
    return stateSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return empty;
  }
}

function readRange(path: string, from: number, bytes: number): Buffer {
  const file = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(bytes);
    return buffer.subarray(0, readSync(file, buffer, 0, bytes, from));
  } finally {
    closeSync(file);
  }
}

/** JSON knows no NaN: they are texts in the file and numbers again behind it. */
function writeNumber(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}

function parseEntry(line: string): Entry {
  const { metrics, ...entry } = JSON.parse(line) as Omit<Entry, 'metrics'> & {
    readonly metrics?: Readonly<Record<string, number | string>>;
  };
  if (metrics === undefined) return entry;
  const numbers = Object.entries(metrics).map(([name, value]) => [name, Number(value)] as const);
  return { ...entry, metrics: Object.fromEntries(numbers) };
}

function bytesOf(lines: readonly string[]): number {
  return lines.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0);
}
