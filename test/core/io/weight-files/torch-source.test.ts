import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import type { WeightSource } from '../../../../core/contracts/weight-source.ts';
import { ReasongenError } from '../../../../core/errors.ts';
import { openWeightSource } from '../../../../core/io/weight-files/open.ts';
import { unpickle } from '../../../../core/io/weight-files/pickle.ts';
import { TorchStorage, torchTensors } from '../../../../core/io/weight-files/torch-objects.ts';
import { randomWords } from '../../../../core/testing.ts';
import { pythonPickles } from '../../../support/python-pickles.ts';
import {
  dict,
  floatTensor,
  global,
  integer,
  pickle,
  reduce,
  storage,
  tensor,
  torchEntries,
  tuple,
  unicode,
  zipFile,
  type TorchTensorToStore,
  type ZipOptions,
} from '../../../support/torch-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'torch-'));
afterAll(() => rmSync(folder, { recursive: true }));

let count = 0;
function write(bytes: Uint8Array): string {
  const path = join(folder, `model-${count++}.bin`);
  writeFileSync(path, bytes);
  return path;
}

const written = (tensors: Readonly<Record<string, TorchTensorToStore>>, options?: ZipOptions): string =>
  write(zipFile(torchEntries(tensors), options));

async function floats(source: WeightSource, name: string, first = 0, n?: number): Promise<number[]> {
  const entry = source.entries.get(name);
  const bytes = await source.read(name, first, n ?? (entry?.shape.reduce((a, b) => a * b, 1) ?? 0) - first);
  return [...new Float32Array(bytes.buffer)];
}

/** What opening a file says. */
async function refusal(path: string): Promise<string> {
  try {
    await (await openWeightSource(path)).close();
  } catch (error) {
    if (error instanceof Error && 'code' in error && 'place' in error) return `${String(error.code)} ${error.message}`;
    throw error;
  }
  return 'opened';
}

/** A file whose pickle is given, with one storage of four floats. */
const withPickle = (bytes: Buffer, ...more: readonly (readonly [string, Uint8Array])[]): string =>
  write(
    zipFile(
      new Map<string, Uint8Array>([['archive/data.pkl', bytes], ['archive/data/0', new Uint8Array(16)], ...more]),
    ),
  );

