/**
 * What a picture that pleases a judge without showing anything looks like: one color, hardly any contrast, black, burnt-out colors, a pattern
 * that repeats, or the picture of another prompt once more. Plain numbers from pixels; no model looks.
 */
import type { Image } from '../contracts/image.ts';

/** All from 0 to 1. */
export interface PictureSigns {
  /** Mean of all channels. */
  readonly brightness: number;
  /** Deviation of the channels from their means. */
  readonly contrast: number;
  /** Share of pixels near the middle color. */
  readonly oneColor: number;
  /** Share of pixels with a channel at its end and another at the other. */
  readonly saturated: number;
  /** How well the picture agrees with itself moved on, on both axes; 1 for a grid, stripes or tiles. */
  readonly repetition: number;
}

/** Ways in which a picture shows nothing. */
export const pictureFaults = ['blank', 'flat', 'dark', 'saturated', 'grid'] as const;
export type PictureFault = (typeof pictureFaults)[number];

/** From here on a sign is a fault. */
const limits = { oneColor: 0.995, contrast: 0.02, brightness: 0.06, saturated: 0.5, repetition: 0.85 };
/** Levels of 255 by which a pixel may differ from the middle color, and a channel from its end. */
const near = { color: 6, end: 12 };
/** Lines and columns that are compared with themselves; more say nothing new. */
const mostLines = 24;
/** Pixels of a thumbnail's side. */
const side = 16;
/** Pictures whose thumbnails are as near are one. */
const sameDistance = 0.005;

/** Signs of an RGB picture of any size; about 20 ms for 384 x 384 pixels. */
export function pictureSigns(image: Image): PictureSigns {
  const { data } = image;
  const pixels = data.length / 3;
  const levels = [0, 1, 2].map(() => new Uint32Array(256));
  const [reds, greens, blues] = levels as [Uint32Array, Uint32Array, Uint32Array];
  let saturated = 0;
  for (let at = 0; at < data.length; at += 3) {
    const [red, green, blue] = [byte(data, at), byte(data, at + 1), byte(data, at + 2)];
    reds[red]!++;
    greens[green]!++;
    blues[blue]!++;
    if (Math.max(red, green, blue) >= 255 - near.end && Math.min(red, green, blue) <= near.end) saturated++;
  }
  const means = levels.map((counts) => counts.reduce((sum, count, level) => sum + count * level, 0) / pixels);
  const spread = levels.map((counts, channel) =>
    counts.reduce((sum, count, level) => sum + count * (level - means[channel]!) ** 2, 0),
  );
  return {
    brightness: (means[0]! + means[1]! + means[2]!) / 3 / 255,
    contrast: Math.sqrt((spread[0]! + spread[1]! + spread[2]!) / (3 * pixels)) / 255,
    oneColor: nearShare(
      data,
      levels.map((counts) => medianOf(counts, pixels)),
    ),
    saturated: saturated / pixels,
    repetition: repetitionOf(image),
  };
}

/** What is wrong with a picture of these signs; nothing with most. */
export function faultsOf(signs: PictureSigns): PictureFault[] {
  const has: Record<PictureFault, boolean> = {
    blank: signs.oneColor >= limits.oneColor,
    flat: signs.contrast < limits.contrast,
    dark: signs.brightness < limits.brightness,
    saturated: signs.saturated >= limits.saturated,
    grid: signs.repetition >= limits.repetition,
  };
  return pictureFaults.filter((fault) => has[fault]);
}

/** 16 × 16 means of the picture's parts, RGB. */
export function thumbnailOf({ width, height, data }: Image): Float32Array {
  const thumbnail = new Float32Array(side * side * 3);
  const counts = new Float32Array(side * side);
  // A picture that is smaller than its thumbnail fills several parts with one pixel.
  const [down, across] = [Math.max(height, side), Math.max(width, side)];
  for (let y = 0; y < down; y++)
    for (let x = 0; x < across; x++) {
      const part = Math.floor((y * side) / down) * side + Math.floor((x * side) / across);
      const pixel = Math.floor((y * height) / down) * width + Math.floor((x * width) / across);
      for (let channel = 0; channel < 3; channel++)
        thumbnail[part * 3 + channel] = (thumbnail[part * 3 + channel] ?? 0) + byte(data, pixel * 3 + channel);
      counts[part] = (counts[part] ?? 0) + 1;
    }
  return thumbnail.map((sum, at) => sum / (counts[Math.floor(at / 3)] ?? 1) / 255);
}

