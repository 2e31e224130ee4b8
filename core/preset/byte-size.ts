/** Sizes of memory in the options of a preset, as plans print them: `512 MiB`, `1.5 GiB`. */
import { at } from '../tensor/at.ts';
import { z } from './zod.ts';

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
const pattern = /^(\d+(?:\.\d+)?) ?(B|KiB|MiB|GiB|TiB)$/;

export function byteSize(): z.ZodString {
  return z.string().regex(pattern, `a size of memory is a number and one of ${units.join(', ')}, such as 1.5 GiB`);
}

/** Whole bytes of a size that `byteSize` lets pass. */
export function parseByteSize(size: string): number {
  const [, number, unit = ''] = pattern.exec(size) ?? [];
  if (number === undefined) throw new RangeError(`"${size}" is no size of memory`);
  return Math.floor(Number(number) * 1024 ** units.indexOf(unit));
}

/** The size in words that is the next below so many bytes: `1.5 GiB`, `640 MiB`. */
export function byteSizeBelow(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${value < 10 && power > 0 ? Math.floor(value * 10) / 10 : Math.floor(value)} ${at(units, power)}`;
}
