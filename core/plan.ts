import type { Plan } from './contracts/recipe.ts';
import { exitCodes, ReasongenError } from './errors.ts';

/** The limits of an adapter that decide whether a plan fits. */
export interface AdapterLimits {
  readonly maxStorageBufferBindingSize: number;
  readonly maxBufferSize: number;
}

/** Throws when a plan needs what the adapter does not allow. `availableBytes`: what is left for the device, where it is known. */
export function refuseWhatCannotFit(plan: Plan, limits: AdapterLimits, availableBytes?: number): void {
  const refuse = (message: string): never => {
    throw new ReasongenError({
      code: 'DOES_NOT_FIT',
      message,
      cure: 'use smaller batches or a smaller model; `reasongen check` prints what a preset needs',
      exitCode: exitCodes.outOfMemory,
    });
  };
  const allowed = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  if (plan.largestBinding > allowed) {
    refuse(`the largest buffer needs ${formatBytes(plan.largestBinding)}, and this adapter binds at most ${formatBytes(allowed)}`);
  }
  const total = totalBytes(plan);
  if (availableBytes !== undefined && total > availableBytes) {
    refuse(`the run needs ${formatBytes(total)} on the device, and ${formatBytes(availableBytes)} are left`);
  }
}

/** The plan in words: its lines, then the memory by purpose. */
export function describePlan(plan: Plan): string[] {
  const parts = Object.entries(plan.bytes).map(([purpose, bytes]) => `${purpose} ${formatBytes(bytes)}`);
  return [
    ...plan.lines,
    `memory: ${formatBytes(totalBytes(plan))} on the device (${parts.join(', ')})`,
    `largest buffer: ${formatBytes(plan.largestBinding)}`,
  ];
}

export function totalBytes(plan: Plan): number {
  return Object.values(plan.bytes).reduce((sum, bytes) => sum + bytes, 0);
}

/** `1.5 MiB` */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}
