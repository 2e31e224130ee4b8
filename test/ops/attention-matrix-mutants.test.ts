/** That the comparison of attention on subgroup matrices with float64 finds a kernel that is wrong. Runs where the adapter has matrices. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MatrixProducts } from '../../core/gpu/matrix-products.ts';
import { usableShapes } from '../../core/ops/linear-matrix.ts';
import { relativeError } from '../../core/testing.ts';
import { testDevice } from './device.ts';
import { attend, exactly, inputsFor, worst, type Bounded, type Inputs, type Results } from './matrix-attention.ts';

const device = await testDevice();
const [shape] = usableShapes(device);
const folder = mkdtempSync(join(tmpdir(), 'mutants-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A kernel with the files that only kernels of matrices share, so that they can be changed as well. */
function sourceOf(name: string): string {
  const read = (path: string): string => readFileSync(new URL(`../../kernels/${path}.wgsl`, import.meta.url), 'utf8');
  return read(name).replaceAll(/^\/\/! use (lib\/matrix-\w+)\.wgsl$/gm, (_line, path: string) => read(path));
}

type Mutant = readonly [name: string, change: (text: string) => string];
const barrier = (text: string, which: number): string => {
  let count = 0;
  return text.replaceAll('workgroupBarrier();', (call) => (count++ === which ? '' : call));
};
/**
 * Of a kernel with what is shared, by their places in the text. The others cannot be missed here: with matrices of 8 x 8 x 8 what they order is done by
 * one subgroup, whose threads go in step.
 */
const withoutBarrier = (...places: number[]): readonly Mutant[] =>
  places.map((which) => [`no barrier ${which}`, (text) => barrier(text, which)]);
const replaced = (from: string, to: string) => (text: string) => text.replace(from, to);

const ofShared: readonly Mutant[] = [
  ['lines of a read by columns', replaced('K, M>, row_major>(a,', 'K, M>, col_major>(a,')],
  ['lines of b read by rows', replaced('N, K>, col_major>(b,', 'N, K>, row_major>(b,')],
  ['weights read by columns', replaced('K, M>, row_major>(&weights,', 'K, M>, col_major>(&weights,')],
  ['half of a line', replaced('k < depth; k += K', 'k < depth / 2u; k += K')],
  ['half of the keys', replaced('k < 32u; k += K', 'k < 16u; k += K')],
  ['the first part twice', replaced('(q * all_b + first_b + k)', '(0u * all_b + first_b + k)')],
  ['orders added unscaled', replaced('value * 0.00048828125', 'value')],
  ['weights that are not lifted', replaced('clamp(13 - farthest, -126, 126)', '0')],
  ['weights lifted and not lowered', replaced('lower[row] = power(-lift)', 'lower[row] = 1.0')],
  [
    'the exponent of another line',
    replaced('exponent_at(x, all, first_line + column)', 'exponent_at(x, all, first_line)'),
  ],
  ['columns of the first step alone', replaced('chunk * 32u, subgroup)', '0u, subgroup)')],
];
const ofForward: readonly Mutant[] = [
  ...ofShared,
  ...withoutBarrier(2, 4, 5, 6),
  ['one key too many', replaced('min(n + 1u, finish)', 'min(n + 2u, finish)')],
  ['one key too few', replaced('min(n + 1u, finish)', 'max(min(n, finish), segment_start[first] + 1u)')],
  ['no shrinking', replaced('values[e] *= shrink[', 'values[e] *= 0.0 * shrink[')],
  ['a quarter of the sum', replaced('(sum_of[r * 4u] + sum_of[r * 4u + 1u])', 'sum_of[r * 4u]')],
  ['another head of keys', replaced('head / (params.heads / params.kv_heads)', 'head % params.kv_heads')],
  ['no scale', replaced('* params.scale;', ';')],
];
const ofQueryGradient: readonly Mutant[] = [
  ['the exponents of values', replaced('write_weights(&terms, &k', 'write_weights(&terms, &v')],
  ['values where keys belong', replaced('add_weighed(&gradient, &k', 'add_weighed(&gradient, &v')],
  ...withoutBarrier(2, 3, 4, 6),
  ['no delta', replaced(' - delta)', ')')],
  ['one key too many', replaced('tile + column < own.w', 'tile + column < own.w + 1u')],
  ['no scale behind', replaced('gradient[e] * params.scale', 'gradient[e]')],
  ['rows of another segment', replaced('== start) { own_end++; }', '>= start) { own_end++; }')],
];
const ofKeyValueGradient: readonly Mutant[] = [
  ['the exponents of rows', replaced('write_weights(&terms, &d_out', 'write_weights(&terms, &q')],
  ['the exponents of derivatives', replaced('write_weights(&terms, &q', 'write_weights(&terms, &d_out')],
  ['derivatives where rows belong', replaced('add_weighed(&key_gradient, &q', 'add_weighed(&key_gradient, &d_out')],
  ...withoutBarrier(2, 4, 5, 7),
  ['no delta', replaced(' - delta)', ')')],
  ['rows before the key', replaced('n >= j)', 'n + 1u >= j)')],
  ['one head of two', replaced('head < (kv_head + 1u) * group_size', 'head < (kv_head + 1u) * group_size - 1u')],
  ['no first tile', replaced('var tile = begin', 'var tile = begin + 32u')],
  ['the head that is next', replaced('n * params.heads + head].y', 'n * params.heads + (head + 1u) % params.heads].y')],
];
const ofOperand: readonly Mutant[] = [
  ['values cut to bf16', replaced('(bits + 0x1000u) & 0xffffe000u', 'bits & 0xffff0000u')],
  ['the second part left out', replaced('rest = (rest - part) * 2048.0', 'rest = 0.0')],
  ['the exponent of another line', replaced('atomicLoad(&largest[thread / 8u])', 'atomicLoad(&largest[0])')],
  ['the exponent of a line of zeros', replaced('126, most == 0u', '0, most == 0u')],
  ['no zeros past the head', replaced('is_there && c < HEAD', 'is_there')],
  ['heads and rows exchanged', replaced('(row * params.heads + head) * HEAD', '(head * params.rows + row) * HEAD')],
];
const ofStatistics: readonly Mutant[] = [
  ['the first part alone', replaced('var p = PARTS; p > 0u', 'var p = 1u; p > 0u')],
  ['the exponent of another line', replaced('+ line]);', '+ line - line % 8u]);')],
  ['another head', replaced('index % params.heads * (params.rows', '(index + 1u) % params.heads * (params.rows')],
];
const mutants = (
  [
    ['attention/forward-matrix', ofForward],
    ['attention/query-gradient-matrix', ofQueryGradient],
    ['attention/key-value-gradient-matrix', ofKeyValueGradient],
    ['attention/matrix-operand', ofOperand],
    ['attention/statistics-matrix', ofStatistics],
  ] as const
).flatMap(([kernel, changes]) => changes.map(([name, change]) => [kernel, name, change] as const));

