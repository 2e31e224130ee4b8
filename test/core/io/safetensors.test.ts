import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ReasongenError } from '../../../core/errors.ts';
import { fromBrainFloats, halfBits, halfValue, toHalves } from '../../../core/tensor/float16.ts';
import {
  encodeSafetensors,
  longestHeader,
  writeSafetensors,
  type TensorToStore,
} from '../../../core/io/safetensors.ts';
import { parseSafetensors, readSafetensors, readSafetensorsFile } from '../../support/safetensors.ts';
import { openSafetensors } from '../../../core/io/weight-files/safetensors-source.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reasongen-safetensors-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** A file from a header that may be wrong, and its data. */
function file(header: unknown, dataBytes: number, text = JSON.stringify(header)): Uint8Array {
  const json = new TextEncoder().encode(text);
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

function messageOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof ReasongenError) return `${error.code} ${error.message}`;
    throw error;
  }
  return 'no error';
}

const shape = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 });
const tensor: fc.Arbitrary<TensorToStore> = shape.chain((sizes) => {
  const count = sizes.reduce((product, n) => product * n, 1);
  const of = { minLength: count, maxLength: count };
  return fc.oneof(
    fc.float32Array(of).map((data) => ({ shape: sizes, data })),
    fc.uint32Array(of).map((data) => ({ shape: sizes, dtype: 'U32' as const, data })),
    fc.int32Array(of).map((data) => ({ shape: sizes, data })),
    fc
      .uint16Array(of)
      .map((halves) => ({ shape: sizes, dtype: 'F16' as const, data: Float32Array.from(halves, halfValue) })),
  );
});
const tensors = fc
  .array(
    fc.tuple(
      fc.string({ unit: 'binary' }).filter((name) => name !== '__metadata__'),
      tensor,
    ),
    { maxLength: 6 },
  )
  .map((pairs) => new Map(pairs));

describe('round trip', { timeout: 30_000 }, () => {
  test('every tensor comes back with its shape, type and bits', async () => {
    await fc.assert(
      fc.asyncProperty(tensors, fc.dictionary(fc.string(), fc.string()), async (stored, metadata) => {
        const parsed = await parseSafetensors(Buffer.concat(encodeSafetensors(stored, metadata)));
        expect({ ...parsed.metadata }).toEqual({ ...metadata });
        expect([...parsed.tensors.keys()].sort()).toEqual([...stored.keys()].sort());
        for (const [name, { shape: sizes, data, dtype }] of stored) {
          const found = parsed.tensors.get(name);
          expect(found?.shape).toEqual(sizes);
          expect(found?.data).toEqual(data);
          if (dtype !== undefined) expect(found?.dtype).toBe(dtype);
        }
      }),
    );
  });

  test('the bytes do not depend on the order of the map', () => {
    fc.assert(
      fc.property(tensors, (stored) => {
        const backwards = new Map([...stored].reverse());
        expect(Buffer.concat(encodeSafetensors(backwards))).toEqual(Buffer.concat(encodeSafetensors(stored)));
      }),
    );
  });

  test('through a file, with a view into a larger buffer', async () => {
    const path = join(folder, 'view.safetensors');
    const whole = Float32Array.from({ length: 10 }, (_, index) => index / 3);
    await writeSafetensors(path, new Map([['part', { shape: [2, 2], data: whole.subarray(3, 7) }]]), { made: 'here' });
    const { tensors: found, metadata } = await readSafetensorsFile(path);
    expect(metadata).toEqual({ made: 'here' });
    expect(found.get('part')).toEqual({ shape: [2, 2], dtype: 'F32', data: whole.slice(3, 7) });
    await expect(writeSafetensors(path, new Map())).rejects.toThrow(/already taken/);
  });

  test('data behind a header of odd length is read all the same', async () => {
    const bytes = file(
      { x: { dtype: 'F32', shape: [1], data_offsets: [0, 4] } },
      4,
      '{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}} ',
    );
    new DataView(bytes.buffer).setFloat32(bytes.length - 4, 1.5, true);
    expect((await parseSafetensors(bytes)).tensors.get('x')?.data).toEqual(Float32Array.of(1.5));
  });

  test('bf16, i64 and u8 are read', async () => {
    const bytes = file(
      {
        b: { dtype: 'BF16', shape: [2], data_offsets: [8, 12] },
        i: { dtype: 'I64', shape: [1], data_offsets: [0, 8] },
        u: { dtype: 'U8', shape: [3], data_offsets: [12, 15] },
      },
      15,
    );
    const data = new DataView(bytes.buffer, bytes.length - 15);
    data.setBigInt64(0, -5n, true);
    data.setUint16(8, 0x3fc0, true);
    data.setUint16(10, 0xc000, true);
    data.setUint8(14, 200);
    const { tensors: found } = await parseSafetensors(bytes);
    expect(found.get('b')?.data).toEqual(Float32Array.of(1.5, -2));
    expect(found.get('i')?.data).toEqual(BigInt64Array.of(-5n));
    expect(found.get('u')?.data).toEqual(Uint8Array.of(0, 0, 200));
  });
});

