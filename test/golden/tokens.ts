/** Rows of a fixture as packed sequences: padding left out, positions from zero. */
import type { Tape } from '../../core/autograd/tape.ts';
import type { PackedTokens, Weights } from '../../core/contracts/backbone.ts';
import { tokenLogProbability } from '../../core/ops/log-probability.ts';
import { gatherRows } from '../../core/ops/rows.ts';
import type { Tensor } from '../../core/tensor/tensor.ts';
import { at } from '../../core/testing.ts';
import type { Bench } from './comparison.ts';
import type { Fixture } from './fixture.ts';

export interface Token {
  readonly id: number;
  readonly kind: 'text' | 'image' | 'feature';
}

export interface FixtureRow {
  /** Column of each token in the fixture's table. */
  readonly columns: readonly number[];
  readonly tokens: readonly Token[];
}

export function textTokens(ids: readonly number[]): Token[] {
  return ids.map((id) => ({ id, kind: 'text' }));
}

export function imageTokens(codes: readonly number[]): Token[] {
  return codes.map((id) => ({ id, kind: 'image' }));
}

/** [B, n] as B lists. */
export function rowsOf(fixture: Fixture, key: string): number[][] {
  const [batch = 0, length = 0] = fixture.shape(key);
  const values = fixture.words(key);
  return Array.from({ length: batch }, (_, row) => values.slice(row * length, (row + 1) * length));
}

/** The sequences of a group with `ids`, `attention_mask` and maybe `is_image`, whichever side is padded. */
export function sequencesOf(fixture: Fixture, group: string, idKey = 'ids'): FixtureRow[] {
  const mask = rowsOf(fixture, `${group}.attention_mask`);
  const isImage = fixture.keys(`${group}.is_image`).length > 0 ? rowsOf(fixture, `${group}.is_image`) : undefined;
  return rowsOf(fixture, `${group}.${idKey}`).map((ids, row) => {
    const columns = ids.flatMap((_, column) => (at(mask[row] ?? [], column) === 1 ? [column] : []));
    return { columns, tokens: columns.map((column) => ({ id: at(ids, column), kind: isImage !== undefined && at(isImage[row] ?? [], column) === 1 ? 'image' : 'text' })) };
  });
}

export interface Packed {
  readonly tokens: PackedTokens;
  /** Row of token `index` of sequence `sequence`. */
  row(sequence: number, index: number): number;
}

/** Sequences end to end; `features` are the vectors of the tokens of that kind, in order. */
export function packTokens({ device }: Bench, sequences: readonly (readonly Token[])[], features?: Tensor): Packed {
  const starts: number[] = [];
  const all = sequences.flatMap((sequence) => {
    const start = (starts.at(-1) ?? 0) + (sequences[starts.length - 1]?.length ?? 0);
    starts.push(start);
    return sequence.map((token, index) => ({ ...token, row: start + index, index, start, end: start + sequence.length }));
  });
  const words = (name: string, values: readonly number[]): Tensor => device.tensor(name, [values.length], 'u32', Uint32Array.from(values));
  const of = (kind: Token['kind']) => all.filter((token) => token.kind === kind);
  const [text, image, feature] = [of('text'), of('image'), of('feature')];
  const tokens: PackedTokens = {
    count: all.length,
    textIds: words('text ids', text.map(({ id }) => id)),
    textRows: words('text rows', text.map(({ row }) => row)),
    ...(image.length > 0 && { imageCodes: words('codes', image.map(({ id }) => id)), imageRows: words('image rows', image.map(({ row }) => row)) }),
    ...(features !== undefined && { features, featureRows: words('feature rows', feature.map(({ row }) => row)) }),
    positions: words('positions', all.map(({ index }) => index)),
    segmentStart: words('starts', all.map(({ start }) => start)),
    segmentEnd: words('ends', all.map(({ end }) => end)),
  };
  return { tokens, row: (sequence, index) => at(starts, sequence) + index };
}

export interface ScoredTokens {
  readonly kind: 'text' | 'image';
  /** f32 [entries, 2] (log-probability, entropy). */
  readonly values: Tensor;
  readonly entries: readonly { readonly sequence: number; readonly index: number; readonly token: Token }[];
}

/** (log-probability, entropy) of every token but the first of each sequence, by the head that fits it. */
export function score(bench: Bench, tape: Tape, weights: Weights, sequences: readonly (readonly Token[])[], clamp?: number): ScoredTokens[] {
  const { backbone } = bench.fixture;
  const packed = packTokens(bench, sequences);
  const states = backbone.hidden(tape, weights, packed.tokens);
  const all = sequences.flatMap((tokens, sequence) => tokens.map((token, index) => ({ sequence, index, token }))).filter(({ index }) => index > 0);
  return (['text', 'image'] as const).flatMap((kind) => {
    const entries = all.filter(({ token }) => token.kind === kind);
    if (entries.length === 0) return [];
    const words = (name: string, values: number[]): Tensor => bench.device.tensor(name, [values.length], 'u32', Uint32Array.from(values));
    const chosen = gatherRows(tape, states, words('rows', entries.map(({ sequence, index }) => packed.row(sequence, index - 1))));
    const logits = kind === 'image' ? backbone.imageLogits(tape, weights, chosen) : backbone.textLogits(tape, weights, chosen);
    const values = tokenLogProbability(tape, logits, words('targets', entries.map(({ token }) => token.id)), { temperature: 1, ...(clamp !== undefined && { clamp }) });
    return [{ kind, values, entries }];
  });
}
