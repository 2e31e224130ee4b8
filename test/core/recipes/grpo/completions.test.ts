/** Drawings as scorer and objective see them: shares, masks, ranges; what is carried over survives a checkpoint bit for bit. */
import { describe, expect, test } from 'vitest';
import type { Tokenizer } from '../../../../core/contracts/tokenizer.ts';
import { groupFromJson, groupToJson } from '../../../../core/recipes/grpo/carry.ts';
import {
  byCompletion,
  chosenTokens,
  countChosen,
  denominators,
  eachTarget,
  largestDifference,
  packCompletions,
  sequenceRanges,
  targetTables,
  type Completion,
  type KnownProbabilities,
  type TargetTables,
} from '../../../../core/recipes/grpo/completions.ts';
import { divergence } from '../../../../core/recipes/grpo/penalty.ts';
import { at } from '../../../../core/testing.ts';

const imageStart = 90;
const tokenizer = {
  special: { imageStart },
  unconditional: (ids: readonly number[]) => ids.map((id, index) => (index === 0 || index === ids.length - 1 ? id : 2)),
} as unknown as Tokenizer;

const choice = {
  rationale: true,
  guidance: 1,
  textTemperature: 1,
  imageTemperature: 0.7,
  textWeight: 1,
  imageWeight: 1,
  rationaleTokens: 6,
};

function completion(rationale: number, forced: boolean, advantage: number, codes = 3): Completion {
  const count = rationale + 1 + codes;
  return {
    sequence: {
      promptIds: [1, 5, 6],
      rationaleIds: Array.from({ length: rationale }, (_, index) => 20 + index),
      imageStartForced: forced,
      codes: Array.from({ length: codes }, (_, index) => 40 + index),
      logProbability: Float32Array.from({ length: count }, (_, index) => -0.25 * (index + 1)),
    },
    advantage,
    step: 4,
  };
}

const completions = [completion(2, false, 0.5), completion(5, true, -1.5), completion(0, false, 1)];
const known = { old: completions.map(({ sequence }) => sequence.logProbability), reference: undefined };

/** The policy shares of both kinds of all completions, by token after the prompt. */
function shares(
  aggregation: 'token-mean' | 'sequence-mean' | 'fixed-length',
  more: Partial<typeof choice> = {},
  whose: readonly Completion[] = completions,
): number[][] {
  const chosen = { ...choice, ...more };
  const batch = packCompletions(whose, tokenizer, chosen);
  const by = denominators(whose, chosen);
  const result = whose.map(({ sequence }) => Array.from(sequence.logProbability, () => 0));
  for (const kind of ['text', 'image'] as const) {
    const { weights } = targetTables(
      batch,
      kind,
      whose,
      { old: whose.map(({ sequence }) => sequence.logProbability), reference: undefined },
      by,
      aggregation,
      chosen,
    );
    eachTarget(batch, kind, whose, (target, owner, token) => {
      (result[owner] as number[])[token] = at(weights, target * 4);
    });
  }
  return result;
}

const memberAt = (index: number): Completion => completions[index] as Completion;
const total = (values: readonly (readonly number[])[]): number => values.flat().reduce((sum, value) => sum + value, 0);

