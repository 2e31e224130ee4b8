import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import type { KeyValueCache } from '../../core/contracts/backbone.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import {
  appendToCache,
  cachedAttention,
  prefillCache,
  rotaryPositions,
  turnIntoCache,
} from '../../core/ops/cached-attention.ts';
import { rotary } from '../../core/ops/rotary.ts';
import { philox } from '../../core/tensor/philox.ts';
import type { Tensor } from '../../core/tensor/tensor.ts';

let device: Device;
let workspace: Workspace;
const made: Tensor[] = [];
beforeAll(async () => {
  device = await openDevice();
  workspace = new Workspace(device);
});
afterAll(() => device.close());

function random(count: number, seed: number, scale = 1): Float32Array {
  return Float32Array.from(
    { length: count },
    (_, index) => ((philox([index, 0, 0, 0], [seed, 0])[0] / 2 ** 32) * 2 - 1) * scale,
  );
}

function floats(shape: readonly number[], data: Float32Array): Tensor {
  const tensor = device.tensor('floats', shape, 'f32', data);
  made.push(tensor);
  return tensor;
}

function words(data: readonly number[]): Tensor {
  const tensor = device.tensor('words', [data.length], 'u32', Uint32Array.from(data));
  made.push(tensor);
  return tensor;
}

/** Slot r is row r unless told. */
function cacheOf(keys: Tensor, values: Tensor, cacheRows?: readonly number[]): KeyValueCache {
  const [rows = 0, capacity = 0] = keys.shape;
  return {
    rows,
    capacity,
    cacheRows: words(cacheRows ?? Array.from({ length: rows }, (_, row) => row)),
    keys: [keys],
    values: [values],
  };
}

interface Sizes {
  readonly rows: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDimension: number;
  readonly capacity: number;
}

function oracle(
  q: Float32Array,
  keys: Float32Array,
  values: Float32Array,
  positions: readonly number[],
  sizes: Sizes,
): number[] {
  const { rows, heads, keyValueHeads, headDimension, capacity } = sizes;
  const width = keyValueHeads * headDimension;
  const result: number[] = [];
  for (let row = 0; row < rows; row++) {
    for (let head = 0; head < heads; head++) {
      const group = Math.floor(head / (heads / keyValueHeads));
      const key = (j: number, d: number): number => (row * capacity + j) * width + group * headDimension + d;
      const scores = Array.from({ length: (positions[row] ?? 0) + 1 }, (_, j) => {
        let sum = 0;
        for (let d = 0; d < headDimension; d++)
          sum += (q[(row * heads + head) * headDimension + d] ?? 0) * (keys[key(j, d)] ?? 0);
        return sum / Math.sqrt(headDimension);
      });
      const highest = Math.max(...scores);
      const shares = scores.map((score) => Math.exp(score - highest));
      const total = shares.reduce((sum, share) => sum + share, 0);
      for (let d = 0; d < headDimension; d++)
        result.push(shares.reduce((sum, share, j) => sum + (share / total) * (values[key(j, d)] ?? 0), 0));
    }
  }
  return result;
}

const sizesOfInterest: readonly Sizes[] = [
  { rows: 1, heads: 1, keyValueHeads: 1, headDimension: 4, capacity: 1 },
  { rows: 5, heads: 4, keyValueHeads: 4, headDimension: 8, capacity: 13 },
  { rows: 7, heads: 6, keyValueHeads: 2, headDimension: 12, capacity: 70 },
  { rows: 33, heads: 4, keyValueHeads: 4, headDimension: 32, capacity: 97 },
  { rows: 3, heads: 2, keyValueHeads: 1, headDimension: 64, capacity: 131 },
];

