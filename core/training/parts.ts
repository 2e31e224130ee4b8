/**
 * Gradients and weights over ranks. Each arena is cut into a part for each rank. A rank adds up its part of the gradients of all, in the order of ranks,
 * and moves its part of the weights; then all collect the parts. So every rank ends with the same bits, and with the same in every run with as many ranks
 * (contracts/communicator.ts); and as much is sent as if all gradients were added up everywhere.
 */
import type { Program } from '../autograd/program.ts';
import type { Communicator } from '../contracts/communicator.ts';
import type { FlatParameters } from '../contracts/optimizer.ts';
import type { Device } from '../gpu/device.ts';
import { shareRange } from '../ranks/shares.ts';
import { at } from '../tensor/at.ts';
import { elementBytes, type Tensor } from '../tensor/tensor.ts';
import { blockSize, type Arena, type ParameterSet } from '../weights/parameters.ts';

type Place = Pick<Communicator, 'rank' | 'size'>;
type Range = readonly [start: number, end: number];

/** Elements that are not divided among ranks: their flags begin at a multiple of 256 bytes, as bindings do. */
const unit = 64 * blockSize;
/** Elements of all ranks together that are on the host at a time. */
const pieceElements = 2 ** 24;

/** The part of an arena that a rank moves; the parts of the ranks follow one another. */
export function partOf(elements: number, place: Place): Range {
  const [start, end] = shareRange(Math.ceil(elements / unit), place);
  return [Math.min(elements, start * unit), Math.min(elements, end * unit)];
}

/** This rank's parts of the arenas, for an optimizer. */
export function ownParts({ device, arenas }: ParameterSet, place: Place, squareSum: Tensor): FlatParameters {
  const cut = ({ values, gradients, flags, elements }: Arena): FlatParameters['arenas'][number] => {
    const [start, end] = partOf(elements, place);
    return {
      values: range(values, start, end),
      gradients: gradients === undefined ? undefined : range(gradients, start, end),
      flags: gradients === undefined ? flags : range(flags, start / blockSize, end / blockSize),
      elements: end - start,
      first: start,
    };
  };
  return { device, arenas: arenas.map(cut), squareSum };
}

/**
 * Leaves in this rank's part of the gradients the sum of those of all ranks, and zero in the parts of the others. `last`: the program that completes them,
 * which is run meanwhile: what it writes no more travels while it computes the rest. Backward ends with the first weights, so their arenas come last.
 */
export async function reduceGradients(
  { device, arenas }: ParameterSet,
  communicator: Communicator,
  last?: Program,
): Promise<void> {
  const cut = arenas.toReversed().flatMap(({ gradients, elements }) => {
    return gradients === undefined ? [] : [{ gradients, pieces: piecesOf(elements, communicator) }];
  });
  const slices = last?.inSlices(cut.reduce((sum, { pieces }) => sum + pieces.length, 0));
  for (const { gradients, pieces } of cut) {
    slices?.untilWritten(gradients);
    for (const piece of pieces) {
      const read = readAll(device, gradients, piece);
      // Behind the copy of this piece: computed while the ranks add it up.
      slices?.next();
      const counts = piece.map(([start, end]) => end - start);
      const sum = await communicator.reduceScatter(await read, counts);
      piece.forEach(([start, end], rank) => {
        if (start === end) return;
        if (rank === communicator.rank) device.write(range(gradients, start, end), sum);
        else device.clear(range(gradients, start, end));
      });
    }
  }
  slices?.rest();
}

/** Gives every rank the others' parts of flat f32 tensors that are as long as the arenas. */
export async function gatherParts(
  device: Device,
  tensors: readonly Tensor[],
  communicator: Communicator,
): Promise<void> {
  for (const tensor of tensors) {
    for (const piece of piecesOf(at(tensor.shape, 0), communicator)) {
      const [start, end] = at(piece, communicator.rank);
      const own = start === end ? new Float32Array() : await device.readFloats(range(tensor, start, end));
      const all = await communicator.allGather(new Uint8Array(own.buffer, own.byteOffset, own.byteLength));
      piece.forEach(([from, to], rank) => {
        const bytes = at(all, rank);
        if (rank !== communicator.rank && from < to)
          device.write(range(tensor, from, to), new Float32Array(bytes.buffer, bytes.byteOffset, to - from));
      });
    }
  }
}

/** What is sent at a time: of the part of every rank the next piece. */
function piecesOf(elements: number, { size }: Pick<Place, 'size'>): readonly (readonly Range[])[] {
  const parts = Array.from({ length: size }, (_, rank) => partOf(elements, { rank, size }));
  const longest = Math.max(...parts.map(([start, end]) => end - start));
  const step = Math.max(unit, Math.floor(pieceElements / size / unit) * unit);
  return Array.from({ length: Math.ceil(longest / step) }, (_, index) =>
    parts.map(([start, end]): Range => [
      Math.min(end, start + index * step),
      Math.min(end, start + (index + 1) * step),
    ]),
  );
}

/** One behind the other. */
async function readAll(device: Device, tensor: Tensor, ranges: readonly Range[]): Promise<Float32Array> {
  const wanted = ranges.filter(([start, end]) => start < end);
  const read = await device.read(wanted.map(([start, end]) => range(tensor, start, end)));
  const all = new Float32Array(wanted.reduce((sum, [start, end]) => sum + end - start, 0));
  let place = 0;
  for (const values of read) {
    if (!(values instanceof Float32Array)) throw new RangeError(`${tensor.name} is not f32`);
    all.set(values, place);
    place += values.length;
  }
  return all;
}

/** Elements of a flat tensor, in the buffer it lies in. */
function range(tensor: Tensor, start: number, end: number): Tensor {
  if (!('buffer' in tensor.memory)) throw new RangeError(`${tensor.name} lies in no buffer`);
  const { buffer, offset } = tensor.memory;
  return { ...tensor, shape: [end - start], memory: { buffer, offset: offset + elementBytes(tensor.type) * start } };
}