// Past a tile, segments within one, keys that heads share, a head that is no whole number of matrices; values whose sizes differ by row.
const lengths = [37, 5, 22];
const options = { heads: 4, keyValueHeads: 2, headDimension: 36, causal: true };
const sizeOf = (index: number, width: number, power = 5): number => 2 ** ((Math.floor(index / width) % 3) * power);
let inputs: Inputs;
let exact: Results<Bounded>;
beforeAll(() => {
  const plain = inputsFor(lengths, options);
  inputs = {
    q: plain.q.map((value, index) => value * sizeOf(index, 144, -1)),
    k: plain.k.map((value, index) => value * sizeOf(index, 72, 1)),
    v: plain.v.map((value, index) => value * sizeOf(index, 72)),
    // And lines of zeros among the others.
    dOut: plain.dOut.map((value, index) => (index % 396 < 36 ? 0 : value * sizeOf(index, 144))),
  };
  exact = exactly('f32-split', lengths, options, inputs);
});

/** Beyond its bound, or further off as a whole than roundings to 22 bits come to. */
function isWrong(found: Results): boolean {
  const share = worst(found, exact);
  return (['out', 'dQ', 'dK', 'dV'] as const).some(
    (name) => !(share[name] <= 1) || !(relativeError(found[name], exact[name].value) <= 1e-6),
  );
}

test.skipIf(shape === undefined)('the kernels as they are pass', async () => {
  const products = new MatrixProducts(device, shape!, 'f32-split');
  expect(isWrong(await attend({ device, products, lengths, options, inputs }))).toBe(false);
});

test.skipIf(shape === undefined).each(mutants)('%s with %s is found', async (insteadOf, name, change) => {
  const source = sourceOf(insteadOf);
  const changed = change(source);
  expect(changed).not.toBe(source);
  const kernel = join(folder, `${insteadOf} ${name}`.replaceAll(/[ /]/g, '-').concat('.wgsl'));
  writeFileSync(kernel, changed);
  const products = new MatrixProducts(device, shape!, 'f32-split');
  const found = await attend({ device, products, lengths, options, inputs, kernel: pathToFileURL(kernel), insteadOf });
  expect(isWrong(found)).toBe(true);
});