describe('shares of tokens in the policy term', () => {
  test('token mean: every token the policy chose counts alike, whatever sequence it is in', () => {
    const counts = completions.map((each) => countChosen(each, choice));
    expect(counts).toEqual([
      { text: 3, image: 3 },
      { text: 5, image: 3 },
      { text: 1, image: 3 },
    ]);
    const values = shares('token-mean');
    expect(total(values)).toBeCloseTo(1, 6);
    // The image start that was put there is the sixth token of the second drawing.
    expect(values[1]).toEqual([
      ...Array.from({ length: 5 }, () => Math.fround(1 / 18)),
      0,
      ...Array.from({ length: 3 }, () => Math.fround(1 / 18)),
    ]);
  });

  test('sequence mean: every drawing counts alike', () => {
    for (const [index, value] of shares('sequence-mean').entries())
      expect(total([value]), `drawing ${index}`).toBeCloseTo(1 / 3, 6);
  });

  test('fixed length: a token counts the same in a short and in a long drawing', () => {
    const values = shares('fixed-length')
      .flat()
      .filter((value) => value > 0);
    expect(new Set(values)).toEqual(new Set([Math.fround(1 / (3 * (6 + 3)))]));
  });

  test('weights of a kind, and of single tokens, scale their share alone', () => {
    const plain = shares('token-mean');
    const weighted = shares('token-mean', { textWeight: 0.5, imageWeight: 2 });
    plain.forEach((values, owner) => {
      const imageFrom = values.length - 3;
      values.forEach((value, token) =>
        expect(weighted[owner]?.[token]).toBeCloseTo(value * (token < imageFrom ? 0.5 : 2), 7),
      );
    });
    const critical = [{ ...memberAt(0), tokenWeights: [0, 1, 3, 1, 1, 0.5] }, ...completions.slice(1)];
    expect(shares('token-mean', {}, critical)[0]).toEqual(
      [0, 1, 3, 1, 1, 0.5].map((weight) => Math.fround(weight / 18)),
    );
    expect(shares('token-mean', {}, critical).slice(1)).toEqual(plain.slice(1));
  });

  test('what a greedy sampler took carries no loss', () => {
    expect(countChosen(memberAt(0), { ...choice, textTemperature: 0 })).toEqual({ text: 0, image: 3 });
    expect(shares('token-mean', { imageTemperature: 0 })[0]).toEqual(
      [1, 1, 1, 0, 0, 0].map((value) => Math.fround(value / 9)),
    );
  });

  test('cut into micro-batches the shares stay those of the whole', () => {
    const by = denominators(completions, choice);
    const whole = shares('sequence-mean');
    const parts = completions.flatMap((one) => {
      const batch = packCompletions([one], tokenizer, choice);
      const values = Array.from(one.sequence.logProbability, () => 0);
      for (const kind of ['text', 'image'] as const) {
        const { weights } = targetTables(
          batch,
          kind,
          [one],
          { old: [one.sequence.logProbability], reference: undefined },
          by,
          'sequence-mean',
          choice,
        );
        eachTarget(batch, kind, [one], (target, _, token) => void (values[token] = at(weights, target * 4)));
      }
      return [values];
    });
    expect(parts).toEqual(whole);
  });
});

test('a log-probability that is missing is an error, not probability 1', () => {
  const batch = packCompletions(completions, tokenizer, choice);
  const tables = (incomplete: KnownProbabilities): TargetTables =>
    targetTables(batch, 'image', completions, incomplete, denominators(completions, choice), 'token-mean', choice);
  const cut = known.old.map((values) => Array.from(values).slice(0, -1));
  expect(() => tables({ ...known, old: cut })).toThrow(RangeError);
  expect(() => tables({ ...known, old: known.old.slice(1) })).toThrow(RangeError);
  expect(() => tables({ ...known, reference: cut })).toThrow(RangeError);
  expect(() => tables(known)).not.toThrow();
});

test('terms: old log-probability, advantage, reference and the number of the drawing', () => {
  const batch = packCompletions(completions, tokenizer, choice);
  const reference = completions.map(({ sequence }) => sequence.logProbability.map((value) => value - 1));
  const { terms } = targetTables(
    batch,
    'image',
    completions,
    { ...known, reference },
    denominators(completions, choice),
    'token-mean',
    choice,
  );
  eachTarget(batch, 'image', completions, (target, owner, token) => {
    const old = at(known.old[owner] ?? [], token);
    expect([...terms.slice(target * 4, target * 4 + 4)]).toEqual([old, memberAt(owner).advantage, old - 1, owner]);
  });
});

