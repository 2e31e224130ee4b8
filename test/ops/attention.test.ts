import { describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/program.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { attention, type AttentionOptions } from '../../core/ops/attention.ts';
import { at, checkOp, randomFloats } from '../../core/testing.ts';
import { testDevices } from './device.ts';

interface Arrays {
  readonly q: Float64Array;
  readonly k: Float64Array;
  readonly v: Float64Array;
}

function oracle({ q, k, v }: Arrays, lengths: readonly number[], { heads, keyValueHeads, headDimension, causal, scale }: AttentionOptions): Float64Array {
  const factor = scale ?? 1 / Math.sqrt(headDimension);
  const out = new Float64Array(q.length);
  let start = 0;
  for (const length of lengths) {
    for (let row = start; row < start + length; row++) {
      for (let head = 0; head < heads; head++) {
        const queryBase = (row * heads + head) * headDimension;
        const base = (key: number): number => (key * keyValueHeads + Math.floor(head / (heads / keyValueHeads))) * headDimension;
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
          for (let c = 0; c < headDimension; c++) out[queryBase + c] = at(out, queryBase + c) + p * at(v, base(key) + c);
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
  // Unrolled loops over wide heads, the path of a GPU, take a software adapter minutes to compile.
  const isRolled = device.adapter.isSoftware;

  const run = async (lengths: readonly number[], options: AttentionOptions, spread = 1.5): Promise<void> => {
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
      await run(lengths, { heads: 4, keyValueHeads: 2, headDimension: 16, causal });
    });
  });

  test.each(shapes.filter(([, , headDimension]) => isRolled || headDimension <= 16))('%i heads over %i of %i', async (heads, keyValueHeads, headDimension) => {
    await run([11, 2, 6], { heads, keyValueHeads, headDimension, causal: true });
  });

  test.runIf(isRolled)('a wide head, as in the codec', async () => {
    await run([9], { heads: 1, keyValueHeads: 1, headDimension: 128, causal: false });
  });

  test('an odd head width', async () => {
    await run([5, 4], { heads: 2, keyValueHeads: 1, headDimension: 12, causal: true });
  });

  test('scores far apart, and a scale of its own', async () => {
    await run([19], { heads: 2, keyValueHeads: 2, headDimension: 8, causal: true, scale: 1.7 }, 4);
  });

  test('refuses heads that do not divide', () => {
    const tape = new Tape(new Workspace(device));
    const rows = tape.empty('rows', [2, 24]);
    const words = tape.empty('words', [2], 'u32');
    const segments = { segmentStart: words, segmentEnd: words };
    expect(() => attention(tape, rows, rows, rows, segments, { heads: 3, keyValueHeads: 2, headDimension: 8, causal: true })).toThrow(/3 heads/);
  });
});
