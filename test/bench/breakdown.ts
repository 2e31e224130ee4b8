/**
 * Where the time of a whole step goes. Plain and timed repetitions alternate. In a timed one every launch gets a compute pass of its
 * own with a timestamp at either end, in the step's own encoders and submits (kernel-times.ts), and
 *
 *   outside kernels = 1 - (sum of the launches - launches · smallest launch) / wall time of the same repetition
 *
 * Host work, submits, waits, read-backs, gaps between launches and the driver's cost of each launch count as outside: the smallest
 * launch (adding four numbers) is timed in the same way and taken off every launch. The timestamps and passes cost time as well, which
 * also counts as outside: the figure is an upper bound, and how much longer the timed step is than the plain one tells how loose.
 */
import type { LaunchWork } from '../../core/autograd/launch-work.ts';
import { Program, runAll } from '../../core/autograd/program.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import type { Device } from '../../core/gpu/device.ts';
import { knownAdapters, type Rates } from '../../core/gpu/known-adapters.ts';
import type { WholeStep } from './cases/nano.ts';
import { timeKernels, type KernelTime } from './kernel-times.ts';
import { summarize, timed } from './measure.ts';
import { countWork, leastMilliseconds, sumOf, type WorkSum } from './work.ts';

/** The least that work takes, by rates that were measured or stand in a data sheet (work.ts). */
export interface Least extends WorkSum {
  readonly rates: Rates;
  /** Milliseconds on this adapter, without what launches cost. */
  readonly here: number;
  /** By name of a card. */
  readonly cards: Readonly<Record<string, number>>;
}

export interface KernelShare {
  readonly kernel: string;
  readonly launches: number;
  readonly milliseconds: number;
  /** Of the sum over all kernels, launch cost included. */
  readonly share: number;
  /** Milliseconds that its launches take at least. */
  readonly least: number;
}

export interface Breakdown {
  readonly name: string;
  readonly tokens: number;
  readonly launches: number;
  /** Milliseconds of the step as it is. */
  readonly wall: number;
  /** Milliseconds with timestamps. */
  readonly timedWall: number;
  /** Sum between the timestamps of all launches. */
  readonly stamped: number;
  /** Of one smallest launch, between its timestamps. */
  readonly launchCost: number;
  /** Median over the repetitions; the other figures of timed steps are of that repetition. */
  readonly shareOutside: number;
  readonly tokensPerSecond: number;
  readonly gigaflops: number;
  readonly kernels: readonly KernelShare[];
  readonly least: Least;
}

export async function breakDown(
  device: Device,
  { name, case: each, tokens, operations }: WholeStep,
  repetitions: number,
  rates: Rates,
): Promise<Breakdown> {
  const work = await countWork(() => each.run(1));
  const smallest = await smallestLaunch(device);
  const walls: number[] = [];
  const repeated: {
    readonly wall: number;
    readonly times: readonly KernelTime[];
    readonly launchCost: number;
    readonly outside: number;
  }[] = [];
  for (let i = 0; i < repetitions; i++) {
    walls.push(await timed(() => each.run(1)));
    let wall = 0;
    const times = await timeKernels(device, async () => {
      wall = await timed(() => each.run(1));
    });
    const launchCost = await smallest();
    repeated.push({ wall, times, launchCost, outside: 1 - (total(times) - times.length * launchCost) / wall });
  }
  const middle = repeated.toSorted((a, b) => a.outside - b.outside)[Math.floor(repetitions / 2)];
  if (middle === undefined) throw new RangeError('a step is broken down by at least one repetition');
  const wall = summarize(walls).median;
  return {
    name,
    tokens,
    launches: middle.times.length,
    wall,
    timedWall: middle.wall,
    stamped: total(middle.times),
    launchCost: middle.launchCost,
    shareOutside: middle.outside,
    tokensPerSecond: (tokens / wall) * 1000,
    gigaflops: operations / wall / 1e6,
    kernels: byKernel(middle.times, work, rates),
    least: leastOf(work, rates),
  };
}

function leastOf(work: readonly LaunchWork[], rates: Rates): Least {
  const cards = [...knownAdapters].flatMap(([name, card]) =>
    card.rates === undefined ? [] : [[name, leastMilliseconds(work, card.rates)] as const],
  );
  return { ...sumOf(work), rates, here: leastMilliseconds(work, rates), cards: Object.fromEntries(cards) };
}

/** Heaviest first; `work`: what was launched, to say what it takes at least. */
export function byKernel(times: readonly KernelTime[], work: readonly LaunchWork[], rates: Rates): KernelShare[] {
  const all = total(times);
  const groups = new Map<string, KernelTime[]>();
  for (const time of times) groups.set(time.label, [...(groups.get(time.label) ?? []), time]);
  return [...groups]
    .map(([kernel, members]) => ({
      kernel,
      launches: members.length,
      milliseconds: total(members),
      share: total(members) / all,
      least: leastMilliseconds(
        work.filter(({ label }) => label === kernel),
        rates,
      ),
    }))
    .sort((a, b) => b.milliseconds - a.milliseconds);
}

function total(times: readonly KernelTime[]): number {
  return times.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
}

/** Mean time of one launch that does next to nothing, among 200 in one submit. */
async function smallestLaunch(device: Device): Promise<() => Promise<number>> {
  const [a, b, sum] = ['a', 'b', 'sum'].map((name) => device.tensor(name, [4]));
  if (a === undefined || b === undefined || sum === undefined)
    throw new RangeError('unreachable: three tensors were made');
  const program = await Program.create('smallest launch', new Workspace(device), [
    { kernel: 'pointwise/add', bindings: { a, b, sum }, params: { count: 4 }, groups: [1, 1, 1] },
  ]);
  const many = new Array<Program>(200).fill(program);
  return async () => {
    const times = await timeKernels(device, async () => {
      runAll(many);
      await device.settle();
    });
    return total(times) / times.length;
  };
}
