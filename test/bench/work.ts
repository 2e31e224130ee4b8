/**
 * What a piece of work has to do at least, counted from what its programs launch: launches, bytes, arithmetic. Beside the rates of an adapter it
 * says how long the work takes there if nothing is lost: no kernel is faster, and by how much one is slower is what there is to gain.
 * How the work of a launch is counted stands in `core/autograd/launch-work.ts`.
 */
import { Program, runAll } from '../../core/autograd/program.ts';
import { launchWork, type LaunchWork } from '../../core/autograd/launch-work.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import type { Device } from '../../core/gpu/device.ts';
import type { Rates } from '../../core/gpu/known-adapters.ts';
import { linear } from '../../core/ops/linear.ts';
import { timed } from './measure.ts';

/** Everything that programs launch while `work` goes on, in order. */
export async function countWork(work: () => Promise<void>): Promise<LaunchWork[]> {
  const launched: LaunchWork[] = [];
  const known = new WeakMap<Program, readonly LaunchWork[]>();
  // oxlint-disable-next-line typescript/unbound-method -- put back below, and called on the program itself
  const { encode } = Program.prototype;
  Program.prototype.encode = function counted(this: Program, ...args: Parameters<typeof encode>) {
    const own = known.get(this) ?? workOf(this);
    known.set(this, own);
    launched.push(...own);
    return encode.apply(this, args);
  };
  try {
    await work();
  } finally {
    Program.prototype.encode = encode;
  }
  return launched;
}

export function workOf(program: Program): LaunchWork[] {
  return program.steps.flatMap((item) => ('kernel' in item ? [launchWork(item)] : []));
}

export interface WorkSum {
  readonly launches: number;
  readonly bytes: number;
  readonly operations: number;
}

export function sumOf(work: readonly LaunchWork[]): WorkSum {
  return work.reduce<WorkSum>(
    (sum, { bytes, operations }) => ({
      launches: sum.launches + 1,
      bytes: sum.bytes + bytes,
      operations: sum.operations + operations,
    }),
    { launches: 0, bytes: 0, operations: 0 },
  );
}

/** The least that the kernels take on an adapter of these rates, launch by launch the longer of memory and arithmetic; without what launches cost. */
export function leastMilliseconds(work: readonly LaunchWork[], { bytesPerSecond, operationsPerSecond }: Rates): number {
  return work.reduce(
    (sum, { bytes, operations }) => sum + 1000 * Math.max(bytes / bytesPerSecond, operations / operationsPerSecond),
    0,
  );
}

/** Rates of an adapter as its own best kernels reach them: a copy, read and written, and a product of f32. */
export async function measuredRates(device: Device): Promise<Rates> {
  const { isSoftware } = device.adapter;
  const mebibytes = isSoftware ? 64 : 512;
  const [from, to] = ['from', 'to'].map((name) => device.createBuffer(mebibytes * 2 ** 20, name));
  if (from === undefined || to === undefined) throw new RangeError('unreachable: two buffers were made');
  const copy = await fastest(async () => {
    const encoder = device.gpu.createCommandEncoder();
    encoder.copyBufferToBuffer(from, 0, to, 0, from.size);
    device.submit(encoder);
    await device.settle();
  });
  for (const buffer of [from, to]) device.destroyBuffer(buffer);
  const side = isSoftware ? 512 : 4096;
  const workspace = new Workspace(device);
  const [x, weight] = ['x', 'weight'].map((name) =>
    device.tensor(name, [side, side], 'f32', new Float32Array(side * side).fill(0.5)),
  );
  if (x === undefined || weight === undefined) throw new RangeError('unreachable: two tensors were made');
  const tape = new Tape(workspace);
  linear(tape, x, weight);
  const program = await tape.finish('product');
  const product = await fastest(async () => {
    runAll([program]);
    await device.settle();
  });
  program.dispose();
  workspace.close();
  for (const tensor of [x, weight]) device.destroyTensor(tensor);
  return {
    bytesPerSecond: (2000 * from.size) / copy,
    operationsPerSecond: (2000 * side ** 3) / product,
  };
}

/** Milliseconds; other load only ever adds. */
async function fastest(run: () => Promise<void>): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 8; i++) best = Math.min(best, await timed(run));
  return best;
}
