import type { Device } from '../gpu/device.ts';

/** Lanes of a subgroup where every subgroup has the same width and 64 threads hold a whole number of them; else undefined. */
export function subgroupLanes(device: Device): number | undefined {
  const { subgroupMinSize, subgroupMaxSize } = device.adapter;
  const isFixed = device.has('subgroups') && subgroupMinSize === subgroupMaxSize && [4, 8, 16, 32, 64].includes(subgroupMinSize);
  return isFixed ? subgroupMinSize : undefined;
}
