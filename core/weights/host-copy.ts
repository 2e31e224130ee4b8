/** Weights that leave a device for a while: their values in the memory of the host, in the form they are stored in, so that they come back bit for bit. */
import type { ParameterSpec } from '../contracts/backbone.ts';
import type { Device } from '../gpu/device.ts';
import { at } from '../tensor/at.ts';
import { byteLength, type Tensor } from '../tensor/tensor.ts';
import { ParameterSet, type StorageChoice } from './parameters.ts';

/** Words that are written at a time. */
const pieceWords = 2 ** 24;

export interface HostCopy {
  readonly bytes: number;
  /** The same weights on a device again; each set is closed by whoever asked for it. */
  restore(device: Device): ParameterSet;
}

/** Of a set that was made from these specs in this storage and is not trained. It stays where it is. */
export async function copyToHost(
  set: ParameterSet,
  specs: readonly ParameterSpec[],
  storage: StorageChoice,
): Promise<HostCopy> {
  set.device.reserveReadBack(set.bytes);
  // There is nothing on a device that only counts.
  const copies = set.device.isPlanning ? [] : await set.device.read(set.arenas.map(({ values }) => asWords(values)));
  return {
    bytes: copies.reduce((sum, copy) => sum + copy.byteLength, 0),
    restore(device) {
      const again = new ParameterSet(device, specs, { seed: 0, storage, initialize: 'none' });
      copies.forEach((words, index) =>
        writeInPieces(device, asWords(at(again.arenas, index).values), words as Uint32Array),
      );
      return again;
    },
  };
}

/** Whatever a tensor holds, its bytes: arenas are whole words. */
function asWords(tensor: Tensor): Tensor {
  return { ...tensor, shape: [byteLength(tensor.shape, tensor.type) / 4], type: 'u32' };
}

function writeInPieces(device: Device, { memory, ...tensor }: Tensor, words: Uint32Array): void {
  if (!('buffer' in memory)) throw new RangeError('an arena lives in a buffer');
  for (let first = 0; first < words.length; first += pieceWords) {
    const piece = words.subarray(first, first + pieceWords);
    const target = { ...tensor, shape: [piece.length], memory: { ...memory, offset: memory.offset + first * 4 } };
    device.write(target, piece);
  }
}
