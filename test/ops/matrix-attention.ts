/** Attention on subgroup matrices and what float64 makes of it, for the tests of its kernels and of kernels that are wrong. */
import { Tape } from '../../core/autograd/tape.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import type { Device } from '../../core/gpu/device.ts';
import type { MatrixPrecision, MatrixProducts } from '../../core/gpu/matrix-products.ts';
import { attention, type AttentionOptions } from '../../core/ops/attention.ts';
import { matrixErrorBound } from '../../core/ops/linear-matrix.ts';
import type { Tensor } from '../../core/tensor/tensor.ts';
import { at, randomFloats } from '../../core/testing.ts';

/** q and dOut [rows, heads · head], k and v [rows, keyValueHeads · head]. */
export interface Inputs {
  readonly q: Float32Array;
  readonly k: Float32Array;
  readonly v: Float32Array;
  readonly dOut: Float32Array;
}
export interface Results<Values = Float32Array> {
  readonly out: Values;
  readonly dQ: Values;
  readonly dK: Values;
  readonly dV: Values;
}

export function rowsOf(lengths: readonly number[]): number {
  return lengths.reduce((sum, length) => sum + length, 0);
}

/** `spread`: of q and k; derivatives as small as those of a mean over thousands of tokens. */
export function inputsFor(lengths: readonly number[], options: AttentionOptions, spread = 1.5): Inputs {
  const { heads, keyValueHeads, headDimension } = options;
  const [queries, keys] = [heads, keyValueHeads].map((count) => rowsOf(lengths) * count * headDimension) as [
    number,
    number,
  ];
  return {
    q: randomFloats(queries, 1, spread),
    k: randomFloats(keys, 2, spread),
    v: randomFloats(keys, 3),
    dOut: randomFloats(queries, 4, 1e-6),
  };
}

/** The row of each segment's first key and the row after its last, for every row. */
export function segmentsOf(lengths: readonly number[]): Readonly<Record<'start' | 'end', Uint32Array>> {
  const firsts = lengths.map((_, index) => rowsOf(lengths.slice(0, index)));
  const spread = (of: (index: number) => number): Uint32Array =>
    Uint32Array.from(lengths.flatMap((length, index) => Array.from({ length }, () => of(index))));
  return {
    start: spread((index) => at(firsts, index)),
    end: spread((index) => at(firsts, index) + at(lengths, index)),
  };
}

interface Run {
  readonly device: Device;
  /** Undefined: by the f32 kernels. */
  readonly products?: MatrixProducts | undefined;
  readonly lengths: readonly number[];
  readonly options: AttentionOptions;
  readonly inputs: Inputs;
  /** Instead of the kernel of that name. */
  readonly kernel?: URL;
  readonly insteadOf?: string;
}

