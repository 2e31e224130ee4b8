/**
 * Finds the sprites in a picture by rendering and comparing: each occupied cell is matched against every class, look
 * and size at 25 positions, and the best match counts when it explains enough of the sprite's own energy.
 */
import { background, canvasSize, cellSize } from './scene.ts';
import type { Edges } from './scene.ts';
import { spriteSizes } from './sprites.ts';
import type { Sprite, SpriteSheet, SpriteSize } from './sprites.ts';
import { classNames, lookCount } from './vocabulary.ts';

/** A sprite found in a picture. */
export interface FoundSprite {
  readonly classIndex: number;
  /** 0 = natural colors, k = the k-th color. */
  readonly look: number;
  readonly size: SpriteSize;
  readonly box: Edges;
  /** The cell, 0–8, that holds the middle of the box. */
  readonly cell: number;
  /** Share of the template's energy the picture explains: R² = 1 - Σm(w - t)² / Σm t². */
  readonly score: number;
}

export interface Inspection {
  /** Best score first. */
  readonly detections: readonly FoundSprite[];
  /** Cells with paint in them, ascending: where sprites are looked for. */
  readonly occupiedCells: readonly number[];
  /** Clearly painted pixels that no detection covers. */
  readonly unexplainedPixels: number;
}

/** RGB bytes [48, 48, 3] to what is in the picture. */
export type Detector = (pixels: Uint8Array) => Inspection;

/** Least R² of a detection. */
export const acceptance = 0.7;
/** More unexplained pixels than this are a blob. */
export const blobPixels = 24;

/** Templates are windows of 17 × 17 pixels; at offset 0 a window begins one pixel before its cell. */
const windowSize = 17;
const reach = 2;
/** The picture is framed by three pixels of background, so that every window lies inside. */
const frame = 1 + reach;
const stride = canvasSize + 2 * frame;

/** Builds the 252 templates; about 0.3 MB. */
export function createDetector(sheet: SpriteSheet): Detector {
  const shapes = buildShapes(sheet);
  return (pixels) => {
    const picture = differences(pixels);
    const energies = energySums(picture);
    const foreground = foregroundOf(picture);
    const occupiedCells = [0, 1, 2, 3, 4, 5, 6, 7, 8].filter((cell) => isOccupied(foreground, cell));
    const found = occupiedCells.flatMap((cell) => bestMatch(picture, energies, cell, shapes) ?? []);
    found.sort((a, b) => b.detection.score - a.detection.score);
    const accepted: Match[] = [];
    for (const match of found) {
      if (accepted.every((better) => distance(better.detection.box, match.detection.box) >= 8)) accepted.push(match);
    }
    return {
      detections: accepted.map((match) => match.detection),
      occupiedCells,
      unexplainedPixels: countUnexplained(foreground, accepted),
    };
  };
}

/** One class at one size: its seven looks share the silhouette. */
interface Shape {
  readonly classIndex: number;
  readonly size: SpriteSize;
  readonly width: number;
  readonly height: number;
  /** Top left of the sprite in the window. */
  readonly left: number;
  readonly top: number;
  /** Support: places of the mask's pixels in the framed picture, relative to the window's first pixel. */
  readonly places: Int32Array;
  /** Per look: template minus background on the support, 3 floats per pixel, and Σ t². */
  readonly looks: readonly { readonly values: Float32Array; readonly energy: number }[];
}

interface Match {
  readonly detection: FoundSprite;
  readonly shape: Shape;
  /** The window's first pixel in the framed picture. */
  readonly origin: number;
}

function buildShapes(sheet: SpriteSheet): Shape[] {
  return classNames.flatMap((_, classIndex) => spriteSizes.map((size) => buildShape(sheet, classIndex, size)));
}