describe('reading', () => {
  const values = Array.from({ length: 24 }, (_, index) => index / 8);

  test.each([false, true])('tensors with their shapes and elements, in pieces (zip64: %s)', async (zip64) => {
    const half = {
      shape: [3],
      kind: 'BFloat16Storage',
      bytes: Uint8Array.of(0x80, 0x3f, 0, 0x40, 0x40, 0x40),
      elements: 3,
    };
    const source = await openWeightSource(
      written({ 'a.weight': floatTensor([4, 6], values), 'a.bias': half }, { zip64, comment: 'made by a test' }),
    );
    expect([...source.entries]).toEqual([
      ['a.weight', { shape: [4, 6], type: 'F32' }],
      ['a.bias', { shape: [3], type: 'BF16' }],
    ]);
    expect(await floats(source, 'a.weight')).toEqual(values);
    expect(await floats(source, 'a.weight', 7, 5)).toEqual(values.slice(7, 12));
    expect([...(await source.read('a.bias', 1, 2))]).toEqual([0, 0x40, 0x40, 0x40]);
    await expect(source.read('a.weight', 20, 5)).rejects.toThrow(/do not exist/);
    await expect(source.read('other', 0, 1)).rejects.toThrow(/has no tensor/);
    await source.close();
  });

  test('views as they were saved: transposed, sliced, expanded, and two of one storage', async () => {
    const base = { kind: 'FloatStorage', bytes: floatTensor([24], values).bytes, elements: 24, key: 'shared' };
    const source = await openWeightSource(
      written({
        whole: { ...base, shape: [4, 6] },
        transposed: { ...base, shape: [6, 4], strides: [1, 6] },
        columns: { ...base, shape: [4, 2], strides: [6, 1], offset: 3 },
        expanded: { ...base, shape: [3, 2], strides: [0, 1], offset: 22 },
        single: { ...base, shape: [1, 6], strides: [99, 1], offset: 6 },
      }),
    );
    expect(await floats(source, 'whole')).toEqual(values);
    const transposed = Array.from({ length: 24 }, (_, i) => values[(i % 4) * 6 + Math.floor(i / 4)]);
    expect(await floats(source, 'transposed')).toEqual(transposed);
    expect(await floats(source, 'transposed', 5, 9)).toEqual(transposed.slice(5, 14));
    expect(await floats(source, 'columns')).toEqual([3, 4, 9, 10, 15, 16, 21, 22].map((index) => values[index]));
    expect(await floats(source, 'expanded')).toEqual([22, 23, 22, 23, 22, 23].map((index) => values[index]));
    expect(await floats(source, 'single')).toEqual(values.slice(6, 12));
    await source.close();
  });

  test('empty tensors and scalars', async () => {
    const source = await openWeightSource(written({ empty: floatTensor([0, 4], []), scalar: floatTensor([], [2.5]) }));
    expect(await floats(source, 'empty')).toEqual([]);
    expect(await floats(source, 'scalar')).toEqual([2.5]);
    await source.close();
  });

  test.each(Object.keys(pythonPickles))(
    'what Python itself writes, protocol %s: parameters, OrderedDict with attributes, other values beside the tensors',
    (protocol) => {
      const tensors = torchTensors(Buffer.from(pythonPickles[protocol] ?? '', 'base64'), 'file', (key) =>
        key === '0' ? 24 : 8,
      );
      expect([...tensors.keys()]).toEqual(['a.weight', 'a.transposed', 'b']);
      expect(tensors.get('a.transposed')).toMatchObject({
        shape: [3, 2],
        strides: [1, 3],
        offset: 0,
        storage: { key: '0', type: 'F32', elements: 6 },
      });
      expect(tensors.get('b')).toMatchObject({ shape: [3], offset: 1, storage: { key: '1', type: 'BF16' } });
    },
  );

  test.each(Object.keys(pythonPickles))('plain values of protocol %s', (protocol) => {
    const named = [
      'torch.FloatStorage',
      'torch.BFloat16Storage',
      'torch._utils._rebuild_tensor_v2',
      'torch._utils._rebuild_parameter',
      'collections.OrderedDict',
    ];
    const globals = new Map(named.map((name) => [name, { name, call: () => new Map<never, never>() }]));
    const value = unpickle(Buffer.from(pythonPickles[protocol] ?? '', 'base64'), {
      file: 'file',
      globals,
      persistent: () => new TorchStorage('0', 'F32', 1),
    });
    if (!(value instanceof Map)) throw new Error('no dict');
    value.delete('state_dict');
    expect(Object.fromEntries(value)).toEqual({
      epoch: 3,
      big: 2n ** 70n,
      neg: -5,
      lr: 1e-4,
      none: null,
      flag: true,
      list: [1, 'zwei', [3, 4, 5, 6]],
      long: 70000,
      args: new Map([['x', []]]),
    });
  });

  test('the model of a training checkpoint; of several none is taken', async () => {
    const model = dict([['w', tensor({ shape: [4], kind: 'FloatStorage', elements: 4 })]]);
    const source = await openWeightSource(
      withPickle(
        pickle(
          dict([
            ['model', model],
            ['epoch', integer(3)],
          ]),
        ),
      ),
    );
    expect([...source.entries.keys()]).toEqual(['w']);
    await source.close();
    expect(
      await refusal(
        withPickle(
          pickle(
            dict([
              ['model', model],
              ['ema', model],
            ]),
          ),
        ),
      ),
    ).toMatch(/several models: model, ema/);
    expect(await refusal(withPickle(pickle(dict([['epoch', integer(3)]]))))).toMatch(/holds no tensors/);
  });
});

