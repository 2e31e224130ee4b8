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

export function sizeOfSequence({ text, firstTarget, codes, trailing, unconditional, features = [] }: Sequence): SequenceSize {
  const isGuided = unconditional !== undefined;
  return {
    text: text.length + trailing.length - features.length + (unconditional?.length ?? 0),
    codes: codes.length * (isGuided ? 2 : 1),
    features: features.length,
    textTargets: Math.max(0, text.length - Math.max(1, firstTarget)) + trailing.length - features.filter((index) => index >= Math.max(1, firstTarget)).length,
    imageTargets: codes.length,
    guided: isGuided ? codes.length : 0,
  };
}

export function addSizes(sizes: readonly SequenceSize[]): SequenceSize {
  const sum = { text: 0, codes: 0, features: 0, textTargets: 0, imageTargets: 0, guided: 0 };
  for (const size of sizes) for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += size[name];
  return sum;
}

/** Entry by entry the larger one: a batch that holds whatever either does. */
export function largerSize(a: SequenceSize, b: SequenceSize): SequenceSize {
  const larger: { -readonly [Name in keyof SequenceSize]: number } = { ...a };
  for (const name of Object.keys(larger) as (keyof SequenceSize)[]) larger[name] = Math.max(a[name], b[name]);
  return larger;
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