test('ranges of a sequence hold its targets of both kinds, and scores find their way back to tokens', () => {
  const batch = packCompletions(completions, tokenizer, choice);
  const ranges = sequenceRanges(batch, 3, 5);
  expect(ranges).toHaveLength(20);
  completions.forEach((_, owner) => {
    for (const [offset, kind] of [
      [0, 'text'],
      [2, 'image'],
    ] as const) {
      const [from, to] = [at(ranges, owner * 4 + offset), at(ranges, owner * 4 + offset + 1)];
      expect([...batch[kind].owner.slice(from, to)].every((each) => each === owner)).toBe(true);
      expect(batch[kind].owner.filter((each) => each === owner)).toHaveLength(to - from);
    }
  });
  expect([...ranges.slice(12)]).toEqual(new Array(8).fill(0));
  expect(() => sequenceRanges(batch, 3, 2)).toThrow(/planned/);
  const scored = (kind: 'text' | 'image'): Float32Array => {
    const values = new Float32Array(batch[kind].count * 2);
    eachTarget(
      batch,
      kind,
      completions,
      (target, owner, token) => void (values[target * 2] = at(known.old[owner] ?? [], token)),
    );
    return values;
  };
  expect(byCompletion(batch, completions, { text: scored('text'), image: scored('image') })).toEqual(known.old);
});

test('the largest difference looks at chosen tokens only', () => {
  const moved = known.old.map((values) => values.slice());
  (moved[1] as Float32Array)[5] = 9; // the forced image start
  expect(largestDifference(completions, known.old, moved, choice)).toBe(0);
  (moved[2] as Float32Array)[3] = at(known.old[2] ?? [], 3) + 0.5;
  expect(largestDifference(completions, known.old, moved, choice)).toBeCloseTo(0.5, 6);
  expect(chosenTokens(memberAt(1), choice)).toEqual([0, 1, 2, 3, 4, 6, 7, 8]);
});

test('with guidance the unconditional branch is packed behind each drawing and predicts the same codes', () => {
  const batch = packCompletions(completions, tokenizer, { ...choice, guidance: 3 });
  const { unconditionalRows, rows, ids, used } = batch.image;
  if (unconditionalRows === undefined) throw new Error('no branch');
  const tokenAt = new Map<number, number>([...batch.textRows].map((row, index) => [row, at(batch.textIds, index)]));
  batch.imageRows.forEach((row, index) => tokenAt.set(row, at(batch.imageCodes, index)));
  let withRationale = 0;
  for (let i = 0; i < used; i++) {
    const [own, other] = [at(rows, i), at(unconditionalRows, i)];
    // Both rows are followed by the code that is to be predicted, at the same place of sequences of the same length.
    expect([tokenAt.get(own + 1), tokenAt.get(other + 1)]).toEqual([at(ids, i), at(ids, i)]);
    expect(at(batch.positions, other)).toBe(at(batch.positions, own));
    expect(at(batch.segmentStart, other)).not.toBe(at(batch.segmentStart, own));
    const start = at(batch.segmentStart, other);
    const prompt = at(batch.positions, other) > 0 ? tokenAt.get(start + 1) : undefined;
    if (memberAt(at(batch.image.owner, i)).sequence.rationaleIds.length === 0) continue;
    expect(prompt).toBe(2);
    withRationale += 1;
  }
  expect(withRationale).toBeGreaterThan(0);
  expect(packCompletions(completions, tokenizer, choice).image.unconditionalRows).toBeUndefined();
});

test('a carried group is the same after a checkpoint, bit for bit', () => {
  const group = { completions: [{ ...memberAt(0), tokenWeights: [1, 0, 2, 1, 1, 1] }, memberAt(1)] };
  const odd = Float32Array.of(-0.1, -1e-30, -Math.PI, -7.77, -1 / 3, 0);
  const strange = { completions: [{ ...memberAt(0), sequence: { ...memberAt(0).sequence, logProbability: odd } }] };
  for (const each of [group, strange])
    expect(groupFromJson(JSON.parse(JSON.stringify(groupToJson(each))))).toEqual(each);
});

test('divergences on the host are those of the kernel', () => {
  for (const [logProbability, reference] of [
    [-1, -1.5],
    [-2, -0.5],
    [-0.3, -0.3],
  ] as const) {
    const d = reference - logProbability;
    expect(divergence('k1', logProbability, reference)).toBeCloseTo(-d, 12);
    expect(divergence('k2', logProbability, reference)).toBeCloseTo((d * d) / 2, 12);
    expect(divergence('k3', logProbability, reference)).toBeCloseTo(Math.exp(d) - d - 1, 12);
  }
  expect(Number.isFinite(divergence('k3', -2000, -1))).toBe(true);
});
