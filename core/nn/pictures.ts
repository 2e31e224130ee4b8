/** Pictures between bytes and the device: row-major RGB bytes here, f32 [B, H, W, 4] in -1 … 1 with a zero fourth channel there. */
import type { Image } from '../contracts/image.ts';
import { exitCodes, ReasongenError } from '../errors.ts';
import { at } from '../tensor/at.ts';

/** Packs pictures of one size; missing ones, up to `images`, stay zero. */
export function packPictures(pictures: readonly Image[], size: number, images: number = pictures.length): Float32Array {
  const pixels = size * size;
  const packed = new Float32Array(images * pixels * 4);
  pictures.forEach(({ width, height, data }, image) => {
    if (width !== size || height !== size || data.length !== pixels * 3) {
      throw new ReasongenError({
        code: 'PICTURE_SIZE',
        message: `a picture has ${width} x ${height} pixels and ${data.length} bytes; the codec takes ${size} x ${size} RGB`,
        hint: 'use a dataset and an image tokenizer of the same size',
        exitCode: exitCodes.badPreset,
      });
    }
    let to = image * pixels * 4;
    for (let from = 0; from < data.length; from += 3, to += 4) {
      packed[to] = at(data, from) / 127.5 - 1;
      packed[to + 1] = at(data, from + 1) / 127.5 - 1;
      packed[to + 2] = at(data, from + 2) / 127.5 - 1;
    }
  });
  return packed;
}

/** The first `images` pictures of a decoded batch; values outside the range are clipped. `toByte` makes whole numbers: the nearest unless told. */
export function unpackPictures(
  packed: Float32Array,
  size: number,
  images: number,
  toByte: (value: number) => number = Math.round,
): Image[] {
  const pixels = size * size;
  return Array.from({ length: images }, (_, image) => {
    const data = new Uint8Array(pixels * 3);
    let from = image * pixels * 4;
    for (let to = 0; to < data.length; to += 3, from += 4) {
      for (let c = 0; c < 3; c++) data[to + c] = Math.min(255, Math.max(0, toByte((at(packed, from + c) + 1) * 127.5)));
    }
    return { width: size, height: size, data };
  });
}
