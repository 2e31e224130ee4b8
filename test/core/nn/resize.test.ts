/** Preprocessing against what the original code makes of the same pictures (test/golden/preprocess). */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Image } from '../../../core/contracts/image.ts';
import { decodePicture } from '../../../core/io/image.ts';
import { fitSquare, resizeBicubic } from '../../../core/nn/resize.ts';
import { at } from '../../../core/testing.ts';

const folder = new URL('../../golden/preprocess/', import.meta.url);
const { cases } = JSON.parse(readFileSync(new URL('cases.json', folder), 'utf8')) as {
  cases: { input: string; size: [number, number]; understand: string; generate: string }[];
};
const open = (name: string): Promise<Image> => decodePicture(readFileSync(new URL(name, folder)));

function differences(a: Image, b: Image): { mean: number; far: number } {
  expect([a.width, a.height]).toEqual([b.width, b.height]);
  const all = Array.from(a.data, (value, index) => Math.abs(value - at(b.data, index)));
  return {
    mean: all.reduce((sum, value) => sum + value, 0) / all.length,
    far: all.filter((value) => value > 1).length / all.length,
  };
}

describe.each(cases)('$input', ({ input, size, understand }) => {
  test('to look at: longest side fits, padded with gray', async () => {
    const image = await open(input);
    expect([image.width, image.height]).toEqual(size);
    const { mean, far } = differences(fitSquare(image, 384, [127, 127, 127]), await open(understand));
    expect(mean).toBeLessThan(0.01);
    expect(far).toBe(0);
  });
});

test('a picture of one color stays so at any size, and its own size changes nothing', () => {
  const gray: Image = { width: 7, height: 5, data: new Uint8Array(7 * 5 * 3).fill(93) };
  for (const [width, height] of [
    [1, 1],
    [3, 11],
    [20, 2],
  ] as const)
    expect(new Set(resizeBicubic(gray, width, height).data)).toEqual(new Set([93]));
  expect(resizeBicubic(gray, 7, 5)).toEqual(gray);
  expect(() => resizeBicubic(gray, 0, 5)).toThrow(RangeError);
});
