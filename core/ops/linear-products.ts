/** The three products of a linear layer with a weight that lies in one part, and which kernel computes each. */
import type { Tape } from '../autograd/tape.ts';
import { isPacked, type Tensor } from '../tensor/tensor.ts';
import { packedForward, packedInputGradient } from './linear-packed.ts';
import { matrixProduct } from './linear-matrix.ts';
import { tiles, type Fused, type Product } from './linear-tiles.ts';
import { hasFewRows, hasWorkgroupTiles, workgroupProduct } from './linear-workgroup.ts';
import { shareRows } from '../gpu/row-groups.ts';

/** out = a · weightᵀ (+ bias). `fused`: only what `fusible` allows. */
export function forwardProduct(tape: Tape, product: Product, bias?: Tensor, fused: Fused = {}): void {
  if (tape.products !== undefined)
    matrixProduct(tape, tape.products, { ...product, b: product.weight, kind: 'nt', bias });
  else if (hasWorkgroupTiles(tape)) workgroupProduct(tape, { ...product, b: product.weight, kind: 'nt', bias, fused });
  else if (isPacked(product.weight.type)) packedForward(tape, product, bias);
  else floatForward(tape, product, bias, { isGated: fused.isGated ?? false });
}

/**
 * Which of `Fused` the kernel of a product a · weightᵀ without a bias can take. A norm: on a GPU, for few rows, which every workgroup keeps close by. A software
 * adapter pays for every value it loads, and would load rows once more for each 32 columns.
 */
export function fusible(
  tape: Tape,
  { weight, rows, columns, inner }: Pick<Product, 'weight' | 'rows' | 'columns' | 'inner'>,
): Readonly<Record<'norm' | 'gate', boolean>> {
  const isOnTensorCores = tape.products !== undefined;
  if (!isOnTensorCores && hasWorkgroupTiles(tape)) {
    const isFew = hasFewRows(rows, inner);
    return { norm: isFew && shareRows(tape.device).within(256), gate: isFew && columns % 2 === 0 };
  }
  const isTiled = !isOnTensorCores && weight.type === 'f32' && tape.device.hasBroadcastTiles && inner % 4 === 0;
  return { norm: false, gate: isTiled && columns % 4 === 0 };
}

/** out += a · weightᵀ, weight f32. */
export function addForwardProduct(tape: Tape, product: Product): void {
  if (tape.products !== undefined)
    matrixProduct(tape, tape.products, { ...product, b: product.weight, kind: 'nt', accumulate: true });
  else if (hasWorkgroupTiles(tape))
    workgroupProduct(tape, { ...product, b: product.weight, kind: 'nt', accumulate: true });
  else floatForward(tape, product, undefined, { accumulate: true });
}

function floatForward(
  tape: Tape,
  { a, weight, out, rows, columns, inner }: Product,
  bias: Tensor | undefined,
  { accumulate = false, isGated = false }: { readonly accumulate?: boolean; readonly isGated?: boolean },
): void {
  const constants = { HAS_BIAS: bias !== undefined, ...(accumulate && { ACCUMULATE: true }) };
  if (tape.device.hasBroadcastTiles && inner % 4 === 0) {
    // The tallest tile stores four columns at once.
    const tile = columns % 4 === 0 ? tileRows(tape, rows) : Math.min(16, tileRows(tape, rows));
    tape.launch({
      // linear/nt-broadcast-8, linear/nt-broadcast-16, linear/nt-broadcast-32
      kernel: `linear/nt-broadcast-${tile}`,
      constants: { ...constants, ...(isGated && { GATED: true }) },
      bindings: { x: a, weight, bias: bias ?? weight, out },
      params: { rows, columns, inner },
      groups: tiles(columns, rows, tile),
    });
    return;
  }
  tape.launch({
    kernel: 'linear/portable',
    constants,
    bindings: { a, b: weight, bias: bias ?? weight, addend: a, out },
    params: { rows, columns, inner, a_row: inner, a_inner: 1, b_column: inner, b_inner: 1 },
    groups: tiles(columns, rows, 32),
  });
}

/** out = a · weight (+ addend). */
export function inputProduct(tape: Tape, product: Product, addend?: Tensor): void {
  const { a, weight, out, rows, columns, inner } = product;
  if (tape.products !== undefined) {
    matrixProduct(tape, tape.products, { ...product, b: weight, kind: 'nn', addend });
    return;
  }
  if (hasWorkgroupTiles(tape)) {
    workgroupProduct(tape, { ...product, b: weight, kind: 'nn', addend });
    return;
  }
  if (isPacked(weight.type)) {
    packedInputGradient(tape, product, addend);
    return;
  }
  const HAS_ADDEND = addend !== undefined;
  if (tape.device.hasBroadcastTiles && inner % 4 === 0 && columns % 4 === 0) {
    const tile = tileRows(tape, rows);
    tape.launch({
      // linear/nn-broadcast-8, linear/nn-broadcast-16, linear/nn-broadcast-32
      kernel: `linear/nn-broadcast-${tile}`,
      constants: { HAS_ADDEND },
      bindings: { a, b: weight, addend: addend ?? a, out },
      params: { rows, columns, inner },
      groups: tiles(columns, rows, tile),
    });
    return;
  }
  tape.launch({
    kernel: 'linear/portable',
    constants: { HAS_ADDEND },
    bindings: { a, b: weight, bias: weight, addend: addend ?? a, out },
    params: { rows, columns, inner, a_row: inner, a_inner: 1, b_column: 1, b_inner: columns },
    groups: tiles(columns, rows, 32),
  });
}

/** out[rows, columns] += a[inner, rows]ᵀ · b[inner, columns]: the gradient of a weight. */
export function transposedProduct(
  tape: Tape,
  a: Tensor,
  b: Tensor,
  out: Tensor,
  rows: number,
  columns: number,
  inner: number,
): void {
  if (tape.products !== undefined) {
    matrixProduct(tape, tape.products, { a, b, out, rows, columns, inner, kind: 'tn', accumulate: true });
    return;
  }
  if (hasWorkgroupTiles(tape)) {
    workgroupProduct(tape, { a, b, out, rows, columns, inner, kind: 'tn', accumulate: true });
    return;
  }
  if (tape.device.hasBroadcastTiles && rows % 4 === 0 && columns % 4 === 0) {
    const tile = Math.max(16, tileRows(tape, rows));
    tape.launch({
      kernel: tile === 32 ? 'linear/tn-broadcast-32' : 'linear/tn-broadcast',
      bindings: { a, b, out },
      params: { rows, columns, inner },
      groups: tiles(columns, rows, tile),
    });
    return;
  }
  tape.launch({
    kernel: 'linear/portable',
    constants: { ACCUMULATE: true },
    bindings: { a, b, bias: b, addend: a, out },
    params: { rows, columns, inner, a_row: 1, a_inner: rows, b_column: 1, b_inner: columns },
    groups: tiles(columns, rows, 32),
  });
}

/**
 * Rows of the broadcast tile for a product of so many rows. Taller tiles load less for the same work but waste more of a last tile
 * that is not full; which one is taken never changes a bit of the result.
 */
function tileRows(tape: Tape, rows: number): 8 | 16 | 32 {
  if (rows <= 8) return 8;
  return rows < tape.device.tuning.tallTilesFrom ? 16 : 32;
}
