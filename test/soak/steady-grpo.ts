/** A long GRPO run, and what its steps leave behind: on the heap, in the process, on the device, and of open files. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { silentLog } from '../../core/log.ts';
import { loadPreset } from '../../core/preset/load.ts';
import { runPreset } from '../../core/runtime.ts';
import { createStop } from '../../core/stop.ts';

/** After a collection of the heap, in bytes. */
export interface Reading {
  readonly step: number;
  readonly heap: number;
  readonly resident: number;
  readonly device: number;
  /** Open descriptors; 0 where the system does not tell. */
  readonly files: number;
}

export interface SteadyGrpo {
  readonly readings: readonly Reading[];
  readonly adapter: string;
  readonly seconds: number;
}

const tiny = fileURLToPath(new URL('../support/tiny.yaml', import.meta.url));

/** Trains for so many steps, with checkpoints, samples and evaluations on the way, and reads every `every` steps. */
export async function steadyGrpo(steps: number, every: number): Promise<SteadyGrpo> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const folder = mkdtempSync(join(tmpdir(), 'reasongen-steady-'));
  const preset = join(folder, 'grpo.yaml');
  writeFileSync(
    preset,
    `extends: ${tiny}\noptimizer: { use: adamw, learningRate: 2e-4 }\nrewards: [is-color]\n` +
      `recipe: { use: grpo, steps: ${steps}, prompts: 4, groupSize: 4, rationaleTokens: 6, saveEvery: ${every}, samplesEvery: ${every}, evaluations: 4, evaluateEvery: ${every}, kl: { coefficient: 0.01 }, guards: { drift: off, constantReward: off } }\n`,
  );
  const readings: Reading[] = [];
  let device: Device | undefined;
  const read = (step: number): void => {
    collect();
    const { heapUsed: heap, rss: resident } = process.memoryUsage();
    const { bytes: held = 0 } = device?.memory ?? {};
    readings.push({ step, heap, resident, device: held, files: openFiles() });
  };
  const runDirectory = join(folder, 'run');
  const started = performance.now();
  await runPreset(await loadPreset(preset, { runDirectory }), {
    ...{ runDirectory, resume: false, command: ['steady-grpo'], log: silentLog(), stop: createStop() },
    signal: new AbortController().signal,
    openDevice: async () => (device = await openDevice()),
    onHooks: (hooks) => {
      const fire = hooks.step;
      Object.assign(hooks, {
        step: async (event: Parameters<typeof fire>[0]) => {
          await fire(event);
          if (event.step % every === 0) read(event.step);
        },
      });
    },
  });
  const seconds = (performance.now() - started) / 1000;
  rmSync(folder, { recursive: true });
  return { readings, adapter: device?.adapter.description ?? '', seconds };
}

function openFiles(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return 0;
  }
}

/** Heap that a step may leave, its share of evaluations and checkpoints included: drawings that somebody keeps would be more. Of the process: what an allocator keeps for itself. */
const [heapOfStep, residentAtMost] = [4096, 48 * 2 ** 20];

/** What grows from one reading to a later one, in words; empty when all is flat. */
export function growth(first: Reading, last: Reading): string[] {
  const steps = last.step - first.step;
  const grown: string[] = [];
  const say = (what: string, from: number, to: number): void =>
    void grown.push(`${what}: ${from} at step ${first.step}, ${to} at step ${last.step}`);
  if (last.files > first.files) say('open files', first.files, last.files);
  if (last.device > first.device) say('bytes on the device', first.device, last.device);
  if (last.heap - first.heap > heapOfStep * steps) say('bytes of the heap', first.heap, last.heap);
  if (last.resident - first.resident > residentAtMost) say('bytes of the process', first.resident, last.resident);
  return grown;
}
