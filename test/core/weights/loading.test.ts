/** Weights from a source, piece by piece, into every storage; and back out of the device as a source. */
import { describe, expect, test } from 'vitest';
import { ParameterSet, type LoadOptions, type WeightStorage } from '../../../core/weights/parameters.ts';
import type { StoredType, WeightSource } from '../../../core/contracts/weight-source.ts';
import { fromBrainFloats, toBrainFloats } from '../../../core/tensor/float16.ts';
import { dequantize, quantize } from '../../../core/tensor/quantized.ts';
import { at, fromHalves, maximumError, randomFloats, relativeError, toHalves } from '../../../core/testing.ts';
import { testDevice } from '../../ops/device.ts';

const device = await testDevice();

interface Held {
  readonly shape: readonly number[];
  readonly type: StoredType;
  readonly bytes: Uint8Array;
}

const widths: Readonly<Record<string, number>> = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8 };

/** A source in memory that counts its reads and hands out bytes at odd addresses, as a file's may be. */
class MemorySource implements WeightSource {
  readonly origin = 'model.safetensors';
  readonly metadata = {};
  readonly reads: number[] = [];
  private readonly held: ReadonlyMap<string, Held>;

  constructor(held: Readonly<Record<string, Held>>) {
    this.held = new Map(Object.entries(held));
  }

  get entries(): ReadonlyMap<string, Held> {
    return this.held;
  }

