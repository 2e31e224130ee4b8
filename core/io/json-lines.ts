/**
 * A file of JSON Lines that only grows: a line is on the disk the moment it is known, so that what was killed goes on behind it. A line counts
 * when its end is there: the rest was being written when its process was killed or its disk was full, and is taken away before more is added.
 */
import { basename, dirname } from 'node:path';
import { maskKnown } from '../scrub.ts';
import { diskError, replaceLoneFile, syncDirectory, syncFile } from './disk.ts';
import { appendFile, mkdir } from './files.ts';
import { parseJson, readWithin, wholeLines } from './record-file.ts';

/** Says whether a line stays in the file; `value` is undefined for what is no JSON. May throw for a file of another kind. */
export type Keeps = (value: unknown, place: string) => boolean | Promise<boolean>;

/** Node reads no larger file at once. */
const largestFile = 2 ** 31 - 1;

export class JsonLines {
  readonly #path: string;
  readonly #what: string;
  /** Lines are written one after the other, and none behind one that failed: it would be lost with the half of a line before it. */
  #last: Promise<void> = Promise.resolve();
  /** Those that wait for their turn go together. */
  #waiting = '';
  /** What comes before the first line that is added. */
  #beginning: Promise<unknown> | undefined;
  /** What stays of a file that holds more. */
  readonly #kept: Buffer | undefined;

  private constructor(path: string, what: string, kept: Buffer | undefined) {
    this.#path = path;
    this.#what = what;
    this.#kept = kept;
  }

  /** Shows every line that is there to `keeps`, and changes nothing. `what` the lines are, for messages: `answers of judges`. */
  static async open(path: string, what: string, keeps: Keeps): Promise<JsonLines> {
    try {
      const bytes = (await readWithin(dirname(path), basename(path), largestFile)) ?? Buffer.alloc(0);
      const kept: Buffer[] = [];
      for (const [index, line] of wholeLines(bytes).entries())
        if (await keeps(parseJson(line.toString()), `${path}:${index + 1}`)) kept.push(line, lineEnd);
      const whole = Buffer.concat(kept);
      return new JsonLines(path, what, whole.length < bytes.length ? whole : undefined);
    } catch (cause) {
      throw diskError(cause, `reading ${what}`, path);
    }
  }

  /** When it resolves, the lines are on the disk. Before the first its folder is made, and what does not stay is taken away. */
  append(...values: readonly object[]): Promise<void> {
    this.#waiting += values.map((value) => `${maskKnown(JSON.stringify(value))}\n`).join('');
    this.#last = this.#last.then(() => this.#writeWaiting());
    return this.#last;
  }

  async #writeWaiting(): Promise<void> {
    const lines = this.#waiting;
    if (lines === '') return;
    this.#waiting = '';
    try {
      const isFirst = this.#beginning === undefined;
      await (this.#beginning ??= this.#begin());
      await appendFile(this.#path, lines);
      await syncFile(this.#path);
      if (isFirst) await syncDirectory(dirname(this.#path));
    } catch (cause) {
      throw diskError(cause, `writing ${this.#what}`, this.#path);
    }
  }

  async #begin(): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true });
    if (this.#kept !== undefined) await replaceLoneFile(this.#path, this.#kept);
  }
}

const lineEnd = Buffer.from('\n');