export async function attend({ device, products, lengths, options, inputs, kernel, insteadOf }: Run): Promise<Results> {
  const rows = rowsOf(lengths);
  const workspace = new Workspace(device, products);
  const tape = new Tape(workspace);
  const made: Tensor[] = [];
  const make = (name: string, values: Float32Array | Uint32Array): Tensor => {
    const type = values instanceof Float32Array ? 'f32' : 'u32';
    const tensor = device.tensor(name, type === 'f32' ? [rows, values.length / rows] : [rows], type, values);
    made.push(tensor);
    return tensor;
  };
  const tensors = [make('q', inputs.q), make('k', inputs.k), make('v', inputs.v)] as const;
  const { start, end } = segmentsOf(lengths);
  const segments = { segmentStart: make('start', start), segmentEnd: make('end', end) };
  const gradients = tensors.map((tensor) => make(`d ${tensor.name}`, new Float32Array(rows * at(tensor.shape, 1))));
  tensors.forEach((tensor, index) => tape.watch(tensor, gradients[index]!));
  const out = attention(tape, ...tensors, segments, options);
  const kept = tape.output(out);
  made.push(kept);
  tape.seed(out, make('d out', inputs.dOut));
  tape.backward();
  if (kernel !== undefined) {
    const steps = tape.recorded as unknown as { kernel?: string | URL }[];
    steps.forEach((step, place) => {
      if (step.kernel === insteadOf) steps[place] = { ...step, kernel };
    });
  }
  const program = await tape.finish('attention');
  program.run();
  const [found, dQ, dK, dV] = (await device.read([kept, ...gradients])) as [
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  program.dispose();
  workspace.close();
  for (const tensor of made) device.destroyTensor(tensor);
  return { out: found, dQ, dK, dV };
}

/** A value in float64 and by how much it may be wrong. */
export interface Bounded {
  readonly value: Float64Array;
  readonly bound: Float64Array;
}

/**
 * In float64, with bounds that follow from how the kernels round. With those of the products q·k and dOut·v (`matrixErrorBound`): a probability is
 * wrong by the error of two scores and of exp, a derivative dS by that of its probability, of dOut·v and of delta. In the sums over keys (rows)
 * weights and lines are rounded once more, what is far smaller than the largest of its line and tile is lost, and sums of a tile are in the order
 * of matrices, those of tiles in f32.
 */
export function exactly(
  precision: MatrixPrecision,
  lengths: readonly number[],
  { heads, keyValueHeads, headDimension: d, causal, scale = 1 / Math.sqrt(d) }: AttentionOptions,
  { q, k, v, dOut }: Inputs,
): Results<Bounded> {
  const { start, end } = segmentsOf(lengths);
  const rows = rowsOf(lengths);
  const isSplit = precision === 'f32-split';
  const rounding = isSplit ? 3.01 * 2 ** -22 : 2.01 * 2 ** -11;
  // Of 32 in a tile, each up to twice as large as what it is measured by.
  const lost = 65 * (isSplit ? 2 ** -38 : 2 ** -27);
  // What is below 2^-126 may become 0, once for a probability and once for a sum.
  const underflow = 2 ** -125;
  const bounded = (length: number): Bounded => ({ value: new Float64Array(length), bound: new Float64Array(length) });
  const [out, dQ, dK, dV] = [bounded(q.length), bounded(q.length), bounded(k.length), bounded(k.length)];
  const inner = (x: Float32Array, first: number, y: Float32Array, second: number) => {
    const sums = { value: 0, products: 0, a: 0, b: 0, A: 0, B: 0, K: d };
    for (let c = 0; c < d; c++) {
      const [left, right] = [at(x, first + c), at(y, second + c)];
      sums.value += left * right;
      sums.products += Math.abs(left * right);
      sums.a += Math.abs(left);
      sums.b += Math.abs(right);
      sums.A = Math.max(sums.A, Math.abs(left));
      sums.B = Math.max(sums.B, Math.abs(right));
    }
    return { ...sums, error: matrixErrorBound(precision, sums) };
  };
  /** to[base …] += weight · x[other …]; `error` and `size`: of the weight; `terms`: of the whole sum. */
  const add = (
    to: Bounded,
    base: number,
    x: Float32Array,
    other: number,
    { weight, error, size, terms }: Readonly<Record<'weight' | 'error' | 'size' | 'terms', number>>,
  ): void => {
    let largest = 0;
    for (let c = 0; c < d; c++) largest = Math.max(largest, Math.abs(at(x, other + c)));
    for (let c = 0; c < d; c++) {
      const value = at(x, other + c);
      to.value[base + c] = at(to.value, base + c) + weight * value;
      const share = rounding + (44 + terms / 32) * 2 ** -23;
      to.bound[base + c] =
        at(to.bound, base + c) + (error + size * share) * Math.abs(value) + size * lost * largest + underflow;
    }
  };
  for (let row = 0; row < rows; row++)
    for (let head = 0; head < heads; head++) {
      const base = (row * heads + head) * d;
      const first = at(start, row);
      const count = (causal ? row + 1 : at(end, row)) - first;
      const seenBy = at(end, row) - first;
      const bases = Array.from({ length: count }, (_, i) => {
        return ((first + i) * keyValueHeads + Math.floor((head * keyValueHeads) / heads)) * d;
      });
      const products = bases.map((key) => inner(q, base, k, key));
      const scores = products.map(({ value }) => value * scale);
      const top = Math.max(...scores);
      const total = scores.reduce((sum, score) => sum + Math.exp(score - top), 0);
      const p = scores.map((score) => Math.exp(score - top) / total);
      const furthest = Math.max(...scores.map((score) => Math.abs(score)), top - Math.min(...scores));
      const apart = scale * Math.max(...products.map(({ error }) => error)) + (8 + 4 * furthest) * 2 ** -23;
      const ofP = Math.expm1(2 * apart) + (count / 32) * 2 ** -23;
      const errorOfP = (j: number): number => at(p, j) * ofP + underflow;
      bases.forEach((key, j) => {
        add(out, base, v, key, { weight: at(p, j), error: errorOfP(j), size: at(p, j), terms: count });
      });
      const slopes = bases.map((key) => inner(dOut, base, v, key));
      let [delta, deltaSize, deltaError] = [0, 0, 0];
      const largest = dOut.subarray(base, base + d).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      for (let c = 0; c < d; c++) {
        delta += at(dOut, base + c) * at(out.value, base + c);
        deltaSize += Math.abs(at(dOut, base + c) * at(out.value, base + c));
        deltaError += Math.abs(at(dOut, base + c)) * (1 + rounding) * at(out.bound, base + c);
        deltaError += lost * largest * Math.abs(at(out.value, base + c));
      }
      deltaError += deltaSize * (rounding + (d + 4) * 2 ** -23);
      bases.forEach((key, j) => {
        const [own, slope] = [at(p, j), slopes[j]!];
        const reach = slope.products + Math.abs(delta);
        const size = own * reach;
        const error =
          (own + errorOfP(j)) * (slope.error + deltaError) + reach * (errorOfP(j) + own * 2 ** -21) + underflow;
        const weight = own * (slope.value - delta);
        add(dQ, base, k, key, { weight: weight * scale, error: error * scale, size: size * scale, terms: count });
        const ofKey = { terms: (seenBy * heads) / keyValueHeads };
        add(dK, key, q, base, { weight: weight * scale, error: error * scale, size: size * scale, ...ofKey });
        add(dV, key, dOut, base, { weight: own, error: errorOfP(j), size: own, ...ofKey });
      });
    }
  return { out, dQ, dK, dV };
}

/** The worst error of each result as a share of what its bound allows. */
export function worst(found: Results, exact: Results<Bounded>): Results<number> {
  const of = (name: keyof Results): number =>
    found[name].reduce((most, value, index) => {
      const error = Math.abs(value - at(exact[name].value, index));
      const share = error === 0 ? 0 : error / at(exact[name].bound, index);
      return Number.isNaN(share) ? Number.POSITIVE_INFINITY : Math.max(most, share);
    }, 0);
  return { out: of('out'), dQ: of('dQ'), dK: of('dK'), dV: of('dV') };
}
