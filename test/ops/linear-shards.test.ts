/** Weights larger than a binding: the same results as in one piece, trained or frozen, and a clear error where parts are not known. */
import { afterAll, describe, expect, test } from 'vitest';
import { ParameterSet, type WeightStorage } from '../../core/weights/parameters.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import type { Device } from '../../core/gpu/device.ts';
import { embedding } from '../../core/ops/embedding.ts';
import { add } from '../../core/ops/add.ts';
import { linear } from '../../core/ops/linear.ts';
import { weightRows } from '../../core/ops/rows.ts';
import { at, checkOp, maximumError, randomFloats, randomWords } from '../../core/testing.ts';
import type { Tensor } from '../../core/tensor/tensor.ts';
import { testDevices } from './device.ts';
import { storedWeight } from './stored-weight.ts';

const opened: ParameterSet[] = [];
afterAll(() => opened.forEach((set) => set.close()));

interface Trained {
  readonly out: Float32Array;
  readonly dX: Float32Array;
  readonly dWeight: Float32Array;
}

/** A layer (or a table) with a trained weight, in one piece or in parts, and all its gradients after two runs. */
async function train(
  device: Device,
  shape: readonly number[],
  limit: number | undefined,
  rows: number,
  use: (tape: Tape, x: Tensor, weight: Tensor) => Tensor,
): Promise<Trained> {
  const [columns = 0, inner = 0] = shape;
  const set = new ParameterSet(device, [{ name: 'w', shape, init: { values: randomFloats(columns * inner, 2) } }], {
    seed: 1,
    trainable: () => true,
    ...(limit !== undefined && { bindingLimit: limit }),
  });
  opened.push(set);
  expect(set.get('w').shards?.length ?? 1).toBe(limit === undefined ? 1 : set.arenas.length);
  const tape = new Tape(new Workspace(device));
  set.watch(tape);
  const x = device.tensor('x', [rows, inner], 'f32', randomFloats(rows * inner, 3));
  const dX = device.tensor('d x', x.shape);
  tape.watch(x, dX);
  const out = use(tape, x, set.get('w'));
  const kept = tape.output(out);
  tape.seed(
    out,
    device.tensor(
      'd out',
      out.shape,
      'f32',
      randomFloats(
        out.shape.reduce((product, n) => product * n, 1),
        4,
      ),
    ),
  );
  tape.backward();
  const program = await tape.finish('parts');
  program.run();
  program.run();
  return {
    out: await device.readFloats(kept),
    dX: await device.readFloats(dX),
    dWeight: await set.readTensor('w', 'gradients'),
  };
}

// [rows, columns, inner, bytes of a binding]: whole blocks of 64 rows, blocks of few rows that end anywhere, the last one of one row.
const sizes = [
  [9, 200, 12, 64 * 48],
  [37, 129, 8, 64 * 32],
  [3, 23, 20, 5 * 80],
  [130, 67, 4, 256],
] as const;

describe.each(await testDevices())('weights in parts, %s', (_name, device) => {
  test.each(sizes)(
    'a trained linear layer gives what it gives in one piece: %i rows, %i columns, %i inner, %i bytes',
    async (rows, columns, inner, limit) => {
      const bias = device.tensor('bias', [columns], 'f32', randomFloats(columns, 5));
      const use = (tape: Tape, x: Tensor, weight: Tensor): Tensor => linear(tape, x, weight, bias);
      const whole = await train(device, [columns, inner], undefined, rows, use);
      const parts = await train(device, [columns, inner], limit, rows, use);
      expect(parts.out).toEqual(whole.out);
      // The input's gradient is the sum of the parts' sums.
      expect(maximumError(parts.dX, whole.dX)).toBeLessThan(2e-5);
      expect(maximumError(parts.dWeight, whole.dWeight)).toBeLessThan(2e-5);
    },
  );

  test.each([
    ['f16', 100, 64, 2048],
    ['bf16', 200, 8, 1024],
    ['int8', 150, 64, 4096],
    ['int4', 130, 128, 4096],
  ] as const)(
    'a frozen one of %s: %i columns, %i inner, %i bytes',
    async (storage: WeightStorage, columns, inner, limit) => {
      const weight = await storedWeight(device, [columns, inner], randomFloats(columns * inner, 2), storage, limit);
      opened.push(weight.set);
      expect(weight.tensor.shards?.length).toBeGreaterThan(1);
      await checkOp({
        device,
        inputs: {
          x: { shape: [2, 5, inner], data: randomFloats(10 * inner, 1) },
          bias: { shape: [columns], data: randomFloats(columns, 3) },
        },
        op: (tape, { x, bias }) => linear(tape, x, weight.tensor, bias),
        oracle: ({ x, bias }) =>
          Float64Array.from({ length: 10 * columns }, (_, index) => {
            const [row, column] = [Math.floor(index / columns), index % columns];
            let sum = at(bias, column);
            for (let k = 0; k < inner; k++) sum += at(x, row * inner + k) * at(weight.values, column * inner + k);
            return sum;
          }),
      });
    },
  );

  test.each([
    ['f32', 64, 64 * 256],
    ['bf16', 64, 8192],
    ['int4', 64, 2048],
  ] as const)('an embedding table of %s: %i columns, %i bytes', async (storage, width, limit) => {
    const [vocabulary, count] = [301, 500];
    const table = await storedWeight(device, [vocabulary, width], randomFloats(vocabulary * width, 1), storage, limit);
    opened.push(table.set);
    expect(table.tensor.shards?.length).toBeGreaterThan(1);
    await checkOp({
      device,
      inputs: { ids: { shape: [count], data: randomWords(count, 2, vocabulary) } },
      op: (tape, { ids }) => embedding(tape, table.tensor, ids),
      oracle: ({ ids }) =>
        Float64Array.from({ length: count * width }, (_, i) =>
          at(table.values, at(ids, Math.floor(i / width)) * width + (i % width)),
        ),
    });
  });

  test('a trained table has the gradient it has in one piece, bit for bit', async () => {
    const ids = device.tensor('ids', [90], 'u32', randomWords(90, 8, 150));
    const use = (tape: Tape, x: Tensor, table: Tensor): Tensor => add(tape, x, embedding(tape, table, ids));
    const whole = await train(device, [150, 8], undefined, 90, use);
    expect(await train(device, [150, 8], 64 * 32, 90, use)).toEqual(whole);
    expect(await train(device, [150, 8], 256, 90, use)).toEqual(whole);
  });

  test('rows of a trained weight in parts, across a border, have their part of the gradient', async () => {
    const use = (tape: Tape, x: Tensor, weight: Tensor): Tensor => linear(tape, x, weightRows(tape, weight, 48, 100));
    const whole = await train(device, [200, 16], undefined, 9, use);
    const parts = await train(device, [200, 16], 64 * 64, 9, use);
    expect(parts.out).toEqual(whole.out);
    expect(maximumError(parts.dWeight, whole.dWeight)).toBeLessThan(2e-5);
    expect(whole.dWeight.slice(0, 48 * 16).every((value) => value === 0)).toBe(true);
  });

  test('another op refuses a weight in parts', async () => {
    const { tensor } = await storedWeight(device, [200, 16], randomFloats(3200, 1), 'f32', 64 * 64);
    const tape = new Tape(new Workspace(device));
    tape.output(add(tape, tensor, device.tensor('x', [200, 16])));
    await expect(tape.finish('sum')).rejects.toThrow(
      '"weight" [200,16] lies in 4 parts; only `linear` and `embedding` read such weights',
    );
  });
});
