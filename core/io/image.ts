/**
 * PNG in and out, with text chunks that carry a drawing's prompt, rationale and seed, and the few picture
 * operations reports need. The only file that knows sharp.
 */
import { open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import type { Image } from '../contracts/image.ts';

const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/**
 * An RGB PNG. Each entry of `text` becomes an iTXt chunk (uncompressed UTF-8) in front of the pixels, its control characters but newlines and tabs U+FFFD.
 * A key is a PNG keyword: 1–79 printable Latin-1 characters, no space at either end; RangeError otherwise.
 */
export async function encodePng(image: Image, text: Readonly<Record<string, string>> = {}): Promise<Buffer> {
  const { width, height } = image;
  if (image.data.length !== width * height * 3) {
    throw new RangeError(`encodePng: ${image.data.length} bytes are not ${width}x${height} RGB.`);
  }
  const chunks = Object.entries(text).map(([key, value]) => pngChunk('iTXt', internationalText(key, value)));
  const png = await sharp(image.data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
  const afterHeader = signature.length + 8 + 13 + 4;
  return Buffer.concat([png.subarray(0, afterHeader), ...chunks, png.subarray(afterHeader)]);
}

/** Pixels of the largest picture that is read: as many as Pillow takes before it speaks of a decompression bomb. */
export const mostPixels = 178_956_970;

/** How the formats that are read begin: bytes as Latin-1 characters, and where they stand. */
const formats: readonly (readonly [format: string, signature: string, at: number])[] = [
  ['png', '\x89PNG\r\n\x1a\n', 0],
  ['jpeg', '\xff\xd8\xff', 0],
  ['webp', 'WEBP', 8],
  ['gif', 'GIF87a', 0],
  ['gif', 'GIF89a', 0],
  ['tiff', 'II*\0', 0],
  ['tiff', 'MM\0*', 0],
  ['avif', 'ftypavif', 4],
  ['avif', 'ftypavis', 4],
  ['avif', 'ftypmif1', 4],
];

/** PNG, JPEG, WebP, GIF, TIFF or AVIF by the first bytes; undefined: nothing that is read. */
export function pictureFormat(bytes: Uint8Array): string | undefined {
  const begin = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 16)).toString('latin1');
  return formats.find(([, first, at]) => begin.startsWith(first, at))?.[0];
}

/**
 * A picture as a viewer shows it, RGB: upright by its EXIF orientation, its colors in sRGB by its profile, 8 bits a channel,
 * transparency laid on white, the first of several frames. RangeError says what is wrong with bytes that cannot be read, and of a picture
 * with more than `most` pixels before any of it is decoded.
 */
export async function decodePicture(bytes: Uint8Array, most = mostPixels): Promise<Image> {
  return decode(bytes, (picture) => picture, most);
}

/**
 * A square of a picture (`decodePicture`), resized to `size` pixels with a cubic filter: the largest that fits, in the middle or
 * at a share of the room there is on either axis.
 */
export async function decodeSquare(
  bytes: Uint8Array,
  size: number,
  at: 'center' | readonly [number, number],
): Promise<Image> {
  return decode(bytes, (picture, width, height) => {
    const side = Math.min(width, height);
    const [across, down] = at === 'center' ? [0.5, 0.5] : at;
    const [left, top] = [Math.floor(across * (width - side)), Math.floor(down * (height - side))];
    return picture.extract({ left, top, width: side, height: side }).resize(size, size, { kernel: 'cubic' });
  });
}

/** The one way in for pictures of files. `take` sees the upright picture and its size. */
async function decode(
  bytes: Uint8Array,
  take: (picture: Sharp, width: number, height: number) => Sharp,
  most = mostPixels,
): Promise<Image> {
  if (pictureFormat(bytes) === undefined) throw new RangeError(unknownFormat(bytes));
  // What can be read of a file that breaks off is not what its maker saw; mere warnings are not in the way.
  const opened = { failOn: 'error', limitInputPixels: false } as const;
  try {
    const { width, height, autoOrient, icc, depth } = await sharp(bytes, opened).metadata();
    if (width * height > most) throw new RangeError(tooManyPixels(width, height, most));
    const upright = sharp(bytes, opened).autoOrient();
    const taken = take(upright, autoOrient.width, autoOrient.height)
      .flatten({ background: '#ffffff' })
      .toColorspace('srgb')
      .removeAlpha();
    // Pictures of 16 bits with a profile are worked on in P3, and would stay there.
    const inSrgb = icc !== undefined && depth === 'ushort' ? taken.withIccProfile('srgb', { attach: false }) : taken;
    const { data, info } = await inSrgb.raw().toBuffer({ resolveWithObject: true });
    if (info.channels !== 3) throw new RangeError(`expected 3 channels, got ${info.channels}`);
    return { width: info.width, height: info.height, data: new Uint8Array(data) };
  } catch (cause) {
    if (cause instanceof RangeError) throw cause;
    throw new RangeError(damage(cause), { cause });
  }
}

/** Width and height of a picture file as it is stored, from its first bytes. RangeError says why it is no picture. */
export async function pictureSize(path: string): Promise<{ readonly width: number; readonly height: number }> {
  const file = await open(path, 'r');
  try {
    const begin = Buffer.alloc(256);
    const { bytesRead } = await file.read(begin, 0, begin.length, 0);
    if (pictureFormat(begin.subarray(0, bytesRead)) === undefined)
      throw new RangeError(unknownFormat(begin.subarray(0, bytesRead)));
  } finally {
    await file.close();
  }
  try {
    const { width, height } = await sharp(path, { limitInputPixels: false }).metadata();
    if (width * height > mostPixels) throw new RangeError(tooManyPixels(width, height));
    return { width, height };
  } catch (cause) {
    if (cause instanceof RangeError) throw cause;
    throw new RangeError(damage(cause), { cause });
  }
}

