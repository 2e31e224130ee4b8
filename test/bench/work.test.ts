/** What is counted of programs: launches, bytes and arithmetic, by hand for a few, and the least time that follows. */
import { expect, test } from 'vitest';
import { launchWork } from '../../core/autograd/launch-work.ts';
import { runAll } from '../../core/autograd/program.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import { loadKernel } from '../../core/gpu/kernel.ts';
import { add } from '../../core/ops/add.ts';
import { conv2d } from '../../core/ops/conv2d.ts';
import { embedding } from '../../core/ops/embedding.ts';
import { linear } from '../../core/ops/linear.ts';
import { testDevice } from '../ops/device.ts';
import { countWork, leastMilliseconds, measuredRates, sumOf, workOf } from './work.ts';

const device = await testDevice();

test('a product reads both matrices, writes one, and multiplies and adds', async () => {
  const tape = new Tape(new Workspace(device));
  tape.output(linear(tape, device.tensor('x', [40, 64]), device.tensor('weight', [96, 64])));
  const work = workOf(await tape.finish('product'));
  expect(work).toEqual([
    {
      label: expect.stringMatching(/^linear\//),
      bytes: 4 * (40 * 64 + 96 * 64 + 40 * 96),
      operations: 2 * 40 * 64 * 96,
    },
  ]);
});

test('a sum reads two and writes one, without a product', async () => {
  const tape = new Tape(new Workspace(device));
  tape.output(add(tape, device.tensor('a', [8, 16]), device.tensor('b', [8, 16])));
  expect(sumOf(workOf(await tape.finish('sum')))).toEqual({ launches: 1, bytes: 3 * 4 * 128, operations: 0 });
});

test('of a table as much is read as is made of it', async () => {
  const tape = new Tape(new Workspace(device));
  const ids = device.tensor('ids', [4], 'u32', Uint32Array.of(0, 1, 2, 3));
  tape.output(embedding(tape, device.tensor('table', [1000, 16]), ids));
  const { bytes } = sumOf(workOf(await tape.finish('rows')));
  expect(bytes).toBe(2 * (4 * 4 * 16 + 4 * 4));
});

test('a convolution and its gradient of weights count their products', async () => {
  const tape = new Tape(new Workspace(device));
  const [x, weight] = [device.tensor('x', [2, 6, 6, 8]), device.tensor('weight', [12, 3, 3, 8])];
  tape.watch(weight, device.tensor('d weight', weight.shape));
  const out = conv2d(tape, x, weight, undefined);
  tape.seed(out, device.tensor('d out', out.shape));
  tape.backward();
  const once = 2 * (2 * 6 * 6) * (3 * 3) * 8 * 12;
  expect(sumOf(workOf(await tape.finish('convolution'))).operations).toBe(2 * once);
});

test('convolutions on tensor cores count theirs, whatever the form of the kernel', () => {
  const operations = (name: string, params: Readonly<Record<string, number>>): number => {
    const kernel = loadKernel(name, { PARTS: 2 });
    return launchWork({ kernel, step: { kernel: name, bindings: {}, params, groups: [1, 1, 1] } }).operations;
  };
  expect(operations('conv2d/matrix', { rows: 10, columns: 6, depth: 8, kernel: 3 })).toBe(2 * 10 * 6 * 8 * 9);
  const gradient = { d_out_rows: 10, in_channels: 6, out_channels: 5, kernel: 3 };
  expect(operations('conv2d/matrix-weight-gradient', gradient)).toBe(2 * 10 * 6 * 5 * 9);
  expect(operations('conv2d/matrix-operand', { images: 2, height: 4, width: 4, channels: 8, kernel: 3 })).toBe(0);
});

test('what runs is counted as often as it runs, and nothing afterwards', async () => {
  const tape = new Tape(new Workspace(device));
  tape.output(add(tape, device.tensor('a', [8]), device.tensor('b', [8])));
  const program = await tape.finish('sum');
  const work = await countWork(async () => {
    program.run();
    runAll([program, program]);
    await device.settle();
  });
  expect(work).toHaveLength(3);
  program.run();
  await device.settle();
  expect(work).toHaveLength(3);
});

test('the least time is the longer of memory and arithmetic, launch by launch', () => {
  const rates = { bytesPerSecond: 1e9, operationsPerSecond: 1e10 };
  const launches = [
    { label: 'a', bytes: 2e6, operations: 1e7 },
    { label: 'b', bytes: 1e6, operations: 5e7 },
  ];
  expect(leastMilliseconds(launches, rates)).toBeCloseTo(2 + 5, 9);
});

test('rates of this adapter are measured', async () => {
  const { bytesPerSecond, operationsPerSecond } = await measuredRates(device);
  expect(bytesPerSecond).toBeGreaterThan(1e8);
  expect(operationsPerSecond).toBeGreaterThan(1e8);
});
