/**
 * Kernels compiled side by side before a run needs them. A software driver compiles a kernel when it is first launched, one after the other, and
 * keeps what it has compiled on disk: several devices compile at a time what the device of the run then finds there. On a GPU, whose driver
 * compiles while pipelines are made, there is nothing to be gained.
 */
import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { type Environment, processEnvironment } from './environment.ts';
import { type Device, openDevice } from './gpu/device.ts';
import type { Kernel } from './gpu/kernel.ts';
import { readJson, writeJson } from './setup/cache.mjs';
import { adapterFile } from './tune.ts';

/** Fewer are compiled by the run itself. */
const worthIt = 8;
/** Devices beside that of the run. */
const mostDevices = 4;
/** Kernels that are remembered for an adapter. */
const mostKnown = 20_000;

/**
 * Compiles those kernels that were never compiled here for this adapter; `onStart` is told how many, where it is worth it. What does not compile is
 * left to the run, which says so. Resolves to how many were compiled.
 */
export async function compileAhead(
  device: Device,
  kernels: Iterable<Kernel>,
  onStart: (count: number) => void = () => {},
  environment: Environment = processEnvironment,
  openHelper: () => Promise<Device> = openDevice,
): Promise<number> {
  const cores = availableParallelism();
  if (!device.adapter.isSoftware || cores < 2) return 0;
  const file = adapterFile('compiled', device, environment);
  const known = readKnown(file);
  // The longest first, so that none of them is begun last.
  const waiting = [...kernels]
    .filter(({ code }) => !known.has(hashOf(code)))
    .sort((one, other) => other.code.length - one.code.length);
  if (waiting.length < worthIt) return 0;
  onStart(waiting.length);
  const compiled: string[] = [];
  const work = async (): Promise<void> => {
    // A driver that opens no further device compiles as the run goes on.
    const helper = await openHelper().catch(() => undefined);
    if (helper === undefined) return;
    try {
      for (let kernel = waiting.shift(); kernel !== undefined; kernel = waiting.shift())
        if (await compile(helper, kernel)) compiled.push(hashOf(kernel.code));
    } finally {
      helper.close();
    }
  };
  await Promise.all(Array.from({ length: Math.min(cores, mostDevices) }, work));
  try {
    writeJson(file, [...known, ...compiled].slice(-mostKnown));
  } catch {
    // A cache that cannot be written costs the next start what this one cost.
  }
  return compiled.length;
}

/** Launches no workgroup of it, by a count on the device: enough for the driver to compile it, and nothing is computed. */
async function compile(device: Device, kernel: Kernel): Promise<boolean> {
  const made: GPUBuffer[] = [];
  const buffer = (bytes: number, usage?: number): GPUBuffer => {
    const one = device.createBuffer(bytes, 'compiling', usage);
    made.push(one);
    return one;
  };
  try {
    const { pipeline, layout } = await device.pipeline(kernel);
    const entries = kernel.bindings.map(({ index, access }) => ({
      binding: index,
      resource: { buffer: access === 'uniform' ? buffer(256, GPUBufferUsage.UNIFORM) : buffer(256) },
    }));
    const encoder = device.gpu.createCommandEncoder();
    const pass = device.beginPass(encoder);
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.gpu.createBindGroup({ layout, entries }));
    pass.dispatchWorkgroupsIndirect(buffer(12, GPUBufferUsage.INDIRECT), 0);
    pass.end();
    device.submit(encoder);
    await device.settle();
    return true;
  } catch {
    return false;
  } finally {
    for (const one of made) device.destroyBuffer(one);
  }
}

function hashOf(code: string): string {
  return createHash('sha256').update(code).digest('hex').slice(0, 16);
}

function readKnown(file: string): Set<string> {
  const kept = readJson(file);
  return new Set(Array.isArray(kept) ? kept.filter((each): each is string => typeof each === 'string') : []);
}
