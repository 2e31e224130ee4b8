import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/program.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { policyObjective } from '../../core/ops/policy-objective.ts';
import type { Tensor } from '../../core/tensor/tensor.ts';

interface Token {
  readonly logProbability: number;
  readonly entropy: number;
  readonly old: number;
  readonly advantage: number;
  readonly weight: number;
  readonly reference: number;
}

interface Settings {
  readonly low: number;
  readonly high: number;
  readonly entropy: number;
  readonly kl: number;
}

let device: Device;
let workspace: Workspace;
beforeAll(async () => {
  device = await openDevice();
  workspace = new Workspace(device);
});
afterAll(() => device.close());

async function objective(tokens: readonly Token[], settings: Settings, hasReference: boolean): Promise<{ dOut: number[][]; stats: number[][] }> {
  const tape = new Tape(workspace);
  const made: Tensor[] = [];
  const column = (name: keyof Token): Tensor => {
    const tensor = device.tensor(name, [tokens.length], 'f32', Float32Array.from(tokens, (token) => token[name]));
    made.push(tensor);
    return tensor;
  };
  const scored = device.tensor('scored', [tokens.length, 2], 'f32', Float32Array.from(tokens.flatMap(({ logProbability, entropy }) => [logProbability, entropy])));
  const { dOut, stats } = policyObjective(
    tape,
    scored,
    { oldLogProbability: column('old'), advantage: column('advantage'), weight: column('weight'), ...(hasReference ? { referenceLogProbability: column('reference') } : {}) },
    {
      clipLow: device.scalar('low', settings.low),
      clipHigh: device.scalar('high', settings.high),
      entropyCoefficient: device.scalar('entropy', settings.entropy),
      ...(hasReference ? { klCoefficient: device.scalar('kl', settings.kl) } : {}),
    },
  );
  const kept = [tape.output(dOut), tape.output(stats)];
  (await tape.finish('objective')).run();
  const [gradient, numbers] = (await device.read(kept)) as [Float32Array, Float32Array];
  for (const tensor of made) device.destroyTensor(tensor);
  const rows = (values: Float32Array, width: number): number[][] => tokens.map((_, index) => [...values.slice(index * width, (index + 1) * width)]);
  return { dOut: rows(gradient, 2), stats: rows(numbers, 4) };
}

/** The loss of one token in float64, as the paper writes it. */
function loss(token: Token, { low, high, entropy, kl }: Settings, hasReference: boolean): number {
  const ratio = Math.exp(token.logProbability - token.old);
  const clipped = Math.min(Math.max(ratio, 1 - low), 1 + high);
  const d = token.reference - token.logProbability;
  const k3 = hasReference ? Math.expm1(d) - d : 0;
  return token.weight * (Math.max(-token.advantage * ratio, -token.advantage * clipped) + entropy * token.entropy + kl * k3);
}

function tokensOfInterest(): Token[] {
  const tokens: Token[] = [];
  for (const advantage of [-1.5, 0, 0.8]) {
    for (const shift of [-2, -0.3, -0.1, 1e-4, 0.15, 0.4, 1.7]) {
      for (const away of [-5, -0.2, -1e-3, 0.1, 0.3, 3]) {
        const index = tokens.length;
        const logProbability = Math.fround(-0.5 - (index % 7));
        const entropy = 0.3 + index / 50;
        tokens.push({ logProbability, entropy, old: Math.fround(logProbability - shift), advantage, weight: 1 / (3 + (index % 4)), reference: Math.fround(logProbability + away) });
      }
    }
  }
  return tokens;
}

describe.each([true, false])('with a reference: %s', (hasReference) => {
  test('the derivative is that of the loss, by finite differences in float64', async () => {
    const settings = { low: 0.2, high: 0.28, entropy: -0.004, kl: hasReference ? 0.05 : 0 };
    const tokens = tokensOfInterest();
    const { dOut, stats } = await objective(tokens, settings, hasReference);
    tokens.forEach((token, index) => {
      const along = (name: 'logProbability' | 'entropy'): number =>
        (loss({ ...token, [name]: token[name] + 1e-6 }, settings, hasReference) - loss({ ...token, [name]: token[name] - 1e-6 }, settings, hasReference)) / 2e-6;
      expect(dOut[index]?.[0]).toBeCloseTo(along('logProbability'), 5);
      expect(dOut[index]?.[1]).toBeCloseTo(along('entropy'), 7);
      const [value = NaN, clipped, ratio = NaN, k3 = NaN] = stats[index] ?? [];
      expect(token.weight * (value + settings.entropy * token.entropy + settings.kl * k3)).toBeCloseTo(loss(token, settings, hasReference), 5);
      const expectedRatio = Math.exp(token.logProbability - token.old);
      expect(ratio / expectedRatio).toBeCloseTo(1, 5);
      const isOut = token.advantage > 0 ? expectedRatio > 1.28 : token.advantage < 0 && expectedRatio < 0.8;
      expect(clipped).toBe(isOut ? 1 : 0);
    });
    expect(stats.some(([, clipped]) => clipped === 1)).toBe(true);
  });
});

test('an unchanged policy has ratio 1 and gradient -A', async () => {
  const token = { logProbability: -3.25, entropy: 1, old: -3.25, advantage: 0.7, weight: 1, reference: -3.25 };
  const { dOut, stats } = await objective([token], { low: 0.2, high: 0.2, entropy: 0, kl: 1 }, true);
  expect(dOut[0]?.[0]).toBeCloseTo(-0.7, 6);
  expect(stats[0]).toEqual([expect.closeTo(-0.7, 6), 0, 1, 0]);
});

test('a tiny divergence keeps its digits', async () => {
  const token = { logProbability: -1, entropy: 0, old: -1, advantage: 0, weight: 1, reference: Math.fround(-1 + 2 ** -10) };
  const { stats } = await objective([token], { low: 0.2, high: 0.2, entropy: 0, kl: 1 }, true);
  const d = 2 ** -10;
  expect((stats[0]?.[3] ?? 0) / (Math.expm1(d) - d)).toBeCloseTo(1, 3);
});

test('far policies stay finite, and a token that does not count is exactly zero', async () => {
  const far = { logProbability: -200, entropy: 0, old: -1, advantage: -1, weight: 1, reference: -0.1 };
  const settings = { low: 0.2, high: 0.2, entropy: 0.1, kl: 0.1 };
  const { dOut, stats } = await objective([far, { ...far, logProbability: 0, old: -300 }, { ...far, weight: 0, old: NaN, advantage: Infinity }], settings, true);
  expect([...dOut.flat(), ...stats.flat()].every(Number.isFinite)).toBe(true);
  expect(stats[0]?.[3]).toBeGreaterThan(1e6);
  expect(dOut[2]).toEqual([0, 0]);
  expect(stats[2]).toEqual([0, 0, 0, 0]);
});

test('a reference without its coefficient, and columns of another length, are refused', () => {
  const tape = new Tape(workspace);
  const scored = tape.empty('scored', [4, 2]);
  const column = tape.empty('column', [4]);
  const inputs = { oldLogProbability: column, advantage: column, weight: column };
  const scalar = device.scalar('x', 0.2);
  const settings = { clipLow: scalar, clipHigh: scalar, entropyCoefficient: scalar };
  expect(() => policyObjective(tape, scored, { ...inputs, referenceLogProbability: column }, settings)).toThrow(/come together/);
  expect(() => policyObjective(tape, scored, { ...inputs, weight: tape.empty('short', [3]) }, settings)).toThrow(/for 4 tokens/);
});