function buildShape(sheet: SpriteSheet, classIndex: number, size: SpriteSize): Shape {
  const sprites = Array.from({ length: lookCount }, (_, look) => sheet(classIndex, look, size));
  const { width, height, pixels } = sheet(classIndex, 0, size);
  const left = 1 + Math.floor((cellSize - width) / 2);
  const top = 1 + Math.floor((cellSize - height) / 2);
  /** Template minus background at a pixel of the window; zero outside the sprite. */
  const valueAt = (sprite: Sprite, at: number, channel: 0 | 1 | 2): number => {
    const x = (at % windowSize) - left;
    const y = Math.floor(at / windowSize) - top;
    if (x < 0 || y < 0 || x >= width || y >= height) return 0;
    const from = (y * width + x) * 4;
    return Math.fround(sprite.pixels[from + channel]! - (sprite.pixels[from + 3]! * background[channel]) / 255);
  };
  const energyOf = (sprite: Sprite, at: number): number =>
    valueAt(sprite, at, 0) ** 2 + valueAt(sprite, at, 1) ** 2 + valueAt(sprite, at, 2) ** 2;
  // The strongest pixels first: that is where a picture without this sprite is soonest seen to differ.
  const support = supportOf(pixels, width, height, left, top)
    .map((at) => ({ at, energy: sprites.reduce((sum, sprite) => sum + energyOf(sprite, at), 0) }))
    .sort((a, b) => b.energy - a.energy)
    .map(({ at }) => at);
  return {
    classIndex,
    size,
    width,
    height,
    left,
    top,
    places: Int32Array.from(support, (at) => Math.floor(at / windowSize) * stride + (at % windowSize)),
    looks: sprites.map((sprite) => ({
      values: Float32Array.from(
        support.flatMap((at) => ([0, 1, 2] as const).map((channel) => valueAt(sprite, at, channel))),
      ),
      energy: support.reduce((sum, at) => sum + energyOf(sprite, at), 0),
    })),
  };
}

/** Pixels of the window (raster index) where alpha > 0.3, and their eight neighbors. */
function supportOf(pixels: Float32Array, width: number, height: number, left: number, top: number): number[] {
  const mask = new Uint8Array(windowSize * windowSize);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (pixels[(y * width + x) * 4 + 3]! <= 0.3) continue;
      for (let dy = -1; dy <= 1; dy++) {
        for (let dx = -1; dx <= 1; dx++) mask[(top + y + dy) * windowSize + left + x + dx] = 1;
      }
    }
  }
  return [...mask.keys()].filter((at) => mask[at] === 1);
}

/** The picture minus the background in [−1, 1], framed: [54, 54, 3]. */
function differences(pixels: Uint8Array): Float32Array {
  const picture = new Float32Array(stride * stride * 3);
  for (let y = 0; y < canvasSize; y++) {
    for (let x = 0; x < canvasSize; x++) {
      const from = (y * canvasSize + x) * 3;
      const to = ((y + frame) * stride + x + frame) * 3;
      picture[to] = (pixels[from]! - background[0]) / 255;
      picture[to + 1] = (pixels[from + 1]! - background[1]) / 255;
      picture[to + 2] = (pixels[from + 2]! - background[2]) / 255;
    }
  }
  return picture;
}

/** Σ of squares above and left of each pixel, a row and a column of zeros first: [55, 55]. */
function energySums(picture: Float32Array): Float64Array {
  const width = stride + 1;
  const sums = new Float64Array(width * width);
  for (let y = 0; y < stride; y++) {
    let row = 0;
    for (let x = 0; x < stride; x++) {
      const from = (y * stride + x) * 3;
      row += picture[from]! ** 2 + picture[from + 1]! ** 2 + picture[from + 2]! ** 2;
      sums[(y + 1) * width + x + 1] = sums[y * width + x + 1]! + row;
    }
  }
  return sums;
}

/** Σ of squares in the window that begins at a pixel of the framed picture. */
function energyWithin(sums: Float64Array, origin: number): number {
  const width = stride + 1;
  const first = Math.floor(origin / stride) * width + (origin % stride);
  const last = first + windowSize * width;
  return sums[last + windowSize]! - sums[last]! - sums[first + windowSize]! + sums[first]!;
}

/** How much a pixel differs from the background: largest channel difference over 0.14, at most 1; [54, 54]. */
function foregroundOf(picture: Float32Array): Float32Array {
  const foreground = new Float32Array(stride * stride);
  for (let at = 0; at < foreground.length; at++) {
    const [r, g, b] = [picture[at * 3]!, picture[at * 3 + 1]!, picture[at * 3 + 2]!];
    foreground[at] = Math.min(Math.max(Math.abs(r), Math.abs(g), Math.abs(b)) / 0.14, 1);
  }
  return foreground;
}

