import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import {
  policyMethods,
  policyObjective,
  policySettings,
  sequenceRatios,
  type DivergenceEstimator,
  type PolicyMethod,
  type PolicyOptions,
  type PolicySettings,
} from '../../core/ops/policy-objective.ts';
import type { Tensor } from '../../core/tensor/tensor.ts';

interface Token {
  readonly logProbability: number;
  readonly entropy: number;
  readonly old: number;
  readonly advantage: number;
  readonly weight: number;
  readonly reference: number;
  /** Which sequence it belongs to; its own by default. */
  readonly sequence?: number;
  readonly counted?: number;
}

let device: Device;
let workspace: Workspace;
beforeAll(async () => {
  device = await openDevice();
  workspace = new Workspace(device);
});
afterAll(() => device.close());

/** Shares of a token in the three terms, all different, so that none can stand in for another. */
const shares = ({ weight, counted = 1 }: Token): [number, number, number, number] => [
  weight,
  weight / 2,
  weight / 4,
  counted,
];

async function objective(
  tokens: readonly Token[],
  settings: PolicySettings,
  options: PolicyOptions,
): Promise<{ dOut: number[][]; stats: number[][] }> {
  const tape = new Tape(workspace);
  const made: Tensor[] = [];
  const table = (name: string, width: number, row: (token: Token, index: number) => readonly number[]): Tensor => {
    const tensor = device.tensor(name, [tokens.length, width], 'f32', Float32Array.from(tokens.flatMap(row)));
    made.push(tensor);
    return tensor;
  };
  const scored = table('scored', 2, ({ logProbability, entropy }) => [logProbability, entropy]);
  const terms = table('terms', 4, ({ old, advantage, reference, sequence }, index) => [
    old,
    advantage,
    reference,
    sequence ?? index,
  ]);
  const weights = table('weights', 4, shares);
  const settingsTensor = device.tensor('settings', [8], 'f32', policySettings(settings));
  const sequences = Math.max(...tokens.map(({ sequence = 0 }) => sequence)) + 1;
  const ranges = Array.from({ length: sequences }, (_, index) => [
    tokens.findIndex(({ sequence }) => sequence === index),
    tokens.findLastIndex(({ sequence }) => sequence === index) + 1,
    0,
    0,
  ]);
  const rangesTensor = device.tensor('ranges', [sequences, 4], 'u32', Uint32Array.from(ranges.flat()));
  made.push(settingsTensor, rangesTensor);
  const inputs = {
    terms,
    weights,
    settings: settingsTensor,
    ...(options.method === 'sequence' && {
      sequences: sequenceRatios(tape, { text: { scored, terms, weights } }, rangesTensor),
    }),
  };
  const { dOut, stats } = policyObjective(tape, scored, inputs, options);
  const kept = [tape.output(dOut), tape.output(stats)];
  (await tape.finish('objective')).run();
  const [gradient, numbers] = (await device.read(kept)) as [Float32Array, Float32Array];
  for (const tensor of made) device.destroyTensor(tensor);
  const rows = (values: Float32Array, width: number): number[][] =>
    tokens.map((_, index) => [...values.slice(index * width, (index + 1) * width)]);
  return { dOut: rows(gradient, 2), stats: rows(numbers, 4) };
}

/** The loss of all tokens in float64, as the papers write it; `fixed` stands where a paper stops the gradient. */
function loss(
  tokens: readonly Token[],
  settings: PolicySettings,
  { method, divergence }: PolicyOptions,
  fixed: readonly Token[],
): number {
  const { clipLow, clipHigh, dualClip = 0, entropyCoefficient = 0, klCoefficient = 0 } = settings;
  const ratioOf = (list: readonly Token[], index: number): number => {
    const token = list[index] as Token;
    if (method !== 'sequence') return Math.exp(token.logProbability - token.old);
    const family = list.filter(({ sequence, counted = 1 }) => sequence === token.sequence && counted !== 0);
    return Math.exp(family.reduce((sum, each) => sum + each.logProbability - each.old, 0) / family.length);
  };
  const clip = (ratio: number): number => Math.min(Math.max(ratio, 1 - clipLow), 1 + clipHigh);
  return tokens.reduce((sum, token, index) => {
    const { advantage: a, logProbability: l } = token;
    if (token.counted === 0) return sum;
    let policy: number;
    if (method === 'cispo') policy = -clip(ratioOf(fixed, index)) * a * l;
    else {
      const ratio = ratioOf(tokens, index);
      policy = Math.max(-a * ratio, -a * clip(ratio));
      if (dualClip > 0 && a < 0) policy = Math.min(policy, -a * dualClip);
    }
    const d = token.reference - l;
    const kl = { k1: -d, k2: (d * d) / 2, k3: Math.expm1(d) - d }[divergence];
    const [own, entropy, away] = shares(token);
    return sum + own * policy + entropy * entropyCoefficient * token.entropy + away * klCoefficient * kl;
  }, 0);
}

