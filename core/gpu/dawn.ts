/**
 * Dawn's Node bindings, opened once. The object returned by `create()` must outlive every device: when it is
 * garbage-collected the process dies, so it is pinned here for the life of the process (the one allowed piece of module state).
 */
import { create, globals } from 'webgpu';
import { processEnvironment } from '../environment.ts';

let pinned: GPU | undefined;
let waitStarted = 0;

/** The constants of WebGPU (`GPUBufferUsage`, …) as global names; starts no driver. */
export function installGlobals(): void {
  Object.assign(globalThis, globals);
}

export function dawn(flags: readonly string[] = []): GPU {
  if (pinned === undefined) {
    installGlobals();
    installPollingBackOff();
    pinned = create([...flags]);
  }
  return pinned;
}

/** A second instance with its own flags (null back end, debugging); pinned too. */
const extraInstances: GPU[] = [];
export function dawnWith(flags: readonly string[]): GPU {
  installGlobals();
  const instance = create([...flags]);
  extraInstances.push(instance);
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