/** Mean difference of two thumbnails: 0 for the same picture, about 0.3 for two photographs of other things. */
export function thumbnailDistance(a: Float32Array, b: Float32Array): number {
  return meanOf(a.length, (at) => Math.abs((a[at] ?? 0) - (b[at] ?? 0)));
}

/** The share of pictures that another of the list looks like. */
export function duplicateShare(images: readonly Image[]): number {
  const thumbnails = images.map(thumbnailOf);
  const isDuplicate = (index: number): boolean =>
    thumbnails.some(
      (other, at) => at !== index && thumbnailDistance(other, thumbnails[index] as Float32Array) < sameDistance,
    );
  return images.length === 0 ? 0 : meanOf(images.length, (index) => Number(isDuplicate(index)));
}

function byte(data: Uint8Array, at: number): number {
  return data[at] ?? 0;
}

function meanOf(count: number, value: (at: number) => number): number {
  let sum = 0;
  for (let at = 0; at < count; at++) sum += value(at);
  return count === 0 ? 0 : sum / count;
}

function medianOf(counts: Uint32Array, total: number): number {
  let rest = total / 2;
  return counts.findIndex((count) => (rest -= count) <= 0);
}

function nearShare(data: Uint8Array, color: readonly number[]): number {
  const [red = 0, green = 0, blue = 0] = color;
  let count = 0;
  for (let at = 0; at < data.length; at += 3) {
    const farthest = Math.max(
      Math.abs(byte(data, at) - red),
      Math.abs(byte(data, at + 1) - green),
      Math.abs(byte(data, at + 2) - blue),
    );
    if (farthest <= near.color) count++;
  }
  return (count * 3) / data.length;
}

/** The less repetitive axis decides; one along which nothing changes does not. 0 where nothing changes at all. */
function repetitionOf(image: Image): number {
  const axes = [linesOf(image, true), linesOf(image, false)].map(selfAgreement).filter((value) => value !== undefined);
  return axes.length === 0 ? 0 : Math.max(0, Math.min(...axes));
}

/** Brightness along rows or columns, spread evenly over the picture. */
function linesOf({ width, height, data }: Image, isRow: boolean): Float64Array[] {
  const [lines, length] = isRow ? [height, width] : [width, height];
  const count = Math.min(lines, mostLines);
  return Array.from({ length: count }, (_, index) => {
    const line = Math.floor(((index + 0.5) * lines) / count);
    return Float64Array.from({ length }, (_unused, along) => {
      const at = (isRow ? line * width + along : along * width + line) * 3;
      return byte(data, at) + byte(data, at + 1) + byte(data, at + 2);
    });
  });
}

/**
 * The best correlation of lines with themselves moved by up to half their length, after it has once been low: neighboring pixels always
 * agree. undefined for lines without changes.
 */
function selfAgreement(lines: readonly Float64Array[]): number | undefined {
  const length = lines[0]?.length ?? 0;
  const changing = lines.filter((line) => line.some((value) => Math.abs(value - (line[0] ?? 0)) > 3 * near.color));
  if (changing.length === 0) return undefined;
  let best = 0;
  let hasBeenLow = false;
  // A pattern of a long period still agrees when it is moved a little too far or too little.
  for (let shift = 1; shift <= length / 2; shift += Math.max(1, Math.floor(shift / 64))) {
    const agreement = correlation(changing, shift);
    hasBeenLow ||= agreement < 0.5;
    if (hasBeenLow) best = Math.max(best, agreement);
  }
  return best;
}

/** Pearson's, of all pairs of a pixel and the one `shift` further in its line. */
function correlation(lines: readonly Float64Array[], shift: number): number {
  let [count, sumA, sumB, squareA, squareB, product] = [0, 0, 0, 0, 0, 0];
  for (const line of lines) {
    const pairs = line.length - shift;
    count += pairs;
    for (let at = 0; at < pairs; at++) {
      const a = line[at]!;
      const b = line[at + shift]!;
      sumA += a;
      sumB += b;
      squareA += a * a;
      squareB += b * b;
      product += a * b;
    }
  }
  const spread = Math.sqrt((squareA - sumA ** 2 / count) * (squareB - sumB ** 2 / count));
  return spread > 0 ? (product - (sumA * sumB) / count) / spread : 0;
}
