/** The inputs of a vision part on the device, and what towers have in common of them. */
import type { PictureArray, PictureInputs } from '../contracts/backbone.ts';
import type { Device } from '../gpu/device.ts';
import type { Tensor } from '../tensor/tensor.ts';

type PictureArrays = Readonly<Record<string, PictureArray>>;

/** Pictures with the same key fit the same program. */
export function pictureKey(arrays: PictureArrays): string {
  return Object.entries(arrays)
    .map(([name, { shape }]) => `${name} ${shape.join('x')}`)
    .join(', ');
}

export interface DevicePictures extends PictureInputs {
  /** Other pictures of the same key. */
  fill(arrays: PictureArrays): void;
  close(): void;
}

/** Device tensors that hold pictures. */
export function createPictureInputs(device: Device, arrays: PictureArrays): DevicePictures {
  const tensors = new Map(
    Object.entries(arrays).map(([name, { shape, values }]): [string, Tensor] => [
      name,
      values instanceof Float32Array
        ? device.tensor(name, shape, 'f32', values)
        : device.tensor(name, shape, 'u32', values),
    ]),
  );
  const get = (name: string): Tensor => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new RangeError(`pictures are laid out without "${name}"`);
    return tensor;
  };
  return {
    get,
    fill(others) {
      for (const [name, { values }] of Object.entries(others)) device.write(get(name), values);
    },
    close: () => tensors.forEach((tensor) => device.destroyTensor(tensor)),
  };
}

/** First row and row after the last of its segment, for every row of segments of these lengths, end to end: u32 [rows] each. */
export function segmentArrays(lengths: readonly number[]): {
  readonly start: PictureArray;
  readonly end: PictureArray;
} {
  const rows = lengths.reduce((sum, length) => sum + length, 0);
  const [start, end] = [new Uint32Array(rows), new Uint32Array(rows)];
  let next = 0;
  for (const length of lengths) {
    start.fill(next, next, next + length);
    end.fill(next + length, next, next + length);
    next += length;
  }
  return { start: { shape: [rows], values: start }, end: { shape: [rows], values: end } };
}
