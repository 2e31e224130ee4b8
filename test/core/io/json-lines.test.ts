/** Files of JSON Lines that grow, as kills, full disks and other programs leave them. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { JsonLines } from '../../../core/io/json-lines.ts';

const root = mkdtempSync(join(tmpdir(), 'json-lines-'));
afterAll(() => rmSync(root, { recursive: true }));
let path: string;
let count = 0;
beforeEach(() => (path = join(root, `${++count}.jsonl`)));

/** Opens the file and says what it holds. */
async function open(file = path): Promise<{ lines: JsonLines; held: unknown[] }> {
  const held: unknown[] = [];
  const lines = await JsonLines.open(file, 'numbers', (value) => {
    if (value !== undefined) held.push(value);
    return value !== undefined;
  });
  return { lines, held };
}
const said = (): string => readFileSync(path, 'utf8');

describe('a file of JSON Lines', () => {
  test('holds what was added, in the order of the calls, whoever waits for them', async () => {
    const file = join(root, 'made', 'with', 'folders.jsonl');
    const { lines } = await open(file);
    expect(existsSync(join(root, 'made'))).toBe(false);
    await Promise.all(Array.from({ length: 50 }, (_, n) => lines.append({ n }, { n, text: 'ü\n' })));
    expect((await open(file)).held).toEqual(Array.from({ length: 50 }, (_, n) => [{ n }, { n, text: 'ü\n' }]).flat());
  });

  test('cut off at any byte holds the whole lines before, and goes on behind them', async () => {
    const { lines } = await open();
    const values = [{ n: 1, text: 'größer' }, { n: 2 }, { n: 3, text: '🎨' }];
    await lines.append(...values);
    const bytes = readFileSync(path);
    for (let end = 0; end <= bytes.length; end++) {
      writeFileSync(path, bytes.subarray(0, end));
      const whole = bytes.subarray(0, end).filter((byte) => byte === 10).length;
      const torn = await open();
      expect(torn.held).toEqual(values.slice(0, whole));
      await torn.lines.append({ n: 4 });
      expect((await open()).held).toEqual([...values.slice(0, whole), { n: 4 }]);
    }
  });

  test('loses what its owner does not keep, and keeps the bytes of the rest', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(
            fc.jsonValue().map((value) => JSON.stringify(value)),
            fc.string({ unit: 'binary' }),
          ),
          { maxLength: 8 },
        ),
        async (texts) => {
          const written = texts.map((text) => text.replaceAll('\n', ' '));
          const before = written.map((line) => `${line}\n`).join('');
          writeFileSync(path, before);
          const { lines } = await open();
          expect(said()).toBe(Buffer.from(before).toString());
          await lines.append({ n: 1 });
          const isJson = (line: string): boolean => {
            try {
              return JSON.parse(line) !== undefined;
            } catch {
              return false;
            }
          };
          // A file says U+FFFD for what is no character.
          const kept = written.map((line) => Buffer.from(line).toString()).filter(isJson);
          expect(said()).toBe([...kept, '{"n":1}'].map((line) => `${line}\n`).join(''));
        },
      ),
    );
  });

  test('is not written anew where nothing is lost', async () => {
    await (await open()).lines.append({ n: 1 });
    const before = execFileSync('stat', ['-c', '%i', path]).toString();
    await (await open()).lines.append({ n: 2 });
    expect(execFileSync('stat', ['-c', '%i', path]).toString()).toBe(before);
  });

  test('that is of another kind is left as it is', async () => {
    writeFileSync(path, '{"n":1}\nhello\n{"n":');
    await expect(
      JsonLines.open(path, 'numbers', (value, place) => {
        if (value === undefined) throw new RangeError(`no number at ${place}`);
        return true;
      }),
    ).rejects.toMatchObject({ place: path, cause: new RangeError(`no number at ${path}:2`) });
    expect(said()).toBe('{"n":1}\nhello\n{"n":');
  });

  test.each<readonly [what: string, put: (file: string) => void]>([
    ['a folder', (file) => mkdirSync(file)],
    ['a pipe', (file) => execFileSync('mkfifo', [file])],
    ['a link', (file) => symlinkSync('/etc/hostname', file)],
  ])('is refused where it is %s', async (_, put) => {
    put(path);
    await expect(open()).rejects.toMatchObject({ code: 'BAD_RECORD', place: path });
  });

  test(
    'says that the disk is full, and writes nothing behind what failed',
    { skip: process.platform !== 'linux' },
    async () => {
      const { lines } = await open();
      symlinkSync('/dev/full', path);
      const first = lines.append({ n: 1 });
      const second = lines.append({ n: 2 });
      await expect(first).rejects.toMatchObject({
        code: 'DISK_FULL',
        message: 'there is no space left on the disk while writing numbers',
        place: path,
      });
      rmSync(path);
      await expect(second).rejects.toMatchObject({ code: 'DISK_FULL' });
      await expect(lines.append({ n: 3 })).rejects.toMatchObject({ code: 'DISK_FULL' });
      expect(existsSync(path)).toBe(false);
    },
  );

  test('is shared by two processes line by line', async () => {
    const module = join(import.meta.dirname, '../../../core/io/json-lines.ts');
    const script = `const { JsonLines } = await import(${JSON.stringify(module)});
      const lines = await JsonLines.open(${JSON.stringify(path)}, 'numbers', () => true);
      for (let n = 0; n < 300; n++) await lines.append({ who: process.argv.at(-1), text: 'x'.repeat(n * 30) });`;
    const writers = ['a', 'b'].map((name) =>
      spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script, '--', name], {
        stdio: 'inherit',
      }),
    );
    const codes = await Promise.all(writers.map(async (writer) => (await once(writer, 'exit'))[0] as number));
    expect(codes).toEqual([0, 0]);
    const { held } = await open();
    expect(held).toHaveLength(600);
    expect(said().split('\n')).toHaveLength(601);
  });
});
