/**
 * Answers on disk: a file for each fingerprint, a line for each answer, only ever added to. A line that a killed process left unfinished
 * spoils no other, because each begins on a line of its own; several processes may add at once, and each finds what the others add.
 */
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { diskError } from '../io/disk.ts';
import { mkdir, open } from '../io/files.ts';
import { maskKnown } from '../scrub.ts';
import { evidenceFromJson, evidenceToJson } from './evidence-json.ts';

/** Bytes read of a file at a time. */
const pieceSize = 2 ** 20;
/** A line that is longer is no answer. */
const longestLine = 64 * 2 ** 20;

interface Line {
  readonly start: number;
  readonly length: number;
}

export class AnswerCache {
  private readonly file: FileHandle;
  private readonly path: string;
  private readonly warn: (message: string) => void;
  private readonly lines = new Map<string, Line>();
  /** Bytes of the file that have been looked at. */
  private read = 0;
  private isFull = false;
  private reading: Promise<void> = Promise.resolve();

  private constructor(file: FileHandle, path: string, warn: (message: string) => void) {
    this.file = file;
    this.path = path;
    this.warn = warn;
  }

  /** @param name of the component, for people who look into the folder. Throws an error of the disk. */
  static async open(folder: string, name: string, warn: (message: string) => void): Promise<AnswerCache> {
    const path = join(folder, `${name.replaceAll(/[^A-Za-z0-9.-]+/g, '-').slice(0, 80)}.jsonl`);
    try {
      await mkdir(folder, { recursive: true });
      const file = await open(path, 'a+');
      const cache = new AnswerCache(file, path, warn);
      await cache.readOn();
      return cache;
    } catch (cause) {
      throw diskError(cause, 'opening the file of answers', path);
    }
  }

  /** What was answered, in an object of its own: an answer may be anything. A damaged one counts as none. */
  async get(key: string): Promise<{ readonly value: unknown } | undefined> {
    if (!this.lines.has(key)) await this.readOn();
    const line = this.lines.get(key);
    if (line === undefined) return undefined;
    const bytes = Buffer.alloc(line.length);
    await this.file.read(bytes, 0, line.length, line.start);
    try {
      const { value } = JSON.parse(bytes.toString()) as { readonly value: unknown };
      return { value: evidenceFromJson(value) };
    } catch {
      // Somebody may have added it once more behind the damaged line.
      this.lines.delete(key);
      await this.readOn();
      return this.lines.has(key) ? this.get(key) : undefined;
    }
  }

  /** One write, so that lines of several processes do not mix. A full disk is a warning: the answer itself is there. */
  async put(key: string, value: unknown): Promise<void> {
    if (this.isFull) return;
    try {
      const line = JSON.stringify({ key, value: evidenceToJson(value) });
      await this.file.appendFile(`\n${maskKnown(line)}\n`);
    } catch (cause) {
      this.isFull = true;
      const { message } = diskError(cause, 'keeping an answer', this.path);
      this.warn(`${message}: answers are not kept any more (${this.path})`);
    }
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  /** Takes in what was added since, by whomever; one reader at a time. */
  private readOn(): Promise<void> {
    this.reading = this.reading.then(() => this.readNew());
    return this.reading;
  }

  private async readNew(): Promise<void> {
    const { size } = await this.file.stat();
    let rest = Buffer.alloc(0);
    for (let at = this.read; at < size;) {
      const piece = Buffer.alloc(Math.min(pieceSize, size - at));
      const { bytesRead } = await this.file.read(piece, 0, piece.length, at);
      if (bytesRead === 0) break;
      rest = Buffer.concat([rest, piece.subarray(0, bytesRead)]);
      at += bytesRead;
      rest = this.note(rest, at - rest.length);
      if (rest.length > longestLine) rest = Buffer.alloc(0);
    }
  }

  /** Notes the whole lines of a part of the file that begins at `start`; returns what is behind the last. */
  private note(part: Buffer, start: number): Buffer<ArrayBuffer> {
    let from = 0;
    for (let end = part.indexOf(10, from); end >= 0; end = part.indexOf(10, from)) {
      const [, key] = /^\{"key":"([\w-]{43})",.*\}$/.exec(part.toString('latin1', from, end)) ?? [];
      if (key !== undefined) this.lines.set(key, { start: start + from, length: end - from });
      from = end + 1;
    }
    this.read = start + from;
    return Buffer.from(part.subarray(from));
  }
}

/** The name of the file of answers of a component with this fingerprint. */
export function answersName(title: string, fingerprint: Readonly<Record<string, string>>): string {
  const parts = Object.entries(fingerprint).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `${title.slice(0, 60)}-${createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 12)}`;
}
