import { createHash } from 'node:crypto';
import type { Image } from '../contracts/image.ts';

/** Pictures by their content. */
export class PictureNames {
  private readonly known = new WeakMap<Image, string>();

  of(image: Image): string {
    const known = this.known.get(image);
    if (known !== undefined) return known;
    const { width, height, data } = image;
    const name = `${width}x${height} ${createHash('sha256').update(data).digest('base64')}`;
    this.known.set(image, name);
    return name;
  }
}
