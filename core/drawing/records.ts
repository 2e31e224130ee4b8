/**
 * The drawings that lie in a folder: a PNG each, and a line in `drawings.jsonl` once its PNG is complete. What both agree on is
 * done and is not drawn again; anything else is.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ReasongenError, exitCodes } from '../errors.ts';
import { diskError, removeTemporaries, replaceFile } from '../io/disk.ts';
import { z } from '../preset/zod.ts';
import { appendFile } from '../io/files.ts';

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
  settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  sha256: z.string().optional(),
});

const recordFile = 'drawings.jsonl';

/** `00007.png` */
export function drawingFile(index: number): string {
  return `${String(index).padStart(5, '0')}.png`;
}

export class DrawingRecords {
  private readonly folder: string;
  private readonly done: ReadonlySet<number>;

  private constructor(folder: string, done: ReadonlySet<number>) {
    this.folder = folder;
    this.done = done;
  }

  /**
   * Reads what is there. Lines that were cut off and lines whose picture is missing or damaged are dropped; drawings of other settings or other
   * prompts are refused. `prompt` is the prompt of drawing `index`.
   */
  static async open(
    folder: string,
    settings: DrawingSettings,
    prompt: (index: number) => string | undefined,
  ): Promise<DrawingRecords> {
    await removeTemporaries(folder);
    const path = join(folder, recordFile);
    const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : [];
    const done = new Set<number>();
    const kept = lines.filter((line) => {
      const record = parse(line);
      if (record === undefined || done.has(record.index) || !isWhole(folder, record)) return false;
      refuseOthers(path, record, settings, prompt(record.index));
      done.add(record.index);
      return true;
    });
    if (kept.length !== lines.filter((line) => line !== '').length)
      await replaceFile(path, kept.map((line) => `${line}\n`).join(''));
    return new DrawingRecords(folder, done);
  }

  get count(): number {
    return this.done.size;
  }

  has(index: number): boolean {
    return this.done.has(index);
  }

  /** The picture first: a line without its picture never lies there. */
  async add(record: DrawingRecord, png: Uint8Array): Promise<void> {
    try {
      await replaceFile(join(this.folder, record.file), png);
      const line: RecordLine = { ...record, sha256: sha256(png) };
      await appendFile(join(this.folder, recordFile), `${JSON.stringify(line)}\n`);
    } catch (cause) {
      throw diskError(cause, `saving ${record.file}`, this.folder);
    }
  }
}

/** A name of the record's own making only: what else a line may name is none of its business. */
function isWhole(folder: string, record: z.output<typeof recordSchema>): boolean {
  const path = join(folder, record.file);
  if (record.file !== drawingFile(record.index) || !existsSync(path)) return false;
  return record.sha256 === undefined || record.sha256 === sha256(readFileSync(path));
}

function sha256(bytes: Uint8Array): string {
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
