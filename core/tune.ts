/**
 * Chooses between kernels that give the same bits by timing them on the adapter: a second once per adapter, driver and version, kept in
 * the cache. REASONGEN_TUNING=off keeps the defaults, REASONGEN_TUNING=again measures anew.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Program } from './autograd/program.ts';
import { Workspace } from './autograd/workspace.ts';
import { Tape } from './autograd/tape.ts';
import type { Device } from './gpu/device.ts';
import { defaultTuning, type KernelTuning } from './gpu/tuning.ts';
import { cacheDirectory, readJson, writeJson } from './setup/cache.mjs';
import { openTrustedDevice } from './half-trial.ts';
import { linear } from './ops/linear.ts';
import { type Environment, processEnvironment } from './environment.ts';
import { exitCodes, ReasongenError } from './errors.ts';

/** Raised when kernels change so that old measurements no longer tell anything. */
const version = 1;

/** The best adapter of the machine, its kernels chosen by measurement. */
export async function openTunedDevice(environment: Environment = processEnvironment): Promise<Device> {
  const device = await openTrustedDevice();
  device.tuning = await tuningFor(device, environment);
  return device;
}

export async function tuningFor(device: Device, environment: Environment): Promise<KernelTuning> {
  const mode = environment['REASONGEN_TUNING'] ?? '';
  if (!['', 'off', 'again'].includes(mode)) {
    throw new ReasongenError({
      code: 'UNKNOWN_TUNING',
      message: `REASONGEN_TUNING=${mode} says nothing`,
      hint: 'set it to off (kernels that are not timed) or again (timed anew), or unset it',
      exitCode: exitCodes.noAdapter,
    });
  }
  if (mode === 'off') return defaultTuning;
  const file = adapterFile('tuning', device, environment);
  const kept = mode === 'again' ? undefined : readTuning(file);
  if (kept !== undefined) return { ...kept, source: 'cache' };
  const measured = await measureTuning(device);
  keepTuning(file, measured);
  return measured;
}

/** Times both sizes of tiles for products of growing size; the large ones are taken from where that gains most. */
export async function measureTuning(device: Device): Promise<KernelTuning> {
  const before = device.tuning;
  try {
    if (device.hasBroadcastTiles) {
      const rows = [32, 64, 128, 256];
      const ratios = await compare(
        device,
        rows.map((count) => ({ rows: count, columns: 128, inner: 128 })),
        'tallTilesFrom',
      );
      return { ...defaultTuning, tallTilesFrom: bestThreshold(rows, ratios), source: 'measured' };
    }
    if (!device.adapter.isSoftware) {
      const sides = [512, 1024, 1536, 2048];
      const ratios = await compare(
        device,
        sides.map((side) => ({ rows: side, columns: side, inner: 1024 })),
        'largeTilesFrom',
      );
      return {
        ...defaultTuning,
        largeTilesFrom: bestThreshold(
          sides.map((side) => (side / 128) ** 2),
          ratios,
        ),
        source: 'measured',
      };
    }
    return { ...defaultTuning, source: 'measured' };
  } finally {
    device.tuning = before;
  }
}

/** As it stands in run.json, among what is known of the adapter. */
export function tuningRecord({ tallTilesFrom, largeTilesFrom, source }: KernelTuning): Record<string, string> {
  return { tallTilesFrom: String(tallTilesFrom), largeTilesFrom: String(largeTilesFrom), tuning: source };
}

/** What a run began with; undefined when it does not say. */
export function recordedTuning(record: Readonly<Record<string, string>>): KernelTuning | undefined {
  const [tallTilesFrom, largeTilesFrom] = [Number(record['tallTilesFrom']), Number(record['largeTilesFrom'])];
  return Number.isFinite(tallTilesFrom) && Number.isFinite(largeTilesFrom)
    ? { tallTilesFrom, largeTilesFrom, source: 'recorded' }
    : undefined;
}

