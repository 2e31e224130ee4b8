/**
 * The drawings that lie in a folder: a PNG each, and a line in `drawings.jsonl` once its PNG is complete. What both agree on is
 * done and is not drawn again; anything else is.
 */
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { ReasongenError, exitCodes } from '../errors.ts';
import { diskError, removeTemporaries, replaceFile } from '../io/disk.ts';
import { type DrawingLine, drawingOf } from '../io/drawing-lines.ts';
import { mkdir } from '../io/files.ts';
import { JsonLines } from '../io/json-lines.ts';
import { readWithin } from '../io/record-file.ts';

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

/** What is known of a drawing that lies there. */
export type KnownDrawing = Required<DrawingLine>;

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
  readonly #lines: JsonLines;
  readonly #done: ReadonlyMap<number, KnownDrawing>;

  private constructor(place: DrawingFolder, lines: JsonLines, done: ReadonlyMap<number, KnownDrawing>) {
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
    const done = new Map<number, KnownDrawing>();
    const hashes = new Map<string, string>();
    const lines = await JsonLines.open(path, 'the records of drawings', async (value) => {
      const drawing = drawingOf(value);
      if (drawing === undefined || done.has(drawing.index)) return false;
      const { rationaleEnded, codes } = drawing;
      const sha256 = await wholeHash(folder, drawing, file(drawing.index), hashes);
      if (sha256 === undefined || rationaleEnded === undefined || codes === undefined) return false;
      refuseOthers(path, drawing, settings, prompt(drawing.index));
      done.set(drawing.index, { ...drawing, rationaleEnded, codes, sha256 });
      return true;
    });
    return new DrawingRecords(place, lines, done);
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
      await this.#lines.append(...records.map((record): RecordLine => ({ ...record, sha256: pictureHash(png) })));
    } catch (cause) {
      throw diskError(cause, `saving ${first.file}`, this.#place.folder);
    }
  }
}

/** sha256 of the file, when it is the one that was drawn: of a name of the record's own making only; what else a line may name is none of its business. */
async function wholeHash(
  folder: string,
  { file, sha256 }: DrawingLine,
  wanted: string,
  known: Map<string, string>,
): Promise<string | undefined> {
  if (file !== wanted) return undefined;
  let hash = known.get(file);
  if (hash === undefined) {
    const bytes = await readWithin(folder, file);
    if (bytes === undefined) return undefined;
    hash = pictureHash(bytes);
    known.set(file, hash);
  }
  return sha256 === undefined || sha256 === hash ? hash : undefined;
}

/** sha256 of a file. */
export function pictureHash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function refuseOthers(place: string, record: DrawingLine, settings: DrawingSettings, prompt: string | undefined): void {
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
