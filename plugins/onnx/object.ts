import type { Detection, Image } from '../../core/plugin.ts';

/** GenEval's color behind what is masked out: #999999. */
const gray = 0x99;

/**
 * An object alone: what its mask leaves out is flat gray, and the rest is cut to its box, rounded and within the picture, at least a pixel.
 * Without a mask, or with the original background, the box is cut as it is.
 */
export function cutOut(image: Image, { box, mask }: Detection, background: 'gray' | 'original'): Image {
  if (mask !== undefined && (mask.width !== image.width || mask.height !== image.height))
    throw new RangeError(
      `a mask of ${mask.width} x ${mask.height} pixels is none of a picture of ${image.width} x ${image.height}`,
    );
  const [left, right] = range(box[0], box[2], image.width);
  const [top, bottom] = range(box[1], box[3], image.height);
  const [width, height] = [right - left, bottom - top];
  const data = new Uint8Array(width * height * 3).fill(gray);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const from = (top + y) * image.width + left + x;
      if (background === 'gray' && mask !== undefined && mask.bits[from] !== 1) continue;
      data.set(image.data.subarray(from * 3, from * 3 + 3), (y * width + x) * 3);
    }
  return { width, height, data };
}

function range(from: number, to: number, size: number): [number, number] {
  const begin = Math.max(0, Math.min(size - 1, Math.round(from)));
  return [begin, Math.max(begin + 1, Math.min(size, Math.round(to)))];
}