describe('files that PyTorch 2.13 has written', () => {
  const real = (name: string): string => fileURLToPath(new URL(`../../../support/torch-2.13/${name}`, import.meta.url));

  test('tensors of every type, views, a parameter: the bytes PyTorch gives for each', async () => {
    const expected = JSON.parse(readFileSync(real('tensors.json'), 'utf8')) as Readonly<
      Record<string, { shape: number[]; bytes: string }>
    >;
    const source = await openWeightSource(real('tensors.bin'));
    expect([...source.entries.keys()]).toEqual(Object.keys(expected));
    for (const [name, { shape, bytes }] of Object.entries(expected)) {
      expect(source.entries.get(name)?.shape).toEqual(shape);
      expect(
        Buffer.from(
          await source.read(
            name,
            0,
            shape.reduce((a, b) => a * b, 1),
          ),
        ).toString('hex'),
        name,
      ).toBe(bytes);
    }
    await source.close();
  });

  test('a state_dict inside a checkpoint; a pickled module, arguments of a program and the format of long ago are refused by name', async () => {
    const nested = await openWeightSource(real('nested.pt'));
    expect([...nested.entries.keys()]).toEqual(['0.weight', '0.bias', '1.weight', '1.bias']);
    await nested.close();
    expect(await refusal(real('module.pt'))).toMatch(/asks for "torch\.nn\.modules\.container\.Sequential"/);
    expect(await refusal(real('namespace.pt'))).toMatch(/asks for "argparse\.Namespace"/);
    expect(await refusal(real('legacy.bin'))).toMatch(/before version 1\.6/);
  });
});

describe('nothing of a file is ever run', () => {
  test.each<[string, Buffer, RegExp]>([
    [
      'a shell command',
      pickle(reduce(global('os', 'system'), tuple(unicode('touch /tmp/owned')))),
      /asks for "os\.system"/,
    ],
    [
      'a command of another module',
      pickle(reduce(global('subprocess', 'Popen'), tuple(unicode('sh')))),
      /asks for "subprocess\.Popen"/,
    ],
    ['eval', pickle(reduce(global('builtins', 'eval'), tuple(unicode('1')))), /asks for "builtins\.eval"/],
    ['a class that is only named', pickle(global('argparse', 'Namespace')), /asks for "argparse\.Namespace"/],
    [
      'a global found by attribute',
      pickle(unicode('os'), unicode('path.join'), Buffer.of(0x93)),
      /asks for "os\.path\.join"/,
    ],
    [
      'a name from the prototype of objects',
      pickle(global('__proto__', 'constructor')),
      /asks for "__proto__\.constructor"/,
    ],
    [
      'another function of torch',
      pickle(reduce(global('torch.hub', 'load'), tuple(unicode('x')))),
      /asks for "torch\.hub\.load"/,
    ],
    [
      'a call of a storage class',
      pickle(reduce(global('torch', 'FloatStorage'), tuple(integer(4)))),
      /calls torch\.FloatStorage, which may only be named/,
    ],
    [
      'a call of a value',
      pickle(reduce(unicode('system'), tuple(unicode('x')))),
      /calls something that is no function/,
    ],
    [
      'an object of any class',
      pickle(global('torch', 'FloatStorage'), tuple(), Buffer.of(0x81)),
      /NEWOBJ builds objects/,
    ],
    ['an old-style instance', pickle(Buffer.from('(ios\nsystem\n')), /INST builds objects/],
    ['a registered extension', pickle(Buffer.of(0x82, 1)), /EXT1 builds objects/],
    [
      'attributes of a tensor',
      pickle(tensor({ shape: [4], kind: 'FloatStorage', elements: 4 }), Buffer.from('}b')),
      /sets attributes of something other than a dict/,
    ],
  ])('%s', async (_, bytes, message) => {
    expect(await refusal(withPickle(bytes))).toMatch(message);
    expect(await refusal(withPickle(bytes))).toMatch(/^REFUSED_PICKLE/);
  });
});

