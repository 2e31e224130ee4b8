import { describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { attention, type AttentionOptions } from '../../core/ops/attention.ts';
import { planMemory } from '../../core/autograd/memory-plan.ts';
import type { Tensor } from '../../core/tensor/tensor.ts';
import { at, checkOp, randomFloats, relativeError } from '../../core/testing.ts';
import { testDevices } from './device.ts';

interface Arrays {
  readonly q: Float64Array;
  readonly k: Float64Array;
  readonly v: Float64Array;
}

/** `every`: only every so many rows are computed, the others are zero. */
function oracle(
  { q, k, v }: Arrays,
  lengths: readonly number[],
  { heads, keyValueHeads, headDimension, causal, scale }: AttentionOptions,
  every = 1,
): Float64Array {
  const factor = scale ?? 1 / Math.sqrt(headDimension);
  const out = new Float64Array(q.length);
  let start = 0;
  for (const length of lengths) {
    for (let row = start; row < start + length; row += every) {
      for (let head = 0; head < heads; head++) {
        const queryBase = (row * heads + head) * headDimension;
        const base = (key: number): number =>
          (key * keyValueHeads + Math.floor(head / (heads / keyValueHeads))) * headDimension;
        const keys = Array.from({ length: causal ? row - start + 1 : length }, (_, index) => start + index);
        const scores = keys.map((key) => {
          let sum = 0;
          for (let c = 0; c < headDimension; c++) sum += at(q, queryBase + c) * at(k, base(key) + c);
          return sum * factor;
        });
        const top = Math.max(...scores);
        const total = scores.reduce((sum, score) => sum + Math.exp(score - top), 0);
        keys.forEach((key, index) => {
          const p = Math.exp(at(scores, index) - top) / total;
          for (let c = 0; c < headDimension; c++)
            out[queryBase + c] = at(out, queryBase + c) + p * at(v, base(key) + c);
        });
      }
    }
    start += length;
  }
  return out;
}

/** First row and row after the last, for every row of segments of these lengths. */
function segmentsOf(lengths: readonly number[]): { start: Uint32Array; end: Uint32Array } {
  const start: number[] = [];
  const end: number[] = [];
  for (const length of lengths) {
    const first = start.length;
    for (let i = 0; i < length; i++) {
      start.push(first);
      end.push(first + length);
    }
  }
  return { start: Uint32Array.from(start), end: Uint32Array.from(end) };
}

// Tiles are eight rows by eight keys: lone rows, segments that end inside a tile, at its edge and past it.
const packings = [[1], [8], [3, 1, 1, 5], [17, 8, 2], [7, 1, 13, 11]];
const shapes = [
  [1, 1, 8],
  [4, 2, 16],
  [3, 1, 32],
  [2, 2, 64],
] as const;

describe.each(await testDevices())('attention, %s', (_name, device) => {
  const checkAttention = async (lengths: readonly number[], options: AttentionOptions, spread = 1.5): Promise<void> => {
    const rows = lengths.reduce((sum, length) => sum + length, 0);
    const { heads, keyValueHeads, headDimension } = options;
    const { start, end } = segmentsOf(lengths);
    const queries = heads * headDimension;
    const keys = keyValueHeads * headDimension;
    await checkOp({
      device,
      inputs: {
        q: { shape: [rows, queries], data: randomFloats(rows * queries, 1, spread) },
        k: { shape: [rows, keys], data: randomFloats(rows * keys, 2, spread) },
        v: { shape: [rows, keys], data: randomFloats(rows * keys, 3) },
        segmentStart: { shape: [rows], data: start },
        segmentEnd: { shape: [rows], data: end },
      },
      op: (tape, { q, k, v, ...segments }) => attention(tape, q, k, v, segments, options),
      oracle: (inputs) => oracle(inputs, lengths, options),
      valueTolerance: 3e-6,
      gradientTolerance: 5e-5,
    });
  };

  describe.each(packings.map((lengths) => ({ lengths })))('segments of $lengths', ({ lengths }) => {
    test.each([true, false])('causal %s', async (causal) => {
      await checkAttention(lengths, { heads: 4, keyValueHeads: 2, headDimension: 16, causal });
    });
  });

  test.each(shapes)('%i heads over %i of %i', async (heads, keyValueHeads, headDimension) => {
    await checkAttention([11, 2, 6], { heads, keyValueHeads, headDimension, causal: true });
  });

  test('a wide head, as in the codec', async () => {
    await checkAttention([9], { heads: 1, keyValueHeads: 1, headDimension: 128, causal: false });
  });

  test('an odd head width', async () => {
    await checkAttention([5, 4], { heads: 2, keyValueHeads: 1, headDimension: 12, causal: true });
  });

  test('scores far apart, and a scale of its own', async () => {
    await checkAttention([19], { heads: 2, keyValueHeads: 2, headDimension: 8, causal: true, scale: 1.7 }, 4);
  });

  // SigLIP's heads, and those of decoders of 1 to 7 billion weights; the codec's one head as wide as its 512 channels.
  test.each([
    [2, 2, 64, false],
    [2, 1, 72, false],
    [4, 2, 80, true],
    [2, 1, 128, true],
    [1, 1, 512, false],
  ])('%i heads over %i of %i, causal %s', async (heads, keyValueHeads, headDimension, causal) => {
    await checkAttention(
      headDimension > 128 ? [3] : [4, 3],
      { heads, keyValueHeads, headDimension, causal },
      8 / Math.sqrt(headDimension),
    );
  });

  test('left padding changes nothing in a sequence', async () => {
    const options = { heads: 4, keyValueHeads: 2, headDimension: 16, causal: true };
    const [queries, keys] = [64, 32];
    // Sequences of 5 and 9 rows, packed; and behind 7 and 3 rows of padding, each a segment of its own.
    const packed = Array.from({ length: 14 }, (_, row) => row);
    const padded = [
      ...Array.from({ length: 7 }, () => -1),
      ...packed.slice(0, 5),
      ...Array.from({ length: 3 }, () => -1),
      ...packed.slice(5),
    ];
    const values = async (rows: readonly number[], lengths: readonly number[]): Promise<Map<number, Float32Array>> => {
      const { start, end } = segmentsOf(lengths);
      const tape = new Tape(new Workspace(device));
      const tensor = (name: string, width: number, seed: number): Tensor => {
        const known = randomFloats(14 * width, seed);
        // What stands in the padding must not matter.
        return device.tensor(
          name,
          [rows.length, width],
          'f32',
          Float32Array.from(
            rows.flatMap((row) =>
              row < 0 ? new Array<number>(width).fill(1e4) : [...known.subarray(row * width, (row + 1) * width)],
            ),
          ),
        );
      };
      const inputs = [tensor('q', queries, 1), tensor('k', keys, 2), tensor('v', keys, 3)] as const;
      const segments = {
        segmentStart: device.tensor('start', [rows.length], 'u32', start),
        segmentEnd: device.tensor('end', [rows.length], 'u32', end),
      };
      const gradients = inputs.map((input) => device.tensor('gradient', input.shape));
      inputs.forEach((input, index) => tape.watch(input, gradients[index] ?? input));
      const out = attention(tape, ...inputs, segments, options);
      const kept = tape.output(out);
      tape.seed(out, tensor('d out', queries, 4));
      tape.backward();
      (await tape.finish('padding')).run();
      const read = (await device.read([kept, ...gradients])) as Float32Array[];
      return new Map(
        rows.flatMap((row, place) =>
          row < 0
            ? []
            : [
                [
                  row,
                  Float32Array.from(
                    read.flatMap((each) => [
                      ...each.subarray((place * each.length) / rows.length, ((place + 1) * each.length) / rows.length),
                    ]),
                  ),
                ],
              ],
        ),
      );
    };
    const alone = await values(packed, [5, 9]);
    const behind = await values(padded, [1, 1, 1, 1, 1, 1, 1, 5, 1, 1, 1, 9]);
    for (const row of packed) expect(behind.get(row)).toEqual(alone.get(row));
  });

  test('2048 rows without a matrix of scores, forward and back', async () => {
    const rows = 2048;
    const options = { heads: 1, keyValueHeads: 1, headDimension: 4, causal: true };
    const arrays = { q: randomFloats(rows * 4, 1, 2), k: randomFloats(rows * 4, 2, 2), v: randomFloats(rows * 4, 3) };
    const tape = new Tape(new Workspace(device));
    const tensors = Object.fromEntries(
      Object.entries(arrays).map(([name, data]) => [name, device.tensor(name, [rows, 4], 'f32', data)]),
    ) as Record<'q' | 'k' | 'v', Tensor>;
    const { start, end } = segmentsOf([rows]);
    const segments = {
      segmentStart: device.tensor('start', [rows], 'u32', start),
      segmentEnd: device.tensor('end', [rows], 'u32', end),
    };
    const gradients = {
      q: device.tensor('dq', [rows, 4]),
      k: device.tensor('dk', [rows, 4]),
      v: device.tensor('dv', [rows, 4]),
    };
    for (const name of ['q', 'k', 'v'] as const) tape.watch(tensors[name], gradients[name]);
    const out = attention(tape, tensors.q, tensors.k, tensors.v, segments, options);
    const kept = tape.output(out);
    // Every 89th row is looked at.
    const isSeen = (index: number): boolean => Math.floor(index / 4) % 89 === 0;
    const dOut = randomFloats(rows * 4, 4).map((value, index) => (isSeen(index) ? value : 0));
    tape.seed(out, device.tensor('d out', [rows, 4], 'f32', dOut));
    tape.backward();
    expect(planMemory(tape.recorded).bytes).toBeLessThan((rows * rows * 4) / 16);
    (await tape.finish('long')).run();
    const exact = { q: Float64Array.from(arrays.q), k: Float64Array.from(arrays.k), v: Float64Array.from(arrays.v) };
    expect(
      relativeError(
        (await device.readFloats(kept)).filter((_, index) => isSeen(index)),
        oracle(exact, [rows], options, 89).filter((_, index) => isSeen(index)),
      ),
    ).toBeLessThan(3e-6);
    // The slope along one direction of all three inputs at once.
    const [first = new Float32Array(), ...others] = (await device.read([
      gradients.q,
      gradients.k,
      gradients.v,
    ])) as Float32Array[];
    const direction = [1, 2, 3].map((seed) => randomFloats(rows * 4, 10 + seed));
    const given = [first, ...others].reduce(
      (sum, gradient, input) =>
        sum + gradient.reduce((part, value, index) => part + value * at(direction[input] ?? [], index), 0),
      0,
    );
    const along = (sign: number): number => {
      const moved = (values: Float64Array, input: number): Float64Array =>
        values.map((value, index) => value + sign * 1e-4 * at(direction[input] ?? [], index));
      return oracle({ q: moved(exact.q, 0), k: moved(exact.k, 1), v: moved(exact.v, 2) }, [rows], options, 89).reduce(
        (sum, value, index) => sum + value * at(dOut, index),
        0,
      );
    };
    const slope = (along(1) - along(-1)) / 2e-4;
    expect(Math.abs(given - slope)).toBeLessThan(1e-3);
    expect(Math.abs(slope)).toBeGreaterThan(1e-2);
  });

  test('a key that is not a number shows in the rows that see it, and in no other', async () => {
    const { start, end } = segmentsOf([6, 3]);
    const tape = new Tape(new Workspace(device));
    const k = randomFloats(9 * 8, 2);
    k[2 * 8] = Number.NaN;
    const inputs = [
      device.tensor('q', [9, 8], 'f32', randomFloats(72, 1)),
      device.tensor('k', [9, 8], 'f32', k),
      device.tensor('v', [9, 8], 'f32', randomFloats(72, 3)),
    ] as const;
    const segments = {
      segmentStart: device.tensor('start', [9], 'u32', start),
      segmentEnd: device.tensor('end', [9], 'u32', end),
    };
    const out = tape.output(
      attention(tape, ...inputs, segments, { heads: 1, keyValueHeads: 1, headDimension: 8, causal: true }),
    );
    (await tape.finish('not a number')).run();
    const values = await device.readFloats(out);
    const isFinite = Array.from({ length: 9 }, (_, row) =>
      values.subarray(row * 8, row * 8 + 8).every(Number.isFinite),
    );
    expect(isFinite).toEqual([true, true, false, false, false, false, true, true, true]);
  });

  test('refuses heads that do not divide', () => {
    const tape = new Tape(new Workspace(device));
    const rows = tape.empty('rows', [2, 24]);
    const words = tape.empty('words', [2], 'u32');
    const segments = { segmentStart: words, segmentEnd: words };
    expect(() =>
      attention(tape, rows, rows, rows, segments, { heads: 3, keyValueHeads: 2, headDimension: 8, causal: true }),
    ).toThrow(/3 heads/);
  });
});
