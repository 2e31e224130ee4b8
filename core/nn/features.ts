/** Vectors that stand in place of tokens, such as those of a picture that is looked at. */
import type { PictureSpan } from '../contracts/backbone.ts';
import type { Device } from '../gpu/device.ts';
import { at } from '../tensor/at.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';
import type { TokenPositions } from './packing.ts';

/** Vectors in place of some tokens of a prompt. */
export interface PromptFeatures {
  /** Rising indices of the ids they replace. */
  readonly at: readonly number[];
  /** f32 [any, vectorSize] in a buffer; the prompt takes `at.length` rows from row `first` on. */
  readonly values: Tensor;
  readonly first: number;
  /** Where the tokens of the prompt stand. */
  readonly positions: TokenPositions;
  /** Prompts with one name are the same up to the end of their pictures, whenever they are asked about; absent where nobody knows. */
  readonly name?: string | undefined;
}

/** The places of pictures in ids that have `placeholder` for each of their vectors, and where all tokens stand. `pictures` in their order. */
export function placePictures(
  ids: readonly number[],
  placeholder: number,
  pictures: readonly PictureSpan[],
  axes: number,
): Pick<PromptFeatures, 'at' | 'positions'> {
  const places: number[] = [];
  const positions = new Uint32Array(ids.length * axes);
  const left = [...pictures];
  let next = 0;
  for (let index = 0; index < ids.length;) {
    const picture = ids[index] === placeholder ? left.shift() : undefined;
    if (picture === undefined) {
      if (ids[index] === placeholder)
        throw new RangeError(`more placeholders than ${pictures.length} picture(s) have vectors`);
      positions.fill(next, index * axes, (index + 1) * axes);
      next += 1;
      index += 1;
      continue;
    }
    for (let vector = 0; vector < picture.vectors; vector++, index++) {
      if (ids[index] !== placeholder)
        throw new RangeError(`a picture of ${picture.vectors} vectors has ${vector} placeholders`);
      places.push(index);
      for (let axis = 0; axis < axes; axis++)
        positions[index * axes + axis] = next + at(picture.offsets, vector * axes + axis);
    }
    next += picture.extent;
  }
  if (left.length > 0) throw new RangeError(`${left.length} of ${pictures.length} picture(s) have no placeholders`);
  return { at: places, positions: { positions, axes, next } };
}

/** Puts the rows of prompts one behind the other into `target`, which they must fill. Device to device: features never come back to the host. */
export function copyFeatures({ gpu }: Device, prompts: readonly PromptFeatures[], target: Tensor): void {
  if (!('buffer' in target.memory)) throw new RangeError(`${target.name} has no buffer of its own`);
  const encoder = gpu.createCommandEncoder();
  const rowBytes = dimension(target, 1) * 4;
  let next = target.memory.offset;
  for (const { values, first, at: places } of prompts) {
    if (
      !('buffer' in values.memory) ||
      values.type !== 'f32' ||
      dimension(values, 1) !== dimension(target, 1) ||
      first + places.length > dimension(values, 0)
    ) {
      throw new RangeError(
        `${values.name} [${values.shape}] does not hold rows ${first} to ${first + places.length} of ${dimension(target, 1)} values in a buffer`,
      );
    }
    encoder.copyBufferToBuffer(
      values.memory.buffer,
      values.memory.offset + first * rowBytes,
      target.memory.buffer,
      next,
      places.length * rowBytes,
    );
    next += places.length * rowBytes;
  }
  if (next !== target.memory.offset + sizeOf(target.shape) * 4)
    throw new RangeError('unreachable: not every feature was given');
  gpu.queue.submit([encoder.finish()]);
}
