/** Plans in words, and the refusal of one that does not fit. */
import type { Plan } from './contracts/recipe.ts';
import { exitCodes, ReasongenError } from './errors.ts';

/** What decides whether a plan fits. */
export interface Room {
  readonly limits: Pick<GPUSupportedLimits, 'maxStorageBufferBindingSize' | 'maxBufferSize'>;
  /** What is left for the device, where it is known. */
  readonly availableBytes?: number | undefined;
}

/** A change of options with the plan it leads to. */
export interface PlannedChange {
  readonly change: string;
  readonly plan: Plan;
}

/** Why a plan does not fit, in words; undefined when it does. */
export function misfit(plan: Plan, { limits, availableBytes }: Room): string | undefined {
  const { largestBinding, largestBindingName, largestBuffer = largestBinding } = plan;
  const allowed = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  if (largestBinding > allowed) {
    const name = largestBindingName === undefined ? '' : ` (${largestBindingName})`;
    return `the largest buffer${name} needs ${formatBytes(largestBinding)}, and this adapter binds at most ${formatBytes(allowed)}`;
  }
  if (largestBuffer > limits.maxBufferSize)
    return `the largest buffer needs ${formatBytes(largestBuffer)}, and this adapter makes none above ${formatBytes(limits.maxBufferSize)}`;
  const total = totalBytes(plan);
  if (availableBytes === undefined || total <= availableBytes) return undefined;
  return `the run needs ${formatBytes(total)} on the device, and ${formatBytes(availableBytes)} are left`;
}

/** Throws DOES_NOT_FIT when a plan does not; `findSmaller` is then asked for the smallest change that would. */
export async function refuseWhatCannotFit(
  plan: Plan,
  room: Room,
  findSmaller: () => Promise<PlannedChange | undefined>,
): Promise<void> {
  const message = misfit(plan, room);
  if (message === undefined) return;
  const smaller = await findSmaller();
  throw new ReasongenError({
    code: 'DOES_NOT_FIT',
    message,
    hint:
      smaller === undefined
        ? 'use smaller batches or a smaller model; `reasongen check` prints what a preset needs'
        : `the smallest change that fits is ${smaller.change}, which needs ${formatBytes(totalBytes(smaller.plan))}`,
    exitCode: exitCodes.outOfMemory,
  });
}

/** The plan in words: its lines, then the memory by purpose. */
export function describePlan(plan: Plan): string[] {
  const purposes = Object.entries(plan.bytes).map(([purpose, bytes]) => `${purpose} ${formatBytes(bytes)}`);
  const { inParts = [] } = plan;
  return [
    ...plan.lines,
    `memory: ${formatBytes(totalBytes(plan))} on the device (${purposes.join(', ')})`,
    `largest buffer: ${formatBytes(plan.largestBinding)}`,
    ...(inParts.length === 0
      ? []
      : [`in parts: ${inParts.map(({ name, parts }) => `${name} in ${parts}`).join(', ')}`]),
  ];
}

/** Where a component may be placed, in words: what the run then needs on its device, and which of it fits. */
export function describePlaces(
  key: string,
  chosen: string,
  plans: Readonly<Record<string, Plan>>,
  room: Room | undefined,
): string {
  const places = Object.entries(plans).map(([place, plan]) => {
    const why = room === undefined ? undefined : misfit(plan, room);
    const fits = room === undefined ? '' : why === undefined ? ', fits' : ', does not fit';
    return `${place} ${formatBytes(totalBytes(plan))}${place === chosen ? ' (chosen)' : ''}${fits}`;
  });
  return `place of ${key}: ${places.join('; ')}`;
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
