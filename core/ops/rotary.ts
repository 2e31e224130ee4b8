import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';

export interface RotaryOptions {
  readonly heads: number;
  /** A multiple of 8, at most 512. */
  readonly headDimension: number;
  /** The base, 10000 in LLaMA. */
  readonly theta: number;
  /** Which components turn together; halves unless told. */
  readonly pairing?: 'halves' | 'neighbors';
}

/**
 * Rotary positions: x [N, heads · headDimension], positions u32 [N] → the same shape. Pairs of a head turn by position ·
 * theta^(−2j/headDimension): (j, j + headDimension/2) when halves are paired, as in LLaMA; (2j, 2j + 1) when neighbors are. For pictures,
 * positions [N, 2] (row, column) turn the first half of the neighbor pairs by row and the second by column, each half with the
 * frequencies of a head half as wide, as in LlamaGen. Backward turns the other way. Good to 2 ulp of the angle below position 16384.
 */
export function rotary(tape: Tape, x: Tensor, positions: Tensor, options: RotaryOptions): Tensor {
  const { heads, headDimension, pairing = 'halves' } = options;
  const rows = dimension(positions, 0);
  const axes = positions.shape.length === 1 ? 1 : dimension(positions, 1);
  if (
    headDimension % 8 !== 0 ||
    headDimension > 512 ||
    dimension(x, -1) !== heads * headDimension ||
    sizeOf(x.shape) !== rows * heads * headDimension
  ) {
    throw new RangeError(
      `rotary: ${x.name} [${x.shape}] is not ${rows} rows of ${heads} heads of ${headDimension} (a multiple of 8, at most 512)`,
    );
  }
  if (axes > 2 || (axes === 2 && pairing === 'halves'))
    throw new RangeError(`rotary: positions [${positions.shape}] with pairs of ${pairing}`);
  const turned = pairing === 'halves' ? turnHalves : turnNeighbors;
  const out = turned(tape, x, positions, options, 1);
  tape.differentiable([x], out, (dOut) => [turned(tape, dOut, positions, options, -1)]);
  return out;
}

function turnHalves(
  tape: Tape,
  x: Tensor,
  positions: Tensor,
  { heads, headDimension, theta }: RotaryOptions,
  direction: 1 | -1,
): Tensor {
  const rows = sizeOf(positions.shape);
  const half = headDimension / 2;
  const out = tape.empty(`${x.name} turned`, x.shape);
  tape.launch({
    kernel: 'rotary/turn',
    bindings: { x, positions, out },
    params: { rows, heads, half_width: half / 4, direction, ...rotaryPowers(theta, headDimension) },
    groups: grid(Math.ceil((rows * half) / 4 / 64)),
  });
  return out;
}

function turnNeighbors(
  tape: Tape,
  x: Tensor,
  positions: Tensor,
  { heads, headDimension, theta }: RotaryOptions,
  direction: 1 | -1,
): Tensor {
  const rows = dimension(positions, 0);
  const axes = sizeOf(positions.shape) / rows;
  const width = headDimension / 4;
  const out = tape.empty(`${x.name} turned`, x.shape);
  tape.launch({
    kernel: 'rotary/turn-pairs',
    bindings: { x, positions, out },
    params: { rows, heads, width, axes, direction, ...rotaryPowers(theta, headDimension / axes) },
    groups: grid(Math.ceil((rows * width) / 64)),
  });
  return out;
}

/** The kernels' parameters power_0 … power_7: θ^(−2^bit / h), h half a head. */
export function rotaryPowers(theta: number, headDimension: number): Record<string, number> {
  return Object.fromEntries(
    Array.from({ length: 8 }, (_, bit) => [`power_${bit}`, theta ** (-(2 ** bit) / (headDimension / 2))]),
  );
}
