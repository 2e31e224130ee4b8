import { describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { rotary } from '../../core/ops/rotary.ts';
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

  test('refuses a head that cannot be halved into vectors', () => {
    const tape = new Tape(new Workspace(device));
    const plane = tape.empty('positions', [2, 2], 'u32');
    expect(() => rotary(tape, tape.empty('x', [2, 16]), plane, { heads: 1, headDimension: 16, theta: 1e4 })).toThrow(
      /pairs of halves/,
    );
    expect(() =>
      rotary(tape, tape.empty('x', [2, 12]), tape.empty('positions', [2], 'u32'), {
        heads: 1,
        headDimension: 12,
        theta: 1e4,
      }),
    ).toThrow(/multiple of 8/);
  });
});
