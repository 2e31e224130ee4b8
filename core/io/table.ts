/**
 * Tables as text: one character between columns, quotes where a field holds it or a line break (RFC 4180); spaces may stand before a quote
 * and behind it.
 */

export interface TableRow {
  readonly fields: readonly string[];
  /** Where it begins, from 1. */
  readonly line: number;
}

/** The rows, the header among them, blank lines passed over; or why it is no table. */
export function parseTable(
  text: string,
  separator: string,
): { readonly rows: readonly TableRow[] } | { readonly why: string; readonly line: number } {
  const rows: TableRow[] = [];
  let fields: string[] = [];
  let [line, begin] = [1, 1];
  // Every turn is one field.
  for (let at = 0; at < text.length;) {
    const start = behindSpaces(text, at);
    const isQuoted = text[start] === '"';
    const end = isQuoted ? closingQuote(text, start + 1) : plainEnd(text, at, separator);
    if (end < 0) return { why: 'a quote is never closed', line };
    const field = isQuoted ? text.slice(start + 1, end).replaceAll('""', '"') : text.slice(at, end);
    fields.push(field);
    line += field.split('\n').length - 1;
    at = isQuoted ? behindSpaces(text, end + 1) : end;
    const next = text[at];
    if (next === separator) {
      at += 1;
      // The last field of a text may be empty.
      if (at < text.length) continue;
      fields.push('');
    } else if (next !== undefined && next !== '\n' && next !== '\r') {
      return { why: 'something follows a closing quote', line };
    }
    if (fields.length > 1 || fields[0]?.trim() !== '') rows.push({ fields, line: begin });
    fields = [];
    at += next === '\r' && text[at + 1] === '\n' ? 2 : 1;
    line += 1;
    begin = line;
  }
  return { rows };
}

function behindSpaces(text: string, from: number): number {
  let at = from;
  while (text[at] === ' ') at += 1;
  return at;
}

/** The quote that ends a field; two in a row are one of the field. */
function closingQuote(text: string, from: number): number {
  let at = text.indexOf('"', from);
  while (at >= 0 && text[at + 1] === '"') at = text.indexOf('"', at + 2);
  return at;
}

function plainEnd(text: string, from: number, separator: string): number {
  let at = from;
  while (at < text.length && text[at] !== separator && text[at] !== '\n' && text[at] !== '\r') at += 1;
  return at;
}
