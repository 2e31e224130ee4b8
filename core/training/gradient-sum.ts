/**
 * Gradients added up over ranks. Each rank adds up one part, in the order of ranks, and all of them collect the parts, so that every rank ends
 * with the same bits, and with the same in every run with as many ranks (contracts/communicator.ts). As much is sent as by any other way.
 */
import type { Communicator } from '../contracts/communicator.ts';
import { shareRange } from '../ranks/shares.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { ParameterSet } from '../weights/parameters.ts';

/** Elements on the host at a time. */
const pieceElements = 2 ** 24;

/** Replaces the gradients on this device by the sum of those of all ranks. Nothing is done where there is one rank. */
export async function sumGradients({ device, arenas }: ParameterSet, communicator: Communicator): Promise<void> {
  const { size } = communicator;
  if (size === 1) return;
  for (const { gradients, elements } of arenas) {
    if (gradients === undefined) continue;
    for (let start = 0; start < elements; start += pieceElements) {
      const piece = rangeOf(gradients, start, Math.min(pieceElements, elements - start));
      const own = await device.readFloats(piece);
      const counts = Array.from({ length: size }, (_, rank) => {
        const [from, to] = shareRange(own.length, { rank, size });
        return to - from;
      });
      const part = await communicator.reduceScatter(own, counts);
      const parts = await communicator.allGather(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
      let place = 0;
      for (const bytes of parts) {
        own.set(new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4), place);
        place += bytes.byteLength / 4;
      }
      device.write(piece, own);
    }
  }
}

/** Elements of a flat f32 tensor, in the buffer it lies in. */
function rangeOf(tensor: Tensor, start: number, count: number): Tensor {
  if (!('buffer' in tensor.memory)) throw new RangeError(`${tensor.name} lies in no buffer`);
  const { buffer, offset } = tensor.memory;
  return { ...tensor, shape: [count], memory: { buffer, offset: offset + 4 * start } };
}
