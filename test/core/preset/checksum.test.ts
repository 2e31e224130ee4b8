import { expect, test } from 'vitest';
import { isAsWritten, withChecksum } from '../../../core/preset/checksum.ts';

const text = 'name: run\nrecipe:\n  use: sft\n  note: "# sha256 of the lines above: none"\n';

test('a preset as a run wrote it vouches for itself, line breaks of another system included', () => {
  const written = withChecksum(text);
  expect(written.startsWith(text)).toBe(true);
  expect(isAsWritten(written)).toBe(true);
  expect(isAsWritten(written.replaceAll('\n', '\r\n'))).toBe(true);
});

test('every byte of the text counts: a bit that turns in one is noticed', () => {
  const bytes = Buffer.from(withChecksum(text));
  const unnoticed: number[] = [];
  for (const index of bytes.keys()) {
    const damaged = Buffer.from(bytes);
    damaged[index] = (bytes[index] ?? 0) ^ 4;
    if (isAsWritten(damaged.toString())) unnoticed.push(index);
  }
  // Those of the last line, and of the break before it: the text is whole.
  expect(Math.min(...unnoticed)).toBeGreaterThanOrEqual(text.length - 1);
});

test('lines added below it, and a line taken out, are noticed', () => {
  expect(isAsWritten(`${withChecksum(text)}seed: 3\n`)).toBe(false);
  expect(isAsWritten(withChecksum(text).replace('  use: sft\n', ''))).toBe(false);
});

test('a text that nobody vouches for is taken as it is', () => {
  expect(isAsWritten(text)).toBe(true);
});
