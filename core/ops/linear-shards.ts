/** The products of `linear` with a weight in parts: range by range of its rows, which are columns of the output. */
import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, type Tensor } from '../tensor/tensor.ts';
import { forwardProduct, inputProduct, transposedProduct } from './linear-products.ts';
import type { Product } from './linear-tiles.ts';

/** out = a · weightᵀ (+ bias). */
export function forward(tape: Tape, product: Product, bias: Tensor | undefined): void {
  if (product.weight.shards === undefined) {
    forwardProduct(tape, product, bias);
    return;
  }
  const { rows, out } = product;
  for (const { part, first, count } of partsOf(product.weight)) {
    const columns = tape.empty(`${part.name} out`, [rows, count]);
    forwardProduct(tape, { ...product, weight: part, out: columns, columns: count });
    copyColumns(tape, columns, out, { rows, count, to: first, bias });
  }
}

/** out = a · weight (+ addend), a = dOut. */
export function inputGradient(tape: Tape, product: Product, addend: Tensor | undefined): void {
  if (product.weight.shards === undefined) {
    inputProduct(tape, product, addend);
    return;
  }
  const { a, rows, out } = product;
  const parts = partsOf(product.weight);
  let sum = addend;
  for (const [index, { part, first, count }] of parts.entries()) {
    const isLast = index === parts.length - 1;
    const next = isLast ? out : tape.empty(out.name, out.shape);
    const columns = takeColumns(tape, a, rows, first, count);
    inputProduct(tape, { ...product, a: columns, weight: part, out: next, inner: count }, sum);
    sum = next;
  }
}

/** Adds dOutᵀ · x to the gradient of every part that is watched. */
export function weightGradient(
  tape: Tape,
  { a: dOut, weight, rows, columns, inner }: Omit<Product, 'out'>,
  x: Tensor,
): void {
  if (weight.shards === undefined) {
    const gradient = tape.gradientOf(weight);
    if (gradient !== undefined) transposedProduct(tape, dOut, x, gradient, columns, inner, rows);
    return;
  }
  for (const { part, first, count } of partsOf(weight)) {
    const gradient = tape.gradientOf(part);
    if (gradient !== undefined)
      transposedProduct(tape, takeColumns(tape, dOut, rows, first, count), x, gradient, count, inner, rows);
  }
}

function partsOf(weight: Tensor): { part: Tensor; first: number; count: number }[] {
  let next = 0;
  return (weight.shards ?? []).map((part) => {
    const count = dimension(part, 0);
    const first = next;
    next += count;
    return { part, first, count };
  });
}

/** Columns first … first + count - 1 of x [rows, ·] as a matrix of their own. */
function takeColumns(tape: Tape, x: Tensor, rows: number, first: number, count: number): Tensor {
  const out = tape.empty(`${x.name} columns`, [rows, count]);
  copyColumns(tape, x, out, { rows, count, from: first });
  return out;
}

interface ColumnCopy {
  readonly rows: number;
  readonly count: number;
  /** First column in the source and in the target; 0 unless told. */
  readonly from?: number;
  readonly to?: number;
  /** Added by column of the target. */
  readonly bias?: Tensor | undefined;
}

function copyColumns(tape: Tape, x: Tensor, out: Tensor, { rows, count, from = 0, to = 0, bias }: ColumnCopy): void {
  tape.launch({
    kernel: 'linear/copy-columns',
    constants: { HAS_BIAS: bias !== undefined },
    bindings: { x, bias: bias ?? x, out },
    params: { rows, count, x_columns: dimension(x, -1), x_first: from, out_columns: dimension(out, -1), out_first: to },
    groups: grid(Math.ceil((rows * count) / 64)),
  });
}
