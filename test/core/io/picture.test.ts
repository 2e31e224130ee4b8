/** Pictures of files as a viewer shows them: upright, in sRGB, on white; what cannot be read is refused with the reason. */
import sharp, { type Sharp } from 'sharp';
import { describe, expect, test } from 'vitest';
import { decodePicture, decodeSquare, mostPixels, pictureFormat } from '../../../core/io/image.ts';

/** Red at the top left, green at the top right, blue at the bottom left, white at the bottom right; wider than high. */
const [width, height] = [48, 32];
function quarters(): Sharp {
  const data = Buffer.alloc(width * height * 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) data.set(corner(x < width / 2, y < height / 2), (y * width + x) * 3);
  return sharp(data, { raw: { width, height, channels: 3 } });
}

function corner(isLeft: boolean, isTop: boolean): [number, number, number] {
  if (isTop) return isLeft ? [255, 0, 0] : [0, 255, 0];
  return isLeft ? [0, 0, 255] : [255, 255, 255];
}

/** One colour, or the names of the colours in the corners, row by row. */
async function corners(bytes: Uint8Array, decode = decodePicture): Promise<string> {
  const { width: w, height: h, data } = await decode(bytes);
  const name = (x: number, y: number): string => {
    const [red = 0, green = 0, blue = 0] = data.subarray((y * w + x) * 3, (y * w + x) * 3 + 3);
    if (Math.min(red, green, blue) > 200) return 'white';
    return red > 200 ? 'red' : green > 200 ? 'green' : blue > 200 ? 'blue' : `${red},${green},${blue}`;
  };
  return [name(2, 2), name(w - 3, 2), name(2, h - 3), name(w - 3, h - 3)].join(' ');
}

/** How a picture is stored for each value of the tag: step by step from what is shown. */
const right = (picture: Sharp): Sharp => picture.rotate(90);
const left = (picture: Sharp): Sharp => picture.rotate(270);
const mirrored = (picture: Sharp): Sharp => picture.flop();
const flipped = (picture: Sharp): Sharp => picture.flip();
const stored: readonly (readonly ((picture: Sharp) => Sharp)[])[] = [
  [],
  [mirrored],
  [right, right],
  [flipped],
  [right, mirrored],
  [left],
  [right, flipped],
  [right],
];

describe('orientation', () => {
  const shown = 'red green blue white';
  test.each(stored.map((steps, index) => [index + 1, steps] as const))(
    '%i, as JPEG, PNG, WebP and TIFF',
    async (tag, steps) => {
      const { data, info } = await apply(steps);
      for (const format of ['jpeg', 'png', 'webp', 'tiff'] as const) {
        const bytes = await sharp(data, { raw: { width: info.width, height: info.height, channels: 3 } })
          .withMetadata({ orientation: tag })
          .toFormat(format, { quality: 95 })
          .toBuffer();
        expect(await corners(bytes), format).toBe(shown);
        const whole = await decodePicture(bytes);
        expect([whole.width, whole.height]).toEqual([width, height]);
        // The square is cut from what is shown, not from what is stored.
        const square = await decodeSquare(bytes, 32, [0, 0]);
        expect([square.width, square.height]).toEqual([32, 32]);
        expect(await corners(bytes, (each) => decodeSquare(each, 32, [0, 0]))).toMatch(/^red green blue white$/);
        expect([...square.data.subarray(20 * 3, 20 * 3 + 3)].map((value) => Math.round(value / 255))).toEqual([
          1, 0, 0,
        ]);
      }
    },
  );

  // Each step is a pipeline of its own: within one, sharp has an order of its own.
  async function apply(
    steps: readonly ((picture: Sharp) => Sharp)[],
  ): Promise<{ data: Buffer; info: { width: number; height: number } }> {
    let result = await quarters().raw().toBuffer({ resolveWithObject: true });
    for (const step of steps) {
      const raw = { width: result.info.width, height: result.info.height, channels: 3 } as const;
      result = await step(sharp(result.data, { raw })).raw().toBuffer({ resolveWithObject: true });
    }
    return result;
  }
});

