/** Answers on disk: what a killed process, another process or a full disk may do to them. */
import { fork } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { AnswerCache } from '../../../core/judging/answer-cache.ts';
import { questionKey } from '../../../core/judging/question-key.ts';

let folder = '';
let file = '';
const opened: AnswerCache[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reasongen-answers-'));
  file = join(folder, 'seer.jsonl');
});
afterEach(async () => {
  for (const cache of opened.splice(0)) await cache.close();
  rmSync(folder, { recursive: true });
});

const warnings: string[] = [];
async function open(): Promise<AnswerCache> {
  opened.push(await AnswerCache.open(folder, 'seer', (line) => void warnings.push(line)));
  return opened.at(-1)!;
}
const key = (asked: unknown): string => questionKey({ fingerprint: { model: 'm' }, asked });

test('every kind of evidence comes back as it was, to the bit', async () => {
  const bits = Uint8Array.from({ length: 300 }, (_, i) => Number(i % 7 === 0));
  const depth = Float32Array.from({ length: 9 }, (_, i) => Math.fround(Math.sin(i) * 1e-20));
  const values = [
    'a text\nof two lines, with "quotes" and \u2028',
    [0.1, 1e-300, -0.5],
    [{ label: 'dog', score: 0.9, box: [0, 1, 2, 3], mask: { width: 30, height: 10, bits } }],
    { width: 3, height: 3, values: depth },
    '',
    null,
  ];
  const first = await open();
  for (const [index, value] of values.entries()) await first.put(key(index), value);
  const second = await open();
  for (const [index, value] of values.entries()) {
    expect(await first.get(key(index))).toEqual({ value });
    expect(await second.get(key(index))).toEqual({ value });
  }
  expect(await second.get(key('not asked'))).toBeUndefined();
});

test('a line that was cut off at any byte spoils no other, before or behind it', async () => {
  const first = await open();
  await first.put(key('a'), 'answer a');
  const whole = readFileSync(file).length;
  await first.put(key('b'), 'answer b with } and "value":');
  const both = readFileSync(file);
  for (let length = whole; length < both.length - 1; length++) {
    truncateSync(file, 0);
    writeFileSync(file, both.subarray(0, length));
    const next = await open();
    expect(await next.get(key('a'))).toEqual({ value: 'answer a' });
    expect(await next.get(key('b'))).toBeUndefined();
    await next.put(key('c'), 'answer c');
    expect(await (await open()).get(key('c'))).toEqual({ value: 'answer c' });
    await next.close();
    opened.splice(opened.indexOf(next), 1);
  }
});

test('damage is no answer: bytes of nothing, a strange line, a packed value that is none', async () => {
  const first = await open();
  await first.put(key('a'), 'answer a');
  appendFileSync(file, Buffer.alloc(500));
  appendFileSync(file, `\n{"key":"${key('b')}","value":oops}\n{"key":7}\nnot JSON\n`);
  appendFileSync(file, `{"key":"${key('c')}","value":{"packed":"bytes","data":"AAAA"}}\n`);
  const next = await open();
  expect(await next.get(key('a'))).toEqual({ value: 'answer a' });
  expect(await next.get(key('b'))).toBeUndefined();
  expect(await next.get(key('c'))).toBeUndefined();
  await next.put(key('b'), 'answer b');
  expect(await next.get(key('b'))).toEqual({ value: 'answer b' });
});

test('two processes add at once, one is killed in the middle: every answer that was kept is there', async () => {
  const script = join(folder, 'writer.mjs');
  const cache = new URL('../../../core/judging/answer-cache.ts', import.meta.url).href;
  const keys = new URL('../../../core/judging/question-key.ts', import.meta.url).href;
  writeFileSync(
    script,
    `import { AnswerCache } from '${cache}';
     import { questionKey } from '${keys}';
     const [, , folder, name] = process.argv;
     const cache = await AnswerCache.open(folder, 'seer', () => {});
     for (let i = 0; i < 400; i++) {
       await cache.put(questionKey({ fingerprint: { model: 'm' }, asked: name + i }), name + i + '-'.repeat(3000));
       process.send(i);
     }
     process.exit(0);`,
  );
  const writers = ['one', 'two'].map((name) => fork(script, [folder, name], { execArgv: ['--import', 'tsx'] }));
  const last = [-1, -1];
  writers.forEach((writer, index) =>
    writer.on('message', (count: number) => {
      last[index] = count;
      if (index === 0 && count === 150) writer.kill('SIGKILL');
    }),
  );
  await Promise.all(writers.map((writer) => once(writer, 'exit')));
  expect(last[0]).toBeGreaterThanOrEqual(150);
  expect(last[1]).toBe(399);
  const read = await open();
  for (const [index, name] of ['one', 'two'].entries())
    for (let i = 0; i <= (last[index] ?? 0); i++)
      expect(await read.get(key(name + String(i)))).toEqual({ value: `${name}${i}${'-'.repeat(3000)}` });
});

test('what another process adds later is found', async () => {
  const [one, two] = [await open(), await open()];
  expect(await two.get(key('a'))).toBeUndefined();
  await one.put(key('a'), 'answer a');
  expect(await two.get(key('a'))).toEqual({ value: 'answer a' });
});
