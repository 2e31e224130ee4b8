import { describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { embedding } from '../../core/ops/embedding.ts';
import { linear } from '../../core/ops/linear.ts';
import { gatherRows, mergeRows, weightRows } from '../../core/ops/rows.ts';
import { at, checkOp, randomFloats, randomStream, randomWords } from '../../core/testing.ts';
import { testDevice } from './device.ts';

const device = await testDevice();

function gathered(x: Float64Array, rows: Float64Array, width: number): Float64Array {
  return Float64Array.from({ length: rows.length * width }, (_, i) =>
    at(x, at(rows, Math.floor(i / width)) * width + (i % width)),
  );
}

describe('embedding', () => {
  test.each([
    [1, 4, 1],
    [5, 4, 3],
    [13, 12, 67],
    [13, 10, 67],
    [512, 8, 257],
  ])('%i rows of %i, %i ids', async (vocabulary, width, count) => {
    await checkOp({
      device,
      inputs: {
        table: { shape: [vocabulary, width], data: randomFloats(vocabulary * width, 1) },
        ids: { shape: [count], data: randomWords(count, 2, vocabulary) },
      },
      op: (tape, { table, ids }) => embedding(tape, table, ids),
      oracle: ({ table, ids }) => gathered(table, ids, width),
    });
  });
});

describe('gatherRows', () => {
  test.each([
    [1, 1],
    [7, 5],
    [66, 131],
  ])('from %i rows, %i of them', async (rows, count) => {
    await checkOp({
      device,
      inputs: {
        x: { shape: [rows, 12], data: randomFloats(rows * 12, 1) },
        rows: { shape: [count], data: randomWords(count, 2, rows) },
      },
      op: (tape, inputs) => gatherRows(tape, inputs.x, inputs.rows),
      oracle: (inputs) => gathered(inputs.x, inputs.rows, 12),
    });
  });
});

describe('mergeRows', () => {
  test.each([
    [1, 1],
    [3, 8],
    [61, 40],
  ])('%i and %i rows', async (first, second) => {
    const count = first + second;
    const order = shuffled(count);
    await checkOp({
      device,
      inputs: {
        a: { shape: [first, 8], data: randomFloats(first * 8, 1) },
        aRows: { shape: [first], data: order.slice(0, first) },
        b: { shape: [second, 8], data: randomFloats(second * 8, 2) },
        bRows: { shape: [second], data: order.slice(first) },
      },
      op: (tape, { a, aRows, b, bRows }) =>
        mergeRows(
          tape,
          [
            { x: a, rows: aRows },
            { x: b, rows: bRows },
          ],
          count,
        ),
      oracle: ({ a, aRows, b, bRows }) => {
        const out = new Float64Array(count * 8);
        aRows.forEach((row, i) => out.set(a.subarray(i * 8, i * 8 + 8), row * 8));
        bRows.forEach((row, i) => out.set(b.subarray(i * 8, i * 8 + 8), row * 8));
        return out;
      },
    });
  });

  test('refuses lists that cannot name every row', () => {
    const tape = new Tape(new Workspace(device));
    const a = tape.empty('a', [2, 4]);
    const rows = tape.empty('rows', [2], 'u32');
    expect(() =>
      mergeRows(
        tape,
        [
          { x: a, rows },
          { x: a, rows },
        ],
        5,
      ),
    ).toThrow(/4 rows are given for 5/);
  });
});

describe('weightRows', () => {
  test('a part of a weight trains as part of the whole', async () => {
    await checkOp({
      device,
      inputs: {
        x: { shape: [5, 16], data: randomFloats(80, 1) },
        weight: { shape: [23, 16], data: randomFloats(368, 2) },
      },
      op: (tape, { x, weight }) => linear(tape, x, weightRows(tape, weight, 8, 12)),
      oracle: ({ x, weight }) =>
        Float64Array.from({ length: 60 }, (_, index) => {
          let sum = 0;
          for (let k = 0; k < 16; k++)
            sum += at(x, Math.floor(index / 12) * 16 + k) * at(weight, (8 + (index % 12)) * 16 + k);
          return sum;
        }),
    });
  });

  test('refuses a start that no binding can have', () => {
    const tape = new Tape(new Workspace(device));
    const weight = device.tensor('weight', [8, 16]);
    expect(() => weightRows(tape, weight, 3, 2)).toThrow(/256 bytes/);
    expect(() => weightRows(tape, weight, 4, 5)).toThrow(/no rows/);
  });
});

function shuffled(count: number): Uint32Array {
  const random = randomStream(3);
  const keys = Array.from({ length: count }, (_, index) => ({ index, key: random() }));
  return Uint32Array.from(keys.sort((a, b) => a.key - b.key).map(({ index }) => index));
}
