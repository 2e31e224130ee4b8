/**
 * Rotary positions (half-split, as in LLaMA): x [N, heads · headDimension], positions u32 [N] → the same shape.
 * Pairs (j, j + headDimension/2) turn by position · theta^(−2j/headDimension). Backward turns the other way.
 * Good to 2 ulp of the angle below position 16384; headDimension is a multiple of 8, at most 512.
 */
import { grid } from '../autograd/program.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';

export interface RotaryOptions {
  readonly heads: number;
  readonly headDimension: number;
  /** The base, 10000 in LLaMA. */
  readonly theta: number;
}

export function rotary(tape: Tape, x: Tensor, positions: Tensor, options: RotaryOptions): Tensor {
  const { heads, headDimension } = options;
  if (headDimension % 8 !== 0 || headDimension > 512 || dimension(x, -1) !== heads * headDimension) {
    throw new RangeError(`rotary: ${x.name} [${x.shape}] is not ${heads} heads of ${headDimension} (a multiple of 8, at most 512)`);
  }
  const out = turn(tape, x, positions, options, 1);
  tape.differentiable([x], out, (dOut) => [turn(tape, dOut, positions, options, -1)]);
  return out;
}

function turn(tape: Tape, x: Tensor, positions: Tensor, { heads, headDimension, theta }: RotaryOptions, direction: 1 | -1): Tensor {
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

/** The kernels' parameters power_0 … power_7: θ^(−2^bit / h), h half a head. */
export function rotaryPowers(theta: number, headDimension: number): Record<string, number> {
  return Object.fromEntries(Array.from({ length: 8 }, (_, bit) => [`power_${bit}`, theta ** (-(2 ** bit) / (headDimension / 2))]));
}
