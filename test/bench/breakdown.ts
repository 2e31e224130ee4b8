/**
 * Where the wall time of a whole step goes. Plain and timed repetitions alternate; medians of each are set against one another:
 *
 *   wall      the step as it is
 *   kernels   sum over its launches of (timestamp behind − timestamp before), less what as many smallest launches take
 *   outside   wall − kernels: host, submits, waits, read-backs, gaps between launches, and the driver's cost of each launch
 *
 * The timed repetition gives every launch a compute pass of its own in the step's own submits (kernel-times.ts). Its wall time is
 * noted too: how much longer it is than the plain one bounds what the timestamps disturb. The smallest launch (adding four
 * numbers) is timed in the same way, so that dispatching counts as outside and not as a kernel.
 */
import { Program, runAll, Workspace } from '../../core/autograd/program.ts';
import type { Device } from '../../core/gpu/device.ts';
import type { WholeStep } from './cases/nano.ts';
import { timeKernels, type KernelTime } from './kernel-times.ts';
import { summarise, timed } from './measure.ts';

export interface KernelShare {
  readonly kernel: string;
  readonly launches: number;
  readonly milliseconds: number;
  /** Of the sum over all kernels, launch cost included. */
  readonly share: number;
}

export interface Breakdown {
  readonly name: string;
  readonly tokens: number;
  readonly launches: number;
  /** Milliseconds per step. */
  readonly wall: number;
  readonly timedWall: number;
  /** Sum between the timestamps. */
  readonly stamped: number;
  /** Of one smallest launch, between its timestamps. */
  readonly launchCost: number;
  readonly shareOutside: number;
  readonly tokensPerSecond: number;
  readonly gigaflops: number;
  readonly kernels: readonly KernelShare[];
}

export async function breakDown(device: Device, { name, case: each, tokens, operations }: WholeStep, repetitions: number): Promise<Breakdown> {
  await each.run(1);
  const walls: number[] = [];
  const timedWalls: number[] = [];
  const profiles: KernelTime[][] = [];
  const costs: number[] = [];
  const smallest = await smallestLaunch(device);
  for (let i = 0; i < repetitions; i++) {
    walls.push(await timed(() => each.run(1)));
    profiles.push(
      await timeKernels(device, async () => {
        timedWalls.push(await timed(() => each.run(1)));
      }),
    );
    costs.push(await smallest());
  }
  const wall = summarise(walls).median;
  const stamped = summarise(profiles.map(total)).median;
  const launchCost = summarise(costs).median;
  const launches = profiles[0]?.length ?? 0;
  const middle = profiles.toSorted((a, b) => total(a) - total(b))[Math.floor(repetitions / 2)] ?? [];
  return {
    name,
    tokens,
    launches,
    wall,
    timedWall: summarise(timedWalls).median,
    stamped,
    launchCost,
    shareOutside: 1 - (stamped - launches * launchCost) / wall,
    tokensPerSecond: (tokens / wall) * 1000,
    gigaflops: operations / wall / 1e6,
    kernels: byKernel(middle),
  };
}

/** Heaviest first. */
export function byKernel(times: readonly KernelTime[]): KernelShare[] {
  const all = total(times);
  const groups = new Map<string, KernelTime[]>();
  for (const time of times) groups.set(time.label, [...(groups.get(time.label) ?? []), time]);
  return [...groups]
    .map(([kernel, members]) => ({ kernel, launches: members.length, milliseconds: total(members), share: total(members) / all }))
    .sort((a, b) => b.milliseconds - a.milliseconds);
}

function total(times: readonly KernelTime[]): number {
  return times.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
}

/** Mean time of one launch that does next to nothing, among 200 in one submit. */
async function smallestLaunch(device: Device): Promise<() => Promise<number>> {
  const [a, b, sum] = ['a', 'b', 'sum'].map((name) => device.tensor(name, [4]));
  if (a === undefined || b === undefined || sum === undefined) throw new RangeError('unreachable: three tensors were made');
  const program = await Program.create('smallest launch', new Workspace(device), [{ kernel: 'pointwise/add', bindings: { a, b, sum }, params: { count: 4 }, groups: [1, 1, 1] }]);
  const many = new Array<Program>(200).fill(program);
  return async () => {
    const times = await timeKernels(device, async () => {
      runAll(many);
      await device.settle();
    });
    return total(times) / times.length;
  };
}