describe('what the reference reader takes', () => {
  const open = async (header: object | string, bytes: number): Promise<string[]> => {
    const path = join(folder, `lenient-${JSON.stringify(header).length}.safetensors`);
    await writeFile(path, typeof header === 'string' ? file({}, bytes, header) : file(header, bytes));
    const source = await openSafetensors(path);
    await source.close();
    expect(source.metadata).toEqual({});
    return [...source.entries].map(([name, { shape: sizes, type }]) => `${name} ${type} [${sizes}]`);
  };

  test.each<[string, object | string, number, string[]]>([
    ['metadata that is null', { __metadata__: null }, 0, []],
    ['metadata that is empty', { __metadata__: {} }, 0, []],
    ['blanks around the header', ' {"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}} \n ', 2, ['a I8 [2]']],
    ['a scalar', { a: { dtype: 'F32', shape: [], data_offsets: [0, 4] } }, 4, ['a F32 []']],
    ['a tensor without elements', { a: { dtype: 'F32', shape: [0, 3], data_offsets: [0, 0] } }, 0, ['a F32 [0,3]']],
    ['further keys', { a: { dtype: 'U8', shape: [1], data_offsets: [0, 1], note: 1 } }, 1, ['a U8 [1]']],
    ['names of objects', '{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1, ['__proto__ U8 [1]']],
  ])('%s', async (_, header, bytes, expected) => expect(await open(header, bytes)).toEqual(expected));

  test.each(['U16', 'U64', 'F8_E4M3', 'F8_E5M2', 'F64', 'I16', 'BOOL'])(
    'a %s beside the weights does not keep a file from being opened',
    async (dtype) => {
      const width = { U16: 2, U64: 8, F64: 8, I16: 2 }[dtype] ?? 1;
      expect(await open({ counter: { dtype, shape: [1], data_offsets: [0, width] } }, width)).toEqual([
        `counter ${dtype} [1]`,
      ]);
    },
  );
});

describe('half precision', { timeout: 30_000 }, () => {
  const bitsOf = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0] ?? 0;

  test('all 65536 halves survive', () => {
    for (let half = 0; half < 65536; half++) {
      const value = halfValue(half);
      if (!Number.isNaN(value)) expect(halfBits(bitsOf(value))).toBe(half);
    }
    expect(Number.isNaN(halfValue(halfBits(bitsOf(Number.NaN))))).toBe(true);
  });

  test('rounds to the nearest, ties to even', () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, min: Math.fround(-65519), max: Math.fround(65519) }), (value) => {
        const half = halfBits(bitsOf(value));
        const error = Math.abs(halfValue(half) - value);
        const magnitude = half & 0x7fff;
        for (const neighbor of [magnitude - 1, magnitude + 1]) {
          if (neighbor < 0 || neighbor > 0x7bff) continue;
          const other = Math.abs(halfValue((half & 0x8000) | neighbor) - value);
          expect(error < other || (error === other && (half & 1) === 0)).toBe(true);
        }
      }),
      { numRuns: 2000, examples: [[2 ** -25], [2 ** -25 * 3], [2 ** -14 - 2 ** -25], [2049], [2051], [-0], [65504]] },
    );
    expect(halfBits(bitsOf(65519.996))).toBe(0x7bff);
    expect(halfBits(bitsOf(65520))).toBe(0x7c00);
  });

  test('a finite value that would become infinite is refused', () => {
    const large = new Map([['w', { shape: [2], dtype: 'F16' as const, data: Float32Array.of(1, 70000) }]]);
    expect(messageOf(() => encodeSafetensors(large, {}, 'out'))).toMatch(/^VALUE_TOO_LARGE tensor "w" holds 70000/);
    expect(toHalves(Float32Array.of(Number.POSITIVE_INFINITY))).toEqual(Uint16Array.of(0x7c00));
    expect(fromBrainFloats(Uint16Array.of(0x7f80))).toEqual(Float32Array.of(Number.POSITIVE_INFINITY));
  });
});

