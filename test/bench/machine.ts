/** What the figures depend on: adapter, driver, versions, polling, and what else the machine was doing. */
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { describeProgram } from '../../core/io/software.ts';
import type { Device } from '../../core/gpu/device.ts';
import { clockRate } from './clock.mjs';

export interface CpuUse {
  /** Of this process, the shader threads of a software adapter among it. */
  readonly ownMilliseconds: number;
  /** Share of all cores that other processes used; undefined where the system does not tell. */
  readonly others: number | undefined;
}

/** Starts a stretch of time; the function it returns ends it. */
export type CpuClock = () => () => CpuUse;

/** USER_HZ: the unit of /proc/stat is 10 ms on every Linux that Node runs on. */
const ticksPerSecond = 100;

/** CPU seconds that all processes have used since boot; undefined without /proc. */
export function busySeconds(read: () => string = () => readFileSync('/proc/stat', 'utf8')): number | undefined {
  let text: string;
  try {
    text = read();
  } catch {
    return undefined; // Not Linux: samples then carry no figure for other load.
  }
  const [user, nice, system, , , irq, softirq, steal] = /^cpu\s+(.*)$/m.exec(text)?.[1]?.split(/\s+/).map(Number) ?? [];
  const ticks = [user, nice, system, irq, softirq, steal].reduce<number>(
    (sum, value) => sum + (value ?? Number.NaN),
    0,
  );
  return Number.isFinite(ticks) ? ticks / ticksPerSecond : undefined;
}

export const cpuClock: CpuClock = () => {
  const busyBefore = busySeconds();
  const ownBefore = process.cpuUsage();
  const start = performance.now();
  return () => {
    const busyAfter = busySeconds();
    const { user, system } = process.cpuUsage(ownBefore);
    const seconds = (performance.now() - start) / 1000;
    const own = (user + system) / 1e6;
    const others =
      busyBefore === undefined || busyAfter === undefined
        ? undefined
        : Math.max(0, busyAfter - busyBefore - own) / (seconds * cpus().length);
    return { ownMilliseconds: own * 1000, others };
  };
};

export interface Environment {
  readonly date: string;
  readonly adapter: string;
  readonly driver: string;
  readonly features: readonly string[];
  readonly subgroups: string;
  readonly kernels: 'broadcast tiles' | 'portable';
  readonly cores: number;
  readonly shaderThreads: string;
  readonly polling: 'back-off' | 'spin';
  readonly versions: Readonly<Record<string, string>>;
  /** With `+changes` when the working tree was modified. */
  readonly commit: string | undefined;
  /** Load average of the last minute when the run began. */
  readonly load: number;
  /** `clockRate` when it began: far below the GHz of the processor where the host of a virtual machine gives it to others as well. */
  readonly clock: number;
}

export function describeEnvironment(device: Device): Environment {
  const { adapter } = device;
  const { versions, commit } = describeProgram();
  return {
    date: new Date().toISOString(),
    adapter: adapter.description,
    driver: driverName(process.env['REASONGEN_DRIVER']),
    features: adapter.features,
    subgroups: `${adapter.subgroupMinSize}..${adapter.subgroupMaxSize}`,
    kernels: device.hasBroadcastTiles ? 'broadcast tiles' : 'portable',
    cores: availableParallelism(),
    shaderThreads:
      process.env['LP_NUM_THREADS'] ?? (adapter.isSoftware ? `${availableParallelism()} (driver's default)` : 'GPU'),
    polling: process.env['REASONGEN_POLLING'] === 'spin' ? 'spin' : 'back-off',
    versions,
    commit,
    load: loadavg()[0] ?? Number.NaN,
    clock: clockRate(),
  };
}

/** The launcher's account of the driver it chose. */
function driverName(account: string | undefined): string {
  if (account === undefined) return 'chosen by the system';
  const { kind, description, why } = JSON.parse(account) as { kind: string; description: string; why: string };
  return `${kind}: ${description} (${why})`;
}
