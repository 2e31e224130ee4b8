/**
 * How these models look at a picture of any size (image_processing_qwen2_vl of transformers): resized to whole squares of patches within limits
 * of area, bicubic as Pillow does it, normalised, cut into patches in the order in which squares of them become vectors.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigReader, resizeBicubic, type PictureArray, type PictureSize } from '../../core/compute.ts';
import { ReasongenError, type Image } from '../../core/plugin.ts';
import { readJson, type LookingFamily, type QwenVisionSizes } from './config.ts';

export interface PictureRules {
  /** Least and most pixels of a picture as it is looked at. */
  readonly minPixels: number;
  readonly maxPixels: number;
  /** Of red, green, blue in 0 … 1. */
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
}

/** What the published models have, for a folder that only says its sizes. */
export const publishedRules: Readonly<Record<LookingFamily, PictureRules>> = {
  'qwen2.5-vl': {
    minPixels: 3136,
    maxPixels: 12_845_056,
    mean: [0.48145466, 0.4578275, 0.40821073],
    deviation: [0.26862954, 0.26130258, 0.27577711],
  },
  'qwen3-vl': { minPixels: 65_536, maxPixels: 16_777_216, mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5] },
};

/**
 * The rules of a model's folder: those within processor_config.json, where transformers 5 saves them, before preprocessor_config.json, as it
 * reads them. Throws BAD_CONFIG for what does not fit its sizes.
 */
export function readPictureRules(folder: string, family: LookingFamily, sizes: QwenVisionSizes): PictureRules {
  const whole = join(folder, 'processor_config.json');
  const processors = existsSync(whole) ? new ConfigReader(readJson(whole), whole) : undefined;
  if (processors?.has('image_processor') === true) return rulesOf(processors.child('image_processor'), family, sizes);
  const path = join(folder, 'preprocessor_config.json');
  return existsSync(path) ? parsePictureRules(readJson(path), path, family, sizes) : publishedRules[family];
}

/** The same from parsed JSON. */
export function parsePictureRules(
  json: unknown,
  place: string,
  family: LookingFamily,
  sizes: QwenVisionSizes,
): PictureRules {
  return rulesOf(new ConfigReader(json, place), family, sizes);
}

/** `shortest_edge` and `longest_edge` are areas, whatever they are called. */
function rulesOf(config: ConfigReader, family: LookingFamily, sizes: QwenVisionSizes): PictureRules {
  config.mustEqual('patch_size', sizes.patchSize, 'patch_size of config.json', sizes.patchSize);
  config.mustEqual('merge_size', sizes.merge, 'spatial_merge_size of config.json', sizes.merge);
  config.mustEqual('temporal_patch_size', sizes.frames, 'temporal_patch_size of config.json', sizes.frames);
  const known = publishedRules[family];
  const size = config.has('size') ? config.child('size') : undefined;
  const limit = (name: string, edge: string, absent: number): number => {
    if (config.has(name)) return config.count(name);
    if (size?.has(name) === true) return size.count(name);
    return size?.has(edge) === true ? size.count(edge) : absent;
  };
  const rules = {
    minPixels: limit('min_pixels', 'shortest_edge', known.minPixels),
    maxPixels: limit('max_pixels', 'longest_edge', known.maxPixels),
    mean: config.numbers('image_mean', 3, known.mean),
    deviation: config.numbers('image_std', 3, known.deviation),
  };
  if (rules.minPixels > rules.maxPixels)
    throw config.bad('min_pixels', `${rules.minPixels} is above max_pixels ${rules.maxPixels}`);
  return rules;
}

/** Longest side by shortest side that is looked at. */
const mostElongated = 200;

/**
 * The size at which a picture is looked at: both sides multiples of `factor`, rounded half to even, the area brought within the limits. Very long
 * pictures may stay above the larger one. Throws PICTURE_SHAPE.
 */
export function smartResize(
  { width, height }: PictureSize,
  factor: number,
  { minPixels, maxPixels }: Pick<PictureRules, 'minPixels' | 'maxPixels'>,
): PictureSize {
  if (Math.max(width, height) / Math.min(width, height) > mostElongated) {
    throw new ReasongenError({
      code: 'PICTURE_SHAPE',
      message: `a picture of ${width} x ${height} pixels is more than ${mostElongated} times as long as it is wide: the model looks at none of this shape`,
      hint: 'cut it into pieces, or add a margin',
      exitCode: 2,
    });
  }
  const sized = (toSide: (side: number) => number): PictureSize => ({ width: toSide(width), height: toSide(height) });
  const rounded = sized((side) => roundHalfEven(side / factor) * factor);
  const area = rounded.width * rounded.height;
  if (area > maxPixels) {
    const shrink = Math.sqrt((height * width) / maxPixels);
    return sized((side) => Math.max(factor, Math.floor(side / shrink / factor) * factor));
  }
  if (area < minPixels) {
    const grow = Math.sqrt(minPixels / (height * width));
    return sized((side) => Math.ceil((side * grow) / factor) * factor);
  }
  return rounded;
}

