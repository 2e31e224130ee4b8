import { describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { multiply, scale, weightedSum } from '../../core/ops/pointwise.ts';
import { meanAll, sumAll, sumRows } from '../../core/ops/reduce.ts';
import { softmax } from '../../core/ops/softmax.ts';
import { at, checkOp, randomFloats } from '../../core/testing.ts';
import { testDevice, testRowDevices } from './device.ts';

const device = await testDevice();

describe.each([1, 3, 257, 1031])('%i elements', (count) => {
  const inputs = {
    a: { shape: [count], data: randomFloats(count, 1) },
    b: { shape: [count], data: randomFloats(count, 2) },
  };

  test('multiply', () =>
    checkOp({
      device,
      inputs,
      op: (tape, { a, b }) => multiply(tape, a, b),
      oracle: ({ a, b }) => a.map((value, index) => value * at(b, index)),
    }));

  test('multiply by itself', () =>
    checkOp({
      device,
      inputs: { a: inputs.a },
      op: (tape, { a }) => multiply(tape, a, a),
      oracle: ({ a }) => a.map((value) => value * value),
    }));

  test('weightedSum', () =>
    checkOp({
      device,
      inputs,
      op: (tape, { a, b }) => weightedSum(tape, a, 5, b, -4),
      oracle: ({ a, b }) => a.map((value, index) => 5 * value - 4 * at(b, index)),
    }));

  test('scale', () =>
    checkOp({
      device,
      inputs: { a: inputs.a },
      op: (tape, { a }) => scale(tape, a, -0.3),
      oracle: ({ a }) => a.map((value) => -0.3 * value),
    }));
});

test('refuses shapes that differ', () => {
  const tape = new Tape(new Workspace(device));
  expect(() => multiply(tape, tape.empty('a', [4]), tape.empty('b', [5]))).toThrow(/differ/);
  expect(() => weightedSum(tape, tape.empty('a', [4]), 1, tape.empty('b', [5]), 1)).toThrow(/differ/);
});

describe('reductions', () => {
  const sums = (x: Float64Array, columns: number): Float64Array =>
    Float64Array.from({ length: x.length / columns }, (_, row) =>
      x.subarray(row * columns, (row + 1) * columns).reduce((sum, value) => sum + value, 0),
    );

  test.each([
    [1, 1],
    [3, 67],
    [65, 130],
  ])('rows of %i by %i', async (rows, columns) => {
    const inputs = { x: { shape: [rows, columns], data: randomFloats(rows * columns, 1) } };
    await checkOp({ device, inputs, op: (tape, { x }) => sumRows(tape, x), oracle: ({ x }) => sums(x, columns) });
  });

  // One run, a run cut short, runs of runs.
  test.each([1, 4096, 4097, 9000])('all of %i', async (count) => {
    const inputs = { x: { shape: [count], data: randomFloats(count, 1).map((value) => value + 1) } };
    await checkOp({ device, inputs, op: (tape, { x }) => sumAll(tape, x), oracle: ({ x }) => sums(x, count) });
    await checkOp({
      device,
      inputs,
      op: (tape, { x }) => meanAll(tape, x),
      oracle: ({ x }) => sums(x, count).map((sum) => sum / count),
    });
  });

  test('past 65535 rows', async () => {
    const rows = 65_600;
    const x = device.tensor(
      'x',
      [rows, 2],
      'f32',
      Float32Array.from({ length: rows * 2 }, (_, index) => index % 97),
    );
    const tape = new Tape(new Workspace(device));
    const out = tape.output(sumRows(tape, x));
    (await tape.finish('many rows')).run();
    (await device.readFloats(out)).forEach((sum, row) => expect(sum).toBe(((row * 2) % 97) + ((row * 2 + 1) % 97)));
  });
});

describe.each(await testRowDevices())('softmax, %s', (_name, each) => {
  const oracle = (x: Float64Array, columns: number): Float64Array => {
    const out = new Float64Array(x.length);
    for (let start = 0; start < x.length; start += columns) {
      const row = x.subarray(start, start + columns);
      const top = Math.max(...row);
      const sum = row.reduce((total, value) => total + Math.exp(value - top), 0);
      row.forEach((value, column) => {
        out[start + column] = Math.exp(value - top) / sum;
      });
    }
    return out;
  };

  test.each([
    [1, 1],
    [9, 68],
    [31, 67],
  ])('%i rows of %i', async (rows, columns) => {
    await checkOp({
      device: each,
      inputs: { x: { shape: [rows, columns], data: randomFloats(rows * columns, 1, 9) } },
      op: (tape, { x }) => softmax(tape, x),
      oracle: ({ x }) => oracle(x, columns),
    });
  });

  test('−∞ gets nothing; NaN and +∞ show in their row only', async () => {
    const tape = new Tape(new Workspace(each));
    const x = each.tensor(
      'x',
      [4, 3],
      'f32',
      Float32Array.of(0, -Infinity, 0, 1, Number.NaN, 2, Infinity, 1, 1, 300, -300, 300),
    );
    const out = tape.output(softmax(tape, x));
    (await tape.finish('edges')).run();
    const read = [...(await each.readFloats(out))].map((value) => Math.round(value * 1e6) / 1e6);
    expect(read).toEqual([0.5, 0, 0.5, NaN, NaN, NaN, NaN, NaN, NaN, 0.5, 0, 0.5]);
  });
});
