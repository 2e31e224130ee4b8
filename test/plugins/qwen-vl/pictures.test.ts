/** Pictures of any size: targets, patches, windows and places, by hand. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { encodePng, decodePicture, mostPixels } from '../../../core/io/image.ts';
import type { Image } from '../../../core/plugin.ts';
import { qwenVision } from '../../../plugins/qwen-vl/backbone.ts';
import { parseQwenConfig, type LookingConfig } from '../../../plugins/qwen-vl/config.ts';
import {
  gridOf,
  largestPicture,
  patchesOf,
  patchPlaces,
  readPictureRules,
  smartResize,
} from '../../../plugins/qwen-vl/pictures.ts';
import { spanOf, tableNeighbors, windowOrder } from '../../../plugins/qwen-vl/places.ts';
import { publishedConfigs, type PublishedName } from '../../../plugins/qwen-vl/published-sizes.ts';

const published = { minPixels: 3136, maxPixels: 12_845_056 };
const { vision: sizes } = looking('qwen2.5-vl-3b');
const { vision: third } = looking('qwen3-vl-2b');
const rules = { ...published, mean: [0.4, 0.5, 0.6], deviation: [0.1, 0.2, 0.3] };

function looking(name: PublishedName): LookingConfig {
  const config = parseQwenConfig(publishedConfigs[name], name);
  if (config.vision === undefined) throw new Error(`${name} does not look`);
  return config;
}

function picture(width: number, height: number): Image {
  return { width, height, data: Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 7) % 256) };
}

describe('the rules of a folder', () => {
  const own = (maxPixels: number) => ({ size: { shortest_edge: 3136, longest_edge: maxPixels } });
  test.each<[string, Readonly<Record<string, unknown>>, number]>([
    ['nothing', {}, published.maxPixels],
    ['a file of their own', { 'preprocessor_config.json': own(50_176) }, 50_176],
    ['a processor, as transformers 5 saves it', { 'processor_config.json': { image_processor: own(50_176) } }, 50_176],
    [
      'both',
      { 'preprocessor_config.json': own(100_352), 'processor_config.json': { image_processor: own(50_176) } },
      50_176,
    ],
    [
      'a processor without them',
      { 'preprocessor_config.json': own(50_176), 'processor_config.json': { processor_class: 'P' } },
      50_176,
    ],
  ])('%s', (_, files, maxPixels) => {
    const folder = mkdtempSync(join(tmpdir(), 'rules-'));
    try {
      for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), JSON.stringify(content));
      expect(readPictureRules(folder, 'qwen2.5-vl', sizes)).toMatchObject({ minPixels: 3136, maxPixels });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('the size at which a picture is looked at', () => {
  test.each([
    [384, 384, published, 392, 392],
    [512, 512, published, 504, 504],
    [512, 512, { ...published, minPixels: 262_144 }, 532, 532],
    [384, 384, { ...published, minPixels: 262_144 }, 532, 532],
    [1024, 1024, { ...published, maxPixels: 1_003_520 }, 980, 980],
    [48, 48, published, 56, 56],
    // Half a square rounds to the even number of squares.
    [70, 42, { ...published, minPixels: 784 }, 56, 56],
    // One pixel, and a line of 199.
    [1, 1, published, 56, 56],
    [199, 1, published, 812, 28],
    [1, 200, published, 28, 812],
  ])('%i x %i within %j is %i x %i', (width, height, limits, toWidth, toHeight) => {
    expect(smartResize({ width, height }, 28, limits)).toEqual({ width: toWidth, height: toHeight });
  });

  test('squares of 32 see fewer vectors', () => {
    const limits = { minPixels: 65_536, maxPixels: 16_777_216 };
    const { width, height } = smartResize({ width: 384, height: 384 }, 32, limits);
    expect((width / 32) * (height / 32)).toBe(144);
  });

  test('a picture more than 200 times as long as it is wide is refused', () => {
    const refused = expect.objectContaining({
      code: 'PICTURE_SHAPE',
      message: expect.stringContaining('201 x 1 pixels'),
    });
    expect(() => smartResize({ width: 201, height: 1 }, 28, published)).toThrow(refused);
  });

  test('a picture of 16000 x 16000 pixels is shrunk where it is read at all', () => {
    // Decoding refuses it by its number of pixels, before any is there.
    expect(16_000 * 16_000).toBeGreaterThan(mostPixels);
    expect(smartResize({ width: 16_000, height: 16_000 }, 28, published)).toEqual({ width: 3584, height: 3584 });
  });

  test('no picture is looked at with more squares than the largest size has', () => {
    const squares = ({ width, height }: { width: number; height: number }): number => (width * height) / 784;
    const sides = [1, 5, 14, 28, 41, 199, 384, 500, 1080, 1920, 4000, 9000];
    for (const [minPixels, maxPixels] of [
      [784, 784],
      [784, 50_176],
      [3136, 15_680],
      [262_144, 262_144],
      [3136, 12_845_056],
    ] as const) {
      const limits = { minPixels, maxPixels };
      const most = squares(largestPicture(28, limits));
      for (const width of sides)
        for (const height of sides)
          if (Math.max(width, height) <= 200 * Math.min(width, height))
            expect(squares(smartResize({ width, height }, 28, limits))).toBeLessThanOrEqual(most);
    }
    expect(largestPicture(28, published)).toEqual({ width: 3584, height: 3584 });
  });
});

describe('patches', () => {
  test('squares of two by two, row by row; channel, frame, row, column within; normalised by channel', () => {
    const image = picture(84, 56);
    expect(gridOf(image, sizes)).toEqual({ rows: 4, columns: 6 });
    const places = patchPlaces({ rows: 4, columns: 6 }, 2);
    expect(places.slice(0, 6)).toEqual([
      [0, 0],
      [0, 1],
      [1, 0],
      [1, 1],
      [0, 2],
      [0, 3],
    ]);
    expect(places[12]).toEqual([2, 0]);
    const { shape, values } = patchesOf([image], sizes, rules);
    expect(shape).toEqual([24, 1176]);
    places.forEach(([row, column], patch) => {
      for (const [channel, frame, y, x] of [
        [0, 0, 0, 0],
        [1, 1, 3, 5],
        [2, 0, 13, 13],
      ] as const) {
        const byte = image.data[((row * 14 + y) * 84 + column * 14 + x) * 3 + channel] ?? 0;
        const expected = (byte / 255 - (rules.mean[channel] ?? 0)) / (rules.deviation[channel] ?? 1);
        expect(values[patch * 1176 + ((channel * 2 + frame) * 14 + y) * 14 + x]).toBe(Math.fround(expected));
      }
    });
  });

  test('a picture that was not fitted is refused', () => {
    expect(() => gridOf({ width: 56, height: 60 }, sizes)).toThrow(/56 x 60 pixels, no multiples of 28/);
  });

  test('pictures of one pixel and of one line come from files, and are looked at', async () => {
    const vision = qwenVision(sizes, rules);
    for (const [width, height] of [
      [1, 1],
      [199, 1],
    ] as const) {
      const read = await decodePicture(await encodePng(picture(width, height)));
      const fitted = vision.fit(read);
      expect({ width: fitted.width, height: fitted.height }).toEqual(vision.fittedSize(read));
      const arrays = vision.layOut([fitted]);
      expect(arrays['patches']?.shape[0]).toBe(4 * vision.span(fitted).vectors);
      expect(arrays['patches']?.values.every(Number.isFinite)).toBe(true);
    }
  });
});

describe('windows', () => {
  test('28 x 28 patches are 16 windows, those at the right and at the bottom smaller', () => {
    const { index, sizes: counts } = windowOrder([{ rows: 28, columns: 28 }], 2, 4);
    expect(counts.map((count) => count * 4)).toEqual([64, 64, 64, 32, 64, 64, 64, 32, 64, 64, 64, 32, 32, 32, 32, 16]);
    expect(index.slice(0, 5)).toEqual([0, 1, 2, 3, 14]);
    expect([...index].sort((a, b) => a - b)).toEqual(Array.from({ length: 196 }, (_, i) => i));
  });

  test('a side that divides evenly has no further window, and pictures are counted on', () => {
    const grid = { rows: 4, columns: 8 };
    const { index, sizes: counts } = windowOrder([grid, grid], 2, 2);
    expect(counts).toEqual([4, 4, 4, 4]);
    expect(index).toEqual([0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]);
  });
});

describe('places', () => {
  test('5 x 4 vectors take five positions', () => {
    const { vectors, offsets, extent } = spanOf({ rows: 10, columns: 8 }, 2);
    expect([vectors, extent]).toEqual([20, 5]);
    expect([...offsets.slice(0, 9)]).toEqual([0, 0, 0, 0, 0, 1, 0, 0, 2]);
    expect([...offsets.slice(-3)]).toEqual([0, 4, 3]);
  });

  test('the table is stretched to the picture, corner on corner, and shares add up to one', () => {
    const grid = { rows: 8, columns: 4 };
    const { rows, shares } = tableNeighbors(grid, 2, 48);
    patchPlaces(grid, 2).forEach(([row, column], patch) => {
      const sum = (of: (place: number) => number): number =>
        [0, 1, 2, 3].reduce((all, k) => all + (shares[4 * patch + k] ?? 0) * of(rows[4 * patch + k] ?? 0), 0);
      expect(sum(() => 1)).toBeCloseTo(1, 12);
      // A table whose rows are their own places is interpolated to the place of the patch.
      expect(sum((place) => Math.floor(place / 48))).toBeCloseTo((row * 47) / 7, 5);
      expect(sum((place) => place % 48)).toBeCloseTo((column * 47) / 3, 5);
    });
  });

  test('the vectors of a deepstack lie beside those of the picture', () => {
    expect(qwenVision(third, rules).vectorSize).toBe(4 * 2048);
    expect(qwenVision(sizes, rules).vectorSize).toBe(2048);
  });
});
