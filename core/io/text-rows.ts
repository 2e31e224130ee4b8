/**
 * Prompts and questions in files of the user's: the one reader of all of them. A file is text with one a line, JSON Lines, a JSON list
 * or a table with a header; its ending and its content say which. What is something else is refused by name, and nothing that is JSON
 * is ever taken for a prompt.
 */
import { extname } from 'node:path';
import { exitCodes, ReasongenError } from '../errors.ts';
import { parseJson } from './record-file.ts';
import { parseTable } from './table.ts';
import { decodeText, knownBinary, readBounded, shorten } from './text.ts';

export interface TextRow {
  readonly text: string;
  /** The file and the line, or the row of a list. */
  readonly place: string;
  /** All keys of a JSON object, all columns of a table, `rationale` where a line of text has one behind a tab; otherwise empty. */
  readonly columns: Readonly<Record<string, unknown>>;
}

/** What the text of a row is called in JSON and tables. */
export type TextKey = 'prompt' | 'question' | 'Prompt';

const jsonEndings = ['.json', '.jsonl', '.ndjson'];
const tableEndings = ['.csv', '.tsv'];
const textEndings = ['.txt', '.text', ''];
/** Lists within lists of a JSON row; deeper ones are no data of anyone's. */
const deepest = 64;

/** The rows in their order, blank lines passed over. Throws BAD_PROMPT_FILE or BAD_PROMPT_LINE with the place, or what a disk does wrong. */
export async function readTextRows(path: string, key: TextKey): Promise<TextRow[]> {
  const ending = extname(path).toLowerCase();
  const bytes = await readBounded(path, `reading ${key}s`);
  const binary = knownBinary(bytes);
  if (binary !== undefined) throw badFile(path, key, `this file is ${binary}`);
  if (![...jsonEndings, ...tableEndings, ...textEndings].includes(ending))
    throw badFile(path, key, `${key}s are not read from files ending in ${ending}`);
  const text = textOf(bytes, path);
  if (/^\s*<(?:!doctype|html)\b/i.test(text)) throw badFile(path, key, 'this file is a web page');
  if (tableEndings.includes(ending)) return fromTable(text, ending === '.tsv' ? '\t' : ',', path, key);
  if (jsonEndings.includes(ending) || beginsJson(text.trimStart())) return fromJson(text, path, key);
  return fromLines(text, path, key);
}

function textOf(bytes: Uint8Array, path: string): string {
  try {
    return decodeText(bytes);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new ReasongenError({
      code: 'BAD_PROMPT_FILE',
      message: `this file cannot be read as text: ${cause.message}`,
      place: path,
      hint: 'save it as UTF-8',
      exitCode: exitCodes.badPreset,
      cause,
    });
  }
}

/** Lines that are not blank, with their numbers from 1. U+2028 may stand in a text. */
function linesOf(text: string): (readonly [line: string, number: number])[] {
  return text
    .split(/\r\n|\n|\r/)
    .map((line, index) => [line.trim(), index + 1] as const)
    .filter(([line]) => line !== '');
}

function fromLines(text: string, path: string, key: TextKey): TextRow[] {
  return linesOf(text).map(([line, number]) => {
    const place = `${path}:${number}`;
    if (beginsJson(line) || isQuoted(line)) {
      throw badLine(
        place,
        'this line is JSON, and the lines before it are not',
        `write one ${key} a line without quotes and brackets, or name the file .jsonl`,
      );
    }
    const tab = key === 'prompt' ? line.indexOf('\t') : -1;
    if (tab < 0) return { text: line, place, columns: {} };
    return { text: line.slice(0, tab).trim(), place, columns: { rationale: line.slice(tab + 1).trim() } };
  });
}