describe('colors', () => {
  const color = { r: 200, g: 30, b: 60 };
  const plain = (): Sharp => sharp({ create: { width: 16, height: 12, channels: 3, background: color } });
  const first = async (picture: Promise<Buffer>): Promise<number[]> => [
    ...(await decodePicture(await picture)).data.subarray(0, 3),
  ];
  const near = (found: readonly number[], wanted: readonly number[], by: number): boolean =>
    found.every((value, index) => Math.abs(value - (wanted[index] ?? 0)) <= by);

  test.each([
    ['P3, 8 bits', () => plain().withIccProfile('p3').png(), 1],
    ['P3, 16 bits', () => plain().toColorspace('rgb16').withIccProfile('p3').png(), 1],
    ['P3, JPEG', () => plain().withIccProfile('p3').jpeg({ quality: 100 }), 3],
    ['16 bits', () => plain().toColorspace('rgb16').png(), 1],
    // Not every color of the screen can be printed.
    ['CMYK', () => plain().toColorspace('cmyk').jpeg({ quality: 100 }), 25],
    ['CMYK with its profile', () => plain().toColorspace('cmyk').withIccProfile('cmyk').jpeg({ quality: 100 }), 25],
    ['AVIF', () => plain().avif({ quality: 95 }), 4],
  ] as const)('%s', async (_, make, by) => {
    const found = await first(make().toBuffer());
    expect(near(found, [200, 30, 60], by), found.join()).toBe(true);
  });

  test('gray, transparency, palettes and animations', async () => {
    const gray = { r: 90, g: 90, b: 90 };
    const one = sharp({ create: { width: 8, height: 8, channels: 3, background: gray } }).toColorspace('b-w');
    expect(near(await first(one.png().toBuffer()), [90, 90, 90], 1)).toBe(true);
    const glass = (): Sharp =>
      sharp({ create: { width: 8, height: 8, channels: 4, background: { ...color, alpha: 0.5 } } });
    for (const bytes of [
      glass().png().toBuffer(),
      glass().png({ palette: true }).toBuffer(),
      glass().webp({ lossless: true }).toBuffer(),
    ])
      expect(near(await first(bytes), [227, 142, 157], 3)).toBe(true);
    const frames = Buffer.concat([Buffer.alloc(8 * 8 * 3, 10), Buffer.alloc(8 * 8 * 3, 200)]);
    const film = (): Sharp => sharp(frames, { raw: { width: 8, height: 16, channels: 3, pageHeight: 8 } });
    for (const bytes of [
      await film()
        .gif({ delay: [10, 10] })
        .toBuffer(),
      await film()
        .webp({ lossless: true, delay: [10, 10] })
        .toBuffer(),
    ]) {
      const { width: across, height: down, data } = await decodePicture(bytes);
      expect([across, down, data[0]]).toEqual([8, 8, 10]);
    }
  });
});

describe('what is refused', () => {
  const noise = Buffer.from(Array.from({ length: 64 * 64 * 3 }, (_, index) => (index * 7919) % 251));
  const raw = { raw: { width: 64, height: 64, channels: 3 } } as const;

  test('pictures that are cut off or damaged', async () => {
    for (const format of ['png', 'jpeg', 'webp', 'gif'] as const) {
      const bytes = await sharp(noise, raw).toFormat(format).toBuffer();
      expect(pictureFormat(bytes)).toBe(format);
      for (const length of [20, bytes.length >> 1])
        await expect(decodePicture(bytes.subarray(0, length)), `${format} ${length}`).rejects.toThrow(
          /^it is damaged or cut off: /,
        );
    }
  });

  test('other files, with what they are', async () => {
    const svg = Buffer.from(
      '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="/etc/hostname"/></svg>',
    );
    await expect(decodePicture(svg)).rejects.toThrow('AVIF picture but SVG, XML or a web page');
    await expect(decodePicture(Buffer.from('a red cat'))).rejects.toThrow(
      'it is not a PNG, JPEG, WebP, GIF, TIFF or AVIF picture',
    );
    await expect(decodePicture(new Uint8Array())).rejects.toThrow('it is empty');
  });

  test('more pixels than are read, whatever their file needs', async () => {
    const huge = await sharp(noise, raw).png().toBuffer();
    huge.writeUInt32BE(40_000, 16);
    huge.writeUInt32BE(30_000, 20);
    // The header's own checksum.
    const { crc32 } = await import('node:zlib');
    huge.writeUInt32BE(crc32(huge.subarray(12, 29)), 29);
    await expect(decodePicture(huge)).rejects.toThrow(
      `it has 40000 x 30000 pixels, more than the ${mostPixels} that are read`,
    );
    await expect(decodeSquare(huge, 8, 'center')).rejects.toThrow(RangeError);
  });
});
