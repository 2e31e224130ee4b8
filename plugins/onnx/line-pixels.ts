/** Lines of text as the models of PP-OCR take them. */
import type { Image } from '../../core/plugin.ts';
import type { TextRegion } from './text-regions.ts';
import type { OnnxTensor } from './worker.mjs';

/** Mean and deviation for the model that finds lines, and for the one that reads them. */
export const howFound = { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] } as const;
export const howRead = { mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5] } as const;

/** f32 [1, 3, height, width], blue first: these models were trained on what OpenCV reads. */
export function reversedPixels(
  { width, height, data }: Image,
  { mean, deviation }: typeof howFound | typeof howRead,
): OnnxTensor {
  const plane = width * height;
  const values = new Float32Array(3 * plane);
  for (const channel of [0, 1, 2] as const)
    for (let at = 0; at < plane; at++)
      values[channel * plane + at] = ((data[at * 3 + 2 - channel] ?? 0) / 255 - mean[channel]) / deviation[channel];
  return { data: values, dims: [1, 3, height, width] };
}

/** Wider, with zeros on the right. */
export function filledUp(pixels: OnnxTensor, least: number): OnnxTensor {
  const [, , height = 0, width = 0] = pixels.dims;
  if (width >= least) return pixels;
  const values = new Float32Array(3 * height * least);
  for (let row = 0; row < 3 * height; row++)
    values.set(pixels.data.subarray(row * width, (row + 1) * width) as Float32Array, row * least);
  return { data: values, dims: [1, 3, height, least] };
}

/** The region as if it were not turned: sampled between pixels. */
export function cropRegion(image: Image, region: TextRegion): Image {
  const width = Math.max(1, Math.round(region.width));
  const height = Math.max(1, Math.round(region.height));
  const data = new Uint8Array(width * height * 3);
  const { center, along } = region;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const [across, down] = [x + 0.5 - width / 2, y + 0.5 - height / 2];
      const from: [number, number] = [
        center[0] + across * along[0] - down * along[1] - 0.5,
        center[1] + across * along[1] + down * along[0] - 0.5,
      ];
      sample(image, from, data, (y * width + x) * 3);
    }
  return { width, height, data };
}

function sample(image: Image, [x, y]: readonly [number, number], into: Uint8Array, at: number): void {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const [shareX, shareY] = [x - left, y - top];
  const pixel = (column: number, row: number, channel: number): number => {
    const [inX, inY] = [Math.max(0, Math.min(image.width - 1, column)), Math.max(0, Math.min(image.height - 1, row))];
    return image.data[(inY * image.width + inX) * 3 + channel] ?? 0;
  };
  for (let channel = 0; channel < 3; channel++) {
    const above = pixel(left, top, channel) * (1 - shareX) + pixel(left + 1, top, channel) * shareX;
    const below = pixel(left, top + 1, channel) * (1 - shareX) + pixel(left + 1, top + 1, channel) * shareX;
    into[at + channel] = Math.round(above * (1 - shareY) + below * shareY);
  }
}

/** Counterclockwise. */
export function quarterTurn({ width, height, data }: Image): Image {
  const turned = new Uint8Array(data.length);
  for (let y = 0; y < width; y++)
    for (let x = 0; x < height; x++)
      turned.set(data.subarray((x * width + width - 1 - y) * 3, (x * width + width - y) * 3), (y * height + x) * 3);
  return { width: height, height: width, data: turned };
}
