import { describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { rotary } from '../../core/ops/rotary.ts';
import { turnedAlong } from '../../core/testing/oracles.ts';
import { at, checkOp, randomFloats, randomWords } from '../../core/testing.ts';
import { testDevice } from './device.ts';

const device = await testDevice();

function oracle(
  x: Float64Array,
  positions: Float64Array,
  heads: number,
  headDimension: number,
  theta: number,
): Float64Array {
  const half = headDimension / 2;
  const out = new Float64Array(x.length);
  positions.forEach((position, row) => {
    for (let head = 0; head < heads; head++) {
      const base = (row * heads + head) * headDimension;
      for (let j = 0; j < half; j++) {
        const angle = position * theta ** (-j / half);
        const a = at(x, base + j);
        const b = at(x, base + half + j);
        out[base + j] = a * Math.cos(angle) - b * Math.sin(angle);
        out[base + half + j] = b * Math.cos(angle) + a * Math.sin(angle);
      }
    }
  });
  return out;
}

/** Pair j of a head by the axis it belongs to, with LlamaGen's frequencies. */
function neighbors(
  x: Float64Array,
  positions: Float64Array,
  heads: number,
  headDimension: number,
  axes: number,
  theta: number,
): Float64Array {
  const out = new Float64Array(x.length);
  const pairs = headDimension / 2 / axes;
  for (let place = 0; place < x.length; place += 2) {
    const row = Math.floor(place / (heads * headDimension));
    const pair = (place % headDimension) / 2;
    const angle = at(positions, row * axes + Math.floor(pair / pairs)) * theta ** (-(pair % pairs) / pairs);
    out[place] = at(x, place) * Math.cos(angle) - at(x, place + 1) * Math.sin(angle);
    out[place + 1] = at(x, place + 1) * Math.cos(angle) + at(x, place) * Math.sin(angle);
  }
  return out;
}

/** Axis and frequency of every pair of half a head, written as the models' descriptions say it. */
function pairsOf(
  order: 'contiguous' | 'interleaved' | 'axial',
  sections: readonly number[],
  half: number,
  theta: number,
): [number, number][] {
  const [first = 0, second = 0, third = 0] = sections;
  return Array.from({ length: half }, (_, j) => {
    // Pairs beyond the sections count on in the last.
    const axis = Math.min(Math.floor(j / first), sections.length - 1);
    if (order === 'axial') return [axis, theta ** (-(j - axis * first) / first)];
    const frequency = theta ** (-j / half);
    if (order === 'contiguous') return [j < first ? 0 : j < first + second ? 1 : 2, frequency];
    if (j % 3 === 1 && j < 3 * second) return [1, frequency];
    return [j % 3 === 2 && j < 3 * third ? 2 : 0, frequency];
  });
}

describe('rotary', () => {
  // An angle is known to half an ulp only: at position 16000 that alone is 1e-3 of a turn's sine, in any f32 implementation.
  test.each([
    [1, 1, 8, 64, 1e-6],
    [13, 3, 16, 64, 4e-6],
    [67, 4, 32, 600, 4e-5],
    [5, 1, 128, 600, 4e-5],
    [3, 2, 512, 16000, 1e-3],
  ])('%i rows, %i heads of %i, positions below %i', async (rows, heads, headDimension, limit, valueTolerance) => {
    const count = rows * heads * headDimension;
    await checkOp({
      device,
      inputs: {
        x: { shape: [rows, heads * headDimension], data: randomFloats(count, 1) },
        positions: { shape: [rows], data: randomWords(rows, 2, limit) },
      },
      op: (tape, { x, positions }) => rotary(tape, x, positions, { heads, headDimension, theta: 10000 }),
      oracle: ({ x, positions }) => oracle(x, positions, heads, headDimension, 10000),
      valueTolerance,
      gradientTolerance: Math.max(1e-5, 10 * valueTolerance),
    });
  });

  test.each([
    [1, 1, 8, 1],
    [13, 3, 16, 1],
    [13, 3, 16, 2],
    [67, 2, 40, 2],
    [5, 1, 512, 2],
  ])('neighbors: %i rows, %i heads of %i, %i axes', async (rows, heads, headDimension, axes) => {
    await checkOp({
      device,
      inputs: {
        x: { shape: [rows, heads * headDimension], data: randomFloats(rows * heads * headDimension, 1) },
        positions: { shape: axes === 1 ? [rows] : [rows, axes], data: randomWords(rows * axes, 2, 64) },
      },
      op: (tape, { x, positions }) =>
        rotary(tape, x, positions, { heads, headDimension, theta: 10000, pairing: 'neighbors' }),
      oracle: ({ x, positions }) => neighbors(x, positions, heads, headDimension, axes, 10000),
      valueTolerance: 4e-6,
      gradientTolerance: 4e-5,
    });
  });

  // Published: heads of 128 in text, of 64, 72 and 80 in towers.
  test.each([
    ['contiguous', 2, 16, [2, 3, 3]],
    ['contiguous', 1, 8, [1, 1, 2]],
    ['contiguous', 2, 128, [16, 24, 24]],
    ['interleaved', 2, 16, [4, 2, 2]],
    ['interleaved', 1, 16, [2, 3, 3]],
    ['interleaved', 2, 128, [24, 20, 20]],
    ['axial', 2, 24, [6, 6]],
    ['axial', 1, 72, [18, 18]],
    ['axial', 1, 80, [20, 20]],
    ['axial', 2, 24, [5, 5]],
  ] as const)('%s sections, %i heads of %i in %j', async (order, heads, headDimension, sections) => {
    const [rows, theta] = [13, 10000];
    const axes = sections.length;
    // A pair of no axis may turn by anything: it holds zeros.
    const turning = sections.reduce((sum, size) => sum + size, 0);
    const half = headDimension / 2;
    const data = randomFloats(rows * heads * headDimension, 1).map((value, i) => (i % half < turning ? value : 0));
    await checkOp({
      device,
      inputs: {
        x: { shape: [rows, heads * headDimension], data },
        positions: { shape: [rows, axes], data: randomWords(rows * axes, 2, 64) },
      },
      op: (tape, { x, positions }) =>
        rotary(tape, x, positions, { heads, headDimension, theta, axes: { sections, order } }),
      oracle: ({ x, positions }) =>
        turnedAlong(x, positions, heads, headDimension, axes, pairsOf(order, sections, half, theta)),
      valueTolerance: 4e-6,
      gradientTolerance: 4e-5,
    });
  });

  test('axes at one position turn as one axis does', async () => {
    const [rows, heads, headDimension] = [9, 2, 16];
    const data = randomFloats(rows * heads * headDimension, 1);
    const positions = randomWords(rows, 2, 2000);
    const turn = async (axes: 1 | 3, order: 'contiguous' | 'interleaved'): Promise<Float32Array> => {
      const tape = new Tape(new Workspace(device));
      const x = device.tensor('x', [rows, heads * headDimension], 'f32', data);
      const all = Uint32Array.from({ length: rows * axes }, (_, i) => at(positions, Math.floor(i / axes)));
      const places = device.tensor('positions', axes === 1 ? [rows] : [rows, axes], 'u32', all);
      const sections = { axes: { sections: [2, 3, 3], order } };
      const options = { heads, headDimension, theta: 1e4, ...(axes === 3 && sections) };
      const kept = tape.output(rotary(tape, x, places, options));
      (await tape.finish('turn')).run();
      return device.readFloats(kept);
    };
    const one = await turn(1, 'contiguous');
    expect(await turn(3, 'contiguous')).toEqual(one);
    expect(await turn(3, 'interleaved')).toEqual(one);
  });

  test('refuses a head that cannot be halved into vectors', () => {
    const tape = new Tape(new Workspace(device));
    const plane = tape.empty('positions', [2, 2], 'u32');
    expect(() => rotary(tape, tape.empty('x', [2, 16]), plane, { heads: 1, headDimension: 16, theta: 1e4 })).toThrow(
      /pairs of halves/,
    );
    expect(() =>
      rotary(tape, tape.empty('x', [2, 16]), plane, {
        heads: 1,
        headDimension: 16,
        theta: 1e4,
        axes: { sections: [5, 4], order: 'contiguous' },
      }),
    ).toThrow(/sections of 5, 4 pairs in a head of 16/);
    expect(() =>
      rotary(tape, tape.empty('x', [2, 12]), tape.empty('positions', [2], 'u32'), {
        heads: 1,
        headDimension: 12,
        theta: 1e4,
      }),
    ).toThrow(/multiple of 8/);
  });
});
