/**
 * Draws the nano world's sprites from the Noto emoji of the development package @iconify-json/noto. To write
 * plugins/nano-world/atlas.png anew:
 *   npx tsx test/plugins/nano-world-atlas.ts
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { pngChunk } from '../../core/io/image.ts';
import { atlasColumns, tileSize } from '../../plugins/nano-world/atlas.ts';
import { classNames } from '../../plugins/nano-world/vocabulary.ts';
import type { ClassName } from '../../plugins/nano-world/vocabulary.ts';

const emojiNames: Record<ClassName, string> = {
  airplane: 'airplane',
  apple: 'red-apple',
  bird: 'bird',
  boat: 'sailboat',
  cake: 'birthday-cake',
  car: 'automobile',
  carrot: 'carrot',
  cat: 'cat-face',
  chair: 'chair',
  giraffe: 'giraffe',
  'teddy bear': 'teddy-bear',
  umbrella: 'umbrella',
};

interface IconSet {
  readonly icons: Readonly<
    Record<string, { readonly body: string; readonly width?: number; readonly height?: number }>
  >;
  readonly width: number;
  readonly height: number;
}

/** Straight RGBA tiles of 96 × 96 pixels in the order of the classes. */
export async function drawTiles(): Promise<Uint8Array[]> {
  const path = createRequire(import.meta.url).resolve('@iconify-json/noto/icons.json');
  const set = JSON.parse(readFileSync(path, 'utf8')) as IconSet;
  return Promise.all(
    classNames.map((name) => {
      const icon = set.icons[emojiNames[name]];
      if (!icon) throw new Error(`@iconify-json/noto has no icon "${emojiNames[name]}".`);
      const box = `0 0 ${icon.width ?? set.width} ${icon.height ?? set.height}`;
      const head = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="${box}"`;
      return rasterizeSvg(`${head} width="${tileSize}" height="${tileSize}">${icon.body}</svg>`, tileSize);
    }),
  );
}

/** The tiles in rows of four as an RGBA PNG without row filters, which is all the plugin's own reader knows. */
export function atlasPng(tiles: readonly Uint8Array[]): Buffer {
  const width = atlasColumns * tileSize;
  const height = Math.ceil(tiles.length / atlasColumns) * tileSize;
  // One filter byte (0 = none) leads every row.
  const stride = width * 4 + 1;
  const rows = Buffer.alloc(height * stride);
  for (const [index, tile] of tiles.entries()) {
    const left = (index % atlasColumns) * tileSize;
    const top = Math.floor(index / atlasColumns) * tileSize;
    for (let y = 0; y < tileSize; y++) {
      rows.set(tile.subarray(y * tileSize * 4, (y + 1) * tileSize * 4), (top + y) * stride + 1 + left * 4);
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 6, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    pngChunk('IHDR', header),
    pngChunk('IDAT', deflateSync(rows, { level: 9 })),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(new URL('../../plugins/nano-world/atlas.png', import.meta.url), atlasPng(await drawTiles()));
}

/** Draws an SVG document into a square of `size` pixels: straight (not premultiplied) RGBA, row-major. */
async function rasterizeSvg(svg: string, size: number): Promise<Uint8Array> {
  const { data } = await sharp(Buffer.from(svg))
    .resize(size, size, { fit: 'contain', background: { r: 0, g: 0, b: 0, alpha: 0 } })
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return new Uint8Array(data);
}