function tooManyPixels(width: number, height: number, most = mostPixels): string {
  return `it has ${width} x ${height} pixels, more than the ${most} that are read: make it smaller`;
}

function unknownFormat(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'it is empty';
  const begin = Buffer.from(bytes.subarray(0, 256)).toString('latin1').trimStart();
  const what = begin.startsWith('<') ? ' but SVG, XML or a web page' : '';
  return `it is not a PNG, JPEG, WebP, GIF, TIFF or AVIF picture${what}`;
}

/** The first line of what the decoder said. */
function damage(cause: unknown): string {
  const [said = ''] = (cause instanceof Error ? cause.message : String(cause)).split('\n');
  return `it is damaged or cut off: ${said.slice(0, 120)}`;
}

/** The tEXt and uncompressed iTXt chunks of a PNG, by keyword. RangeError when a chunk's checksum is wrong. */
export function readPngText(bytes: Uint8Array): Record<string, string> {
  const png = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!png.subarray(0, 8).equals(signature)) throw new RangeError('readPngText: not a PNG file.');
  const text: Record<string, string> = {};
  for (let at = 8; at + 12 <= png.length;) {
    const length = png.readUInt32BE(at);
    const type = png.toString('latin1', at + 4, at + 8);
    const end = at + 8 + length;
    if (end + 4 > png.length) throw new RangeError(`readPngText: chunk ${type} is cut off.`);
    if (type === 'tEXt' || type === 'iTXt') {
      if (crc32(png.subarray(at + 4, end)) !== png.readUInt32BE(end)) {
        throw new RangeError(`readPngText: chunk ${type} has a wrong checksum.`);
      }
      const entry = textEntry(type, png.subarray(at + 8, end));
      if (entry) text[entry[0]] = entry[1];
    }
    at = end + 4;
  }
  return text;
}

/** One PNG chunk: length, type, data, CRC-32 of type and data. */
export function pngChunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const frame = Buffer.alloc(body.length + 8);
  frame.writeUInt32BE(data.length, 0);
  body.copy(frame, 4);
  frame.writeUInt32BE(crc32(body), body.length + 4);
  return frame;
}

/** Enlarges by a whole factor; every pixel becomes a factor × factor square. */
export function upscale(image: Image, factor: number): Image {
  if (!Number.isInteger(factor) || factor < 1) throw new RangeError(`upscale: ${factor} is not a whole factor.`);
  const width = image.width * factor;
  const height = image.height * factor;
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (Math.floor(y / factor) * image.width + Math.floor(x / factor)) * 3;
      data.set(image.data.subarray(from, from + 3), (y * width + x) * 3);
    }
  }
  return { width, height, data };
}

/** Pictures of one size in rows of `columns` on white, `gap` pixels apart; the last row may be short. */
export function contactSheet(images: readonly Image[], columns: number, gap = 4): Image {
  const first = images[0];
  if (!first || columns < 1) throw new RangeError('contactSheet: needs at least one picture and one column.');
  const across = Math.min(columns, images.length);
  const down = Math.ceil(images.length / columns);
  const width = across * first.width + (across - 1) * gap;
  const height = down * first.height + (down - 1) * gap;
  const data = new Uint8Array(width * height * 3).fill(255);
  for (const [index, image] of images.entries()) {
    if (image.width !== first.width || image.height !== first.height) {
      throw new RangeError(
        `contactSheet: picture ${index} is ${image.width}x${image.height}, not ${first.width}x${first.height}.`,
      );
    }
    const left = (index % columns) * (first.width + gap);
    const top = Math.floor(index / columns) * (first.height + gap);
    for (let y = 0; y < image.height; y++) {
      const row = image.data.subarray(y * image.width * 3, (y + 1) * image.width * 3);
      data.set(row, ((top + y) * width + left) * 3);
    }
  }
  return { width, height, data };
}

function internationalText(keyword: string, value: string): Buffer {
  if (!/^(?! )[\x20-\x7e\xa1-\xff]{1,79}(?<! )$/.test(keyword)) {
    throw new RangeError(`encodePng: "${keyword}" is not a PNG keyword.`);
  }
  // PNG has one newline and no U+0000, where readers end; terminals would obey other control characters.
  const text = value.replaceAll(/\r\n?/g, '\n').replaceAll(/[^\P{Cc}\n\t]/gu, '\uFFFD');
  // Keyword, end mark, not compressed (two bytes), no language tag, no translated keyword, text.
  return Buffer.concat([Buffer.from(keyword, 'latin1'), Buffer.alloc(5), Buffer.from(text, 'utf8')]);
}

function textEntry(type: 'tEXt' | 'iTXt', data: Buffer): [string, string] | undefined {
  const end = data.indexOf(0);
  if (end < 1) return undefined;
  const keyword = data.toString('latin1', 0, end);
  if (type === 'tEXt') return [keyword, data.toString('latin1', end + 1)];
  if (data[end + 1] !== 0) return undefined;
  const translated = data.indexOf(0, end + 3) + 1;
  const start = data.indexOf(0, translated) + 1;
  return translated > 0 && start > 0 ? [keyword, data.toString('utf8', start)] : undefined;
}
