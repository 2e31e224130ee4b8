/** The sizes of a packed batch without its contents: what a program is recorded for, and what a plan is made from. */
import { roundUp, type Sequence } from './packing.ts';

interface Entries {
  readonly length: number;
}

/** A PackedBatch is one. */
export interface PackedShape {
  readonly count: number;
  readonly textIds: Entries;
  readonly imageCodes: Entries;
  readonly featureRows: Entries;
  readonly text: { readonly count: number };
  readonly image: { readonly count: number; readonly unconditionalRows?: Entries };
}

/** What a sequence adds to a batch, entry by entry; sums of them describe a batch before it is rounded up. */
export interface SequenceSize {
  readonly text: number;
  readonly codes: number;
  readonly features: number;
  readonly textTargets: number;
  readonly imageTargets: number;
  /** Codes that are seen a second time by guidance. */
  readonly guided: number;
}

export function sizeOfSequence({
  text,
  firstTarget,
  codes,
  trailing,
  unconditional,
  features = [],
}: Sequence): SequenceSize {
  const isGuided = unconditional !== undefined;
  return {
    text: text.length + trailing.length - features.length + (unconditional?.length ?? 0),
    codes: codes.length * (isGuided ? 2 : 1),
    features: features.length,
    textTargets:
      Math.max(0, text.length - Math.max(1, firstTarget)) +
      trailing.length -
      features.filter((index) => index >= Math.max(1, firstTarget)).length,
    imageTargets: codes.length,
    guided: isGuided ? codes.length : 0,
  };
}

/**
 * The size that `count` sequences like the given ones seldom exceed together: three standard deviations above their expected sum,
 * but never more than the largest of them times `count`.
 */
export function largestSize(samples: readonly SequenceSize[], count: number): SequenceSize {
  const bound = (name: keyof SequenceSize): number => {
    const values = samples.map((size) => size[name]);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    return Math.ceil(Math.min(count * Math.max(...values), count * mean + 3 * Math.sqrt(count * variance)));
  };
  return {
    text: bound('text'),
    codes: bound('codes'),
    features: bound('features'),
    textTargets: bound('textTargets'),
    imageTargets: bound('imageTargets'),
    guided: bound('guided'),
  };
}

export function timesSize(
  { text, codes, features, textTargets, imageTargets, guided }: SequenceSize,
  count: number,
): SequenceSize {
  return {
    text: text * count,
    codes: codes * count,
    features: features * count,
    textTargets: textTargets * count,
    imageTargets: imageTargets * count,
    guided: guided * count,
  };
}

/** The shape `packSequences` gives sequences of this total size. */
export function packedShape(size: SequenceSize): PackedShape {
  const textIds = { length: roundUp(size.text) };
  const imageCodes = { length: roundUp(size.codes) };
  const guided = { length: roundUp(size.guided) };
  return {
    count: textIds.length + imageCodes.length + size.features,
    textIds,
    imageCodes,
    featureRows: { length: size.features },
    text: { count: roundUp(size.textTargets) },
    image: { count: roundUp(size.imageTargets), ...(size.guided > 0 && { unconditionalRows: guided }) },
  };
}