function isOccupied(foreground: Float32Array, cell: number): boolean {
  const origin = cellOrigin(cell);
  let sum = 0;
  for (let y = 0; y < cellSize; y++) {
    for (let x = 0; x < cellSize; x++) sum += foreground[origin + y * stride + x]!;
  }
  return sum > 12;
}

/** A cell's first pixel in the framed picture. */
function cellOrigin(cell: number): number {
  return (Math.floor(cell / 3) * cellSize + frame) * stride + (cell % 3) * cellSize + frame;
}

/** Offsets of the window by at most two pixels each way, nearest first. */
const offsets: readonly (readonly [number, number])[] = Array.from({ length: 25 }, (_, index): [number, number] => [
  (index % 5) - reach,
  Math.floor(index / 5) - reach,
]).sort((a, b) => Math.hypot(...a) - Math.hypot(...b));

/** Room for rounding where a bound decides. */
const nearlyOne = 1 - 1e-6;

/**
 * The template and offset of largest R² at a cell, if any reaches the acceptance. Exact: a candidate is left as soon
 * as its error alone shows that it cannot beat the best so far, which happens after a few of its pixels, or before any
 * where the window holds too little paint for it: Σ(w - t)² ≥ (|t| - |w|)².
 */
function bestMatch(
  picture: Float32Array,
  energies: Float64Array,
  cell: number,
  shapes: readonly Shape[],
): Match | undefined {
  let unexplained = 1 - acceptance;
  let best: { shape: Shape; look: number; origin: number } | undefined;
  for (const [dx, dy] of offsets) {
    const origin = cellOrigin(cell) + (dy - 1) * stride + dx - 1;
    const painted = energyWithin(energies, origin);
    for (const shape of shapes) {
      for (let look = 0; look < lookCount; look++) {
        const { values, energy } = shape.looks[look]!;
        if (painted < (1 - Math.sqrt(unexplained)) ** 2 * energy * nearlyOne) continue;
        const limit = unexplained * energy;
        const error = squaredError(picture, origin, shape.places, values, limit);
        if (error > limit || (best && error === limit)) continue;
        unexplained = error / energy;
        best = { shape, look, origin };
      }
    }
  }
  return best && { shape: best.shape, origin: best.origin, detection: detectionOf(best, 1 - unexplained) };
}

/** Σ (picture - template)² over the support, or any number above `limit` once it is passed. */
function squaredError(
  picture: Float32Array,
  origin: number,
  places: Int32Array,
  values: Float32Array,
  limit: number,
): number {
  let error = 0;
  for (let index = 0, at = 0; index < places.length; index++, at += 3) {
    const from = (origin + places[index]!) * 3;
    const r = picture[from]! - values[at]!;
    const g = picture[from + 1]! - values[at + 1]!;
    const b = picture[from + 2]! - values[at + 2]!;
    error += r * r + g * g + b * b;
    if (error > limit) return error;
  }
  return error;
}

function detectionOf(
  { shape, look, origin }: { shape: Shape; look: number; origin: number },
  score: number,
): FoundSprite {
  const left = (origin % stride) - frame + shape.left;
  const top = Math.floor(origin / stride) - frame + shape.top;
  const box: Edges = [left, top, left + shape.width, top + shape.height];
  const cell = Math.floor((top + shape.height / 2) / cellSize) * 3 + Math.floor((left + shape.width / 2) / cellSize);
  return { classIndex: shape.classIndex, look, size: shape.size, box, cell, score };
}

/** Chebyshev distance of the centers of two boxes. */
function distance(a: Edges, b: Edges): number {
  return Math.max(Math.abs(a[0] + a[2] - b[0] - b[2]), Math.abs(a[1] + a[3] - b[1] - b[3])) / 2;
}

function countUnexplained(foreground: Float32Array, accepted: readonly Match[]): number {
  const covered = new Uint8Array(foreground.length);
  for (const { shape, origin } of accepted) for (const place of shape.places) covered[origin + place] = 1;
  return foreground.reduce((count, value, at) => count + (value > 0.6 && covered[at] === 0 ? 1 : 0), 0);
}