function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest === 0.5 ? below + (below % 2) : Math.round(value);
}

/** A size of at least as many squares of `factor` as any picture is looked at with. */
export function largestPicture(
  factor: number,
  { minPixels, maxPixels }: Pick<PictureRules, 'minPixels' | 'maxPixels'>,
): PictureSize {
  const squares = Math.max(1, Math.floor(maxPixels / factor ** 2));
  const candidates: [rows: number, columns: number][] = [];
  for (let rows = 1; rows * rows <= squares; rows++) candidates.push([rows, Math.floor(squares / rows)]);
  // The shorter side of a very long picture is never less than a square, whatever that makes of the area.
  candidates.push([1, Math.floor(Math.sqrt(mostElongated * maxPixels) / factor)]);
  // A picture that is enlarged goes beyond the smaller limit by up to a square on each side.
  const longest = Math.sqrt(mostElongated * minPixels);
  for (let rows = 1; (rows - 1) * factor <= Math.sqrt(minPixels); rows++)
    candidates.push([rows, Math.ceil(Math.min(longest, minPixels / ((rows - 1) * factor)) / factor)]);
  const [rows, columns] = candidates.reduce((best, each) => (each[0] * each[1] >= best[0] * best[1] ? each : best));
  return { width: columns * factor, height: rows * factor };
}

/** Resized as it is looked at. Throws PICTURE_SHAPE. */
export function fitPicture(image: Image, factor: number, rules: PictureRules): Image {
  const { width, height } = smartResize(image, factor, rules);
  return resizeBicubic(image, width, height);
}

/** Rows and columns of patches. */
export interface Grid {
  readonly rows: number;
  readonly columns: number;
}

export function gridOf({ width, height }: PictureSize, { patchSize, merge }: QwenVisionSizes): Grid {
  const factor = patchSize * merge;
  if (width % factor !== 0 || height % factor !== 0)
    throw new RangeError(`a picture has ${width} x ${height} pixels, no multiples of ${factor}: it was not fitted`);
  return { rows: height / patchSize, columns: width / patchSize };
}

/** Row and column of every patch, in the order of patches: squares of merge x merge, row by row, within each row by row. */
export function patchPlaces({ rows, columns }: Grid, merge: number): [row: number, column: number][] {
  const places: [number, number][] = [];
  for (let top = 0; top < rows; top += merge)
    for (let left = 0; left < columns; left += merge)
      for (let y = top; y < top + merge; y++) for (let x = left; x < left + merge; x++) places.push([y, x]);
  return places;
}

/** f32 [patches of all pictures, 3 · frames · patchSize²]: channel, frame, row, column; every frame of a still picture is the picture. */
export function patchesOf(fitted: readonly Image[], sizes: QwenVisionSizes, rules: PictureRules): PictureArray {
  const { patchSize, frames, merge } = sizes;
  const length = 3 * frames * patchSize ** 2;
  const all = fitted.map((image) => ({ image, places: patchPlaces(gridOf(image, sizes), merge) }));
  const rows = all.reduce((sum, { places }) => sum + places.length, 0);
  const values = new Float32Array(rows * length);
  /** The value of every byte of every channel. */
  const table = Float32Array.from({ length: 3 * 256 }, (_, index) => {
    const [channel, byte] = [Math.floor(index / 256), index % 256];
    return (byte / 255 - (rules.mean[channel] ?? 0)) / (rules.deviation[channel] ?? 1);
  });
  let to = 0;
  for (const { image, places } of all)
    for (const [row, column] of places)
      for (let channel = 0; channel < 3; channel++)
        for (let frame = 0; frame < frames; frame++)
          for (let y = row * patchSize; y < (row + 1) * patchSize; y++)
            for (let x = column * patchSize; x < (column + 1) * patchSize; x++)
              values[to++] = table[channel * 256 + (image.data[(y * image.width + x) * 3 + channel] ?? 0)] ?? 0;
  return { shape: [rows, length], values };
}
