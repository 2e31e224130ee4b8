/** Pictures of files: PNG, JPEG, WebP, GIF. */
import sharp from 'sharp';
import { decodePicture, decodeSquare } from '../../../core/io/image.ts';
import { ReasongenError } from '../../../core/errors.ts';
import type { FuzzTarget } from '../harness.ts';

const target: FuzzTarget = {
  seeds: async () => {
    const data = Buffer.from(Array.from({ length: 20 * 14 * 3 }, (_, index) => (index * 37) % 256));
    const picture = sharp(data, { raw: { width: 20, height: 14, channels: 3 } }).withMetadata({ orientation: 6 });
    const formats = ['png', 'jpeg', 'webp', 'gif', 'tiff'] as const;
    return Promise.all(
      formats.map(async (format) => new Uint8Array(await picture.clone().toFormat(format).toBuffer())),
    );
  },
  read: async (bytes) => {
    try {
      await decodePicture(bytes);
      await decodeSquare(bytes, 8, [0.3, 1]);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new ReasongenError({ code: 'BAD_PICTURE', message: error.message, cause: error });
    }
  },
};
export default target;
