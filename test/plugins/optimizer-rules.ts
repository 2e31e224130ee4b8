/** Rules of optimizers in float64, written from the papers: what the kernels are held against. */
import { at } from '../../core/testing.ts';

export interface HostTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly weights: Float64Array;
  readonly first: Float64Array;
  readonly second: Float64Array;
}

/** Moves a tensor by its (already clipped) gradient; `step` counts from 1. */
export type Rule = (tensor: HostTensor, gradient: Float64Array, step: number) => void;

export function adamwRule(rate: number, decay: number, b1: number, b2: number, epsilon = 1e-8): Rule {
  return ({ shape, weights, first, second }, gradient, step) => {
    gradient.forEach((g, index) => {
      const m = b1 * at(first, index) + (1 - b1) * g;
      const v = b2 * at(second, index) + (1 - b2) * g * g;
      first[index] = m;
      second[index] = v;
      weights[index] =
        at(weights, index) * (shape.length > 1 ? 1 - rate * decay : 1) -
        (rate * (m / (1 - b1 ** step))) / (Math.sqrt(v / (1 - b2 ** step)) + epsilon);
    });
  };
}

export function lionRule(rate: number, decay: number, b1: number, b2: number): Rule {
  return ({ shape, weights, first }, gradient) => {
    gradient.forEach((g, index) => {
      const m = at(first, index);
      weights[index] =
        at(weights, index) * (shape.length > 1 ? 1 - rate * decay : 1) - rate * Math.sign(b1 * m + (1 - b1) * g);
      first[index] = b2 * m + (1 - b2) * g;
    });
  };
}

export function sgdRule(rate: number, decay: number, momentum: number): Rule {
  return ({ shape, weights, first }, gradient) => {
    gradient.forEach((g, index) => {
      first[index] = momentum * at(first, index) + g;
      weights[index] = at(weights, index) * (shape.length > 1 ? 1 - rate * decay : 1) - rate * at(first, index);
    });
  };
}

export function muonRule(rate: number, decay: number, b1: number, b2: number, momentum: number): Rule {
  const adamw = adamwRule(rate, decay, b1, b2);
  return (tensor, gradient, step) => {
    const { name, shape, weights, first } = tensor;
    const [rows = 0, columns = 0] = shape;
    if (shape.length !== 2 || name.includes('embed')) {
      adamw(tensor, gradient, step);
      return;
    }
    const direction = gradient.map((g, index) => {
      first[index] = momentum * at(first, index) + g;
      return g + momentum * at(first, index);
    });
    const scale = 0.2 * Math.sqrt(Math.max(rows, columns));
    orthogonalised(direction, rows, columns).forEach((value, index) => {
      weights[index] = at(weights, index) * (1 - rate * decay) - rate * scale * value;
    });
  };
}

/** Five Newton–Schulz steps, always on the matrix as it is: X ← aX + (bXXᵀ + c(XXᵀ)²)X. */
function orthogonalised(matrix: Float64Array, rows: number, columns: number): Float64Array {
  const norm = Math.sqrt(matrix.reduce((sum, value) => sum + value * value, 0));
  let x = matrix.map((value) => value / (norm + 1e-7));
  for (let step = 0; step < 5; step++) {
    const gram = product(x, transposed(x, rows, columns), rows, columns, rows);
    const square = product(gram, gram, rows, rows, rows);
    const factor = gram.map((value, index) => -4.775 * value + 2.0315 * at(square, index));
    const turned = product(factor, x, rows, rows, columns);
    x = x.map((value, index) => 3.4445 * value + at(turned, index));
  }
  return x;
}

function product(a: Float64Array, b: Float64Array, rows: number, inner: number, columns: number): Float64Array {
  return Float64Array.from({ length: rows * columns }, (_, index) => {
    const [row, column] = [Math.floor(index / columns), index % columns];
    let sum = 0;
    for (let k = 0; k < inner; k++) sum += at(a, row * inner + k) * at(b, k * columns + column);
    return sum;
  });
}

function transposed(a: Float64Array, rows: number, columns: number): Float64Array {
  return Float64Array.from({ length: rows * columns }, (_, index) =>
    at(a, (index % rows) * columns + Math.floor(index / rows)),
  );
}

/**
 * AdamW whose moments live in bytes between steps, rounded by the words the kernel draws: a word depends on the element's place in the
 * arena, where every tensor begins at a multiple of 64 in the order of `layout`, and on the step.
 */
export function codedAdamwRule(
  rate: number,
  decay: number,
  b1: number,
  b2: number,
  layout: readonly { readonly name: string; readonly shape: readonly number[] }[],
): Rule {
  const places = new Map<string, number>();
  let end = 0;
  for (const { name, shape } of layout) {
    places.set(name, end);
    end += Math.ceil(shape.reduce((product_, n) => product_ * n, 1) / 64) * 64;
  }
  const adamw = adamwRule(rate, decay, b1, b2);
  return (tensor, gradient, step) => {
    adamw(tensor, gradient, step);
    const place = places.get(tensor.name) ?? 0;
    const { first, second } = tensor;
    for (let start = 0; start < first.length; start += 64) {
      const stop = Math.min(start + 64, first.length);
      const scale1 = Math.max(...first.subarray(start, stop).map(Math.abs));
      const scale2 = Math.max(...second.subarray(start, stop));
      for (let index = start; index < stop; index++) {
        const word = hash((place + index + hash((step + hash(0)) >>> 0)) >>> 0);
        const m = at(first, index);
        const v = at(second, index);
        first[index] = Math.sign(m) * scale1 * rounded(Math.abs(m) / scale1, 127, 2, (word >>> 16) / 65536, 0);
        second[index] = scale2 * rounded(v / scale2, 255, 4, (word & 0xffff) / 65536, v > 0 ? 1 : 0);
      }
    }
  };
}

/** The one of the two codes' values (code / top)^power around `value` that `chance` picks; its mean is `value`. */
function rounded(value: number, top: number, power: number, chance: number, least: number): number {
  const below = Math.min(Math.floor(value ** (1 / power) * top), top - 1);
  const low = (below / top) ** power;
  const high = ((below + 1) / top) ** power;
  const code = below + (chance < (value - low) / (high - low) ? 1 : 0);
  return (Math.max(code, least) / top) ** power;
}

function hash(value: number): number {
  const state = (Math.imul(value, 747796405) + 2891336453) >>> 0;
  const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0;
  return ((word >>> 22) ^ word) >>> 0;
}
