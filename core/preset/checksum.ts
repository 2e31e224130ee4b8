/** The last line of a `preset.yaml` that a run has written: it tells whether the text above it is still the one that was written. */
import { createHash } from 'node:crypto';

const lastLine = /^# sha256 of the lines above: ([0-9a-f]{64})\s*$/m;

/** A text, which ends with a line break, with the line that vouches for it. */
export function withChecksum(text: string): string {
  return `${text}# sha256 of the lines above: ${checksum(text)}\n`;
}

/** False for a text that was edited, or that a disk has damaged. One without that line is nobody's but its author's. */
export function isAsWritten(text: string): boolean {
  const unix = text.replaceAll('\r\n', '\n');
  const found = lastLine.exec(unix);
  if (found === null) return true;
  const below = unix.slice(found.index + found[0].length).trim();
  return below === '' && checksum(unix.slice(0, found.index)) === found[1];
}

function checksum(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