  read(name: string, first: number, count: number): Promise<Uint8Array> {
    const { bytes, type } = this.held.get(name) ?? { bytes: new Uint8Array(), type: 'F32' };
    const width = widths[type] ?? 0;
    this.reads.push(count * width);
    const apart = new Uint8Array(count * width + 1);
    apart.set(bytes.subarray(first * width, (first + count) * width), 1);
    return Promise.resolve(apart.subarray(1));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function asFile(values: Float32Array | Float64Array, type: 'F64' | 'F32' | 'F16' | 'BF16'): Uint8Array {
  const singles = Float32Array.from(values);
  const stored = {
    F64: () => Float64Array.from(values),
    F32: () => singles,
    F16: () => toHalves(singles),
    BF16: () => toBrainFloats(singles),
  }[type]();
  return new Uint8Array(stored.buffer);
}

const inStorage: Readonly<Record<WeightStorage, (values: Float32Array) => Float32Array>> = {
  f32: (values) => values,
  f16: (values) => fromHalves(toHalves(values)),
  bf16: (values) => fromBrainFloats(toBrainFloats(values)),
  int8: (values) => dequantize(quantize(values, 'int8'), 'int8'),
  int4: (values) => dequantize(quantize(values, 'int4'), 'int4'),
};

/** 130 × 192 = 24 960 elements: several of the smallest pieces, the last one not whole. */
const shape = [130, 192];
const many = randomFloats(130 * 192, 3);
const smallPieces: LoadOptions = { pieceBytes: 1 };

function source(values: Float32Array | Float64Array, type: 'F64' | 'F32' | 'F16' | 'BF16'): MemorySource {
  return new MemorySource({ w: { shape, type, bytes: asFile(values, type) } });
}

function make(storage: WeightStorage, bindingLimit?: number): ParameterSet {
  return new ParameterSet(device, [{ name: 'w', shape, init: { constant: 7 } }], {
    seed: 1,
    storage,
    initialize: 'none',
    ...(bindingLimit !== undefined && { bindingLimit }),
  });
}

describe('loading from a source', () => {
  const types = ['F64', 'F32', 'F16', 'BF16'] as const;
  const storages = ['f32', 'f16', 'bf16', 'int8', 'int4'] as const;
  test.each(types.flatMap((type) => storages.map((storage) => [type, storage] as const)))(
    '%s becomes %s, in pieces and in parts',
    async (type, storage) => {
      const file = source(many, type);
      const inFile = type === 'F16' ? inStorage.f16(many) : type === 'BF16' ? inStorage.bf16(many) : many;
      const expected = inStorage[storage](inFile);
      for (const limit of [undefined, 16384]) {
        const set = make(storage, limit);
        expect(set.get('w').shards === undefined).toBe(limit === undefined || storage === 'int4');
        const done: number[] = [];
        const report = await set.loadFrom(file, {
          ...smallPieces,
          progress: (bytes, total) => done.push(bytes / total),
        });
        expect(await set.readTensor('w')).toEqual(expected);
        expect(report).toEqual({
          tensors: 1,
          bytes: file.entries.get('w')?.bytes.byteLength,
          clamped: 0,
          notFinite: 0,
        });
        expect(done.length).toBeGreaterThanOrEqual(4);
        expect(done).toEqual([...done].sort((a, b) => a - b));
        expect(done.at(-1)).toBe(1);
        set.close();
      }
      expect(Math.max(...file.reads)).toBeLessThanOrEqual(32768);
    },
  );

  test('codes lose at most half a step of their group', () => {
    for (const [type, levels] of [
      ['int8', 255],
      ['int4', 15],
    ] as const) {
      const values = randomFloats(64 * 50, 9).map(
        (value, index) => value * 10 ** ((index >> 6) % 9) - ((index >> 6) % 3),
      );
      const stored = dequantize(quantize(values, type), type);
      for (let group = 0; group < 50; group++) {
        const own = values.slice(group * 64, group * 64 + 64);
        // Scale and minimum are bf16, rounded outwards: steps are up to a fortieth wider than they had to be.
        const step =
          ((Math.max(...own) - Math.min(...own)) / levels) * 1.01 + Math.abs(Math.min(...own)) * (2 ** -7 / levels);
        expect(maximumError(stored.slice(group * 64, group * 64 + 64), own)).toBeLessThanOrEqual(step * 0.501);
      }
    }
    const constant = quantize(new Float32Array(64).fill(0.1), 'int4');
    expect(maximumError(dequantize(constant, 'int4'), new Float32Array(64).fill(0.1))).toBeLessThan(1e-4);
    expect([...dequantize(quantize(new Float32Array(64), 'int8'), 'int8')]).toEqual(new Array(64).fill(0));
    expect(dequantize(quantize(new Float32Array(64).fill(Number.NaN, 3, 4), 'int8'), 'int8').every(Number.isNaN)).toBe(
      true,
    );
  });

  test('every misfit is in one error, before anything is read', async () => {
    const set = new ParameterSet(
      device,
      ['a', 'b', 'c', 'd'].map((name) => ({ name, shape: [2, 2], init: { constant: 1 } })),
      { seed: 1 },
    );
    const four = { shape: [2, 2], type: 'F32', bytes: new Uint8Array(16) } as const;
    const file = new MemorySource({
      a: four,
      b: { ...four, shape: [4] },
      d: { ...four, type: 'I64', bytes: new Uint8Array(32) },
      e: four,
    });
    await expect(set.loadFrom(file)).rejects.toThrow(
      'model.safetensors does not fit this model:\n  b is [4], the model needs [2,2]\n  missing: c [2,2]\n  d holds I64, not weights\n  unexpected: e',
    );
    expect(file.reads).toEqual([]);
    expect([...(await set.readTensor('a'))]).toEqual([1, 1, 1, 1]);
  });

  test('only what the source must hold is loaded, the rest keeps its values', async () => {
    const set = new ParameterSet(
      device,
      ['a', 'b'].map((name) => ({ name, shape: [2, 2], init: { constant: 1 } })),
      { seed: 1 },
    );
    const report = await set.loadFrom(
      new MemorySource({ a: { shape: [2, 2], type: 'F32', bytes: asFile(Float32Array.of(1, 2, 3, 4), 'F32') } }),
      { only: (name) => name === 'a' },
    );
    expect(report.tensors).toBe(1);
    expect([...(await set.readTensor('a')), ...(await set.readTensor('b'))]).toEqual([1, 2, 3, 4, 1, 1, 1, 1]);
  });

  test.each(['f32', 'f16', 'bf16', 'int8'] as const)(
    'what is not finite is named with its place, or counted, %s',
    async (storage) => {
      const values = many.slice();
      values[20001] = Number.NaN;
      values[20002] = Number.NEGATIVE_INFINITY;
      for (const type of ['F64', 'F32', 'F16', 'BF16'] as const) {
        const set = make(storage);
        await expect(set.loadFrom(source(values, type), smallPieces)).rejects.toThrow(
          expect.objectContaining({
            code: 'WEIGHT_NOT_FINITE',
            message: 'weight "w" holds NaN at element 20001',
            place: 'model.safetensors',
          }),
        );
        const warnings: string[] = [];
        const report = await set.loadFrom(source(values, type), {
          ...smallPieces,
          onNotFinite: 'warn',
          warn: (message) => warnings.push(message),
        });
        expect(report.notFinite).toBe(2);
        expect(warnings).toEqual([
          'weight "w" of model.safetensors: 2 values are NaN or infinite; the first that is not finite is NaN at element 20001',
        ]);
        expect((await set.readTensor('w'))[20001]).toBeNaN();
        set.close();
      }
    },
  );

  test('what the storage cannot hold is named with its place, or clamped and counted', async () => {
    const values = Float64Array.from(many);
    values[17000] = 65536;
    values[17001] = -1e30;
    const set = make('f16');
    for (const type of ['F64', 'F32', 'BF16'] as const) {
      await expect(set.loadFrom(source(values, type), smallPieces)).rejects.toThrow(
        expect.objectContaining({
          code: 'VALUE_TOO_LARGE',
          message: 'weight "w" holds 65536 at element 17000; f16 stores values up to ±65504',
          hint: 'store weights as bf16 or f32',
        }),
      );
      const warnings: string[] = [];
      const report = await set.loadFrom(source(values, type), {
        ...smallPieces,
        onOverflow: 'warn',
        warn: (message) => warnings.push(message),
      });
      expect(report.clamped).toBe(2);
      expect(warnings).toEqual([
        'weight "w" of model.safetensors: 2 values clamped to what f16 holds (±65504); the first too large one is 65536 at element 17000',
      ]);
      const stored = await set.readTensor('w');
      expect([stored[16999], stored[17000], stored[17001], stored[17002]]).toEqual([
        at(inStorage.f16(type === 'BF16' ? inStorage.bf16(many) : many), 16999),
        65504,
        -65504,
        at(inStorage.f16(type === 'BF16' ? inStorage.bf16(many) : many), 17002),
      ]);
    }
    values[17001] = 1e300;
    const wide = make('f32');
    await expect(wide.loadFrom(source(values, 'F64'))).rejects.toThrow(
      'weight "w" holds 1e+300 at element 17001; f32 stores values up to ±3.4028234663852886e+38',
    );
  });

  test('a source that gives too little is an error, not a short weight', async () => {
    const short: WeightSource = {
      origin: 'short',
      metadata: {},
      entries: new Map([['w', { shape, type: 'F32' }]]),
      read: () => Promise.resolve(new Uint8Array(8)),
      close: () => Promise.resolve(),
    };
    await expect(make('f32').loadFrom(short)).rejects.toThrow('short gave 8 bytes of w for 24960 elements');
  });
});

describe('weights as a source', () => {
  test.each(['f32', 'f16', 'bf16', 'int8', 'int4'] as const)(
    'any range of %s, also across parts, and whole into another set',
    async (storage) => {
      const set = make(storage, 16384);
      await set.loadFrom(source(many, 'F32'));
      const given = set.asSource('this set');
      const type = { f32: 'F32', f16: 'F16', bf16: 'BF16', int8: 'F32', int4: 'F32' }[storage];
      expect(given.entries.get('w')).toEqual({ shape, type });
      const widened = (bytes: Uint8Array): Float32Array => {
        const { buffer } = bytes.slice();
        if (type === 'F32') return new Float32Array(buffer);
        return (type === 'F16' ? fromHalves : fromBrainFloats)(new Uint16Array(buffer));
      };
      const expected = inStorage[storage](many);
      for (const [first, count] of [
        [0, 1],
        [1, 3],
        [65, 200],
        [4000, 9000],
        [24959, 1],
        [0, 24960],
      ] as const) {
        expect(widened(await given.read('w', first, count))).toEqual(expected.slice(first, first + count));
      }
      await expect(given.read('w', 24959, 2)).rejects.toThrow('has no elements 24959 to 24961');
      const other = make('f32');
      await other.loadFrom(given, smallPieces);
      expect(await other.readTensor('w')).toEqual(expected);
      other.close();
      set.close();
    },
  );
});

describe('first values made on the device', () => {
  const specs = [
    { name: 'w', shape: [150, 192], init: { normal: 0.02 } },
    { name: 'v', shape: [192, 64], init: { normal: 0.5 } },
    { name: 'gain', shape: [37], init: { constant: 1.5 } },
    { name: 'given', shape: [3], init: { values: Float32Array.of(1, 2, 3) } },
  ] as const;
  const open = (storage: WeightStorage, seed: number, bindingLimit?: number): Promise<ParameterSet> =>
    ParameterSet.open(device, specs, {
      seed,
      storage,
      initialize: 'device',
      ...(bindingLimit !== undefined && { bindingLimit }),
    });

  test('given ones are as given, however they are stored', async () => {
    const given = [
      { name: 'table', shape: [4, 32], init: { values: Float32Array.from({ length: 128 }, (_, index) => index / 4) } },
    ] as const;
    for (const storage of ['f32', 'bf16', 'f16'] as const) {
      const set = await ParameterSet.open(device, given, { seed: 1, storage, initialize: 'device' });
      expect(await set.readTensor('table')).toEqual(given[0].init.values);
      set.close();
    }
  });

  test('are normal, and follow from seed, name and index alone', async () => {
    const set = await open('f32', 5);
    const w = await set.readTensor('w');
    const mean = w.reduce((sum, value) => sum + value, 0) / w.length;
    const moment = (power: number): number => w.reduce((sum, value) => sum + (value / 0.02) ** power, 0) / w.length;
    expect(Math.abs(mean)).toBeLessThan(0.0005);
    expect(moment(2)).toBeCloseTo(1, 1);
    expect(Math.abs(moment(3))).toBeLessThan(0.1);
    expect(moment(4)).toBeGreaterThan(2.8);
    expect(moment(4)).toBeLessThan(3.2);
    // Neighbors, halves of a pair among them, do not depend on each other.
    const product = w.reduce((sum, value, index) => sum + (value * (w[index + 1] ?? 0)) / 0.0004, 0) / w.length;
    expect(Math.abs(product)).toBeLessThan(0.03);
    expect([...(await set.readTensor('gain'))]).toEqual(new Array(37).fill(1.5));
    expect([...(await set.readTensor('given'))]).toEqual([1, 2, 3]);
    expect((await set.readTensor('v')).slice(0, 99).map((value) => value / 25)).not.toEqual(w.slice(0, 99));
    expect(await (await open('f32', 5, 16384)).readTensor('w')).toEqual(w);
    expect(await (await open('f32', 6)).readTensor('w')).not.toEqual(w);
  });

  test('are the same in every storage but for its rounding', async () => {
    const full = await (await open('f32', 5)).readTensor('w');
    for (const storage of ['f16', 'bf16'] as const)
      expect(await (await open(storage, 5, 16384)).readTensor('w')).toEqual(inStorage[storage](full));
    for (const [storage, levels] of [
      ['int8', 255],
      ['int4', 15],
    ] as const) {
      const stored = await (await open(storage, 5)).readTensor('w');
      // Codes reach 3.5 deviations to both sides, a little more where bf16 rounds the minimum outwards.
      const inside = full.map((value, index) => (Math.abs(value) < 0.07 ? value : at(stored, index)));
      expect(maximumError(stored, inside)).toBeLessThan((0.14 / levels) * 0.55);
      expect(Math.max(...stored.map(Math.abs))).toBeLessThan(0.0715);
      expect(relativeError(stored, full)).toBeGreaterThan(0.001);
    }
  });

  test('no values at all where weights are loaded next', async () => {
    const set = new ParameterSet(device, specs, { seed: 1, initialize: 'none' });
    expect((await set.readTensor('w')).every((value) => value === 0)).toBe(true);
  });
});
