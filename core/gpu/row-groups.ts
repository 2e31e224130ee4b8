/** How kernels of rows (norms, softmax, heads) share a row among threads: kernels/lib/rows. */
import type { Device } from './device.ts';

/** Takes a whole workgroup of 64 threads for a row. */
const workgroup = 'lib/rows/workgroup.wgsl';

export interface RowSharing {
  readonly constants: Readonly<Record<string, string | number>>;
  /** Workgroups of 64 threads for so many rows. */
  groups(rows: number): number;
  /** Whether a row can be shared within a workgroup of so many threads that does other work as well. */
  within(threads: number): boolean;
}

/** Subgroups where all have one size; else, on a GPU, whole workgroups; on a software adapter a thread, since barriers cost more than they save. */
export function shareRows(device: Device): RowSharing {
  const { subgroupMinSize, subgroupMaxSize, isSoftware } = device.adapter;
  const isFixed =
    device.has('subgroups') && subgroupMinSize === subgroupMaxSize && [4, 8, 16, 32, 64].includes(subgroupMinSize);
  if (isFixed) return sharing({ ROWS: 'lib/rows/subgroup.wgsl', LANES: subgroupMinSize }, subgroupMinSize);
  return isSoftware ? sharing({}, 1) : sharing({ ROWS: workgroup }, 64);
}

function sharing(constants: RowSharing['constants'], lanes: number): RowSharing {
  return {
    constants,
    groups: (rows) => Math.ceil((rows * lanes) / 64),
    within: (threads) => constants['ROWS'] !== workgroup && threads % lanes === 0,
  };
}