test('whatever bytes are changed, a file is read or refused, never anything else', async () => {
  const pickles = Object.values(pythonPickles);
  const random = randomWords(40_000, 11, 2 ** 16);
  let next = 0;
  const draw = (limit: number): number => (random[next++ % random.length] ?? 0) % limit;
  let refused = 0;
  for (let round = 0; round < 4000; round++) {
    const bytes = Buffer.from(pickles[round % pickles.length] ?? '', 'base64');
    for (let change = draw(4); change >= 0; change--) bytes[draw(bytes.length)] = draw(256);
    try {
      torchTensors(bytes, 'file', (key) => (key === '0' ? 24 : 8));
    } catch (error) {
      if (!(error instanceof ReasongenError)) throw error;
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(1000);
  const whole = zipFile(torchEntries({ w: floatTensor([4], [1, 2, 3, 4]) }));
  for (let round = 0; round < 200; round++) {
    const bytes = Buffer.from(whole);
    for (let change = draw(4); change >= 0; change--) bytes[draw(bytes.length)] = draw(256);
    expect(await refusal(write(bytes))).toMatch(/^(opened|BAD_WEIGHTS|REFUSED_PICKLE|BAD_SAFETENSORS)/);
  }
});

describe('a file that lies', () => {
  const one = (part: Buffer): Buffer => pickle(dict([['w', part]]));
  test.each<[string, () => string, RegExp]>([
    [
      'a tensor behind its storage',
      () => withPickle(one(tensor({ shape: [5], kind: 'FloatStorage', elements: 4 }))),
      /\[5\] with strides \[1\] reaches element 4 of storage "0", which has 4/,
    ],
    [
      'strides behind its storage',
      () => withPickle(one(tensor({ shape: [2, 2], strides: [3, 1], kind: 'FloatStorage', elements: 4 }))),
      /reaches element 4/,
    ],
    [
      'a huge offset',
      () => withPickle(one(tensor({ shape: [1], offset: 2 ** 40, kind: 'FloatStorage', elements: 4 }))),
      /reaches element 1099511627776/,
    ],
    [
      'a storage of another length',
      () => withPickle(one(tensor({ shape: [1], kind: 'FloatStorage', elements: 5 }))),
      /storage "0" should hold 5 elements of F32, but has 16 bytes/,
    ],
    [
      'a storage that is not there',
      () => withPickle(one(tensor({ shape: [1], kind: 'FloatStorage', elements: 4, key: '../0' }))),
      /storage "\.\.\/0" is not in the file/,
    ],
    [
      'a storage of an unknown kind',
      () => withPickle(one(storage('QUInt8Storage', '0', 4))),
      /asks for "torch\.QUInt8Storage"/,
    ],
    ['a pickle that is cut off', () => withPickle(one(integer(1)).subarray(0, 8)), /ends within a value/],
    ['a pickle without values', () => withPickle(pickle()), /stack is empty/],
    ['a memo that was not made', () => withPickle(pickle(Buffer.of(0x68, 7))), /object 7, which it has not made/],
    ['appending to a tuple', () => withPickle(pickle(tuple(), integer(1), Buffer.from('a'))), /no list/],
    ['no pickle', () => withPickle(Buffer.from('hello')), /no pickle of protocol 2 to 5/],
    [
      'a big-endian machine',
      () => withPickle(one(integer(1)), ['archive/byteorder', Buffer.from('big')]),
      /byte order "big"/,
    ],
    [
      'a program',
      () => withPickle(one(integer(1)), ['archive/constants.pkl', Buffer.from('x')]),
      /TorchScript program/,
    ],
    ['two pickles', () => withPickle(one(integer(1)), ['other/data.pkl', Buffer.from('x')]), /no single data\.pkl/],
    ['compressed entries', () => written({ w: floatTensor([1], [1]) }, { method: 8 }), /is compressed \(method 8\)/],
    [
      'a directory that points elsewhere',
      () => written({ w: floatTensor([1], [1]) }, { shift: 1 }),
      /is not at byte 1, where the directory puts it/,
    ],
    [
      'a directory that points behind the end',
      () => written({ w: floatTensor([1], [1]) }, { shift: 2 ** 20 }),
      /behind the data/,
    ],
    [
      'zip64 numbers without end',
      () => written({ w: floatTensor([1], [1]) }, { zip64: true, shift: 2 ** 53 }),
      /announces 9007199254740992 bytes/,
    ],
    [
      'the format of long ago',
      () => write(Buffer.concat([Buffer.from('80028a0a6cfc9c46f9206aa85019', 'hex'), Buffer.alloc(64)])),
      /before version 1\.6/,
    ],
  ])('%s', async (_, make, message) => {
    expect(await refusal(make())).toMatch(message);
  });

  test('cut off anywhere, it is not opened', async () => {
    const bytes = zipFile(torchEntries({ w: floatTensor([4], [1, 2, 3, 4]) }));
    for (const length of [4, 40, 120, bytes.length - 60, bytes.length - 22, bytes.length - 1]) {
      expect(await refusal(write(bytes.subarray(0, length)))).toMatch(/cut off|should be/);
    }
  });

  test('a changed pickle is noticed by its checksum', async () => {
    const bytes = zipFile(torchEntries({ w: floatTensor([4], [1, 2, 3, 4]) }));
    bytes[bytes.indexOf('FloatStorage') + 1] = 0x4c;
    expect(await refusal(write(bytes))).toMatch(/checksum of its data\.pkl is wrong/);
  });
});
