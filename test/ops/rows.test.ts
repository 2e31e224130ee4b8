import { describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { columnsOf, joinColumns } from '../../core/ops/columns.ts';
import { embeddingBag } from '../../core/ops/embedding-bag.ts';
import { embedding } from '../../core/ops/embedding.ts';
import { linear } from '../../core/ops/linear.ts';
import { add } from '../../core/ops/add.ts';
import { addRows, gatherRows, mergeRows, weightRows } from '../../core/ops/rows.ts';
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

describe('embeddingBag', () => {
  test.each([
    [1, 4, 1, 1],
    [5, 6, 3, 2],
    [36, 32, 72, 4],
    [9, 7, 67, 4],
  ])('%i rows of %i, %i sums of %i', async (vocabulary, width, count, named) => {
    await checkOp<'table' | 'rows' | 'shares'>({
      device,
      inputs: {
        table: { shape: [vocabulary, width], data: randomFloats(vocabulary * width, 1) },
        rows: { shape: [count, named], data: randomWords(count * named, 2, vocabulary) },
        shares: { shape: [count, named], data: randomFloats(count * named, 3) },
      },
      fixed: ['shares'],
      op: (tape, { table, rows, shares }) => embeddingBag(tape, table, rows, shares),
      oracle: ({ table, rows, shares }) =>
        Float64Array.from({ length: count * width }, (_, i) => {
          let sum = 0;
          for (let k = 0; k < named; k++) {
            const entry = Math.floor(i / width) * named + k;
            sum += at(shares, entry) * at(table, at(rows, entry) * width + (i % width));
          }
          return sum;
        }),
    });
  });

  test('refuses a table that is not as it takes it', () => {
    const tape = new Tape(new Workspace(device));
    const half = device.tensor('table', [4, 8], 'f16');
    const [rows, shares] = [tape.empty('rows', [2, 4], 'u32'), tape.empty('shares', [2, 4])];
    expect(() => embeddingBag(tape, half, rows, shares)).toThrow(/no f32 table/);
    expect(() => embeddingBag(tape, tape.empty('table', [4, 8]), rows, tape.empty('shares', [2, 3]))).toThrow(/rows/);
  });
});

describe('columnsOf', () => {
  test.each([
    [1, 4, 0, 1],
    [7, 12, 4, 8],
    [13, 9, 2, 5],
    [5, 6, 0, 6],
  ])('of %i rows of %i, from %i on %i', async (rows, width, first, count) => {
    await checkOp({
      device,
      inputs: { x: { shape: [rows, width], data: randomFloats(rows * width, 1) } },
      op: (tape, { x }) => columnsOf(tape, x, first, count),
      oracle: ({ x }) =>
        Float64Array.from({ length: rows * count }, (_, i) =>
          at(x, Math.floor(i / count) * width + first + (i % count)),
        ),
    });
  });

  test('refuses columns that are not there', () => {
    const tape = new Tape(new Workspace(device));
    expect(() => columnsOf(tape, tape.empty('x', [2, 8]), 5, 4)).toThrow(/no columns 5 to 9/);
  });
});

describe('joinColumns', () => {
  test.each([
    [1, 4, 1, 2],
    [7, 3, 8, 5],
  ])('%i rows of %i, %i and %i', async (rows, a, b, c) => {
    const input = (width: number, seed: number) => ({ shape: [rows, width], data: randomFloats(rows * width, seed) });
    const total = a + b + c;
    await checkOp({
      device,
      inputs: { x: input(a, 1), y: input(b, 2), z: input(c, 3) },
      op: (tape, { x, y, z }) => joinColumns(tape, [x, y, z]),
      oracle: ({ x, y, z }) =>
        Float64Array.from({ length: rows * total }, (_, i) => {
          const [row, column] = [Math.floor(i / total), i % total];
          if (column < a) return at(x, row * a + column);
          return column < a + b ? at(y, row * b + column - a) : at(z, row * c + column - a - b);
        }),
    });
  });

  test('refuses parts of other heights', () => {
    const tape = new Tape(new Workspace(device));
    expect(() => joinColumns(tape, [tape.empty('x', [2, 4]), tape.empty('y', [3, 4])])).toThrow(/not have the 2 rows/);
  });
});

describe('addRows', () => {
  test.each([
    [1, 4, [0]],
    [7, 12, [6, 0, 3]],
    [13, 9, [2, 12, 5, 4]],
  ])('to %i rows of %i, at %j', async (count, width, rows) => {
    await checkOp({
      device,
      inputs: {
        x: { shape: [count, width], data: randomFloats(count * width, 1) },
        part: { shape: [rows.length, width], data: randomFloats(rows.length * width, 2) },
        rows: { shape: [rows.length], data: Uint32Array.from(rows) },
      },
      op: (tape, { x, part, rows: places }) => addRows(tape, x, part, places),
      oracle: ({ x, part }) =>
        x.map((value, i) => {
          const entry = rows.indexOf(Math.floor(i / width));
          return entry < 0 ? value : value + at(part, entry * width + (i % width));
        }),
    });
  });

  test('refuses rows of another width', () => {
    const tape = new Tape(new Workspace(device));
    const [x, part] = [tape.empty('x', [4, 8]), tape.empty('part', [2, 6])];
    expect(() => addRows(tape, x, part, tape.empty('rows', [2], 'u32'))).toThrow(/not 2 rows/);
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

  test.each([0, 4, 12])('what an op gives back for rows from %i on goes to these rows and no others', async (start) => {
    const [columns, count] = [64, 4];
    const tape = new Tape(new Workspace(device));
    const weight = device.tensor('weight', [16, columns], 'f32', randomFloats(16 * columns, 1));
    const gradient = device.tensor('d weight', weight.shape);
    tape.watch(weight, gradient);
    const part = weightRows(tape, weight, start, count);
    expect(tape.gradientOf(part)?.shape).toEqual([count, columns]);
    const x = device.tensor('x', [count, columns], 'f32', randomFloats(count * columns, 2));
    // Twice: the second contribution is added to the first.
    const out = add(tape, add(tape, x, part), part);
    const before = tape.recorded.length;
    tape.seed(out, device.tensor('d', out.shape, 'f32', new Float32Array(count * columns).fill(1)));
    tape.backward();
    // Drivers differ in what lies behind the end of a binding, so no launch may read there.
    for (const step of tape.recorded.slice(before)) {
      if (!('kernel' in step)) throw new Error('a copy');
      expect(step.params?.['count'], String(step.kernel)).toBe(count * columns);
    }
    (await tape.finish('rows')).run();
    expect(await device.readFloats(gradient)).toEqual(
      Float32Array.from({ length: 16 * columns }, (_, index) => {
        const row = Math.floor(index / columns);
        return row >= start && row < start + count ? 2 : 0;
      }),
    );
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
