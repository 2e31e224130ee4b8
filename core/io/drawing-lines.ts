/** Lines of drawings.jsonl, which tell of each picture what made it: the one reader of those that `generate` and `evaluate` write. */
import { basename, dirname } from 'node:path';
import { count, fields, map, number, present, text } from './record-fields.ts';
import { linesWithin, parseJson } from './record-file.ts';

export interface DrawingLine {
  /** The place among all drawings: prompts in order, then samples. */
  readonly index: number;
  /** Relative to the folder; of nobody's choice but the writer's: whoever opens it compares it with the name it would give. */
  readonly file: string;
  readonly prompt: string;
  readonly rationale: string;
  /** False when the budget cut it off. */
  readonly rationaleEnded?: boolean;
  readonly settings: Readonly<Record<string, string | number | boolean>>;
  readonly codes?: readonly number[];
  /** Of the file, when it was written. */
  readonly sha256?: string;
}

/** Characters of a prompt or a rationale. */
const longest = 1e6;

/** The drawings in the order of their lines; none where there is no such file. Throws BAD_RECORD for a link, a pipe, or a file that is too large. */
export async function readDrawingLines(path: string): Promise<DrawingLine[]> {
  const lines = await linesWithin(dirname(path), basename(path));
  return lines.flatMap((line) => drawingOf(parseJson(line)) ?? []);
}

/** What a line says, parsed; undefined for what is no line of a drawing. */
export function drawingOf(line: unknown): DrawingLine | undefined {
  const record = fields(line);
  const [index, file] = [count(record['index']), text(record['file'], 200)];
  const prompt = text(record['prompt'], longest);
  if (index === undefined || file === undefined || prompt === undefined) return undefined;
  const { rationaleEnded: ended, codes } = record as { readonly rationaleEnded?: unknown; readonly codes?: unknown };
  return {
    index,
    file,
    prompt,
    rationale: text(record['rationale'], longest) ?? '',
    settings: map(record['settings'], (value) => (typeof value === 'boolean' ? value : (number(value) ?? text(value)))),
    ...present({
      rationaleEnded: typeof ended === 'boolean' ? ended : undefined,
      // A drawing without one of its codes is another drawing.
      codes: Array.isArray(codes) && codes.every(isCount) ? codes : undefined,
      sha256: text(record['sha256'], 64),
    }),
  };
}

function isCount(value: unknown): value is number {
  return count(value) !== undefined;
}
