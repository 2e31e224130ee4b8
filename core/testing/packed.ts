/** Sequences of text, codes and given vectors as a backbone takes them, for checks. */
import type { PackedTokens } from '../contracts/backbone.ts';
import type { Device } from '../gpu/device.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { at } from './arrays.ts';

export interface PackedToken {
  readonly id: number;
  readonly isImage: boolean;
  /** Stands for a given vector instead of an embedded id. */
  readonly isFeature?: boolean;
}

export interface PackedSequences {
  readonly tokens: PackedTokens;
  /** Row of token `index` of sequence `sequence`. */
  row(sequence: number, index: number): number;
}

/** Sequences end to end; positions from zero, on all axes, nothing padded. `features` are the vectors of the tokens marked so, in order. */
export function packTokens(
  device: Device,
  sequences: readonly (readonly PackedToken[])[],
  features?: Tensor,
  axes = 1,
): PackedSequences {
  const starts: number[] = [];
  const all = sequences.flatMap((sequence) => {
    const start = (starts.at(-1) ?? 0) + (sequences[starts.length - 1]?.length ?? 0);
    starts.push(start);
    return sequence.map((token, index) => ({
      ...token,
      row: start + index,
      index,
      start,
      end: start + sequence.length,
    }));
  });
  const words = (name: string, values: readonly number[], width = 1): Tensor =>
    device.tensor(
      name,
      width === 1 ? [values.length] : [values.length / width, width],
      'u32',
      Uint32Array.from(values),
    );
  const feature = all.filter(({ isFeature }) => isFeature === true);
  const image = all.filter(({ isImage }) => isImage);
  const text = all.filter(({ isImage, isFeature }) => !isImage && isFeature !== true);
  const tokens: PackedTokens = {
    count: all.length,
    textIds: words(
      'text ids',
      text.map(({ id }) => id),
    ),
    textRows: words(
      'text rows',
      text.map(({ row }) => row),
    ),
    ...(image.length > 0 && {
      imageCodes: words(
        'codes',
        image.map(({ id }) => id),
      ),
      imageRows: words(
        'image rows',
        image.map(({ row }) => row),
      ),
    }),
    ...(features !== undefined && {
      features,
      featureRows: words(
        'feature rows',
        feature.map(({ row }) => row),
      ),
    }),
    positions: words(
      'positions',
      all.flatMap(({ index }) => new Array<number>(axes).fill(index)),
      axes,
    ),
    segmentStart: words(
      'starts',
      all.map(({ start }) => start),
    ),
    segmentEnd: words(
      'ends',
      all.map(({ end }) => end),
    ),
  };
  return { tokens, row: (sequence, index) => at(starts, sequence) + index };
}

/** Row `index` of a [rows, width] array. */
export function rowOf(values: Float32Array, index: number, width: number): Float32Array {
  return values.subarray(index * width, (index + 1) * width);
}
