/** Rows of a fixture as packed sequences: padding left out, positions from zero. */
import type { Tape } from '../../core/autograd/tape.ts';
import type { Weights } from '../../core/contracts/backbone.ts';
import { tokenLogProbability } from '../../core/ops/log-probability.ts';
import { gatherRows } from '../../core/ops/rows.ts';
import type { Tensor } from '../../core/tensor/tensor.ts';
import { at } from '../../core/testing.ts';
import type { Bench } from './comparison.ts';
import { packTokens, type PackedToken } from '../../core/testing/packed.ts';
import type { Fixture } from './fixture.ts';

export interface FixtureRow {
  /** Column of each token in the fixture's table. */
  readonly columns: readonly number[];
  readonly tokens: readonly PackedToken[];
}

export function textTokens(ids: readonly number[]): PackedToken[] {
  return ids.map((id) => ({ id, isImage: false }));
}

export function imageTokens(codes: readonly number[]): PackedToken[] {
  return codes.map((id) => ({ id, isImage: true }));
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
    return {
      columns,
      tokens: columns.map((column) => ({
        id: at(ids, column),
        isImage: isImage !== undefined && at(isImage[row] ?? [], column) === 1,
      })),
    };
  });
}

export interface ScoredTokens {
  readonly kind: 'text' | 'image';
  /** f32 [entries, 2] (log-probability, entropy). */
  readonly values: Tensor;
  readonly entries: readonly { readonly sequence: number; readonly index: number; readonly token: PackedToken }[];
}

/** (log-probability, entropy) of every token but the first of each sequence, by the head that fits it. */
export function score(
  bench: Bench,
  tape: Tape,
  weights: Weights,
  sequences: readonly (readonly PackedToken[])[],
  clamp?: number,
): ScoredTokens[] {
  const { backbone } = bench.fixture;
  const packed = packTokens(bench.device, sequences);
  const states = backbone.hidden(tape, weights, packed.tokens);
  const all = sequences
    .flatMap((tokens, sequence) => tokens.map((token, index) => ({ sequence, index, token })))
    .filter(({ index }) => index > 0);
  return (['text', 'image'] as const).flatMap((kind) => {
    const entries = all.filter(({ token }) => token.isImage === (kind === 'image'));
    if (entries.length === 0) return [];
    const words = (name: string, values: number[]): Tensor =>
      bench.device.tensor(name, [values.length], 'u32', Uint32Array.from(values));
    const chosen = gatherRows(
      tape,
      states,
      words(
        'rows',
        entries.map(({ sequence, index }) => packed.row(sequence, index - 1)),
      ),
    );
    const logits =
      kind === 'image' ? backbone.imageLogits(tape, weights, chosen) : backbone.textLogits(tape, weights, chosen);
    const values = tokenLogProbability(
      tape,
      logits,
      words(
        'targets',
        entries.map(({ token }) => token.id),
      ),
      { temperature: 1, ...(clamp !== undefined && { clamp }) },
    );
    return [{ kind, values, entries }];
  });
}
