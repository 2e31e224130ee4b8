/**
 * GPT-2's one-to-one map from bytes to printable characters, in which byte-level BPE files spell their tokens.
 * Printable Latin-1 bytes stand for themselves; the other 68 become U+0100, U+0101, … in order.
 */
export function byteCharacters(): string[] {
  const isPrintable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : next++));
}
