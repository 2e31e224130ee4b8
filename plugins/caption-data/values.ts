import { decodeText } from '../../core/plugin.ts';

/** What is wrong with a value of a row; the row is skipped and counted. */
export class BadValue extends Error {}

/** A text that a file gives as bytes; what is none passes unchanged. Throws BadValue for bytes that are no text. */
export function asText(value: unknown, column: string): unknown {
  return value instanceof Uint8Array ? plainText(value, column) : value;
}

export function plainText(value: string | Uint8Array, column: string): string {
  if (typeof value === 'string') return value;
  try {
    return decodeText(value);
  } catch (cause) {
    if (cause instanceof RangeError) throw new BadValue(`${column} is no text: ${cause.message}`);
    throw cause;
  }
}
