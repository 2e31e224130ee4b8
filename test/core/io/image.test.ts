import sharp from 'sharp';
import { expect, test } from 'vitest';
import { contactSheet, decodePicture, encodePng, readPngText, upscale } from '../../../core/io/image.ts';
import type { Image } from '../../../core/contracts/image.ts';

function picture(width: number, height: number, start = 0): Image {
  return { width, height, data: Uint8Array.from({ length: width * height * 3 }, (_, at) => (start + at * 7) % 256) };
}

test('PNG gives pixels and text back, any Unicode', async () => {
  const image = picture(13, 5);
  const text = { prompt: 'a photo of “two” cakes', rationale: '计划\nplan : 🎂', seed: '7', empty: '' };
  const png = await encodePng(image, text);
  expect(await decodePicture(png)).toEqual(image);
  expect(readPngText(png)).toEqual(text);
  expect(readPngText(await encodePng(image))).toEqual({});
});

test('PNG text holds no control characters: a reader ends at U+0000, and a terminal obeys others', async () => {
  const png = await encodePng(picture(1, 1), { prompt: 'a\0b\u001b[2Jc\r\nd\te\u009b' });
  const text = 'a\uFFFDb\uFFFD[2Jc\nd\te\uFFFD';
  expect(readPngText(png)).toEqual({ prompt: text });
  // As a library reads it.
  expect((await sharp(png).metadata()).comments).toEqual([{ keyword: 'prompt', text }]);
});

test('PNG text that was damaged or has a bad keyword is refused', async () => {
  const png = await encodePng(picture(4, 4), { prompt: 'a cat' });
  const damaged = Buffer.from(png);
  damaged[png.indexOf('a cat')] = 0x62;
  expect(() => readPngText(damaged)).toThrow(/checksum/);
  expect(() => readPngText(Buffer.from('GIF89a'))).toThrow(/not a PNG/);
  for (const key of ['', ' prompt', 'prompt ', 'x'.repeat(80), 'zeile\n']) {
    await expect(encodePng(picture(1, 1), { [key]: '' })).rejects.toThrow(/keyword/);
  }
  await expect(encodePng({ width: 2, height: 2, data: new Uint8Array(3) })).rejects.toThrow(/2x2/);
});

test('upscale repeats pixels', () => {
  const image: Image = { width: 2, height: 1, data: Uint8Array.from([1, 2, 3, 4, 5, 6]) };
  const row = [1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6];
  expect(upscale(image, 2)).toEqual({ width: 4, height: 2, data: Uint8Array.from([...row, ...row]) });
  expect(() => upscale(image, 1.5)).toThrow(/1.5/);
});

test('contactSheet lays pictures out in rows on white', () => {
  const images = [picture(3, 2, 1), picture(3, 2, 2), picture(3, 2, 3)];
  const sheet = contactSheet(images, 2, 1);
  expect([sheet.width, sheet.height]).toEqual([7, 5]);
  const pixel = (x: number, y: number) => [...sheet.data.subarray((y * 7 + x) * 3, (y * 7 + x) * 3 + 3)];
  expect(pixel(0, 0)).toEqual([...images[0]!.data.subarray(0, 3)]);
  expect(pixel(4, 1)).toEqual([...images[1]!.data.subarray(9, 12)]);
  expect(pixel(2, 4)).toEqual([...images[2]!.data.subarray(15, 18)]);
  for (const [x, y] of [
    [3, 0],
    [0, 2],
    [4, 3],
    [6, 4],
  ] as const)
    expect(pixel(x, y)).toEqual([255, 255, 255]);
  expect(contactSheet(images, 10).width).toBe(3 * 3 + 2 * 4);
  expect(() => contactSheet([picture(2, 2), picture(3, 2)], 2)).toThrow(/picture 1/);
  expect(() => contactSheet([], 2)).toThrow(/at least one/);
});
