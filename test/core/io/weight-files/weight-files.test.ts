import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ReasongenError } from '../../../../core/errors.ts';
import { saveCheckpoint } from '../../../../core/io/checkpoint.ts';
import { encodeSafetensors, type TensorToStore } from '../../../../core/io/safetensors.ts';
import { openWeightSource } from '../../../../core/io/weight-files/open.ts';
import { floatTensor, torchEntries, zipFile } from '../../../support/torch-file.ts';

const root = mkdtempSync(join(tmpdir(), 'weights-'));
afterAll(() => rmSync(root, { recursive: true }));

let count = 0;
function folder(files: Readonly<Record<string, Uint8Array | string>>): string {
  const path = join(root, String(count++));
  mkdirSync(path);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(path, name), content);
  return path;
}

const tensors = (...names: readonly string[]): Uint8Array =>
  Buffer.concat(
    encodeSafetensors(
      new Map(
        names.map((name, index): [string, TensorToStore] => [
          name,
          { shape: [2], data: Float32Array.of(index, index + 0.5) },
        ]),
      ),
    ),
  );
const index = (weights: Readonly<Record<string, unknown>>): string =>
  JSON.stringify({ metadata: { total_size: 0 }, weight_map: weights });

async function refusal(path: string): Promise<string> {
  const error: unknown = await openWeightSource(path).then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (!(error instanceof ReasongenError)) throw new Error(`no refusal but ${String(error)}`);
  expect(error.hint).toBeTruthy();
  expect(error.place).toContain(root);
  return `${error.code} ${error.message}`;
}

describe('what a folder stands for', () => {
  const torch = zipFile(torchEntries({ t: floatTensor([1], [7]) }));
  test.each<[string, () => string | Promise<string>, string]>([
    ['a file', () => join(folder({ 'x.safetensors': tensors('a') }), 'x.safetensors'), 'a'],
    [
      'model.safetensors, before a PyTorch file',
      () => folder({ 'model.safetensors': tensors('a'), 'pytorch_model.bin': torch }),
      'a',
    ],
    ['pytorch_model.bin', () => folder({ 'pytorch_model.bin': torch }), 't'],
    ['the only file of weights', () => folder({ 'codec.safetensors': tensors('a'), 'config.json': '{}' }), 'a'],
    ['a PyTorch file under any name', () => join(folder({ 'x.weights': torch }), 'x.weights'), 't'],
    [
      'shards',
      () =>
        folder({
          'model.safetensors.index.json': index({ a: '1.safetensors', b: '2.safetensors' }),
          '1.safetensors': tensors('a'),
          '2.safetensors': tensors('b'),
        }),
      'a,b',
    ],
    [
      'one file, before the index of shards that were there once',
      () =>
        folder({
          'model.safetensors.index.json': index({ b: 'model-00001-of-00001.safetensors' }),
          'model.safetensors': tensors('a'),
        }),
      'a',
    ],
    ['PyTorch shards', () => folder({ 'pytorch_model.bin.index.json': index({ t: '1.bin' }), '1.bin': torch }), 't'],
    [
      'a run',
      async () => {
        const path = folder({});
        await saveCheckpoint(path, 3, {
          weights: new Map([['w', { shape: [1], data: Float32Array.of(1) }]]),
          state: {},
        });
        return path;
      },
      'w',
    ],
  ])('%s', async (_, make, names) => {
    const source = await openWeightSource(await make());
    expect([...source.entries.keys()].join()).toBe(names);
    await source.close();
  });

  test('several files of weights, none, and no folder at all', async () => {
    expect(await refusal(folder({ 'a.pt': torch, 'b.pt': torch }))).toMatch(
      /not clear which file holds the model: a\.pt, b\.pt/,
    );
    expect(await refusal(folder({ 'config.json': '{}' }))).toMatch(/no weights in this folder/);
    expect(await refusal(join(root, 'nowhere'))).toMatch(/^FILE_NOT_FOUND/);
  });
});

describe('shards', () => {
  test('each tensor comes from its file', async () => {
    const source = await openWeightSource(
      folder({
        'model.safetensors.index.json': index({ a: 'one.safetensors', b: 'two.safetensors', c: 'two.safetensors' }),
        'one.safetensors': tensors('a'),
        'two.safetensors': tensors('b', 'c'),
      }),
    );
    expect([...new Float32Array((await source.read('c', 0, 2)).buffer)]).toEqual([1, 1.5]);
    expect([...new Float32Array((await source.read('a', 1, 1)).buffer)]).toEqual([0.5]);
    await source.close();
  });

  const name = 'model.safetensors.index.json';
  test.each<[string, Readonly<Record<string, Uint8Array | string>>, RegExp]>([
    [
      'a tensor in two files',
      {
        [name]: index({ a: '1.safetensors', b: '2.safetensors' }),
        '1.safetensors': tensors('a', 'b'),
        '2.safetensors': tensors('b'),
      },
      /tensor "b"/,
    ],
    [
      'a tensor in another file',
      {
        [name]: index({ a: '1.safetensors', b: '2.safetensors' }),
        '1.safetensors': tensors('b'),
        '2.safetensors': tensors('a'),
      },
      /says that tensor "b" is in 2\.safetensors, but it is in 1\.safetensors/,
    ],
    [
      'a tensor in no file',
      { [name]: index({ a: '1.safetensors', b: '1.safetensors' }), '1.safetensors': tensors('a') },
      /tensor "b" is in 1\.safetensors, but it is not there/,
    ],
    ['a missing file', { [name]: index({ a: '1.safetensors' }) }, /names 1\.safetensors, which is not there/],
    [
      'a path upwards',
      { [name]: index({ a: '../../1.safetensors' }) },
      /"\.\.\/\.\.\/1\.safetensors", which is not the name of a file/,
    ],
    ['an absolute path', { [name]: index({ a: '/etc/passwd' }) }, /"\/etc\/passwd", which is not/],
    ['a path with backslashes', { [name]: index({ a: '..\\1.safetensors' }) }, /is not the name of a file/],
    ['the folder above', { [name]: index({ a: '..' }) }, /"\.\.", which is not/],
    ['a number for a name', { [name]: index({ a: 3 }) }, /into 3, which is not/],
    ['no map', { [name]: '{}' }, /no weight_map/],
    ['an empty map', { [name]: index({}) }, /names no tensor/],
    ['no JSON', { [name]: 'x' }, /not JSON/],
    [
      'a shard that was cut off',
      { [name]: index({ a: '1.safetensors' }), '1.safetensors': tensors('a').subarray(0, -3) },
      /BAD_SAFETENSORS .*cut off/,
    ],
  ])('%s', async (_, files, message) => {
    expect(await refusal(folder(files))).toMatch(message);
  });
});
