import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import {
  createRowSettings,
  createSamplingSettings,
  sample,
  seedWords,
  type SampleOptions,
  type SamplingRule,
} from '../../core/ops/sample.ts';
import { philox } from '../../core/tensor/philox.ts';

const imageStart = 3;
const end = 1;
const all: SamplingRule = { temperature: 1, topK: 0, topP: 1 };

interface Drawn {
  readonly token: number;
  readonly forced: number;
  readonly logProbability: number;
  readonly entropy: number;
}

interface Case {
  readonly logits: readonly (readonly number[])[];
  readonly rule?: SamplingRule;
  readonly seed?: number;
  /** For each row, instead of rule and seed for all. */
  readonly own?: readonly { readonly rule: SamplingRule; readonly seed: number }[];
  readonly keys?: readonly number[];
  readonly position?: number;
  readonly options?: Partial<SampleOptions>;
  /** Rows that are done before the step. */
  readonly done?: readonly number[];
  readonly budget?: number;
  /** Bits that stand at a place of the logits instead of the number: what a NaN was made of does not survive in a number. */
  readonly bits?: Readonly<Record<number, number>>;
}

let device: Device;
beforeAll(async () => {
  device = await openDevice();
});
afterAll(() => device.close());

/** Draws one token per row (the first half of the rows with guidance) and reads everything back. */
async function draw(
  given: Case,
): Promise<{ drawn: Drawn[]; state: number[][]; current: number[]; positions: number[] }> {
  const { logits, rule = all, seed = 1, position = 2, options = {}, done = [], budget = 99 } = given;
  const guided = options.guided ?? false;
  const rows = guided ? logits.length / 2 : logits.length;
  const vocabulary = logits[0]?.length ?? 0;
  const capacity = position + 2;
  const keys = given.keys ?? logits.map((_, row) => row);
  const workspace = new Workspace(device);
  const tape = new Tape(workspace);
  const shared = createSamplingSettings(device, 'settings');
  shared.set(seed, rule);
  const each = createRowSettings(device, 'settings of rows', rows);
  given.own?.forEach((own, row) => each.set(row, own.seed, own.rule));
  const settings = given.own === undefined ? shared : each;
  const state = {
    rows: device.tensor(
      'rows',
      [rows, 4],
      'u32',
      Uint32Array.from(
        Array.from({ length: rows }, (_, row) => [keys[row] ?? 0, position, done.includes(row) ? 1 : 0, budget]).flat(),
      ),
    ),
    trace: device.tensor('trace', [rows, capacity, 4], 'u32'),
    cacheRows: device.tensor(
      'cache rows',
      [rows],
      'u32',
      Uint32Array.from({ length: rows }, (_, row) => row),
    ),
    current: device.tensor('current', [logits.length], 'u32', new Uint32Array(logits.length).fill(77)),
    positions: device.tensor('positions', [logits.length], 'u32', new Uint32Array(logits.length).fill(position - 1)),
  };
  const numbers = Float32Array.from(logits.flat());
  const words = new Uint32Array(numbers.buffer);
  for (const [place, word] of Object.entries(given.bits ?? {})) words[Number(place)] = word;
  const values = device.tensor('logits', [logits.length, vocabulary], 'f32', numbers);
  sample(tape, values, state, settings, { phase: 'image', guided: false, imageStart, end, ...options });
  const program = await tape.finish('draw');
  program.run();
  const [trace, after, current, positions] = (await device.read([
    state.trace,
    state.rows,
    state.current,
    state.positions,
  ])) as Uint32Array[];
  program.dispose();
  workspace.close();
  for (const tensor of [...Object.values(state), shared.tensor, each.tensor, values]) device.destroyTensor(tensor);
  const floats = new Float32Array(trace?.buffer ?? new ArrayBuffer(0), trace?.byteOffset);
  const drawn = Array.from({ length: rows }, (_, row): Drawn => {
    const at = (row * capacity + position) * 4;
    return {
      token: trace?.[at] ?? -1,
      forced: trace?.[at + 1] ?? -1,
      logProbability: floats[at + 2] ?? NaN,
      entropy: floats[at + 3] ?? NaN,
    };
  });
  return {
    drawn,
    state: Array.from({ length: rows }, (_, row) => [...(after ?? []).slice(row * 4, row * 4 + 4)]),
    current: [...(current ?? [])],
    positions: [...(positions ?? [])],
  };
}

