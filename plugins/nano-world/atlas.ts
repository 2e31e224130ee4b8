/** Reads the committed atlas of sprites. Knows only the kind of PNG that test/plugins/nano-world-atlas.ts writes. */
import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { inflateSync } from 'node:zlib';

/** Side of a sprite's tile in the atlas, in pixels. */
export const tileSize = 96;
export const atlasColumns = 4;

/** Straight RGBA bytes of tile `index`, [96, 96, 4], for each of the `count` first tiles. */
export function readAtlas(count: number): Uint8Array[] {
  const png = readFileSync(new URL('./atlas.png', import.meta.url));
  const width = png.readUInt32BE(16);
  const stride = width * 4 + 1;
  const rows = inflateSync(imageData(png));
  if (width !== atlasColumns * tileSize || rows.length !== stride * png.readUInt32BE(20)) {
    throw new Error(
      'plugins/nano-world/atlas.png is not the atlas that test/plugins/nano-world-atlas.ts writes; run that script again.',
    );
  }
  return Array.from({ length: count }, (_, index) => {
    const tile = new Uint8Array(tileSize * tileSize * 4);
    const left = (index % atlasColumns) * tileSize;
    const top = Math.floor(index / atlasColumns) * tileSize;
    for (let y = 0; y < tileSize; y++) {
      const from = (top + y) * stride;
      if (rows[from] !== 0)
        throw new Error('plugins/nano-world/atlas.png uses a row filter; run test/plugins/nano-world-atlas.ts again.');
      tile.set(rows.subarray(from + 1 + left * 4, from + 1 + (left + tileSize) * 4), y * tileSize * 4);
    }
    return tile;
  });
}

function imageData(png: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 8; at < png.length;) {
    const length = png.readUInt32BE(at);
    if (png.toString('latin1', at + 4, at + 8) === 'IDAT') parts.push(png.subarray(at + 8, at + 8 + length));
    at += length + 12;
  }
  return Buffer.concat(parts);
}
