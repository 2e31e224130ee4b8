/**
 * The numbers of every step as NDJSON, one object per line: `{"step":3,"loss":1.25,...}`. Appending is synchronous, so
 * the lines of a killed process are all there but perhaps the last. A checkpoint stores `position()`; a resume passes it
 * to `truncate()`, which takes back the lines of steps that will be done again.
 */
import { closeSync, fstatSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { exitCodes, ReasongenError } from '../errors.ts';
import { scrub } from '../scrub.ts';
import { diskError } from './disk.ts';
import { linesWithin, parseJson } from './record-file.ts';
import { fdatasyncSync, ftruncateSync, openSync, writeSync } from './files.ts';

/** A number, or text for what is not a measurement, e.g. `phase`. */
export type Metrics = Readonly<Record<string, number | string>>;

export class MetricsFile {
  readonly path: string;
  readonly #file: number;
  #position: number;

  /** Opens or creates the file and goes to its end. */
  constructor(path: string) {
    this.path = path;
    this.#file = attempt('opening the metrics', path, () => openSync(path, 'a+'));
    this.#position = fstatSync(this.#file).size;
  }

  /** JSON has no NaN and no infinity; they are written as text and `readMetrics` turns them back. */
  append(metrics: Metrics): void {
    const line = JSON.stringify(metrics, (_key, value: unknown) => {
      return typeof value === 'number' && !Number.isFinite(value)
        ? String(value)
        : typeof value === 'string'
          ? scrub(value)
          : value;
    });
    const bytes = Buffer.from(`${line}\n`);
    attempt('writing metrics', this.path, () => {
      for (let done = 0; done < bytes.length;) done += writeSync(this.#file, bytes, done);
    });
    this.#position += bytes.length;
  }

  /** Bytes so far. When this returns, they are on the disk. */
  position(): number {
    attempt('writing metrics', this.path, () => fdatasyncSync(this.#file));
    return this.#position;
  }

  /** Drops everything behind a position that `position()` gave. */
  truncate(position: number): void {
    const { size } = fstatSync(this.#file);
    if (position > size) {
      throw new ReasongenError({
        code: 'METRICS_LOST',
        message: `the metrics end at byte ${size}, but the checkpoint was saved at byte ${position}`,
        place: this.path,
        hint: 'put the file back as it was when the checkpoint was saved, or start a new run from the checkpoint',
        exitCode: exitCodes.disk,
      });
    }
    attempt('truncating the metrics', this.path, () => ftruncateSync(this.#file, position));
    this.#position = position;
  }

  close(): void {
    closeSync(this.#file);
  }
}

/**
 * All lines of a metrics file; none when there is no file. A last line without its end was cut off by a kill and is left out, as
 * are values that are neither numbers nor texts. `badLines` counts those that are no JSON objects, which a machine that went down may leave.
 */
export async function readMetrics(
  path: string,
): Promise<{ readonly metrics: readonly Metrics[]; readonly badLines: number }> {
  const lines = await linesWithin(dirname(path), basename(path));
  const metrics = lines.map(parseMetrics).filter((each) => each !== undefined);
  return { metrics, badLines: lines.length - metrics.length };
}

/** Names that a line may have, and characters of a name or a text. */
const [mostNames, longestText] = [1000, 200];

/** One line of a metrics file; undefined for what is no JSON object. */
export function parseMetrics(line: string): Metrics | undefined {
  const value = parseJson(line);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const kept = Object.entries(value)
    .slice(0, mostNames)
    .flatMap(([name, entry]) => {
      const isNumber = typeof entry === 'number' || ['NaN', 'Infinity', '-Infinity'].includes(entry as string);
      if (name.length > longestText || !(isNumber || typeof entry === 'string')) return [];
      return [[name, isNumber ? Number(entry) : (entry as string).slice(0, longestText)] as const];
    });
  return Object.fromEntries(kept);
}

function attempt<Result>(doing: string, path: string, action: () => Result): Result {
  try {
    return action();
  } catch (cause) {
    throw diskError(cause, doing, path);
  }
}
