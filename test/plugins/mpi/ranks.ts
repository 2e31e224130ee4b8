/** Runs over ranks, as a user launches them; and what became of them. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect } from 'vitest';
import { listCheckpoints } from '../../../core/io/checkpoint.ts';
import { openSafetensors } from '../../../core/io/weight-files/safetensors-source.ts';
import { root, type Workplace } from '../../support/runs.ts';
import { findOpenMpi, openMpiHint } from './openmpi.mjs';

const mpirun = findOpenMpi();

/** Tests that take Open MPI: passed over, and said to be, where there is none. */
export function describeWithMpi(name: string, tests: () => void): void {
  const isMissing = mpirun === undefined;
  if (isMissing) process.stderr.write(`${openMpiHint}\n`);
  describe.skipIf(isMissing)(`${name}${isMissing ? ` (${openMpiHint})` : ''}`, () => {
    tests();
  });
}

/** A launch under way. */
export class LaunchedRun {
  readonly child: ChildProcess;
  readonly directory: string;
  said = '';

  constructor(ranks: number, target: string, directory: string, settings: readonly string[] = [], environment = {}) {
    this.directory = directory;
    const sets = settings.flatMap((setting) => ['--set', setting]);
    const isResumed = target === directory;
    this.child = spawn(
      process.execPath,
      [
        join(root, 'core/bin.mjs'),
        ...['launch', '--ranks', String(ranks), target, ...sets, ...(isResumed ? [] : ['--run-dir', directory])],
      ],
      {
        env: { ...process.env, ...(mpirun !== undefined && { REASONGEN_MPIRUN: mpirun }), ...environment },
        stdio: ['ignore', 'inherit', 'pipe'],
      },
    );
    this.child.stderr?.on('data', (chunk) => (this.said += String(chunk)));
  }

  /** Resolves with the exit code. */
  async end(): Promise<number> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'close');
    return this.child.exitCode ?? -1;
  }

  /** Resolves when so many steps are in the metrics. */
  async hasTaken(steps: number): Promise<void> {
    while (this.child.exitCode === null) {
      if (metricsOf(this.directory).length >= steps) return;
      await wait(100);
    }
    throw new Error(`the run ended with ${this.child.exitCode}: ${this.said}`);
  }

  /** The process that computes as a rank. */
  processOf(rank: number): number {
    const { stdout } = spawnSync('ps', ['-eo', 'pid,args'], { encoding: 'utf8' });
    for (const line of stdout.split('\n')) {
      if (!line.includes('supervised.mjs') || !line.includes(this.directory)) continue;
      const pid = Number(line.trim().split(' ')[0]);
      if (readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`OMPI_COMM_WORLD_RANK=${rank}`)) return pid;
    }
    throw new Error(`no process is rank ${rank}`);
  }
}

export async function launched(
  ranks: number,
  preset: string,
  directory: string,
  settings: readonly string[] = [],
): Promise<string> {
  const run = new LaunchedRun(ranks, preset, directory, settings);
  const code = await run.end();
  if (code !== 0) throw new Error(`${ranks} ranks ended with ${code}: ${run.said}`);
  return directory;
}

/** A preset by one process, by two ranks and by four, once that two are found to be the same twice: weights, optimizer and metrics. */
export async function aloneTwoAndFour(
  place: Workplace,
  preset: string,
): Promise<{ readonly alone: string; readonly two: string; readonly four: string }> {
  const alone = (await place.run(preset)).directory;
  const two = await launched(2, preset, place.free());
  const again = await launched(2, preset, place.free());
  const four = await launched(4, preset, place.free());
  expect(await hashesOf(again)).toEqual(await hashesOf(two));
  expect(metricsOf(again).map(timeless)).toEqual(metricsOf(two).map(timeless));
  return { alone, two, four };
}

/** Of every step; empty where there are none yet. */
export function metricsOf(directory: string): Record<string, number>[] {
  try {
    return readFileSync(join(directory, 'metrics.ndjson'), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, number>);
  } catch {
    return [];
  }
}

/** Of the first rank, on its device. */
export function memoryOf(directory: string): { readonly plannedBytes: number; readonly peakBytes: number } {
  const { memory } = JSON.parse(readFileSync(join(directory, 'run.json'), 'utf8')) as {
    readonly memory: { readonly plannedBytes: number; readonly peakBytes: number };
  };
  return memory;
}

/** What of a step does not depend on the clock. */
export function timeless(metrics: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(metrics).filter(([name]) => !/second/i.test(name)));
}

/** sha256 of the files of the newest checkpoint: weights and optimizer. */
export async function hashesOf(directory: string): Promise<Record<string, string>> {
  const newest = (await listCheckpoints(directory)).at(-1);
  if (newest === undefined) throw new Error(`${directory} has no checkpoint`);
  const hash = (name: string): string =>
    createHash('sha256')
      .update(readFileSync(join(newest.path, name)))
      .digest('hex');
  return { weights: hash('weights.safetensors'), optimizer: hash('optimizer.safetensors') };
}

/** All weights of the newest checkpoint, one behind the other by name. */
export async function weightsOf(directory: string): Promise<Float32Array> {
  const newest = (await listCheckpoints(directory)).at(-1);
  if (newest === undefined) throw new Error(`${directory} has no checkpoint`);
  const source = await openSafetensors(join(newest.path, 'weights.safetensors'));
  try {
    const all: number[] = [];
    for (const [name, { shape }] of [...source.entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const count = shape.reduce((product, size) => product * size, 1);
      const bytes = await source.read(name, 0, count);
      all.push(...new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 4 * count)));
    }
    return Float32Array.from(all);
  } finally {
    await source.close();
  }
}

/** Norm of the difference by the norm of the first. */
export function relativeDifference(one: Float32Array, other: Float32Array): number {
  let [apart, whole] = [0, 0];
  one.forEach((value, index) => {
    apart += (value - (other[index] ?? Number.NaN)) ** 2;
    whole += value ** 2;
  });
  return Math.sqrt(apart / whole);
}
