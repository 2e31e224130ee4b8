/** What a device says when it cannot: no adapter, not enough memory, lost. */
import { exitCodes, ReasongenError } from '../errors.ts';

const smaller = 'use a smaller batch or a smaller model';
const predicted = `${smaller}; \`reasongen check\` predicts what a preset needs`;

/** `name`: a part of the name of the one that was asked for. */
export function noAdapter(name?: string, cause?: unknown): ReasongenError {
  return new ReasongenError({
    code: 'NO_ADAPTER',
    message:
      name === undefined
        ? 'no WebGPU adapter: Dawn found no Vulkan driver it accepts'
        : `no WebGPU adapter has "${name}" in its name`,
    cause,
    hint: 'run `npx reasongen doctor`; it names what is missing and the command that installs it. A program that embeds reasongen calls `await prepareDriver()` before anything else',
    exitCode: exitCodes.noAdapter,
  });
}

export function deviceLost(message: string, cause?: unknown): ReasongenError {
  return new ReasongenError({
    code: 'DEVICE_LOST',
    message,
    hint: 'nothing saved is lost: `reasongen resume <run directory>` goes on from the last checkpoint',
    exitCode: exitCodes.deviceLost,
    cause,
  });
}

export function bindingTooLarge(what: string, bytes: number, limit: number): ReasongenError {
  return new ReasongenError({
    code: 'BINDING_TOO_LARGE',
    message: `${what} has ${bytes} bytes; this adapter binds at most ${limit}`,
    hint: 'use a smaller micro-batch',
    exitCode: exitCodes.outOfMemory,
  });
}

export function bufferTooLarge(label: string, bytes: number, limit: number): ReasongenError {
  return new ReasongenError({
    code: 'BUFFER_TOO_LARGE',
    message: `"${label}" needs a buffer of ${bytes} bytes; this adapter allows ${limit}`,
    hint: smaller,
    exitCode: exitCodes.outOfMemory,
  });
}

/** `left`: bytes that the machine has. */
export function outOfMemory(label: string, bytes: number, left: number): ReasongenError {
  const mebibytes = (count: number): string => (count / 2 ** 20).toFixed(0);
  return new ReasongenError({
    code: 'OUT_OF_MEMORY',
    message: `"${label}" needs ${mebibytes(bytes)} MiB; the machine has ${mebibytes(left)} MiB left`,
    hint: predicted,
    exitCode: exitCodes.outOfMemory,
  });
}

/** What Dawn reports on its own. */
export function reportedError(error: GPUError): ReasongenError {
  const isMemory = error.constructor.name === 'GPUOutOfMemoryError';
  return new ReasongenError({
    code: isMemory ? 'OUT_OF_MEMORY' : 'DEVICE_ERROR',
    message: `the device reported: ${error.message}`,
    hint: isMemory ? predicted : undefined,
    exitCode: isMemory ? exitCodes.outOfMemory : exitCodes.failure,
  });
}
