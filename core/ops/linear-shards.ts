/** The products of `linear` with a weight in parts: range by range of its rows, which are columns of the output. */
import type { Tape } from '../autograd/tape.ts';
import { dimension, type Tensor } from '../tensor/tensor.ts';
import { copyColumns, takeColumns } from './columns.ts';
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
    copyColumns(tape, columns, out, { count, to: first, bias });
  }
}

/** out = a · weight (+ addend), a = dOut. */
export function inputGradient(tape: Tape, product: Product, addend: Tensor | undefined): void {
  if (product.weight.shards === undefined) {
    inputProduct(tape, product, addend);
    return;
  }
  const { a, out } = product;
  const parts = partsOf(product.weight);
  let sum = addend;
  for (const [index, { part, first, count }] of parts.entries()) {
    const isLast = index === parts.length - 1;
    const next = isLast ? out : tape.empty(out.name, out.shape);
    const columns = takeColumns(tape, a, first, count);
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
      transposedProduct(tape, takeColumns(tape, dOut, first, count), x, gradient, count, inner, rows);
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
