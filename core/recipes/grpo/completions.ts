/**
 * Drawings as the scorer and the objective see them: packed sequences, and per target its old log-probability, its advantage and
 * its shares in the terms of the loss. Arithmetic on the host, no device.
 */
import type { Tokenizer } from '../../contracts/tokenizer.ts';
import { packSequences, type PackedBatch, type Sequence } from '../../nn/packing.ts';
import type { SampledSequence } from '../../nn/sampling.ts';
import { tokenKinds, type ByKind, type TokenKind } from '../../nn/token-program.ts';
import type { GrpoOptions } from './options.ts';
import { at } from '../../tensor/at.ts';

/** A drawing that is trained on. Lists count the tokens after the prompt: rationale, image start, codes. */
export interface Completion {
  readonly sequence: Pick<
    SampledSequence,
    'promptIds' | 'rationaleIds' | 'imageStartForced' | 'codes' | 'logProbability' | 'drawnBy'
  >;
  readonly advantage: number;
  /** Factors of the policy term by token; all 1 when absent. */
  readonly tokenWeights?: readonly number[] | undefined;
  /** Step that drew it. */
  readonly step: number;
}

/** Log-probabilities of completions, as the objective needs them. */
export interface KnownProbabilities {
  /** When it was drawn. */
  readonly old: readonly ArrayLike<number>[];
  /** Under the reference; absent without one. */
  readonly reference: readonly ArrayLike<number>[] | undefined;
  /** What each token weighs in the policy term because another policy drew it; absent: 1. */
  readonly importance?: readonly ArrayLike<number>[] | undefined;
}

type LayoutChoice = Pick<GrpoOptions, 'rationale' | 'guidance'>;

export function packCompletions(
  completions: readonly Completion[],
  tokenizer: Tokenizer,
  choice: LayoutChoice,
): PackedBatch {
  return packSequences(
    completions.map(({ sequence: { promptIds, rationaleIds, codes } }): Sequence => {
      const text = choice.rationale ? [...promptIds, ...rationaleIds, tokenizer.special.imageStart] : promptIds;
      const unconditional = choice.guidance === 1 ? {} : { unconditional: tokenizer.unconditional(text) };
      return { text, firstTarget: promptIds.length, codes, trailing: [], ...unconditional };
    }),
  );
}

/** Calls back for every target that belongs to a drawing: its place among the targets, whose it is, and which token after the prompt. */
export function eachTarget(
  batch: PackedBatch,
  kind: TokenKind,
  completions: readonly Completion[],
  visit: (target: number, owner: number, token: number) => void,
): void {
  const { used, owner, position } = batch[kind];
  for (let i = 0; i < used; i++) {
    const whose = at(owner, i);
    const completion = completions[whose];
    if (completion === undefined) throw new RangeError(`target ${i} belongs to no drawing`);
    visit(i, whose, at(position, i) - completion.sequence.promptIds.length);
  }
}

/** Whether the policy chose a token itself: an image start that was put there, and what a greedy sampler took, carry no loss. */
export function isChosen(
  kind: TokenKind,
  token: number,
  { sequence }: Completion,
  choice: Pick<GrpoOptions, 'textTemperature' | 'imageTemperature'>,
): boolean {
  if ((kind === 'text' ? choice.textTemperature : choice.imageTemperature) === 0) return false;
  return !(kind === 'text' && sequence.imageStartForced && token === sequence.rationaleIds.length);
}

type MaskChoice = Pick<GrpoOptions, 'textTemperature' | 'imageTemperature' | 'rationale'>;

/** Tokens of one drawing that count, by kind. */
export function countChosen(completion: Completion, choice: MaskChoice): Record<TokenKind, number> {
  const { rationaleIds, imageStartForced, codes } = completion.sequence;
  const text = choice.rationale ? rationaleIds.length + (imageStartForced ? 0 : 1) : 0;
  return { text: choice.textTemperature === 0 ? 0 : text, image: choice.imageTemperature === 0 ? 0 : codes.length };
}

/** Everything an update divides by: counts over all of its drawings, however they are cut into micro-batches. */
export interface Denominators {
  readonly counted: Readonly<Record<TokenKind, number>>;
  /** Both kinds; at least 1. */
  readonly tokens: number;
  readonly drawings: number;
  /** Longest a drawing may be, for the aggregation `fixed-length`. */
  readonly longest: number;
}

export function denominators(
  completions: readonly Completion[],
  choice: MaskChoice & Pick<GrpoOptions, 'rationaleTokens'>,
): Denominators {
  const counts = completions.map((completion) => countChosen(completion, choice));
  const sum = (kind: TokenKind): number => counts.reduce((total, count) => total + count[kind], 0);
  const counted = { text: sum('text'), image: sum('image') };
  const longest = (choice.rationale ? choice.rationaleTokens : 0) + (completions[0]?.sequence.codes.length ?? 0);
  return {
    counted,
    tokens: Math.max(1, counted.text + counted.image),
    drawings: Math.max(1, completions.length),
    longest,
  };
}