/** Deterministic logits with a spread of several nats. */
function logitsOf(rows: number, vocabulary: number, seed: number): number[][] {
  return Array.from({ length: rows }, (_, row) =>
    Array.from({ length: vocabulary }, (_each, index) =>
      Math.fround(((philox([row, index, 0, 9], [seed, 0])[0] / 2 ** 32) * 2 - 1) * 4),
    ),
  );
}

/** The distribution that is drawn from, in float64: temperature, top k, top p (ties are not expected). */
function distribution(logits: readonly number[], { temperature, topK, topP }: SamplingRule): number[] {
  const order = logits.map((_, index) => index).sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0));
  const kept = topK > 0 ? order.slice(0, topK) : order;
  const shares = kept.map((index) => Math.exp(((logits[index] ?? 0) - (logits[order[0] ?? 0] ?? 0)) / temperature));
  const mass = shares.reduce((sum, share) => sum + share, 0);
  let sum = 0;
  const nucleus = kept.filter((_, rank) => {
    const isIn = sum < topP * mass;
    sum += shares[rank] ?? 0;
    return isIn;
  });
  const total = nucleus.reduce((part, _, rank) => part + (shares[rank] ?? 0), 0);
  const result = logits.map(() => 0);
  nucleus.forEach((index, rank) => {
    result[index] = (shares[rank] ?? 0) / total;
  });
  return result;
}

const entropyOf = (p: readonly number[]): number =>
  p.reduce((sum, value) => (value > 0 ? sum - value * Math.log(value) : sum), 0);

