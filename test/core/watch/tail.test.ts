import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { lastLines, LineTail } from '../../../core/watch/tail.ts';

const folder = mkdtempSync(join(tmpdir(), 'reasongen-tail-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A tail with all that it gave out since it last began anew. */
function follow(name: string): { path: string; lines: string[]; resets: () => number; read(): Promise<string[]> } {
  const tail = new LineTail(folder, name);
  const lines: string[] = [];
  let resets = 0;
  return {
    path: join(folder, name),
    lines,
    resets: () => resets,
    read: async () => {
      await tail.read(
        (line) => lines.push(line),
        () => {
          resets++;
          lines.length = 0;
        },
      );
      return lines;
    },
  };
}

describe('a tail gives out every whole line once', () => {
  test('as they come, a torn last one when its end is there', async () => {
    const { path, read } = follow('grows');
    expect(await read()).toEqual([]);
    writeFileSync(path, 'one\ntw');
    expect(await read()).toEqual(['one']);
    expect(await read()).toEqual(['one']);
    appendFileSync(path, 'o\n\nfour\n');
    expect(await read()).toEqual(['one', 'two', '', 'four']);
  });

  test('whatever the pieces are in which lines arrive, and however long they are', async () => {
    let count = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(
            fc.string({ unit: 'grapheme' }),
            fc.nat(20_000).map((length) => 'ü'.repeat(length)),
          ),
          { maxLength: 6 },
        ),
        fc.array(fc.integer({ min: 500, max: 30_000 }), { minLength: 1, maxLength: 6 }),
        async (texts, cuts) => {
          const wanted = texts.map((text) => text.replaceAll('\n', ' '));
          const bytes = Buffer.from(wanted.map((line) => `${line}\n`).join(''));
          const { path, read, lines, resets } = follow(`pieces-${count++}`);
          for (let [at, turn] = [0, 0]; at < bytes.length; turn++) {
            const next = at + 1 + (cuts[turn % cuts.length] ?? 0);
            appendFileSync(path, bytes.subarray(at, next));
            at = next;
            await read();
          }
          expect(lines).toEqual(wanted.map((line) => Buffer.from(line).toString()));
          expect(resets()).toBe(0);
        },
      ),
      { numRuns: 15 },
    );
  });

  test('a line longer than what is read at a time is whole', async () => {
    const { path, read } = follow('crossing');
    const long = 'ü'.repeat(300_000);
    writeFileSync(path, `before\n${long}\nafter\n`);
    expect(await read()).toEqual(['before', long, 'after']);
  });

  test('a line of more than a mebibyte is passed over, and those behind it are not', async () => {
    const { path, read } = follow('long');
    writeFileSync(path, `before\n${'x'.repeat(2 ** 20 + 2 ** 19)}\nafter\n`);
    expect(await read()).toEqual(['before', 'after']);
  });
});

describe('a file that is another one is read anew', () => {
  test.each([
    ['cut back', (path: string) => truncateSync(path, 4)],
    [
      'cut back and grown beyond what was read, as by a resume',
      (path: string) => {
        truncateSync(path, 4);
        appendFileSync(path, 'two, again\nthree, again\n');
      },
    ],
    [
      'replaced by another file',
      (path: string) => {
        writeFileSync(`${path}.new`, 'one\nother\n');
        renameSync(`${path}.new`, path);
      },
    ],
    ['taken away', (path: string) => rmSync(path)],
  ])('%s', async (what, change) => {
    const { path, read, resets } = follow(`${what.length} letters`);
    writeFileSync(path, 'one\ntwo\nthree\n');
    await read();
    change(path);
    const expected = existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : [];
    expect(await read()).toEqual(expected);
    expect(resets()).toBe(1);
  });
});

test('a link out of the folder, and what is no file, are empty', async () => {
  writeFileSync(join(folder, 'secret'), 'secret\n');
  mkdirSync(join(folder, 'run'));
  symlinkSync('../secret', join(folder, 'run', 'link'));
  mkdirSync(join(folder, 'run', 'directory'));
  for (const name of ['link', 'directory']) {
    const lines: string[] = [];
    await new LineTail(join(folder, 'run'), name).read(
      (line) => lines.push(line),
      () => undefined,
    );
    expect(lines).toEqual([]);
    expect(await lastLines(join(folder, 'run'), name)).toEqual([]);
  }
});

test.skipIf(process.getuid?.() === 0)('a file that may not be read is empty, and read when it may be', async () => {
  const path = join(folder, 'forbidden');
  writeFileSync(path, 'line\n');
  const tail = new LineTail(folder, 'forbidden');
  const lines: string[] = [];
  for (const mode of [0o000, 0o600]) {
    chmodSync(path, mode);
    await tail.read(
      (line) => lines.push(line),
      () => undefined,
    );
    expect(lines).toEqual(mode === 0 ? [] : ['line']);
  }
});

test('the last lines of a long file are whole', async () => {
  writeFileSync(join(folder, 'end'), Array.from({ length: 1000 }, (_, at) => `line ${at}\n`).join('') + 'torn');
  const lines = await lastLines(folder, 'end', 100);
  expect(lines.at(-1)).toBe('line 999');
  expect(lines.every((line) => /^line \d+$/.test(line))).toBe(true);
  expect(lines.length).toBeGreaterThan(5);
});
