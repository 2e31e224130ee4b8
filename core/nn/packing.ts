/**
 * Lays sequences end to end without padding (see PackedTokens) and lists what is to be predicted. A batch is rounded up to
 * a few sizes with one-token segments that belong to nobody, so that few shapes, and so few programs, occur.
 */

/** One sequence: text up to and with the image start, then codes, then text again (an end token, or nothing). */
export interface Sequence {
  readonly text: readonly number[];
  /** Text tokens from this index on are targets; those before are the prompt. */
  readonly firstTarget: number;
  readonly codes: readonly number[];
  readonly trailing: readonly number[];
  /** What guidance sees instead of `text`, image start included: the codes are packed a second time behind it, and not predicted there. */
  readonly unconditional?: readonly number[];
  /** Rising indices of `text` that stand for features: vectors that are given take the place of those ids. */
  readonly features?: readonly number[];
}

/** What one kind of head predicts: `rows` are hidden rows, `ids` what follows them, `owner` whose token it is. */
export interface Targets {
  /** Entries, filler included. */
  readonly count: number;
  /** Entries that belong to a sequence; they come first. */
  readonly used: number;
  readonly rows: Uint32Array;
  readonly ids: Uint32Array;
  /** Sequence of each used entry. */
  readonly owner: Uint32Array;
  /** Index of each used entry within its sequence (text, codes and trailing counted together). */
  readonly position: Uint32Array;
}

/** Targets of the image head; with guidance also where the same codes stand in the unconditional branch. */
export interface ImageTargets extends Targets {
  /** Hidden rows of the unconditional branch, one per entry; only where every sequence has such a branch. */
  readonly unconditionalRows?: Uint32Array;
}

export interface PackedBatch {
  readonly count: number;
  readonly textIds: Uint32Array;
  readonly textRows: Uint32Array;
  readonly imageCodes: Uint32Array;
  readonly imageRows: Uint32Array;
  /** Of the features of all sequences, in order. */
  readonly featureRows: Uint32Array;
  readonly positions: Uint32Array;
  readonly segmentStart: Uint32Array;
  readonly segmentEnd: Uint32Array;
  readonly text: Targets;
  readonly image: ImageTargets;
  /** Tokens that are not filler. */
  readonly usedTokens: number;
}

/** Counts are rounded up to a multiple of this. */
const bucket = 128;

export function packSequences(sequences: readonly Sequence[]): PackedBatch {
  const textIds: number[] = [];
  const textRows: number[] = [];
  const imageCodes: number[] = [];
  const imageRows: number[] = [];
  const featureRows: number[] = [];
  const positions: number[] = [];
  const segmentStart: number[] = [];
  const segmentEnd: number[] = [];
  const text = new TargetList();
  const image = new TargetList();
  const unconditionalRows: number[] = [];
  const place = (start: number, end: number): number => {
    positions.push(positions.length - start);
    segmentStart.push(start);
    segmentEnd.push(end);
    return positions.length - 1;
  };
  const placeUnconditional = (unconditionalText: readonly number[], codes: readonly number[]): void => {
    const start = positions.length;
    const end = start + unconditionalText.length + codes.length;
    for (const id of unconditionalText) {
      textIds.push(id);
      textRows.push(place(start, end));
    }
    for (const code of codes) {
      imageCodes.push(code);
      imageRows.push(place(start, end));
      unconditionalRows.push(positions.length - 2);
    }
  };
  sequences.forEach((sequence, owner) => {
    const start = positions.length;
    const codesFrom = sequence.text.length;
    const trailingFrom = codesFrom + sequence.codes.length;
    const end = start + trailingFrom + sequence.trailing.length;
    const features = new Set(sequence.features);
    const placeText = (id: number, index: number): void => {
      const row = place(start, end);
      if (features.has(index)) {
        featureRows.push(row);
        return;
      }
      textIds.push(id);
      textRows.push(row);
      if (index >= Math.max(1, sequence.firstTarget)) text.add(row - 1, id, owner, index);
    };
    sequence.text.forEach(placeText);
    sequence.codes.forEach((code, index) => {
      const row = place(start, end);
      imageCodes.push(code);
      imageRows.push(row);
      image.add(row - 1, code, owner, codesFrom + index);
    });
    sequence.trailing.forEach((id, index) => placeText(id, trailingFrom + index));
    if (sequence.unconditional !== undefined) placeUnconditional(sequence.unconditional, sequence.codes);
  });
  if (unconditionalRows.length > 0 && unconditionalRows.length !== imageCodes.length / 2)
    throw new RangeError('some sequences of a batch have an unconditional branch, others none');
  const usedTokens = positions.length;
  const fill = (ids: number[], rows: number[]): void => {
    for (let missing = roundUp(ids.length) - ids.length; missing > 0; missing--) {
      ids.push(0);
      rows.push(place(positions.length, positions.length + 1));
    }
  };
  fill(textIds, textRows);
  fill(imageCodes, imageRows);
  return {
    count: positions.length,
    textIds: Uint32Array.from(textIds),
    textRows: Uint32Array.from(textRows),
    imageCodes: Uint32Array.from(imageCodes),
    imageRows: Uint32Array.from(imageRows),
    featureRows: Uint32Array.from(featureRows),
    positions: Uint32Array.from(positions),
    segmentStart: Uint32Array.from(segmentStart),
    segmentEnd: Uint32Array.from(segmentEnd),
    text: text.finish(),
    image:
      unconditionalRows.length === 0
        ? image.finish()
        : { ...image.finish(), unconditionalRows: padded(unconditionalRows) },
    usedTokens,
  };
}

class TargetList {
  private readonly rows: number[] = [];
  private readonly ids: number[] = [];
  private readonly owner: number[] = [];
  private readonly position: number[] = [];

  add(row: number, id: number, owner: number, position: number): void {
    this.rows.push(row);
    this.ids.push(id);
    this.owner.push(owner);
    this.position.push(position);
  }

  finish(): Targets {
    const used = this.rows.length;
    return {
      count: roundUp(used),
      used,
      rows: padded(this.rows),
      ids: padded(this.ids),
      owner: Uint32Array.from(this.owner),
      position: Uint32Array.from(this.position),
    };
  }
}

/** With zeros up to a multiple of the bucket. */
function padded(values: readonly number[]): Uint32Array {
  const result = new Uint32Array(roundUp(values.length));
  result.set(values);
  return result;
}

/** To a multiple of the bucket. */
export function roundUp(count: number): number {
  return Math.ceil(count / bucket) * bucket;
}
