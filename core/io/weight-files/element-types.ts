import type { SourceEntry, StoredType } from '../../contracts/weight-source.ts';

/** Bytes of one element as stored. */
export const fileElementBytes: Readonly<Record<StoredType, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
};

export function elementsOf({ shape }: Pick<SourceEntry, 'shape'>): number {
  return shape.reduce((product, n) => product * n, 1);
}

export function bytesOf(entry: SourceEntry): number {
  return elementsOf(entry) * fileElementBytes[entry.type];
}
