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
  /** Of positions with several axes, where halves are paired. */
  readonly axes?: RotaryAxes | undefined;
}

/** Which axis of a position turns which pairs (j, j + headDimension/2) of a head. */
export interface RotaryAxes {
  /** Pairs of each axis, two or three axes; pairs beyond their sum are of no axis, and hold zeros. */
  readonly sections: readonly number[];
  /**
   * `contiguous`: the pairs of the first axis, then those of the second, …, each pair with the frequency of its own place (M-RoPE, Qwen2.5-VL).
   * `interleaved`: axis 1 has the pairs j with j mod n = 1, n axes, below n · sections[1], axis 2 likewise, axis 0 the others (Qwen3-VL).
   * `axial`: contiguous sections of equal size, each with the frequencies θ^(−i/size) from the first on (vision towers).
   */
  readonly order: 'contiguous' | 'interleaved' | 'axial';
}

/**
 * Rotary positions: x [N, heads · headDimension], positions u32 [N] → the same shape. Pairs of a head turn by position ·
 * theta^(−2j/headDimension): (j, j + headDimension/2) when halves are paired, as in LLaMA; (2j, 2j + 1) when neighbors are. For pictures,
 * positions [N, 2] (row, column) turn the first half of the neighbor pairs by row and the second by column, each half with the
 * frequencies of a head half as wide, as in LlamaGen; halves with positions [N, 2 or 3] turn as `axes` says. Backward turns the other way.
 * Good to 2 ulp of the angle below position 16384.
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
  const wanted = pairing === 'neighbors' ? Math.min(axes, 2) : (options.axes?.sections.length ?? 1);
  if (axes !== wanted) throw new RangeError(`rotary: positions [${positions.shape}] with pairs of ${pairing}`);
  if (options.axes !== undefined) refuseSections(options.axes, headDimension);
  const turned = pairing === 'halves' ? turnHalves : turnNeighbors;
  const out = turned(tape, x, positions, options, 1);
  tape.differentiable([x], out, (dOut) => [turned(tape, dOut, positions, options, -1)]);
  return out;
}

function turnHalves(
  tape: Tape,
  x: Tensor,
  positions: Tensor,
  { heads, headDimension, theta, axes }: RotaryOptions,
  direction: 1 | -1,
): Tensor {
  const rows = dimension(positions, 0);
  const half = headDimension / 2;
  const out = tape.empty(`${x.name} turned`, x.shape);
  const [first = 0, second = 0, third = 0] = axes?.sections ?? [];
  const isInterleaved = axes?.order === 'interleaved';
  const isAxial = axes?.order === 'axial';
  const count = axes?.sections.length ?? 1;
  const bounds = isInterleaved ? [count * second, count * third] : [first, count > 2 ? first + second : half];
  tape.launch({
    kernel: 'rotary/turn',
    constants: { AXES: count, INTERLEAVED: isInterleaved, AXIAL: isAxial },
    bindings: { x, positions, out },
    params: {
      rows,
      heads,
      half_width: half / 4,
      direction,
      bound_1: bounds[0] ?? 0,
      bound_2: bounds[1] ?? 0,
      ...rotaryPowers(theta, isAxial ? 2 * first : headDimension),
    },
    groups: grid(Math.ceil((rows * half) / 4 / 64)),
  });
  return out;
}

function refuseSections({ sections, order }: RotaryAxes, headDimension: number): void {
  const sum = sections.reduce((total, size) => total + size, 0);
  const isUneven = order === 'axial' && sections.some((size) => size !== sections[0]);
  if (sections.length < 2 || sections.length > 3 || sum > headDimension / 2 || isUneven)
    throw new RangeError(`rotary: ${order} sections of ${sections.join(', ')} pairs in a head of ${headDimension}`);
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
