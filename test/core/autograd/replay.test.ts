/** Replaying costs nothing but the computation: no buffers, no garbage that stays, one submit, and no core while waiting. */
import { performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, expect, test } from 'vitest';
import { runAll, type Program } from '../../../core/autograd/program.ts';
import { Workspace } from '../../../core/autograd/workspace.ts';
import { Tape } from '../../../core/autograd/tape.ts';
import { openDevice } from '../../../core/gpu/device.ts';
import { linear } from '../../../core/ops/linear.ts';
import { rmsNorm } from '../../../core/ops/rms-norm.ts';
import type { Tensor } from '../../../core/tensor/tensor.ts';

const device = await openDevice();
afterAll(() => device.close());

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** A little training step: forward, a value kept in the middle, backward, weight gradients. */
async function step(
  size: number,
  layers: number,
): Promise<{ program: Program; x: Tensor; out: Tensor; middle: Tensor }> {
  const tape = new Tape(new Workspace(device));
  const x = device.tensor('x', [size, size], 'f32', new Float32Array(size * size).fill(0.01));
  const gain = device.tensor('gain', [size], 'f32', new Float32Array(size).fill(1));
  let hidden = x;
  let middle = x;
  for (let layer = 0; layer < layers; layer++) {
    const weight = device.tensor(
      `weight ${layer}`,
      [size, size],
      'f32',
      Float32Array.from({ length: size * size }, (_, index) => Math.sin(index) / size),
    );
    tape.watch(weight, device.tensor(`d weight ${layer}`, [size, size]));
    hidden = rmsNorm(tape, linear(tape, hidden, weight), gain, 1e-6);
    if (layer === 0) middle = tape.output(hidden);
  }
  const out = tape.output(hidden);
  tape.seed(hidden, x);
  tape.backward();
  return { program: await tape.finish('step'), x, out, middle };
}

test('1000 replays make no buffer and leave no garbage; each is one submit of one pass', async () => {
  const { program, x, out } = await step(8, 3);
  const host = new Float32Array(64).fill(0.02);
  const turn = async (): Promise<void> => {
    device.write(x, host);
    program.run();
    await device.readFloats(out);
  };
  const turns = async (count: number): Promise<number> => {
    for (let i = 0; i < count; i++) await turn();
    collect();
    return process.memoryUsage().heapUsed;
  };
  // Until the engine has compiled what it wants to compile.
  await turns(600);
  const before = device.memory;
  const middle = await turns(500);
  const end = await turns(500);
  const after = device.memory;
  expect(after.created).toBe(before.created);
  expect(after.bytes).toBe(before.bytes);
  expect(after.passes - before.passes).toBe(1000);
  // One for the program, one for the read-back.
  expect(after.submits - before.submits).toBe(2000);
  // One small object kept per replay would be more.
  expect(end - middle).toBeLessThan(500 * 100);
}, 60_000);

test('several programs, several times: one submit, one pass', async () => {
  const { program } = await step(8, 2);
  const before = device.memory;
  runAll([program, program, program]);
  await device.settle();
  expect(device.memory.submits - before.submits).toBe(1);
  expect(device.memory.passes - before.passes).toBe(1);
});

test('values kept in the middle and at the end are those the launches wrote', async () => {
  const { program, out, middle } = await step(8, 2);
  program.run();
  const [end, between] = (await device.read([out, middle])) as Float32Array[];
  expect(end?.some((value) => value !== 0)).toBe(true);
  expect(between).not.toEqual(end);
});

test('a larger program recorded later makes the workspace grow, and the earlier one still gives its bits', async () => {
  const workspace = new Workspace(device);
  const chain = async (rows: number): Promise<{ program: Program; out: Tensor }> => {
    const tape = new Tape(workspace);
    const x = device.tensor(
      'x',
      [rows, 8],
      'f32',
      Float32Array.from({ length: rows * 8 }, (_, index) => Math.cos(index)),
    );
    const weight = device.tensor(
      'weight',
      [8, 8],
      'f32',
      Float32Array.from({ length: 64 }, (_, index) => Math.sin(index)),
    );
    const out = tape.output(linear(tape, linear(tape, linear(tape, x, weight), weight), weight));
    return { program: await tape.finish('chain'), out };
  };
  const small = await chain(4);
  small.program.run();
  const expected = await device.readFloats(small.out);
  const before = workspace.bytes;
  const large = await chain(400);
  expect(workspace.bytes).toBe(large.program.plan.bytes);
  expect(workspace.bytes).toBeGreaterThan(before);
  large.program.run();
  small.program.run();
  expect(await device.readFloats(small.out)).toEqual(expected);
  expect((await device.readFloats(large.out)).subarray(0, expected.length)).toEqual(expected);
  // A smaller one costs nothing.
  const { created, bytes } = { ...device.memory, bytes: workspace.bytes };
  await chain(4);
  expect(workspace.bytes).toBe(bytes);
  expect(device.memory.created).toBeGreaterThan(created);
});

test('waiting leaves the thread idle', async () => {
  const { program } = await step(512, 4);
  program.run();
  await device.settle();
  for (let i = 0; i < 4; i++) program.run();
  const before = performance.eventLoopUtilization();
  await device.settle();
  const { utilization, idle, active } = performance.eventLoopUtilization(before);
  expect(idle + active).toBeGreaterThan(20);
  expect(utilization).toBeLessThan(0.5);
});
