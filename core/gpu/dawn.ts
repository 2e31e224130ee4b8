/**
 * Dawn's Node bindings, opened once. The object returned by `create()` must outlive every device: when it is
 * garbage-collected the process dies, so it is pinned here for the life of the process (the one allowed piece of module state).
 */
import { create, globals } from 'webgpu';
import { availableParallelism } from 'node:os';
import { processEnvironment, withVariable } from '../environment.ts';

let pinned: GPU | undefined;
let waitStarted = 0;

/**
 * What every adapter is asked with: exact timestamps, features of drafts, and f16 on NVIDIA. Dawn keeps `shader-f16` and tensor cores with f16
 * from NVIDIA's Vulkan drivers unless told otherwise, because tests of its own fail there: what is got is tried before it is used
 * (half-trial.ts).
 */
const flags = [
  'disable-dawn-features=timestamp_quantization',
  'enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia',
];

/** The constants of WebGPU (`GPUBufferUsage`, …) as global names; starts no driver. */
export function installGlobals(): void {
  Object.assign(globalThis, globals);
}

/** A part of the name of the adapter to open; the best one where it is not set. */
export function wantedAdapter(): string | undefined {
  return processEnvironment['REASONGEN_ADAPTER'] || undefined;
}

export function dawn(): GPU {
  if (pinned === undefined) {
    installGlobals();
    installPollingBackOff();
    pinned = createInstance();
  }
  return pinned;
}

function createInstance(): GPU {
  const name = wantedAdapter();
  return create([...flags, ...(name === undefined ? [] : [`adapter=${name}`])]);
}

/** By which lavapipe is told how many threads it has. */
const threadsVariable = 'LP_NUM_THREADS';

/** Threads among which lavapipe divides a launch. All devices of an instance share them. */
export function driverThreads(): number {
  const told = Number(processEnvironment[threadsVariable] || Number.NaN);
  return Number.isInteger(told) && told >= 0 ? told : availableParallelism();
}

/** Instances whose software driver has threads of its own; pinned too. */
const furtherInstances: GPU[] = [];
let opening: Promise<unknown> = Promise.resolve();

/**
 * `open` with an instance of its own, on which lavapipe computes with so many threads; with one it computes where it takes what is submitted, and no
 * thread is waited for.
 */
export function withDriverThreads<Result>(threads: number, open: (gpu: GPU) => Promise<Result>): Promise<Result> {
  dawn();
  // One after the other: the variable is the process's, and is read when an adapter is asked for.
  const opened = opening.then(() =>
    withVariable(threadsVariable, String(threads > 1 ? threads : 0), () => {
      const instance = createInstance();
      furtherInstances.push(instance);
      return open(instance);
    }),
  );
  opening = opened.catch(() => undefined);
  return opened;
}

/** An instance of the null back end; pinned too. */
const nullInstances: GPU[] = [];
export function nullDawn(): GPU {
  installGlobals();
  const instance = create(['backend=null', ...flags]);
  nullInstances.push(instance);
  return instance;
}

/** Marks the start of a wait on the device; the first millisecond is polled at full speed, the rest once a millisecond. */
export function beginWait(): void {
  waitStarted = performance.now();
}

/**
 * While a promise of the binding is pending it calls the global `setImmediate` from native code without pause, which takes
 * a whole core from a software adapter's shader threads. Native calls later than 1 ms into a wait go through a timer instead.
 */
function installPollingBackOff(): void {
  if (processEnvironment['REASONGEN_POLLING'] === 'spin') return;
  const original = globalThis.setImmediate;
  const isNative = (callback: unknown): boolean =>
    typeof callback === 'function' && /\[native code\]/.test(Function.prototype.toString.call(callback));
  const replacement = (callback: (...args: unknown[]) => void, ...args: unknown[]): unknown =>
    isNative(callback) && performance.now() - waitStarted > 1
      ? setTimeout(callback, 1, ...args)
      : original(callback, ...args);
  globalThis.setImmediate = Object.assign(replacement, original) as typeof setImmediate;
}
