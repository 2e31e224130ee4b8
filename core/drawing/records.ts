/**
 * The drawings that lie in a folder: a PNG each, and a line in `drawings.jsonl` once its PNG is complete. What both agree on is
 * done and is not drawn again; anything else is.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ReasongenError, exitCodes } from '../errors.ts';
import { diskError, removeTemporaries, replaceFile } from '../io/disk.ts';
import { z } from '../preset/zod.ts';
import { appendFile, mkdir } from '../io/files.ts';

/** What all drawings of a folder have in common. */
export type DrawingSettings = Readonly<Record<string, string | number | boolean>>;

/** A line of drawings.jsonl: what made the drawing, and its codes. */
export interface DrawingRecord {
  /** The place among all drawings: prompts in order, then samples. */
  readonly index: number;
  readonly file: string;
  readonly prompt: string;
  readonly rationale: string;
  /** Whether the rationale was given instead of written by the model. */
  readonly rationaleGiven: boolean;
  /** False when the budget cut it off. */
  readonly rationaleEnded: boolean;
  readonly settings: DrawingSettings;
  readonly codes: readonly number[];
  /** Of the best of several: what was said of each. */
  readonly chosenFrom?: readonly (number | null)[];
}

/** A line, with what tells whether its picture is still the one that was drawn. */
interface RecordLine extends DrawingRecord {
  /** sha256 of the file. */
  readonly sha256: string;
}

const recordSchema = z.looseObject({
  index: z.int().nonnegative(),
  file: z.string(),
  prompt: z.string(),
  rationale: z.string(),
  rationaleEnded: z.boolean(),
  codes: z.array(z.int().nonnegative()),
  settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  sha256: z.string().optional(),
});

/** What is known of a drawing that lies there. */
export type KnownDrawing = Pick<
  DrawingRecord,
  'index' | 'file' | 'prompt' | 'rationale' | 'rationaleEnded' | 'codes'
> & {
  /** sha256 of its file. */
  readonly sha256: string;
};

const recordFile = 'drawings.jsonl';

/** `00007.png` */
export function drawingFile(index: number): string {
  return `${String(index).padStart(5, '0')}.png`;
}

/** Which drawings a folder holds. */
export interface DrawingFolder {
  readonly folder: string;
  readonly settings: DrawingSettings;
  /** The prompt of drawing `index`. */
  readonly prompt: (index: number) => string | undefined;
  /** Its file, relative to the folder; several may share one. `drawingFile` unless told. */
  readonly file?: (index: number) => string;
  /** Where the lines lie: `drawings.jsonl` of the folder unless told. */
  readonly lines?: string;
}

export class DrawingRecords {
  readonly #place: DrawingFolder;
  readonly #lines: string;
  readonly #done: ReadonlyMap<number, KnownDrawing>;

  private constructor(place: DrawingFolder, lines: string, done: ReadonlyMap<number, KnownDrawing>) {
    this.#place = place;
    this.#lines = lines;
    this.#done = done;
  }

  /**
   * Reads what is there. Lines that were cut off and lines whose picture is missing or damaged are dropped; drawings of other settings or other
   * prompts are refused.
   */
  static async open(place: DrawingFolder): Promise<DrawingRecords> {
    const { folder, settings, prompt, file = drawingFile, lines: path = join(folder, recordFile) } = place;
    await removeTemporaries(folder);
    const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : [];
    const done = new Map<number, KnownDrawing>();
    const hashes = new Map<string, string>();
    const kept = lines.filter((line) => {
      const record = parse(line);
      if (record === undefined || done.has(record.index)) return false;
      const hash = wholeHash(folder, record, file(record.index), hashes);
      if (hash === undefined) return false;
      refuseOthers(path, record, settings, prompt(record.index));
      done.set(record.index, { ...record, sha256: hash });
      return true;
    });
    if (kept.length !== lines.filter((line) => line !== '').length)
      await replaceFile(path, kept.map((line) => `${line}\n`).join(''));
    return new DrawingRecords(place, path, done);
  }

  get count(): number {
    return this.#done.size;
  }

  has(index: number): boolean {
    return this.#done.has(index);
  }

  get(index: number): KnownDrawing | undefined {
    return this.#done.get(index);
  }

  /** The picture first: a line without its picture never lies there. Several records are drawings of one file. */
  async add(records: readonly DrawingRecord[], png: Uint8Array): Promise<void> {
    const [first] = records;
    if (first === undefined) throw new RangeError('unreachable: a picture without a drawing');
    const path = join(this.#place.folder, first.file);
    try {
      await mkdir(dirname(path), { recursive: true });
      await replaceFile(path, png);
      const lines = records.map((record): RecordLine => ({ ...record, sha256: pictureHash(png) }));
      await appendFile(this.#lines, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    } catch (cause) {
      throw diskError(cause, `saving ${first.file}`, this.#place.folder);
    }
  }
}

/** sha256 of the file, when it is the one that was drawn: of a name of the record's own making only; what else a line may name is none of its business. */
function wholeHash(
  folder: string,
  { file, sha256 }: z.output<typeof recordSchema>,
  wanted: string,
  known: Map<string, string>,
): string | undefined {
  const path = join(folder, file);
  if (file !== wanted || !existsSync(path)) return undefined;
  const hash = known.get(file) ?? pictureHash(readFileSync(path));
  known.set(file, hash);
  return sha256 === undefined || sha256 === hash ? hash : undefined;
}

/** sha256 of a file. */
export function pictureHash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function parse(line: string): z.output<typeof recordSchema> | undefined {
  if (line === '') return undefined;
  try {
    return recordSchema.safeParse(JSON.parse(line)).data;
  } catch (error) {
    // The line that was being written when the run was killed.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function refuseOthers(
  place: string,
  record: z.output<typeof recordSchema>,
  settings: DrawingSettings,
  prompt: string | undefined,
): void {
  const names = new Set([...Object.keys(record.settings), ...Object.keys(settings)]);
  const differences = [...names]
    .filter((name) => record.settings[name] !== settings[name])
    .map((name) => `${name} is ${show(record.settings[name])} there and ${show(settings[name])} now`);
  if (record.prompt !== prompt)
    differences.push(`drawing ${record.index} is of ${show(record.prompt)} there and of ${show(prompt)} now`);
  if (differences.length === 0) return;
  throw new ReasongenError({
    code: 'OTHER_DRAWINGS',
    message: `this folder holds drawings that were made differently: ${differences.join('; ')}`,
    place,
    hint: 'draw into another folder, or with the settings of these drawings',
    exitCode: exitCodes.badPreset,
  });
}

function show(value: string | number | boolean | undefined): string {
  return value === undefined ? 'nothing' : JSON.stringify(value);
}