function tokensOfInterest(): Token[] {
  const tokens: Token[] = [];
  for (const advantage of [-1.5, 0, 0.8]) {
    for (const shift of [-2, -0.3, -0.1, 1e-4, 0.15, 0.4, 1.7]) {
      for (const away of [-5, -0.2, -1e-3, 0.1, 0.3, 3]) {
        const index = tokens.length;
        const logProbability = Math.fround(-0.5 - (index % 7));
        const entropy = 0.3 + index / 50;
        tokens.push({
          logProbability,
          entropy,
          old: Math.fround(logProbability - shift),
          advantage,
          weight: 1 / (3 + (index % 4)),
          reference: Math.fround(logProbability + away),
        });
      }
    }
  }
  return tokens;
}

/** Sequences of 1, 2, 3, … tokens, all of one advantage, some tokens of which were not chosen by the policy. */
function sequencesOfInterest(): Token[] {
  const tokens: Token[] = [];
  for (let sequence = 0; sequence < 9; sequence++) {
    for (let place = 0; place <= sequence; place++) {
      const logProbability = Math.fround(-0.4 - place / 3);
      const shift = ((sequence % 3) - 1) * 0.35 + (place % 2 === 0 ? 0.2 : -0.25);
      const counted = place === 2 ? 0 : 1;
      tokens.push({
        logProbability,
        entropy: 1,
        old: Math.fround(logProbability - shift),
        advantage: sequence % 2 === 0 ? 0.9 : -1.1,
        weight: 1 / (9 * (sequence + 1)),
        reference: logProbability,
        sequence,
        counted,
      });
    }
  }
  return tokens;
}

const plain: PolicySettings = { clipLow: 0.2, clipHigh: 0.28, entropyCoefficient: -0.004 };

async function expectDerivative(
  tokens: readonly Token[],
  settings: PolicySettings,
  options: PolicyOptions,
): Promise<number[][]> {
  const { dOut, stats } = await objective(tokens, settings, options);
  tokens.forEach((_, index) => {
    const along = (name: 'logProbability' | 'entropy'): number => {
      const moved = (by: number): Token[] =>
        tokens.map((each, other) => (other === index ? { ...each, [name]: each[name] + by } : each));
      return (loss(moved(1e-6), settings, options, tokens) - loss(moved(-1e-6), settings, options, tokens)) / 2e-6;
    };
    const expected = along('logProbability');
    expect(
      Math.abs((dOut[index]?.[0] ?? NaN) - expected) / (1 + Math.abs(expected)),
      `${options.method} ${options.divergence} token ${index}`,
    ).toBeLessThan(2e-5);
    expect(dOut[index]?.[1]).toBeCloseTo(along('entropy'), 7);
  });
  return stats;
}

describe.each(['k1', 'k2', 'k3'] as const)('with the divergence %s', (divergence: DivergenceEstimator) => {
  test.each(['clip', 'cispo'] as const)(
    '%s: the derivative is that of the loss, by finite differences in float64',
    async (method: PolicyMethod) => {
      const settings = { ...plain, klCoefficient: 0.05 };
      const tokens = tokensOfInterest();
      const stats = await expectDerivative(tokens, settings, { method, divergence });
      const total = tokens.reduce((sum, token, index) => {
        const [value = NaN, , , kl = NaN] = stats[index] ?? [];
        const [own, entropy, away] = shares(token);
        return sum + own * value + entropy * -0.004 * token.entropy + away * 0.05 * kl;
      }, 0);
      expect(total).toBeCloseTo(loss(tokens, settings, { method, divergence }, tokens), 3);
      tokens.forEach(({ advantage, logProbability, old }, index) => {
        const expected = Math.exp(logProbability - old);
        expect((stats[index]?.[2] ?? NaN) / expected).toBeCloseTo(1, 5);
        const isOutside = expected > 1.28 || expected < 0.8;
        const isHeld = advantage > 0 ? expected > 1.28 : advantage < 0 && expected < 0.8;
        expect(stats[index]?.[1]).toBe(Number(method === 'cispo' ? isOutside : isHeld));
      });
      expect(stats.some(([, clipped]) => clipped === 1)).toBe(true);
    },
  );
});

test('a dual bound silences tokens that a negative advantage drives too far', async () => {
  const settings = { ...plain, dualClip: 3 };
  const stats = await expectDerivative(tokensOfInterest(), settings, { method: 'clip', divergence: 'k3' });
  const far = tokensOfInterest().findIndex(
    ({ advantage, logProbability, old }) => advantage < 0 && logProbability - old > 1.2,
  );
  expect(stats[far]?.slice(0, 2)).toEqual([expect.closeTo(1.5 * 3, 5), 1]);
});

