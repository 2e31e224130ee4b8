/**
 * Pictures to the size a model takes, byte for byte as Pillow's `resize` with antialiasing does it, which the published preprocessing
 * uses (https://github.com/python-pillow/Pillow, src/libImaging/Resample.c): a triangle, or a cubic kernel with a = -1/2, widened when
 * shrinking, in fixed point, rows first, rounded to bytes after each of the two passes.
 */
import type { Image } from '../contracts/image.ts';
import { at } from '../tensor/at.ts';

const channels = 3;
/** Bits behind the point of a weight: 32, less 8 of the byte and 2 against overflow. */
const precision = 22;

/** How Janus and CLIP look at a picture. RangeError for a size that no picture has. */
export function resizeBicubic(image: Image, width: number, height: number): Image {
  return resize(image, width, height, { support: 2, weight: cubic });
}

/** With a longest side of so many pixels where it is longer; as it is without a limit. */
export function shrunk(image: Image, longest: number | undefined): Image {
  const scale = longest === undefined ? 1 : Math.min(1, longest / Math.max(image.width, image.height));
  if (scale === 1) return image;
  const side = (length: number): number => Math.max(1, Math.round(length * scale));
  return resizeBicubic(image, side(image.width), side(image.height));
}

/** How most detectors look at a picture. RangeError for a size that no picture has. */
export function resizeBilinear(image: Image, width: number, height: number): Image {
  return resize(image, width, height, { support: 1, weight: triangle });
}

/** Weights by the distance in pixels of the result; none beyond the support. */
interface Kernel {
  readonly support: number;
  weight(distance: number): number;
}

function resize(image: Image, width: number, height: number, kernel: Kernel): Image {
  for (const side of [width, height])
    if (!Number.isInteger(side) || side < 1) throw new RangeError(`a picture cannot have ${width} x ${height} pixels`);
  const across = width === image.width ? image : turn(resizeRows(image, width, true, kernel), width, image.height);
  return height === image.height ? across : turn(resizeRows(across, height, false, kernel), width, height);
}

/** Longest side to `size`, the picture in the middle of a square of one color: how Janus looks at a picture. */
export function fitSquare(image: Image, size: number, color: readonly [number, number, number]): Image {
  const longest = Math.max(image.width, image.height);
  const side = (length: number): number => Math.max(Math.trunc((length / longest) * size), smallestSide);
  const { width, height, data } = resizeBicubic(
    image,
    Math.min(size, side(image.width)),
    Math.min(size, side(image.height)),
  );
  const square = new Uint8Array(size * size * channels);
  for (let start = 0; start < square.length; start += channels) square.set(color, start);
  const [left, top] = [Math.floor((size - width) / 2), Math.floor((size - height) / 2)];
  for (let y = 0; y < height; y++)
    square.set(data.subarray(y * width * channels, (y + 1) * width * channels), ((top + y) * size + left) * channels);
  return { width: size, height: size, data: square };
}

/** No side becomes shorter than this. */
const smallestSide = 14;

interface Taps {
  /** First pixel that counts, for each pixel of the result. */
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** [result pixels, taps], fixed point. */
  readonly weights: Int32Array;
  readonly most: number;
}

/** Resizes along one axis. Horizontal: [height, n] pixels; vertical gives columns as rows, so both loops read in memory order. */
function resizeRows(image: Image, size: number, isHorizontal: boolean, kernel: Kernel): Uint8Array {
  const { width, height, data } = image;
  const lines = isHorizontal ? height : width;
  const [step, lineStep] = isHorizontal ? [channels, width * channels] : [width * channels, channels];
  const { first, count, weights, most } = tapsOf(isHorizontal ? width : height, size, kernel);
  const result = new Uint8Array(lines * size * channels);
  const half = 1 << (precision - 1);
  for (let line = 0; line < lines; line++)
    for (let to = 0; to < size; to++)
      for (let channel = 0; channel < channels; channel++) {
        let sum = half;
        const begin = line * lineStep + at(first, to) * step + channel;
        for (let tap = 0; tap < at(count, to); tap++)
          sum += at(data, begin + tap * step) * at(weights, to * most + tap);
        const pixel = isHorizontal ? line * size + to : to * lines + line;
        result[pixel * channels + channel] = Math.max(0, Math.min(255, sum >> precision));
      }
  return result;
}

function turn(data: Uint8Array, width: number, height: number): Image {
  return { width, height, data };
}

function tapsOf(from: number, to: number, kernel: Kernel): Taps {
  const ratio = from / to;
  const scale = Math.max(1, ratio);
  const support = kernel.support * scale;
  const most = Math.ceil(support) * 2 + 1;
  const [first, count, weights] = [new Int32Array(to), new Int32Array(to), new Int32Array(to * most)];
  for (let pixel = 0; pixel < to; pixel++) {
    const center = (pixel + 0.5) * ratio;
    const begin = Math.max(0, Math.trunc(center - support + 0.5));
    const taps = Math.min(from, Math.trunc(center + support + 0.5)) - begin;
    const values = Array.from({ length: taps }, (_, tap) => kernel.weight((begin + tap - center + 0.5) / scale));
    const total = values.reduce((sum, value) => sum + value, 0);
    first[pixel] = begin;
    count[pixel] = taps;
    values.forEach((value, tap) => {
      const exact = (value / total) * (1 << precision);
      weights[pixel * most + tap] = Math.trunc(exact < 0 ? exact - 0.5 : exact + 0.5);
    });
  }
  return { first, count, weights, most };
}

function triangle(distance: number): number {
  return Math.max(0, 1 - Math.abs(distance));
}

function cubic(distance: number): number {
  const x = Math.abs(distance);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}