describe.each([1, 4])('what is drawn, %i threads per row', (lanes) => {
  test('the generator on the device is the one on the host: equal logits leave the choice to it alone', async () => {
    const vocabulary = 1021;
    const keys = [0, 1, 7, 0xffffffff, 123456789];
    const seed = 2 ** 40 + 5;
    const { drawn } = await draw({
      options: { lanes },
      logits: keys.map(() => new Array<number>(vocabulary).fill(0.25)),
      keys,
      seed,
      position: 13,
    });
    const expected = keys.map((key) => {
      const words = Array.from(
        { length: vocabulary },
        (_, index) => (philox([key, 13, index >> 2, 0], seedWords(seed))[index & 3] ?? 0) >>> 8,
      );
      return words.indexOf(Math.max(...words));
    });
    expect(drawn.map(({ token }) => token)).toEqual(expected);
  });

  test.each([
    { vocabulary: 1, rule: all },
    { vocabulary: 5, rule: all },
    { vocabulary: 68, rule: { temperature: 0.7, topK: 0, topP: 1 } },
    { vocabulary: 257, rule: { temperature: 1.3, topK: 10, topP: 1 } },
    { vocabulary: 257, rule: { temperature: 1, topK: 0, topP: 0.8 } },
    { vocabulary: 301, rule: { temperature: 0.9, topK: 40, topP: 0.6 } },
    { vocabulary: 33, rule: { temperature: 1, topK: 0, topP: 1e-6 } },
  ])(
    'log-probability and entropy belong to the distribution drawn from: $vocabulary, $rule',
    async ({ vocabulary, rule }) => {
      const logits = logitsOf(37, vocabulary, vocabulary);
      const { drawn } = await draw({ options: { lanes }, logits, rule });
      drawn.forEach(({ token, logProbability, entropy }, row) => {
        const p = distribution(logits[row] ?? [], rule);
        expect(p[token]).toBeGreaterThan(0);
        expect(logProbability).toBeCloseTo(Math.log(p[token] ?? 0), 5);
        expect(entropy).toBeCloseTo(entropyOf(p), 5);
      });
    },
  );

  test.each([all, { temperature: 0.7, topK: 4, topP: 1 }, { temperature: 1, topK: 0, topP: 0.7 }])(
    'frequencies follow the distribution: %o',
    async (rule) => {
      const [logits = []] = logitsOf(1, 7, 3).map((row) => row.map((value) => value / 2));
      const rows = 20_000;
      const { drawn } = await draw({ options: { lanes }, logits: Array.from({ length: rows }, () => logits), rule });
      const p = distribution(logits, rule);
      let chiSquare = 0;
      p.forEach((share, index) => {
        const count = drawn.filter(({ token }) => token === index).length;
        if (share === 0) expect(count).toBe(0);
        else chiSquare += (count - rows * share) ** 2 / (rows * share);
      });
      // 99.9 % quantile of chi-square with 6 degrees of freedom: 22.46; fewer kept tokens only lower it.
      expect(chiSquare).toBeLessThan(22.46);
    },
  );

  test.each([
    ['NaN', 0x7fc00000],
    ['NaN with a sign, as x86 makes it', 0xffc00000],
    ['+∞', 0x7f800000],
  ])('a logit that is %s shows in its row and in no other, whatever the settings', async (_name, word) => {
    const logits = logitsOf(3, 99, 5);
    const rules = [
      all,
      { temperature: 0, topK: 0, topP: 1 },
      { temperature: 1, topK: 10, topP: 1 },
      { temperature: 0, topK: 10, topP: 0.9 },
      { temperature: 1, topK: 0, topP: 0.9 },
    ];
    // A token that the budget forces says nothing of the logits, but what stands behind it would be drawn from the same network.
    const phases = [{}, { phase: 'text', budget: 0 }] as const;
    for (const rule of rules) {
      for (const { budget, ...options } of phases.map((phase) => ({ budget: 99, ...phase }))) {
        const place = 99 + 7;
        const { drawn } = await draw({ options: { lanes, ...options }, budget, logits, rule, bits: { [place]: word } });
        const isFinite = drawn.map((row) => [row.logProbability, row.entropy].map(Number.isFinite));
        expect(isFinite, JSON.stringify({ rule, options })).toEqual([
          [true, true],
          [false, false],
          [true, true],
        ]);
      }
    }
  });

  test('a logit of −∞ is an id that cannot come, not a broken number', async () => {
    const logits = logitsOf(2, 99, 5);
    for (const temperature of [0, 1]) {
      const rule = { temperature, topK: 0, topP: 1 };
      const { drawn } = await draw({ options: { lanes }, logits, rule, bits: { 7: 0xff800000 } });
      for (const { token, logProbability, entropy } of drawn)
        expect([token !== 7, logProbability, entropy].every((value) => value === true || Number.isFinite(value))).toBe(
          true,
        );
    }
  });

  test('temperature 0 and top k 1 take the largest; temperature 0 takes the first of equals', async () => {
    const logits = logitsOf(40, 99, 8);
    const largest = logits.map((row) => row.indexOf(Math.max(...row)));
    for (const rule of [
      { temperature: 0, topK: 0, topP: 1 },
      { temperature: 1, topK: 1, topP: 1 },
    ]) {
      const { drawn } = await draw({ options: { lanes }, logits, rule });
      expect(drawn.map(({ token }) => token)).toEqual(largest);
      for (const { logProbability, entropy } of drawn)
        expect([Math.abs(logProbability), Math.abs(entropy)]).toEqual([0, 0]);
    }
    const { drawn } = await draw({
      options: { lanes },
      logits: [[1, 5, 5, 2]],
      rule: { temperature: 0, topK: 0, topP: 1 },
    });
    expect(drawn[0]?.token).toBe(1);
  });

  test('a row depends on its key and position only: not on the batch, not on its place in it', async () => {
    const logits = logitsOf(30, 64, 4);
    const together = (await draw({ options: { lanes }, logits, seed: 9 })).drawn;
    const order = [17, 3, 29, 0];
    const apart = (
      await draw({ options: { lanes }, logits: order.map((row) => logits[row] ?? []), keys: order, seed: 9 })
    ).drawn;
    expect(apart).toEqual(order.map((row) => together[row]));
    const elsewhere = (await draw({ options: { lanes }, logits, seed: 9, position: 3 })).drawn;
    expect(elsewhere.map(({ token }) => token)).not.toEqual(together.map(({ token }) => token));
    const otherSeed = (await draw({ options: { lanes }, logits, seed: 10 })).drawn;
    expect(otherSeed.map(({ token }) => token)).not.toEqual(together.map(({ token }) => token));
  });

  test('guidance is u + w (c - u), and both rows are fed the same token', async () => {
    const conditional = logitsOf(6, 50, 1);
    const unconditional = logitsOf(6, 50, 2);
    const rule = { temperature: 0.8, topK: 0, topP: 1, guidance: 3 };
    const { drawn, current, positions } = await draw({
      logits: [...conditional, ...unconditional],
      rule,
      options: { lanes, guided: true },
    });
    drawn.forEach(({ token, logProbability }, row) => {
      const mixed = (conditional[row] ?? []).map(
        (c, index) => (unconditional[row]?.[index] ?? 0) + 3 * (c - (unconditional[row]?.[index] ?? 0)),
      );
      expect(logProbability).toBeCloseTo(Math.log(distribution(mixed, rule)[token] ?? 0), 4);
    });
    expect(current.slice(6)).toEqual(current.slice(0, 6));
    expect(positions).toEqual(new Array(12).fill(2));
  });
});

