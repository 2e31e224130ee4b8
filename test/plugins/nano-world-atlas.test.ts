import { expect, test } from 'vitest';
import { readAtlas, tileSize } from '../../plugins/nano-world/atlas.ts';
import { createSpriteSheet, spriteSizes } from '../../plugins/nano-world/sprites.ts';
import { drawTiles } from './nano-world-atlas.ts';

test('the committed atlas shows the emoji it says it shows', async () => {
  const committed = readAtlas(12);
  const drawn = await drawTiles();
  for (const [index, tile] of drawn.entries()) {
    expect(tile).toHaveLength(tileSize * tileSize * 4);
    const difference =
      tile.reduce((sum, value, at) => sum + Math.abs(value - (committed[index]?.[at] ?? 0)), 0) / tile.length;
    // Other versions of the rasterizer move edges a little; another emoji differs by 20 and more.
    expect(difference).toBeLessThan(1);
  }
});

test('sprites have the size asked for, keep their alpha in every look and are premultiplied', () => {
  const sheet = createSpriteSheet();
  for (let classIndex = 0; classIndex < 12; classIndex++) {
    for (const size of spriteSizes) {
      const natural = sheet(classIndex, 0, size);
      expect(Math.max(natural.width, natural.height)).toBe(size);
      for (let look = 0; look < 7; look++) {
        const { pixels } = sheet(classIndex, look, size);
        for (let at = 0; at < pixels.length; at += 4) {
          expect(pixels[at + 3]).toBe(natural.pixels[at + 3]);
          if (Math.max(pixels[at]!, pixels[at + 1]!, pixels[at + 2]!) > pixels[at + 3]! + 1e-6)
            throw new Error('not premultiplied');
        }
      }
    }
  }
  expect(() => sheet(12, 0, 13)).toThrow(RangeError);
});

test('recoloring keeps to its ramp: a black cat is gray, a red one red', () => {
  const sheet = createSpriteSheet();
  const mean = (look: number) => {
    const { pixels } = sheet(7, look, 15);
    return [0, 1, 2, 3].map((channel) => pixels.reduce((sum, value, at) => sum + (at % 4 === channel ? value : 0), 0));
  };
  const [blackR = 0, blackG = 0, blackB = 0, alpha = 1] = mean(6);
  expect(Math.max(blackR, blackG, blackB) / alpha).toBeLessThan(0.5);
  expect(Math.abs(blackR - blackB) / alpha).toBeLessThan(0.04);
  const [redR = 0, redG = 0, redB = 0] = mean(1);
  expect(redR).toBeGreaterThan(1.5 * Math.max(redG, redB));
});