describe('damaged files', { timeout: 30_000 }, () => {
  const entry = (dtype: string, sizes: unknown, begin: unknown, end: unknown): object => ({
    dtype,
    shape: sizes,
    data_offsets: [begin, end],
  });
  const cases: [string, Uint8Array, RegExp][] = [
    ['empty', new Uint8Array(0), /has 0 bytes/],
    [
      'header too long',
      file({}, 0).map((byte, index) => (index === 3 ? 0x7f : byte)),
      new RegExp(`more than the ${longestHeader}`),
    ],
    ['header cut off', file({ a: 1 }, 0).subarray(0, 12), /its header should take 7 bytes, but the file ends after 12/],
    ['not JSON', file(0, 0, '{"a"'), /not a JSON object/],
    ['not UTF-8', file(0, 0, '{}  ').map((byte, index) => (index === 10 ? 0xff : byte)), /not a JSON object/],
    ['an array', file([], 0), /not a JSON object/],
    ['metadata of numbers', file({ __metadata__: { a: 1 } }, 0), /"__metadata__"/],
    ['no dtype', file({ w: {} }, 0), /"w" has no dtype/],
    ['unknown dtype', file({ w: entry('F4', [1], 0, 1) }, 1), /"w" has dtype F4, which is not read/],
    ['inherited dtype', file({ w: entry('toString', [1], 0, 1) }, 1), /dtype toString, which is not read/],
    ['negative shape', file({ w: entry('F32', [-1], 0, 4) }, 4), /"w" has no valid shape/],
    ['one offset', file({ w: { dtype: 'F32', shape: [1], data_offsets: [0] } }, 4), /"w" has no valid data_offsets/],
    [
      'shape and offsets differ',
      file({ w: entry('F32', [3], 0, 8) }, 8),
      /"w" \[3\] of F32 takes 12 bytes, but its offsets span 8/,
    ],
    [
      'data cut off',
      file({ w: entry('F32', [4], 0, 16) }, 12),
      /"w" ends at byte 16 of the data, but there are only 12/,
    ],
    ['overlap', file({ a: entry('F32', [2], 0, 8), b: entry('F32', [2], 4, 12) }, 12), /"b" overlaps/],
    ['hole', file({ a: entry('F32', [1], 0, 4), b: entry('F32', [1], 8, 12) }, 12), /4 bytes before tensor "b"/],
    ['bytes at the end', file({ a: entry('F32', [1], 0, 4) }, 9), /5 bytes at the end/],
  ];
  test.each(cases)('%s', async (name, bytes, message) => {
    const path = join(folder, `${name}.safetensors`);
    await writeFile(path, bytes);
    const error: unknown = await readSafetensors(path).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ReasongenError);
    expect(error).toMatchObject({ code: 'BAD_SAFETENSORS', place: path, exitCode: 6 });
    expect((error as ReasongenError).message).toMatch(message);
    expect((error as ReasongenError).hint).toBeTruthy();
  });

  test('a missing file is named', async () => {
    await expect(readSafetensors(join(folder, 'none'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND', exitCode: 6 });
  });

  test('whatever bytes change, the result is tensors or a clear error', async () => {
    const good = Buffer.concat(
      encodeSafetensors(
        new Map([
          ['a', { shape: [3], data: Float32Array.of(1, 2, 3) }],
          ['b', { shape: [2, 2], dtype: 'F16' as const, data: new Float32Array(4) }],
        ]),
        { k: 'v' },
      ),
    );
    const change = fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 0, max: 255 }));
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { minLength: 1, maxLength: 6 }),
        fc.nat(good.length),
        async (changes, length) => {
          const bytes = Uint8Array.from(good.subarray(0, length));
          for (const [at, value] of changes) if (at < length) bytes[at] = value;
          const error: unknown = await parseSafetensors(bytes).then(
            () => undefined,
            (caught: unknown) => caught,
          );
          if (error !== undefined)
            expect(error).toMatchObject({ code: 'BAD_SAFETENSORS', message: expect.stringMatching(/./) as string });
        },
      ),
      { numRuns: 1000 },
    );
  });

  test('every truncation is noticed', async () => {
    const path = join(folder, 'short.safetensors');
    await writeSafetensors(path, new Map([['w', { shape: [4], data: new Float32Array(4) }]]));
    const { length } = await readFile(path);
    for (let size = length - 1; size >= 0; size -= 5) {
      await truncate(path, size);
      await expect(readSafetensors(path)).rejects.toMatchObject({ code: 'BAD_SAFETENSORS' });
    }
  });
});