describe.each([true, false])('attention over a cache, one thread per head: %s', (isSerial) => {
  test.each(sizesOfInterest)('agrees with float64: %o', async (sizes) => {
    const { rows, heads, keyValueHeads, headDimension, capacity } = sizes;
    const q = random(rows * heads * headDimension, 1, 4);
    const keys = random(rows * capacity * keyValueHeads * headDimension, 2, 4);
    const values = random(keys.length, 3);
    const positions = Array.from({ length: rows }, (_, row) => (row * 37) % capacity);
    const tape = new Tape(workspace);
    const cacheShape = [rows, capacity, keyValueHeads * headDimension];
    const cache = cacheOf(floats(cacheShape, keys), floats(cacheShape, values));
    const out = tape.output(
      cachedAttention(tape, floats([rows, heads * headDimension], q), words(positions), cache, 0, {
        ...sizes,
        isSerial,
      }),
    );
    (await tape.finish('attend')).run();
    const expected = oracle(q, keys, values, positions, sizes);
    const got = await device.readFloats(out);
    expect(got.length).toBe(expected.length);
    expect(Math.max(...expected.map((value, index) => Math.abs(value - (got[index] ?? NaN))))).toBeLessThan(3e-6);
  });

  test('scores far apart do not overflow', async () => {
    const tape = new Tape(workspace);
    const keys = floats([1, 3, 4], Float32Array.of(1e4, 0, 0, 0, -1e4, 0, 0, 0, 1e4, 0, 0, 0));
    const values = floats([1, 3, 4], Float32Array.of(1, 1, 1, 1, 9, 9, 9, 9, 3, 3, 3, 3));
    const q = floats([1, 4], Float32Array.of(1e4, 0, 0, 0));
    const out = tape.output(
      cachedAttention(tape, q, words([2]), cacheOf(keys, values), 0, {
        heads: 1,
        keyValueHeads: 1,
        headDimension: 4,
        isSerial,
      }),
    );
    (await tape.finish('attend')).run();
    expect([...(await device.readFloats(out))]).toEqual([2, 2, 2, 2]);
  });
});

test('a step writes its keys and values at the place of each row and nowhere else', async () => {
  const tape = new Tape(workspace);
  const keys = floats([3, 4, 8], random(96, 4));
  const values = floats([3, 4, 8], random(96, 5));
  const before = await device.readFloats(keys);
  const k = random(24, 6);
  const v = random(24, 7);
  appendToCache(tape, floats([3, 8], k), floats([3, 8], v), words([2, 0, 4]), cacheOf(keys, values), 0);
  (await tape.finish('append')).run();
  const expected = before.slice();
  expected.set(k.subarray(0, 8), 2 * 8);
  expected.set(k.subarray(8, 16), 4 * 8);
  // The third position lies beyond the cache: nothing is written.
  expect(await device.readFloats(keys)).toEqual(expected);
  expect((await device.readFloats(values)).slice(16, 24)).toEqual(v.subarray(0, 8));
});

describe.each([true, false])('turned into the cache, all heads in one thread: %s', (isSerial) => {
  test.each([
    { rows: 3, heads: 4, keyValueHeads: 2, headDimension: 8, capacity: 6, apart: false },
    { rows: 5, heads: 3, keyValueHeads: 3, headDimension: 32, capacity: 4, apart: true },
  ])(
    'is rotary twice and append, bit for bit: %o',
    async ({ rows, heads, keyValueHeads, headDimension, capacity, apart }) => {
      const widths = [heads, keyValueHeads, keyValueHeads].map((count) => count * headDimension);
      const parts = widths.map((width, index) => random(rows * width, 20 + index));
      const [q, k, v] = parts.map((data, index) => floats([rows, widths[index] ?? 0], data));
      if (q === undefined || k === undefined || v === undefined) throw new Error('three parts');
      const positions = words(Array.from({ length: rows }, (_, row) => (row * 5) % capacity));
      const cacheRows = Array.from({ length: rows }, (_, row) => rows - row);
      const make = (): Tensor =>
        floats([rows + 1, capacity, widths[1] ?? 0], new Float32Array((rows + 1) * capacity * (widths[1] ?? 0)));
      const [one, other] = [cacheOf(make(), make(), cacheRows), cacheOf(make(), make(), cacheRows)];
      const theta = 10_000;
      const tape = new Tape(workspace);
      const expected = tape.output(rotary(tape, q, positions, { heads, headDimension, theta }));
      appendToCache(
        tape,
        rotary(tape, k, positions, { heads: keyValueHeads, headDimension, theta }),
        v,
        positions,
        one,
        0,
      );
      const total = widths.reduce((sum, width) => sum + width, 0);
      const side = new Float32Array(rows * total);
      for (let row = 0; row < rows; row++) {
        let first = row * total;
        parts.forEach((data, index) => {
          const width = widths[index] ?? 0;
          side.set(data.subarray(row * width, (row + 1) * width), first);
          first += width;
        });
      }
      const from = floats([rows, total], side);
      const columns = apart
        ? { q, k: { from: k, first: 0 }, v: { from: v, first: 0 } }
        : { q: from, k: { from, first: widths[0] ?? 0 }, v: { from, first: (widths[0] ?? 0) + (widths[1] ?? 0) } };
      const actual = tape.output(
        turnIntoCache(tape, columns, positions, other, 0, { heads, keyValueHeads, headDimension, theta, isSerial }),
      );
      (await tape.finish('turn')).run();
      expect(await device.readFloats(actual)).toEqual(await device.readFloats(expected));
      for (const what of ['keys', 'values'] as const) {
        const [left, right] = [one[what][0], other[what][0]];
        if (left === undefined || right === undefined) throw new Error('one layer');
        expect(await device.readFloats(right)).toEqual(await device.readFloats(left));
      }
    },
  );
});

