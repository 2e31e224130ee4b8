/** That the comparison of products on subgroup matrices with float64 finds a kernel that is wrong. Runs where the adapter has matrices. */
import { expect, test } from 'vitest';
import { MatrixProducts } from '../../core/gpu/matrix-products.ts';
import { usableShapes } from '../../core/ops/linear-matrix.ts';
import { testDevice } from './device.ts';
import { multiply, spreadValues, worst } from './matrix-product.ts';
import { barrier, mutantFiles, ofParts, ofSums, type Mutant } from './mutants.ts';

const device = await testDevice();
const [shape] = usableShapes(device);
const fileOf = mutantFiles();

const ofStore: readonly Mutant[] = [
  ['no bound of columns', (text) => text.replace(' || column >= params.columns', '')],
  ['no bound of rows', (text) => text.replace('row >= params.rows || ', '')],
  ['an exponent too many', (text) => text.replace('b_exponents[column])', 'b_exponents[column] + 1)')],
];
const ofMatrix: readonly Mutant[] = [
  ...ofStore,
  ...ofParts,
  ['left operand read by columns', (text) => text.replace('K, M>, row_major', 'K, M>, col_major')],
  ['right operand read by rows', (text) => text.replace('N, K>, col_major', 'N, K>, row_major')],
  ['no barrier behind the loads', barrier(0)],
  ['no barrier before the next loads', barrier(1)],
  ['no barrier behind the stores', barrier(2)],
  ['a wrong pitch', (text) => text.replace('* pitch + k, pitch);', '* pitch + k, pitch - 8u);')],
  [
    'blocks exchanged',
    (text) => text.replace('let own_row = subgroup / 2u * 32u', 'let own_row = (1u - subgroup / 2u % 2u) * 32u'),
  ],
  ['half of the depth', (text) => text.replace('k < steps; k += K', 'k < steps / 2u; k += K')],
  ['no zeros past the end of k', (text) => text.replaceAll(/ && start \+ [ab]_k < params.inner/g, '')],
  [
    'the exponent of another row',
    (text) => text.replace('power(a_exponents[first_row + a_row])', 'power(a_exponents[first_row])'),
  ],
  ['orders added unscaled', (text) => text.replace('values[e] * 0.00048828125', 'values[e]')],
];
const ofBlocks: readonly Mutant[] = [
  ...ofStore,
  ...ofSums,
  ['left operand read by columns', (text) => text.replace('K, M>, row_major', 'K, M>, col_major')],
  ['right operand read by rows', (text) => text.replace('N, K>, col_major', 'N, K>, row_major')],
];
const ofOperand: readonly Mutant[] = [
  ...ofParts,
  ['the exponent of another row', (text) => text.replace('power(exponents[row])', 'power(exponents[0])')],
  ['no zeros past the end of k', (text) => text.replaceAll(/if \(k( \+ 1u)? < params.inner\) /g, '')],
  ['one neighbor twice', (text) => text.replace('(parts[p], others[p])', '(parts[p], parts[p])')],
  ['lines where pairs belong', (text) => text.replace('line * pairs + pair', 'pair * LINES + line')],
];
const mutants = (
  [
    ['linear/matrix', ofMatrix],
    ['linear/matrix-blocks', ofBlocks],
    ['linear/matrix-operand', ofOperand],
  ] as const
).flatMap(([kernel, changes]) => changes.map(([name, change]) => [kernel, name, change] as const));

test.skipIf(shape === undefined).each(mutants)('%s with %s is found', async (insteadOf, name, change) => {
  const kernel = fileOf(insteadOf, name, change);
  const products = new MatrixProducts(device, shape!, 'f32-split');
  const fewLines = insteadOf === 'linear/matrix' ? Number.POSITIVE_INFINITY : 0;
  let most = 0;
  // A full size and a ragged one.
  for (const size of [
    { rows: 64, columns: 64, inner: 64 },
    { rows: 70, columns: 70, inner: 50 },
  ]) {
    const [a, b] = [spreadValues(size.rows, size.inner, 1), spreadValues(size.columns, size.inner, 2)];
    const replaced = { kernel, insteadOf, fewLines };
    const found = await multiply({ device, kind: 'nt', sizes: size, a, b, products, ...replaced });
    const share = worst(found, 'nt', a, b, size, 'f32-split');
    most = Math.max(most, Number.isNaN(share) ? Number.POSITIVE_INFINITY : share);
  }
  expect(most).toBeGreaterThan(1);
});