/**
 * The size from which on large tiles are to be taken, by how long they took at each size relative to small ones: that with the least product of
 * ratios from it on, so that a small loss at one size does not outweigh gains at others; past all sizes where large tiles gain nothing.
 */
export function bestThreshold(sizes: readonly number[], ratios: readonly number[]): number {
  let best = { from: 2 * (sizes.at(-1) ?? 1), cost: 0 };
  let cost = 0;
  for (let index = sizes.length - 1; index >= 0; index--) {
    cost += Math.log(ratios[index] ?? 1);
    if (cost < best.cost) best = { from: sizes[index] ?? 1, cost };
  }
  return best.from;
}

interface Size {
  readonly rows: number;
  readonly columns: number;
  readonly inner: number;
}

/** How long the large tiles took relative to the small ones, for each size. */
async function compare(
  device: Device,
  sizes: readonly Size[],
  threshold: 'tallTilesFrom' | 'largeTilesFrom',
): Promise<number[]> {
  const ratios: number[] = [];
  for (const { rows, columns, inner } of sizes) {
    const workspace = new Workspace(device);
    const [x, weight] = [device.tensor('x', [rows, inner]), device.tensor('weight', [columns, inner])];
    const record = async (from: number): Promise<Program> => {
      device.tuning = { ...defaultTuning, [threshold]: from };
      const tape = new Tape(workspace);
      linear(tape, x, weight);
      return tape.finish('tuning');
    };
    const [small, large] = [await record(Number.MAX_SAFE_INTEGER), await record(0)];
    const [smallTime, largeTime] = await fastest(device, [small, large]);
    ratios.push(largeTime / smallTime);
    for (const program of [small, large]) program.dispose();
    workspace.close();
    for (const tensor of [x, weight]) device.destroyTensor(tensor);
  }
  return ratios;
}

const samples = 7;
const sampleMilliseconds = 8;

/** The least time of each, samples taken in turns: other load only ever adds. */
async function fastest(device: Device, programs: readonly [Program, Program]): Promise<[number, number]> {
  const timed = async (program: Program, times: number): Promise<number> => {
    const started = performance.now();
    for (let i = 0; i < times; i++) program.run();
    await device.settle();
    return (performance.now() - started) / times;
  };
  const once: number[] = [];
  for (const program of programs) {
    await timed(program, 1);
    once.push(await timed(program, 3));
  }
  const repetitions = Math.max(1, Math.ceil(sampleMilliseconds / Math.max(0.05, Math.min(...once))));
  const best: [number, number] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let i = 0; i < samples; i++)
    for (const which of [0, 1] as const) best[which] = Math.min(best[which], await timed(programs[which], repetitions));
  return best;
}

/** Where something that was found out about an adapter is kept, by adapter, driver and features: another driver is asked again. */
export function adapterFile(folder: string, { adapter }: Device, environment: Environment): string {
  const { vendor, architecture, device, description, subgroupMinSize, subgroupMaxSize, features } = adapter;
  const identity = JSON.stringify([
    version,
    vendor,
    architecture,
    device,
    description,
    subgroupMinSize,
    subgroupMaxSize,
    features,
  ]);
  return join(
    cacheDirectory({ ...environment }),
    folder,
    `${createHash('sha256').update(identity).digest('hex').slice(0, 24)}.json`,
  );
}

/** What was measured before; undefined when there is nothing that can be used: it is measured again. */
function readTuning(file: string): Omit<KernelTuning, 'source'> | undefined {
  const { tallTilesFrom, largeTilesFrom } = (readJson(file) ?? {}) as Partial<Record<string, unknown>>;
  return Number.isFinite(tallTilesFrom) && Number.isFinite(largeTilesFrom)
    ? { tallTilesFrom: Number(tallTilesFrom), largeTilesFrom: Number(largeTilesFrom) }
    : undefined;
}

function keepTuning(file: string, { tallTilesFrom, largeTilesFrom }: KernelTuning): void {
  try {
    writeJson(file, { tallTilesFrom, largeTilesFrom });
  } catch {
    // A cache that cannot be written costs a second at the next start and nothing else.
  }
}
