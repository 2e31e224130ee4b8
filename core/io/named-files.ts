/** Files that a file of rows names: pictures beside captions, shards beside their index. They are part of what it is. */
import { stat } from 'node:fs/promises';
import { dirname, extname, resolve } from 'node:path';
import { piecesOf } from './pieces.ts';
import { parseJson } from './record-file.ts';
import { parseTable } from './table.ts';
import { decodeText, longestText, readBounded } from './text.ts';

const jsonEndings = ['.json', '.jsonl', '.ndjson'];
const tableEndings: Readonly<Record<string, string>> = { '.csv': ',', '.tsv': '\t' };
/** No system has longer paths, nor longer names in them. */
const longestName = 4096;
const longestPart = 255;
/** An escape takes six bytes for one. */
const longestEscaped = 6 * longestName;

/** Texts in a file that may name other files, in a format of a plugin; undefined for a file of another format. */
export type TextsOfFile = (file: string) => AsyncIterable<string> | undefined;

export interface NamedFile {
  /** As the row says. */
  readonly name: string;
  /** Absolute. */
  readonly path: string;
  readonly size: number;
}

/**
 * Every text of a file of rows that is the path of a regular file, seen from the folder of the file; each once, sorted. `textsOf` knows
 * formats besides JSON, JSON Lines and tables.
 */
export async function namedFiles(file: string, textsOf?: TextsOfFile): Promise<NamedFile[]> {
  const found: NamedFile[] = [];
  const seen = new Set<string>();
  for await (const name of textsOf?.(file) ?? textsIn(file)) {
    if (!mayBePath(name) || seen.has(name)) continue;
    seen.add(name);
    const path = resolve(dirname(file), name);
    const size = path === file ? undefined : await sizeOfFile(path);
    if (size !== undefined) found.push({ name, path, size });
  }
  return found.sort((one, other) => (one.name < other.name ? -1 : 1));
}

async function* textsIn(file: string): AsyncGenerator<string> {
  const ending = extname(file).toLowerCase();
  if (jsonEndings.includes(ending)) yield* jsonTexts(file);
  else if (tableEndings[ending] !== undefined) yield* await tableTexts(file, tableEndings[ending]);
}

function mayBePath(text: string): boolean {
  return (
    text.length > 0 &&
    text.length <= longestName &&
    !/[\0\n\r]/.test(text) &&
    !/^(?:data:|[a-z]+:\/\/)/i.test(text) &&
    // A caption is told from a path before the disk is asked.
    text.split('/').every((part) => part.length <= longestPart)
  );
}

/** Undefined where no regular file is: most texts are no paths. */
async function sizeOfFile(path: string): Promise<number | undefined> {
  return stat(path).then(
    (status) => (status.isFile() ? status.size : undefined),
    () => undefined,
  );
}

const quote = 34;
const backslash = 92;

/** The texts of a JSON file of any size. One that is longer than a path, a picture for instance, is passed over without being kept. */
async function* jsonTexts(file: string): AsyncGenerator<string> {
  /** Bytes of the text that has begun; undefined outside of texts. */
  let begun: Buffer | undefined;
  /** Whether the piece before ended in a backslash that escapes. */
  let wasEscape = false;
  for await (const bytes of piecesOf(file)) {
    for (let at = 0; at < bytes.length;) {
      const next = bytes.indexOf(quote, at);
      const end = next < 0 ? bytes.length : next;
      const behind = end + 1;
      if (begun === undefined) {
        if (next >= 0) begun = Buffer.alloc(0);
        at = behind;
        continue;
      }
      if (begun.length <= longestEscaped)
        begun = Buffer.concat([begun, bytes.subarray(at, Math.min(behind, at + longestEscaped + 1))]);
      const slashes = backslashesBefore(bytes, at, end);
      const isEscape: boolean = (slashes + (wasEscape && slashes === end - at ? 1 : 0)) % 2 === 1;
      at = behind;
      wasEscape = next < 0 && isEscape;
      if (next < 0 || isEscape) continue;
      const text = begun.length <= longestEscaped ? parseText(begun) : undefined;
      begun = undefined;
      if (text !== undefined) yield text;
    }
  }
}

function backslashesBefore(bytes: Buffer, from: number, end: number): number {
  let count = 0;
  while (end - count > from && bytes[end - count - 1] === backslash) count += 1;
  return count;
}

/** Undefined for what is no JSON text. `bytes` end with the closing quote. */
function parseText(bytes: Buffer): string | undefined {
  return parseJson(`"${bytes.toString('utf8')}`) as string | undefined;
}

/** The fields of a table. One that cannot be read is refused by who reads its rows. */
async function tableTexts(file: string, separator: string): Promise<string[]> {
  if ((await stat(file)).size > longestText) return [];
  try {
    const table = parseTable(decodeText(await readBounded(file, 'reading what the run works from')), separator);
    return 'why' in table ? [] : table.rows.flatMap(({ fields }) => fields.map((field) => field.trim()));
  } catch (cause) {
    if (cause instanceof RangeError) return [];
    throw cause;
  }
}