test('rows attend to the cache rows their cacheRows name', async () => {
  const tape = new Tape(workspace);
  const [keys, values] = [floats([4, 3, 4], random(48, 30)), floats([4, 3, 4], random(48, 31))];
  const q = random(8, 32);
  const options = { heads: 1, keyValueHeads: 1, headDimension: 4 };
  const picked = tape.output(
    cachedAttention(tape, floats([2, 4], q), words([1, 2]), cacheOf(keys, values, [3, 1]), 0, options),
  );
  const all = new Float32Array(16);
  all.set(q.subarray(4), 4);
  all.set(q.subarray(0, 4), 12);
  const whole = tape.output(
    cachedAttention(tape, floats([4, 4], all), words([0, 2, 0, 1]), cacheOf(keys, values), 0, options),
  );
  (await tape.finish('cache rows')).run();
  const expected = await device.readFloats(whole);
  expect([...(await device.readFloats(picked))]).toEqual([...expected.slice(12), ...expected.slice(4, 8)]);
});

test('a prefill spreads packed prompts over rows; rows of length 0 stay as they are', async () => {
  const tape = new Tape(workspace);
  const k = random(6 * 4, 8);
  const v = random(6 * 4, 9);
  const keys = floats([4, 5, 4], random(80, 10));
  const values = floats([4, 5, 4], random(80, 11));
  const [keysBefore, valuesBefore] = [await device.readFloats(keys), await device.readFloats(values)];
  const cache = cacheOf(keys, values);
  prefillCache(
    tape,
    floats([6, 4], k),
    floats([6, 4], v),
    { cache, source: words([0, 2, 2, 0]), length: words([2, 4, 3, 0]) },
    0,
  );
  (await tape.finish('prefill')).run();
  const spread = (packed: Float32Array, before: Float32Array): Float32Array => {
    const expected = before.slice();
    expected.set(packed.subarray(0, 8), 0);
    expected.set(packed.subarray(8, 24), 20);
    expected.set(packed.subarray(8, 20), 40);
    return expected;
  };
  expect(await device.readFloats(keys)).toEqual(spread(k, keysBefore));
  expect(await device.readFloats(values)).toEqual(spread(v, valuesBefore));
});

test('rotary positions are the places of a step moved by the shift of each cache row', async () => {
  const empty = floats([3, 4, 4], new Float32Array(48));
  const cache = { ...cacheOf(empty, empty, [2, 0]), shifts: words([7, 1, 2 ** 32 - 5]) };
  const tape = new Tape(workspace);
  const kept = tape.output(rotaryPositions(tape, words([30, 11]), cache));
  (await tape.finish('positions')).run();
  expect(await device.read([kept])).toEqual([Uint32Array.of(25, 18)]);
  const places = words([30]);
  expect(rotaryPositions(tape, places, cacheOf(empty, empty))).toBe(places);
});

test('sizes that do not fit are refused', () => {
  const tape = new Tape(workspace);
  const q = tape.empty('q', [2, 12]);
  const keys = tape.empty('cache', [2, 5, 12]);
  const positions = tape.empty('positions', [2], 'u32');
  const cache = cacheOf(keys, keys);
  const options = { heads: 3, keyValueHeads: 3, headDimension: 4 };
  expect(() => cachedAttention(tape, q, positions, cache, 0, options)).not.toThrow();
  expect(() => cachedAttention(tape, q, positions, cache, 0, { ...options, heads: 4 })).toThrow(RangeError);
  expect(() => cachedAttention(tape, q, positions, cache, 1, options)).toThrow(/no layer 1/);
  expect(() => cachedAttention(tape, q, positions, { ...cache, capacity: 6 }, 0, options)).toThrow(RangeError);
  expect(() => cachedAttention(tape, q, positions, { ...cache, cacheRows: words([0]) }, 0, options)).toThrow(
    /rows for 1/,
  );
  expect(() => cachedAttention(tape, q, positions, cache, 0, { heads: 2, keyValueHeads: 2, headDimension: 6 })).toThrow(
    RangeError,
  );
});
