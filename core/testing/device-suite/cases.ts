/** What the cases of the suite are made of. */
import type { Device } from '../../gpu/device.ts';
import { sizeOf } from '../../tensor/tensor.ts';
import { randomFloats, randomWords } from '../arrays.ts';
import type { OpErrors, OpInput } from '../check-op.ts';

export interface DeviceCase {
  readonly op: string;
  /** Sizes or storage, as the table shows them. */
  readonly form: string;
  /** Why there is nothing to check on this device; undefined where there is. */
  readonly leftOut?: (device: Device) => string | undefined;
  /** @throws Error that says what is wrong */
  readonly run: (device: Device) => Promise<OpErrors>;
}

export const floats = (shape: readonly number[], seed: number, scale = 1): OpInput => ({
  shape,
  data: randomFloats(sizeOf(shape), seed, scale),
});
export const randomIds = (count: number, seed: number, limit: number): OpInput => ({
  shape: [count],
  data: randomWords(count, seed, limit),
});
export const logistic = (x: number): number => 1 / (1 + Math.exp(-x));