/** Whether a line or a file is JSON, whole or broken. "[a cat] in a hat" is none. */
function beginsJson(text: string): boolean {
  return text.startsWith('{') || /^\[\s*(?:["'{[\]]|-?\d|$)/.test(text);
}

/** Also as an element of a list. */
function isQuoted(line: string): boolean {
  return /^".*",?$/s.test(line) && parseJson(line.replace(/,$/, '')) !== undefined;
}

function fromJson(text: string, path: string, key: TextKey): TextRow[] {
  const trimmed = text.trim();
  const lines = linesOf(text);
  const isLines = lines.length > 0 && lines.every(([line], index) => index > 0 || parseJson(line) !== undefined);
  if (trimmed.startsWith('[') || !isLines) {
    const whole = trimmed === '' ? [] : parseJson(trimmed);
    if (whole !== undefined) {
      const list: readonly unknown[] = Array.isArray(whole) ? whole : [whole];
      return list.map((value, index) => rowOf(value, `${path}, row ${index + 1}`, 'row', key));
    }
    if (trimmed.startsWith('[')) throw badLine(path, 'this list is not JSON', `close it, or write one ${key} a line`);
  }
  return lines.map(([line, number]) => {
    const value = parseJson(line);
    if (value === undefined) throw badLine(`${path}:${number}`, 'this line is not JSON', jsonHint(key));
    return rowOf(value, `${path}:${number}`, 'line', key);
  });
}

function rowOf(value: unknown, place: string, what: 'row' | 'line', key: TextKey): TextRow {
  if (typeof value === 'string') return { text: checked(value, place, what, key), place, columns: {} };
  if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, key)) {
    const keys = typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.keys(value) : [];
    const there = keys.length === 0 ? '' : `; its keys are ${shorten(keys.join(', '))}`;
    throw badLine(place, `this ${what} has no ${key}${there}`, jsonHint(key));
  }
  const columns = value as Readonly<Record<string, unknown>>;
  if (typeof columns[key] !== 'string') throw badLine(place, `the ${key} of this ${what} is not a text`, jsonHint(key));
  if (!isShallow(value, deepest))
    throw badLine(place, `this ${what} is nested deeper than ${deepest} levels`, jsonHint(key));
  return { text: checked(columns[key], place, what, key), place, columns };
}

function checked(text: string, place: string, what: string, key: TextKey): string {
  if (text.trim() === '') throw badLine(place, `this ${what} has no ${key}`, jsonHint(key));
  // Half of a pair of surrogates, or NUL, would come out of a file or a tokenizer as another character.
  if (/\p{Surrogate}|\0/u.test(text))
    throw badLine(place, `the ${key} of this ${what} holds half a character or NUL`, 'repair the file');
  return text.trim();
}

function isShallow(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return levels > 0 && Object.values(value).every((each) => isShallow(each, levels - 1));
}

/** What stands between columns, beside the comma and the tab: programs write what the place they are set to writes. */
const separators = [',', ';', '\t', '|'];

/** `usual`: what the ending promises; another one is taken where only that makes a column of the name. */
function fromTable(text: string, usual: string, path: string, key: TextKey): TextRow[] {
  // Spreadsheets write a line of their own about it.
  const [said = '', own] = /^sep=(.)\r?\n/.exec(text) ?? [];
  const body = text.slice(said.length);
  const candidates = own === undefined ? [usual, ...separators.filter((each) => each !== usual)] : [own];
  const hasColumn = (separator: string): boolean =>
    columnNames(parseTable(firstRow(body), separator)).some((name) => name.toLowerCase() === key);
  const table = parseTable(body, candidates.find(hasColumn) ?? own ?? usual);
  const above = said === '' ? 0 : 1;
  if ('why' in table)
    throw badLine(`${path}:${table.line + above}`, table.why, 'quote texts with separators or line breaks in them');
  const [header, ...rows] = table.rows;
  if (header === undefined) return [];
  const names = columnNames(table);
  const column = names.findIndex((name) => name.toLowerCase() === key);
  if (column < 0) {
    throw badFile(path, key, `this table has no column "${key}"; its columns are ${shorten(names.join(', '), 200)}`);
  }
  const twice = names.find((name, index) => name !== '' && names.indexOf(name) < index);
  if (twice !== undefined) throw badFile(path, key, `this table has two columns "${shorten(twice)}"`);
  return rows.map(({ fields, line }) => {
    const place = `${path}:${line + above}`;
    if (fields.length !== names.length)
      throw badLine(
        place,
        `this row has ${fields.length} columns, the header ${names.length}`,
        'quote texts with separators in them',
      );
    const columns = Object.fromEntries(
      names.map((name, index) => [name, fields[index] ?? ''] as const).filter(([name]) => name !== ''),
    );
    return { text: checked(fields[column] ?? '', place, 'row', key), place, columns };
  });
}

function columnNames(table: ReturnType<typeof parseTable>): string[] {
  return 'why' in table ? [] : (table.rows[0]?.fields ?? []).map((name) => name.trim());
}

/** Enough of a table to hold its header. */
function firstRow(text: string): string {
  const end = /\S[^\r\n]*/.exec(text);
  return end === null ? '' : text.slice(0, end.index + end[0].length);
}

function jsonHint(key: TextKey): string {
  return `every row is a text or an object with a text "${key}"`;
}

function badLine(place: string, message: string, hint: string): ReasongenError {
  return new ReasongenError({
    code: 'BAD_PROMPT_LINE',
    message,
    place,
    hint,
    exitCode: exitCodes.badPreset,
  });
}

function badFile(place: string, key: TextKey, message: string): ReasongenError {
  return new ReasongenError({
    code: 'BAD_PROMPT_FILE',
    message,
    place,
    hint: `give text with one ${key} a line (.txt), JSON Lines (.jsonl, .ndjson), a JSON list (.json), or a table with a column "${key}" (.csv, .tsv)`,
    exitCode: exitCodes.badPreset,
  });
}
