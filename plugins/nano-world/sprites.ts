/** The sprites in all classes, looks and sizes, ready to be laid on the canvas. */
import { readAtlas, tileSize } from './atlas.ts';
import { classNames, colorNames, lookCount } from './vocabulary.ts';
import type { ColorName } from './vocabulary.ts';

/** Longest sides a sprite may have, in pixels. */
export const spriteSizes = [13, 14, 15] as const;
export type SpriteSize = (typeof spriteSizes)[number];

/** A sprite in one look and size; colors in [0, 1]. */
export interface Sprite {
  readonly width: number;
  readonly height: number;
  /** Premultiplied color and alpha, [height, width, 4]. */
  readonly pixels: Float32Array;
}

/** `sprite(class, look, size)`; look 0 = natural, look k = the k-th color. */
export type SpriteSheet = (classIndex: number, look: number, size: SpriteSize) => Sprite;

/** Decodes the atlas and makes every sprite once (12 classes × 7 looks × 3 sizes). */
export function createSpriteSheet(): SpriteSheet {
  const sprites = new Map<number, Sprite>();
  for (const [classIndex, tile] of readAtlas(classNames.length).entries()) {
    for (let look = 0; look < lookCount; look++) {
      const color = colorNames[look - 1];
      const source = cropPremultiplied(color ? recolored(tile, ramps[color]) : tile);
      for (const size of spriteSizes) sprites.set(keyOf(classIndex, look, size), shrink(source, size));
    }
  }
  return (classIndex, look, size) => {
    const sprite = sprites.get(keyOf(classIndex, look, size));
    if (!sprite) throw new RangeError(`There is no sprite of class ${classIndex}, look ${look}, size ${size}.`);
    return sprite;
  };
}

function keyOf(classIndex: number, look: number, size: number): number {
  return (classIndex * lookCount + look) * 16 + size;
}

type Rgb = readonly [number, number, number];

/** Dark, mid and light tone of each color, 0–255. */
const ramps: Readonly<Record<ColorName, readonly [Rgb, Rgb, Rgb]>> = {
  red: [
    [90, 0, 10],
    [215, 25, 35],
    [255, 150, 140],
  ],
  yellow: [
    [140, 95, 0],
    [245, 200, 10],
    [255, 240, 150],
  ],
  green: [
    [0, 60, 15],
    [25, 150, 50],
    [150, 225, 150],
  ],
  blue: [
    [5, 15, 90],
    [30, 80, 215],
    [150, 185, 255],
  ],
  purple: [
    [55, 0, 85],
    [140, 45, 185],
    [220, 165, 245],
  ],
  black: [
    [5, 5, 8],
    [45, 45, 50],
    [120, 120, 128],
  ],
};

/**
 * Paints a tile in shades of one color. Luma Y = .299R + .587G + .114B is stretched between its 2nd and 98th
 * percentile over alpha > ½ to t in [0, 1]; t runs from dark over mid (½) to light. Alpha stays.
 */
function recolored(tile: Uint8Array, [dark, mid, light]: readonly [Rgb, Rgb, Rgb]): Float32Array {
  const result = Float32Array.from(tile);
  const lumas: number[] = [];
  for (let at = 0; at < tile.length; at += 4) if ((tile[at + 3] ?? 0) > 127.5) lumas.push(lumaAt(tile, at));
  lumas.sort((a, b) => a - b);
  const low = percentile(lumas, 0.02);
  const range = Math.max(percentile(lumas, 0.98) - low, 0.05);
  for (let at = 0; at < tile.length; at += 4) {
    const t = Math.min(Math.max((lumaAt(tile, at) - low) / range, 0), 1);
    const [from, to, mix] = t < 0.5 ? [dark, mid, 2 * t] : [mid, light, 2 * t - 1];
    for (const channel of [0, 1, 2] as const) {
      result[at + channel] = from[channel] + (to[channel] - from[channel]) * mix;
    }
  }
  return result;
}

/** Luma in [0, 1] of the straight color at byte `at`. */
function lumaAt(tile: Uint8Array, at: number): number {
  return (0.299 * (tile[at] ?? 0) + 0.587 * (tile[at + 1] ?? 0) + 0.114 * (tile[at + 2] ?? 0)) / 255;
}

/** Linearly interpolated percentile of sorted values. */
function percentile(sorted: readonly number[], share: number): number {
  const position = share * (sorted.length - 1);
  const below = sorted[Math.floor(position)] ?? 0;
  const above = sorted[Math.ceil(position)] ?? below;
  return below + (above - below) * (position - Math.floor(position));
}

/** A straight RGBA tile (0–255), cut to its box of non-zero alpha, as premultiplied floats in [0, 1]. */
function cropPremultiplied(tile: Uint8Array | Float32Array): Sprite {
  let [left, top, right, bottom] = [tileSize, tileSize, 0, 0];
  for (let y = 0; y < tileSize; y++) {
    for (let x = 0; x < tileSize; x++) {
      if (tile[(y * tileSize + x) * 4 + 3] === 0) continue;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y + 1);
    }
  }
  const width = right - left;
  const height = bottom - top;
  const pixels = new Float32Array(width * height * 4);
  for (let at = 0; at < width * height; at++) {
    const from = ((top + Math.floor(at / width)) * tileSize + left + (at % width)) * 4;
    const alpha = (tile[from + 3] ?? 0) / 255;
    for (let channel = 0; channel < 3; channel++)
      pixels[at * 4 + channel] = ((tile[from + channel] ?? 0) / 255) * alpha;
    pixels[at * 4 + 3] = alpha;
  }
  return { width, height, pixels };
}

/** Box-filters (exact area average) so that the longest side is `size` pixels. */
function shrink(source: Sprite, size: number): Sprite {
  const scale = size / Math.max(source.width, source.height);
  const width = Math.max(1, Math.round(source.width * scale));
  const height = Math.max(1, Math.round(source.height * scale));
  const across = areaWeights(source.width, width);
  const down = areaWeights(source.height, height);
  const pixels = new Float32Array(width * height * 4);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (const [row, rowWeight] of down[y] ?? []) {
        for (const [column, columnWeight] of across[x] ?? []) {
          const from = (row * source.width + column) * 4;
          const weight = rowWeight * columnWeight;
          for (let channel = 0; channel < 4; channel++) {
            pixels[(y * width + x) * 4 + channel]! += weight * source.pixels[from + channel]!;
          }
        }
      }
    }
  }
  return { width, height, pixels };
}

/** For each of `to` cells over `from` samples: the samples it covers, weighted by covered length; weights sum to 1. */
function areaWeights(from: number, to: number): (readonly [number, number])[][] {
  const step = from / to;
  return Array.from({ length: to }, (_, index) => {
    const start = index * step;
    const end = start + step;
    const weights: (readonly [number, number])[] = [];
    for (let sample = Math.floor(start); sample < Math.min(Math.ceil(end - 1e-9), from); sample++) {
      weights.push([sample, (Math.min(end, sample + 1) - Math.max(start, sample)) / step]);
    }
    return weights;
  });
}
