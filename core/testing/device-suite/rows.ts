/** What is computed row by row: embedding, norms, softmax, sums. */
import { add } from '../../ops/add.ts';
import { columnsOf } from '../../ops/columns.ts';
import { embeddingBag } from '../../ops/embedding-bag.ts';
import { embedding } from '../../ops/embedding.ts';
import { layerNorm } from '../../ops/layer-norm.ts';
import { multiply } from '../../ops/pointwise.ts';
import { sumAll, sumRows } from '../../ops/reduce.ts';
import { rmsNorm } from '../../ops/rms-norm.ts';
import { addRows, gatherRows } from '../../ops/rows.ts';
import { softmax } from '../../ops/softmax.ts';
import { at } from '../arrays.ts';
import { checkOp } from '../check-op.ts';
import { byRow, meanOf, softmaxOf, standardised } from '../oracles.ts';
import { type DeviceCase, floats, randomIds } from './cases.ts';

export const rowCases: readonly DeviceCase[] = [
  {
    op: 'embedding',
    form: '50 rows of 24, 37 ids',
    run: (device) =>
      checkOp({
        device,
        inputs: { table: floats([50, 24], 1), ids: randomIds(37, 2, 50) },
        op: (tape, { table, ids }) => embedding(tape, table, ids),
        oracle: ({ table, ids }) =>
          Float64Array.from([...ids].flatMap((id) => [...table.subarray(id * 24, (id + 1) * 24)])),
      }),
  },
  {
    op: 'gather rows',
    form: '19 of 40 rows of 12',
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([40, 12], 1), rows: randomIds(19, 3, 40) },
        op: (tape, { x, rows }) => gatherRows(tape, x, rows),
        oracle: ({ x, rows }) =>
          Float64Array.from([...rows].flatMap((row) => [...x.subarray(row * 12, (row + 1) * 12)])),
      }),
  },
  {
    op: 'embedding bag',
    form: '50 rows of 24, 37 sums of 4',
    run: (device) =>
      checkOp<'table' | 'rows' | 'shares'>({
        device,
        inputs: {
          table: floats([50, 24], 1),
          rows: { ...randomIds(148, 2, 50), shape: [37, 4] },
          shares: floats([37, 4], 3),
        },
        fixed: ['shares'],
        op: (tape, { table, rows, shares }) => embeddingBag(tape, table, rows, shares),
        oracle: ({ table, rows, shares }) =>
          Float64Array.from({ length: 37 * 24 }, (_, i) =>
            [0, 1, 2, 3].reduce((sum, k) => {
              const entry = Math.floor(i / 24) * 4 + k;
              return sum + at(shares, entry) * at(table, at(rows, entry) * 24 + (i % 24));
            }, 0),
          ),
      }),
  },
  {
    op: 'columns, added to rows',
    form: '9 of 24 columns, to 5 of 40 rows',
    run: (device) =>
      checkOp({
        device,
        inputs: {
          x: floats([40, 9], 1),
          part: floats([5, 24], 2),
          rows: { shape: [5], data: Uint32Array.of(39, 0, 7, 20, 8) },
        },
        op: (tape, { x, part, rows }) => addRows(tape, x, columnsOf(tape, part, 6, 9), rows),
        oracle: ({ x, part, rows }) =>
          x.map((value, i) => {
            const entry = rows.indexOf(Math.floor(i / 9));
            return entry < 0 ? value : value + at(part, entry * 24 + 6 + (i % 9));
          }),
      }),
  },
  ...[
    [1, 8],
    [37, 128],
    [70, 336],
  ].map(([rows = 0, width = 0]): DeviceCase => ({
    op: 'RMSNorm',
    form: `${rows} x ${width}`,
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([rows, width], 1), weight: floats([width], 2) },
        op: (tape, { x, weight }) => rmsNorm(tape, x, weight, 1e-6),
        oracle: ({ x, weight }) =>
          byRow(x, width, (row) => {
            const length = Math.sqrt(meanOf(row.map((value) => value * value)) + 1e-6);
            return row.map((value, i) => (value / length) * at(weight, i));
          }),
      }),
  })),
  {
    op: 'LayerNorm',
    form: '37 x 60',
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([37, 60], 1), weight: floats([60], 2), bias: floats([60], 3) },
        op: (tape, { x, weight, bias }) => layerNorm(tape, x, weight, bias, 1e-5),
        oracle: ({ x, weight, bias }) =>
          byRow(x, 60, (row) => standardised(row, 1e-5).map((value, i) => value * at(weight, i) + at(bias, i))),
      }),
  },
  {
    op: 'softmax',
    form: '23 x 301',
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([23, 301], 1, 4) },
        op: (tape, { x }) => softmax(tape, x),
        oracle: ({ x }) => byRow(x, 301, softmaxOf),
      }),
  },
  {
    op: 'sums',
    form: 'of rows and of all, 41 x 77',
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([41, 77], 1) },
        op: (tape, { x }) =>
          add(tape, sumRows(tape, x), multiply(tape, sumRows(tape, x), sumRows(tape, multiply(tape, x, x)))),
        oracle: ({ x }) =>
          byRow(x, 77, (row) => {
            const sum = 77 * meanOf(row);
            return [sum + sum * 77 * meanOf(row.map((value) => value * value))];
          }),
        valueTolerance: 1e-5,
      }),
  },
  {
    op: 'sums',
    form: 'of 100003 values',
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([100_003], 1) },
        op: (tape, { x }) => sumAll(tape, x),
        oracle: ({ x }) => Float64Array.of(x.length * meanOf(x)),
        valueTolerance: 1e-4,
      }),
  },
];