describe('the end of a text', () => {
  const favouring = (token: number): number[] => Array.from({ length: 8 }, (_, index) => (index === token ? 50 : 0));
  const text = { phase: 'text' } as const;

  test('an image start ends the row; an end token becomes a forced image start; so does the last place of the budget', async () => {
    const { drawn, state, current, positions } = await draw({
      logits: [favouring(imageStart), favouring(end), favouring(6), favouring(6)],
      options: text,
      budget: 2,
      done: [3],
    });
    expect(drawn.map(({ token }) => token)).toEqual([imageStart, imageStart, imageStart, 0]);
    expect(drawn.map(({ forced }) => forced)).toEqual([0, 2, 1, 0]);
    expect(drawn.slice(1).map(({ logProbability, entropy }) => [logProbability, entropy])).toEqual([
      [0, 0],
      [0, 0],
      [0, 0],
    ]);
    expect(state).toEqual([
      [0, 3, 1, 2],
      [1, 3, 1, 2],
      [2, 3, 1, 2],
      [3, 2, 1, 2],
    ]);
    expect(current).toEqual([imageStart, imageStart, imageStart, 77]);
    expect(positions).toEqual([2, 2, 2, 1]);
  });

  test('before the budget is used up a text goes on', async () => {
    const { drawn, state } = await draw({ logits: [favouring(6)], options: text, budget: 3 });
    expect(drawn[0]).toMatchObject({ token: 6, forced: 0 });
    expect(state).toEqual([[0, 3, 0, 3]]);
  });
});

describe('rows with rules and seeds of their own', () => {
  const rules: readonly SamplingRule[] = [
    all,
    { ...all, temperature: 0 },
    { temperature: 0.6, topK: 7, topP: 1 },
    { temperature: 1.3, topK: 0, topP: 0.6 },
    { temperature: 0, topK: 3, topP: 0.5 },
    { temperature: 0.9, topK: 40, topP: 0.8 },
  ];
  // On a software adapter a row is a thread; elsewhere threads share one.
  test.each([
    [1, 20],
    [4, 20],
    [16, 6],
  ])('are drawn, with %i lanes, as each is where its rule is that of all rows', async (lanes, rows) => {
    const logits = logitsOf(rows, 150, 3);
    const own = logits.map((_, row) => ({
      rule: rules[row % rules.length] ?? all,
      seed: row % 4 === 0 ? 2 ** 33 + row : row,
    }));
    const { drawn } = await draw({ logits, own, options: { lanes } });
    for (const [row, { rule, seed }] of own.entries()) {
      const alone = await draw({ logits, rule, seed, options: { lanes } });
      expect(drawn[row]).toEqual(alone.drawn[row]);
    }
    expect(new Set(drawn.map(({ token }) => token)).size).toBeGreaterThan(rows / 2);
  });

  test('with guidance, each its own', async () => {
    const logits = logitsOf(8, 60, 5);
    const own = [1, 2, 3.5, 5].map((guidance, seed) => ({ rule: { ...all, guidance }, seed }));
    const { drawn } = await draw({ logits, own, options: { guided: true } });
    for (const [row, { rule, seed }] of own.entries())
      expect(drawn[row]).toEqual((await draw({ logits, rule, seed, options: { guided: true } })).drawn[row]);
  });
});

test('settings that mean nothing are refused', () => {
  const settings = createSamplingSettings(device, 'settings');
  for (const rule of [
    { temperature: -1 },
    { temperature: NaN },
    { topK: 1.5 },
    { topP: 0 },
    { topP: 1.1 },
    { guidance: Infinity },
  ]) {
    expect(() => settings.set(0, { ...all, ...rule })).toThrow(RangeError);
  }
  expect(() => settings.set(-1, all)).toThrow(RangeError);
  device.destroyTensor(settings.tensor);
});
