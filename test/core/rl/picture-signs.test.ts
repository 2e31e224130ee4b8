import { describe, expect, test } from 'vitest';
import type { Image } from '../../../core/contracts/image.ts';
import {
  duplicateShare,
  faultsOf,
  pictureFaults,
  pictureSigns,
  thumbnailDistance,
  thumbnailOf,
} from '../../../core/rl/picture-signs.ts';
import { at, randomStream } from '../../../core/testing.ts';
import { createNanoDataset } from '../../../plugins/nano-world/dataset.ts';

type Color = readonly [number, number, number];

function picture(width: number, height: number, color: (x: number, y: number) => Color): Image {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) data.set(color(x, y), (y * width + x) * 3);
  return { width, height, data };
}

const faults = (image: Image): string[] => faultsOf(pictureSigns(image));
const noise = (width: number, height: number): Image => {
  const random = randomStream(5);
  return picture(width, height, () => [random() * 256, random() * 256, random() * 256]);
};
const gray: Color = [120, 130, 125];
const dataset = createNanoDataset();

describe('what a picture without anything in it looks like', () => {
  test.each<[string, Image, string[]]>([
    ['one color', picture(48, 48, () => gray), ['blank', 'flat']],
    ['one color with specks', picture(100, 100, (x, y) => (x === 3 && y < 40 ? [200, 0, 0] : gray)), ['blank']],
    ['a wall, lit a little more on one side', picture(64, 64, (x) => [120 + x / 16, 120, 120]), ['blank', 'flat']],
    ['a shade with hardly any contrast', picture(64, 64, (x, y) => [120 + x / 4, 121 + y / 4, 122]), ['flat']],
    ['black', picture(48, 48, () => [0, 0, 0]), ['blank', 'flat', 'dark']],
    ['night with a lamp', picture(48, 48, (x, y) => (x > 40 && y > 40 ? [90, 80, 60] : [3, 3, 6])), ['dark']],
    ['pure colors', picture(60, 60, (x, y) => (x * 3 + y * 2 < 150 ? [255, 0, 30] : [0, 255, 255])), ['saturated']],
    ['a chessboard', picture(48, 48, (x, y) => (((x >> 3) + (y >> 3)) % 2 === 0 ? [40, 40, 40] : gray)), ['grid']],
    ['a chessboard of pixels', picture(48, 48, (x, y) => ((x + y) % 2 === 0 ? [40, 40, 40] : gray)), ['grid']],
    ['stripes', picture(64, 48, (x) => (x % 10 < 4 ? [60, 20, 20] : gray)), ['grid']],
    ['lines', picture(48, 80, (_, y) => (y % 7 === 0 ? [230, 230, 230] : gray)), ['grid']],
    ['tiles', picture(96, 96, (x, y) => [(x % 24) * 8, (y % 24) * 8, ((x % 24) * (y % 24)) / 3]), ['grid']],
  ])('%s', (_, image, expected) => {
    expect(faults(image)).toEqual(expected);
  });
});

describe('what a picture with something in it looks like', () => {
  test.each<[string, Image]>([
    ['noise', noise(64, 64)],
    ['a shade', picture(64, 64, (x, y) => [40 + x * 2, 60 + y * 2, 90])],
    ['a disk on white', picture(64, 64, (x, y) => (Math.hypot(x - 30, y - 34) < 14 ? [200, 60, 40] : [250, 250, 250]))],
    ['a horizon', picture(64, 64, (_, y) => (y < 30 ? [120, 170, 230] : [60, 120, 50]))],
    [
      'two like disks',
      picture(64, 64, (x, y) => (Math.hypot((x % 32) - 16, y - 30) < 9 ? [200, 60, 40] : [240, 240, 235])),
    ],
  ])('%s', (_, image) => {
    expect(faults(image)).toEqual([]);
  });

  test('every picture of the nano world is one', () => {
    const found = Array.from({ length: 300 }, (_, index) => faults(dataset.example(index, 11).image));
    expect(found.flat()).toEqual([]);
  });

  test('pictures of a pixel and of a line are judged without a broken number', () => {
    for (const [width, height] of [
      [1, 1],
      [1, 199],
      [199, 1],
      [2, 2],
    ] as const)
      for (const value of Object.values(pictureSigns(noise(width, height)))) {
        expect(value).toBeGreaterThanOrEqual(0);
        expect(value).toBeLessThanOrEqual(1);
      }
    expect(faults(picture(1, 1, () => gray))).toEqual(['blank', 'flat']);
  });
});

test('every fault is provoked above', () => {
  expect(pictureFaults).toEqual(['blank', 'flat', 'dark', 'saturated', 'grid']);
});

describe('pictures that are one', () => {
  const images = Array.from({ length: 30 }, (_, index) => dataset.example(index, 2).image);

  test('a copy with noise on it is the same, another picture is not', () => {
    const [first, second] = [at(images, 0), at(images, 1)];
    const random = randomStream(9);
    const noisy = { ...first, data: first.data.map((value) => Math.max(0, Math.min(255, value + random() * 6 - 3))) };
    expect(thumbnailDistance(thumbnailOf(first), thumbnailOf(first))).toBe(0);
    expect(duplicateShare([first, noisy])).toBe(1);
    expect(duplicateShare([first, second])).toBe(0);
  });

  test('the share of a list that collapses rises with it', () => {
    expect(duplicateShare([])).toBe(0);
    expect(duplicateShare(images.slice(0, 1))).toBe(0);
    expect(duplicateShare(images)).toBe(0);
    expect(duplicateShare([...images.slice(0, 15), ...images.slice(0, 5)])).toBe(0.5);
    expect(duplicateShare(images.map(() => at(images, 0)))).toBe(1);
  });

  test('thumbnails are means of parts, of pictures of any size', () => {
    const half = picture(64, 32, (x) => (x < 32 ? [255, 0, 0] : [0, 0, 255]));
    expect([...thumbnailOf(half).slice(0, 3), ...thumbnailOf(half).slice(-3)]).toEqual([1, 0, 0, 0, 0, 1]);
    const pixel = thumbnailOf(picture(1, 1, () => [255, 51, 0]));
    expect(new Set(pixel)).toEqual(new Set([1, Math.fround(0.2), 0]));
  });
});
