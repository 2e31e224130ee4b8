/** A weight as a set of parameters keeps it, for tests of the ops that read every storage. */
import { ParameterSet, type WeightStorage } from '../../core/weights/parameters.ts';
import type { Device } from '../../core/gpu/device.ts';
import type { Tensor } from '../../core/tensor/tensor.ts';

export interface StoredWeight {
  readonly tensor: Tensor;
  /** What is stored, exactly. */
  readonly values: Float32Array;
  readonly set: ParameterSet;
}

/** `limit`: bytes of a binding; a larger weight lies in parts. */
export async function storedWeight(
  device: Device,
  shape: readonly number[],
  values: Float32Array,
  storage: WeightStorage,
  limit?: number,
): Promise<StoredWeight> {
  const set = new ParameterSet(device, [{ name: 'weight', shape, init: { values } }], {
    seed: 0,
    storage,
    ...(limit !== undefined && { bindingLimit: limit }),
  });
  return { tensor: set.get('weight'), values: await set.readTensor('weight'), set };
}