test('the ratio of a whole sequence: the derivative of its mean, tokens that were forced left out', async () => {
  const tokens = sequencesOfInterest();
  // The weight of a token is 1 / (sequences · length); length counts what the mean counts.
  const counted = (sequence = 0): number =>
    tokens.filter((token) => token.sequence === sequence && token.counted !== 0).length;
  const exact = tokens.map((token) => ({ ...token, weight: 1 / (9 * counted(token.sequence)) }));
  const stats = await expectDerivative(
    exact,
    { ...plain, clipLow: 0.1, clipHigh: 0.15 },
    { method: 'sequence', divergence: 'k3' },
  );
  for (let sequence = 0; sequence < 9; sequence++) {
    const ratios = exact.flatMap((token, index) =>
      token.sequence === sequence && token.counted !== 0 ? [stats[index]?.[2]] : [],
    );
    expect(new Set(ratios).size).toBe(1);
  }
  expect(stats.some(([, clipped]) => clipped === 1)).toBe(true);
});

test('text and codes of a sequence share one ratio', async () => {
  const tape = new Tape(workspace);
  const tensor = (name: string, width: number, values: readonly number[], type: 'f32' | 'u32' = 'f32'): Tensor =>
    device.tensor(
      name,
      [values.length / width, width],
      type,
      type === 'f32' ? Float32Array.from(values) : Uint32Array.from(values),
    );
  const part = (shifts: readonly number[]) => ({
    scored: tensor(
      'scored',
      2,
      shifts.flatMap((shift) => [shift - 1, 0]),
    ),
    terms: tensor(
      'terms',
      4,
      shifts.flatMap(() => [-1, 1, 0, 0]),
    ),
    weights: tensor(
      'weights',
      4,
      shifts.flatMap(() => [1, 1, 1, 1]),
    ),
  });
  const out = sequenceRatios(
    tape,
    { text: part([0.1, 0.2, 0.7]), image: part([0.3, -0.5]) },
    tensor('ranges', 4, [0, 2, 0, 1, 2, 3, 1, 2, 0, 0, 0, 0], 'u32'),
  );
  const kept = tape.output(out);
  (await tape.finish('ratios')).run();
  const [first, second, none] = await device.readFloats(kept);
  expect(first).toBeCloseTo(0.6 / 3, 6);
  expect(second).toBeCloseTo(0.2 / 2, 6);
  expect(none).toBe(0);
});

test('an unchanged policy has ratio 1 and gradient -A, whatever the method', async () => {
  const token = {
    logProbability: -3.25,
    entropy: 1,
    old: -3.25,
    advantage: 0.7,
    weight: 1,
    reference: -3.25,
    sequence: 0,
  };
  for (const method of policyMethods) {
    const { dOut, stats } = await objective(
      [token],
      { clipLow: 0.2, clipHigh: 0.2, klCoefficient: 1 },
      { method, divergence: 'k3' },
    );
    expect(dOut[0]?.[0]).toBeCloseTo(-0.7, 6);
    expect(stats[0]?.slice(1)).toEqual([0, 1, 0]);
  }
});

test('a tiny divergence keeps its digits', async () => {
  const token = {
    logProbability: -1,
    entropy: 0,
    old: -1,
    advantage: 0,
    weight: 1,
    reference: Math.fround(-1 + 2 ** -10),
  };
  const { stats } = await objective([token], { ...plain, klCoefficient: 1 }, { method: 'clip', divergence: 'k3' });
  const d = 2 ** -10;
  expect((stats[0]?.[3] ?? 0) / (Math.expm1(d) - d)).toBeCloseTo(1, 3);
});

test('far policies stay finite, and a token that does not count is exactly zero', async () => {
  const far = { logProbability: -200, entropy: 0, old: -1, advantage: -1, weight: 1, reference: -0.1 };
  const settings = { clipLow: 0.2, clipHigh: 0.2, entropyCoefficient: 0.1, klCoefficient: 0.1 };
  for (const divergence of ['k1', 'k2', 'k3'] as const) {
    const { dOut, stats } = await objective(
      [far, { ...far, logProbability: 0, old: -300 }, { ...far, counted: 0, old: NaN, advantage: Infinity }],
      settings,
      { method: 'clip', divergence },
    );
    expect([...dOut.flat(), ...stats.flat()].every(Number.isFinite)).toBe(true);
    expect(Math.abs(stats[0]?.[3] ?? 0)).toBeGreaterThan(100);
    expect(dOut[2]).toEqual([0, 0]);
    expect(stats[2]).toEqual([0, 0, 0, 0]);
  }
});

test('tables of another length, and sequences without their ratios, are refused', () => {
  const tape = new Tape(workspace);
  const scored = tape.empty('scored', [4, 2]);
  const table = tape.empty('table', [4, 4]);
  const inputs = { terms: table, weights: table, settings: tape.empty('settings', [8]) };
  const options = { method: 'clip', divergence: 'k3' } as const;
  expect(() => policyObjective(tape, scored, { ...inputs, weights: tape.empty('short', [3, 4]) }, options)).toThrow(
    /for 4 tokens/,
  );
  expect(() => policyObjective(tape, scored, inputs, { ...options, method: 'sequence' })).toThrow(/needs the ratios/);
});