export type Aggregation = 'token-mean' | 'sequence-mean' | 'fixed-length';

/** What the objective reads per target, as `policyObjective` takes it, and how many targets count. */
export interface TargetTables {
  /** f32 [M, 4]: old log-probability, advantage, reference log-probability, number of the drawing. */
  readonly terms: Float32Array;
  /** f32 [M, 4]: shares in the policy term, the entropy term, the divergence; 1 where counted. */
  readonly weights: Float32Array;
}

type TableChoice = MaskChoice & Pick<GrpoOptions, 'textWeight' | 'imageWeight'>;

export function targetTables(
  batch: PackedBatch,
  kind: TokenKind,
  completions: readonly Completion[],
  known: KnownProbabilities,
  by: Denominators,
  aggregation: Aggregation,
  choice: TableChoice,
): TargetTables {
  const terms = new Float32Array(batch[kind].count * 4);
  const weights = new Float32Array(batch[kind].count * 4);
  const kindWeight = kind === 'text' ? choice.textWeight : choice.imageWeight;
  const shares = completions.map((completion) => shareOfToken(completion, by, aggregation, choice));
  eachTarget(batch, kind, completions, (target, owner, token) => {
    const completion = at(completions, owner);
    const old = at(at(known.old, owner), token);
    const reference = known.reference === undefined ? old : at(at(known.reference, owner), token);
    terms.set([old, completion.advantage, reference, owner], target * 4);
    if (!isChosen(kind, token, completion, choice)) return;
    const share = at(shares, owner);
    // The entropy term is a mean over its own kind of token; its coefficient makes up for the difference.
    const own = completion.tokenWeights === undefined ? 1 : at(completion.tokenWeights, token);
    const tokenWeight = known.importance === undefined ? own : own * at(at(known.importance, owner), token);
    weights.set([share * kindWeight * tokenWeight, 1 / by.tokens, share, 1], target * 4);
  });
  return { terms, weights };
}

/** An entropy coefficient for the weights above, which divide by tokens of both kinds. */
export function scaledEntropyCoefficient(coefficient: number, kind: TokenKind, by: Denominators): number {
  return (coefficient * by.tokens) / Math.max(1, by.counted[kind]);
}

function shareOfToken(completion: Completion, by: Denominators, aggregation: Aggregation, choice: MaskChoice): number {
  if (aggregation === 'token-mean') return 1 / by.tokens;
  if (aggregation === 'fixed-length') return 1 / (by.drawings * by.longest);
  const { text, image } = countChosen(completion, choice);
  return 1 / (by.drawings * Math.max(1, text + image));
}

/** u32 [most, 4]: where the targets of each drawing stand among text and image targets; empty ranges behind the last. */
export function sequenceRanges(batch: PackedBatch, drawings: number, most: number): Uint32Array {
  if (drawings > most) throw new RangeError(`${drawings} drawings where ${most} were planned`);
  const ranges = new Uint32Array(most * 4);
  tokenKinds.forEach((kind, offset) => {
    const { used, owner } = batch[kind];
    for (let i = 0; i < used; i++) {
      const place = at(owner, i) * 4 + offset * 2;
      if (ranges[place + 1] === 0) ranges[place] = i;
      ranges[place + 1] = i + 1;
    }
  });
  return ranges;
}

/** Values [M, 2] (log-probability, entropy) of targets put back to the tokens of each drawing: log-probabilities by token. */
export function byCompletion(
  batch: PackedBatch,
  completions: readonly Completion[],
  scored: ByKind<Float32Array>,
): Float32Array[] {
  const result = completions.map(({ sequence }) => new Float32Array(sequence.logProbability.length));
  for (const kind of tokenKinds) {
    const values = scored[kind];
    if (values === undefined) continue;
    eachTarget(batch, kind, completions, (target, owner, token) => {
      at(result, owner)[token] = at(values, 2 * target);
    });
  }
  return result;
}

/** Indices, among the tokens after the prompt, of those the policy chose. */
export function chosenTokens(completion: Completion, choice: MaskChoice): number[] {
  const { logProbability, codes } = completion.sequence;
  const imageFrom = logProbability.length - codes.length;
  return Array.from(logProbability, (_, token) => token).filter((token) =>
    isChosen(token < imageFrom ? 'text' : 'image', token, completion, choice),
  );
}

/** Largest difference of two lists of log-probabilities over the tokens the policy chose. */
export function largestDifference(
  completions: readonly Completion[],
  one: readonly ArrayLike<number>[],
  other: readonly ArrayLike<number>[],
  choice: MaskChoice,
): number {
  const differences = completions.flatMap((completion, index) =>
    chosenTokens(completion, choice).map((token) => Math.abs(at(at(one, index), token) - at(at(other, index), token))),
  );
  return differences.reduce((largest, difference) => Math.max(largest, difference), 0);
}
