/**
 * Lays sequences end to end without padding (see PackedTokens) and lists what is to be predicted. A batch is rounded up to
 * a few sizes with one-token segments that belong to nobody, so that few shapes, and so few programs, occur.
 */
import { at } from '../tensor/at.ts';

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
  /** Where the first tokens of `text` stand; the others follow. One behind the other unless told. */
  readonly positions?: TokenPositions | undefined;
}

/** Where tokens stand that are not one behind the other. */
export interface TokenPositions {
  /** u32 [tokens, axes] */
  readonly positions: Uint32Array;
  readonly axes: number;
  /** Where the token behind them stands, on every axis. */
  readonly next: number;
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
  /** u32 [count, axes] */
  readonly positions: Uint32Array;
  /** 1 where no sequence has positions of more. */
  readonly positionAxes: number;
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
  const packer = new Packer(sequences.reduce((most, { positions }) => Math.max(most, positions?.axes ?? 1), 1));
  for (const [owner, sequence] of sequences.entries()) packer.add(sequence, owner);
  return packer.finish();
}

class Packer {
  private readonly axes: number;
  private readonly textIds: number[] = [];
  private readonly textRows: number[] = [];
  private readonly imageCodes: number[] = [];
  private readonly imageRows: number[] = [];
  private readonly featureRows: number[] = [];
  private readonly positions: number[] = [];
  private readonly segmentStart: number[] = [];
  private readonly segmentEnd: number[] = [];
  private readonly text = new TargetList();
  private readonly image = new TargetList();
  private readonly unconditionalRows: number[] = [];

  constructor(axes: number) {
    this.axes = axes;
  }

  /** A segment: text, codes, trailing text; with guidance a second one, without targets, of the same codes. */
  add(sequence: Sequence, owner: number): void {
    const start = this.segmentStart.length;
    const codesFrom = sequence.text.length;
    const trailingFrom = codesFrom + sequence.codes.length;
    const end = start + trailingFrom + sequence.trailing.length;
    const features = new Set(sequence.features);
    const { positions } = sequence;
    const placeText = (id: number, index: number): void => {
      const row = this.place(start, end, positions);
      if (features.has(index)) {
        this.featureRows.push(row);
        return;
      }
      this.textIds.push(id);
      this.textRows.push(row);
      if (index >= Math.max(1, sequence.firstTarget)) this.text.add(row - 1, id, owner, index);
    };
    sequence.text.forEach(placeText);
    sequence.codes.forEach((code, index) => {
      const row = this.place(start, end, positions);
      this.imageCodes.push(code);
      this.imageRows.push(row);
      this.image.add(row - 1, code, owner, codesFrom + index);
    });
    sequence.trailing.forEach((id, index) => placeText(id, trailingFrom + index));
    if (sequence.unconditional !== undefined) this.addUnconditional(sequence.unconditional, sequence.codes);
  }

  finish(): PackedBatch {
    const { textIds, textRows, imageCodes, imageRows, unconditionalRows, positions, segmentStart } = this;
    if (unconditionalRows.length > 0 && unconditionalRows.length !== imageCodes.length / 2)
      throw new RangeError('some sequences of a batch have an unconditional branch, others none');
    const usedTokens = segmentStart.length;
    this.fill(textIds, textRows);
    this.fill(imageCodes, imageRows);
    const image = this.image.finish();
    return {
      count: segmentStart.length,
      textIds: Uint32Array.from(textIds),
      textRows: Uint32Array.from(textRows),
      imageCodes: Uint32Array.from(imageCodes),
      imageRows: Uint32Array.from(imageRows),
      featureRows: Uint32Array.from(this.featureRows),
      positions: Uint32Array.from(positions),
      positionAxes: this.axes,
      segmentStart: Uint32Array.from(segmentStart),
      segmentEnd: Uint32Array.from(this.segmentEnd),
      text: this.text.finish(),
      image: unconditionalRows.length === 0 ? image : { ...image, unconditionalRows: padded(unconditionalRows) },
      usedTokens,
    };
  }

  private addUnconditional(text: readonly number[], codes: readonly number[]): void {
    const start = this.segmentStart.length;
    const end = start + text.length + codes.length;
    for (const id of text) {
      this.textIds.push(id);
      this.textRows.push(this.place(start, end));
    }
    for (const code of codes) {
      this.imageCodes.push(code);
      const row = this.place(start, end);
      this.imageRows.push(row);
      this.unconditionalRows.push(row - 1);
    }
  }

  /** The next row, of the segment from `start` to `end`. */
  private place(start: number, end: number, given?: TokenPositions): number {
    const row = this.segmentStart.length;
    const index = row - start;
    const known = given === undefined ? 0 : given.positions.length / given.axes;
    for (let axis = 0; axis < this.axes; axis++)
      this.positions.push(
        given === undefined || index >= known
          ? (given?.next ?? 0) + index - known
          : at(given.positions, index * given.axes + axis),
      );
    this.segmentStart.push(start);
    this.segmentEnd.push(end);
    return row;
  }

  /** Segments of one token that belong to nobody, up to the bucket. */
  private fill(ids: number[], rows: number[]): void {
    for (let missing = roundUp(ids.length) - ids.length; missing > 0; missing--) {
      ids.push(0);
      rows.push(this.place(this.segmentStart.length, this.segmentStart.length + 1));
    }
  }
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
