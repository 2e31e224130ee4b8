import type { PictureSpan } from '../../../core/contracts/backbone.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ParameterSet } from '../../../core/weights/parameters.ts';
import { Workspace } from '../../../core/autograd/workspace.ts';
import { Tape } from '../../../core/autograd/tape.ts';
import { openDevice, type Device } from '../../../core/gpu/device.ts';
import { packSequences, type Sequence } from '../../../core/nn/packing.ts';
import { createPackedInputs } from '../../../core/nn/packed-inputs.ts';
import {
  createSampler,
  type SampledSequence,
  type SampleProgress,
  type SampleRequest,
  type SamplerOptions,
  type WriteRequest,
  type WrittenText,
} from '../../../core/nn/sampler.ts';
import { TokenPrograms } from '../../../core/nn/token-program.ts';
import { gatherRows } from '../../../core/ops/rows.ts';
import { SmallBackbone } from '../../support/small-backbone.ts';

const imageStart = 3;
const eos = 1;
const backbone = new SmallBackbone();
const prompts = [
  [0, 7, 8, 9],
  [0, 5],
  [0, 11, 12, 13, 14, 6],
];
const plain = { temperature: 1, topK: 0, topP: 1 };

let device: Device;
let workspace: Workspace;
let weights: ParameterSet;
beforeAll(async () => {
  device = await openDevice();
  workspace = new Workspace(device);
  weights = new ParameterSet(device, backbone.parameters, { seed: 4 });
});
afterAll(() => device.close());

async function draw(
  request: Partial<SampleRequest>,
  options: Partial<SamplerOptions> = {},
): Promise<SampledSequence[]> {
  const sampler = await createSampler({
    device,
    workspace,
    backbone,
    weights,
    rows: 12,
    promptBudget: 6,
    textBudget: 9,
    imageCount: 11,
    special: { imageStart, eos },
    ...options,
  });
  const result = await sampler.sample({
    prompts,
    samplesPerPrompt: 4,
    seed: 21,
    text: plain,
    image: plain,
    rationale: 'write',
    ...request,
  });
  sampler.close();
  return result;
}

/** Logits of every token but the first, by one packed pass without a cache: text logits for text tokens, image logits for codes. */
async function teacherForced(sequences: readonly Sequence[]): Promise<number[][][]> {
  const batch = packSequences(sequences.map((sequence) => ({ ...sequence, firstTarget: 1 })));
  const inputs = createPackedInputs(device, batch);
  inputs.fill(batch);
  const tape = new Tape(workspace);
  const hidden = backbone.hidden(tape, weights, inputs.tokens);
  const text = tape.output(backbone.textLogits(tape, weights, gatherRows(tape, hidden, inputs.textTargets.rows)));
  const image = tape.output(backbone.imageLogits(tape, weights, gatherRows(tape, hidden, inputs.imageTargets.rows)));
  (await tape.finish('teacher forced')).run();
  const result: number[][][] = sequences.map(() => []);
  for (const [kind, tensor, vocabulary] of [
    ['text', text, 23],
    ['image', image, 18],
  ] as const) {
    const values = await device.readFloats(tensor);
    for (let i = 0; i < batch[kind].used; i++) {
      const row = result[batch[kind].owner[i] ?? -1];
      if (row !== undefined)
        row[batch[kind].position[i] ?? -1] = [...values.slice(i * vocabulary, (i + 1) * vocabulary)];
    }
  }
  return result;
}

function asSequence({ promptIds, rationaleIds, codes }: SampledSequence): Sequence {
  const text = promptIds.at(-1) === imageStart ? promptIds : [...promptIds, ...rationaleIds, imageStart];
  return { text, firstTarget: 1, codes, trailing: [] };
}

/** Log-probability and entropy of `id`, in float64. */
function scored(logits: readonly number[], id: number, temperature: number): [number, number] {
  const largest = Math.max(...logits);
  const shares = logits.map((value) => Math.exp((value - largest) / temperature));
  const total = shares.reduce((sum, share) => sum + share, 0);
  const entropy = -shares.reduce((sum, share) => sum + (share / total) * Math.log(share / total), 0);
  return [Math.log((shares[id] ?? 0) / total), entropy];
}

/** Largest difference between what the sampler noted and what the logits say, over tokens that were drawn. */
function difference(
  sample: SampledSequence,
  logits: (position: number) => readonly number[],
  temperature: { text: number; image: number },
): number {
  const { promptIds, rationaleIds, codes, logProbability, entropy, imageStartForced } = sample;
  const ids = promptIds.at(-1) === imageStart ? codes : [...rationaleIds, imageStart, ...codes];
  const firstCode = ids.length - codes.length;
  let largest = 0;
  ids.forEach((id, index) => {
    if (imageStartForced && index === firstCode - 1) return;
    const [expected, expectedEntropy] = scored(
      logits(promptIds.length + index),
      id,
      index < firstCode ? temperature.text : temperature.image,
    );
    largest = Math.max(
      largest,
      Math.abs(expected - (logProbability[index] ?? NaN)),
      Math.abs(expectedEntropy - (entropy[index] ?? NaN)),
    );
  });
  return largest;
}

describe('cached decoding is the full forward', () => {
  test('log-probabilities and entropies of every token agree', async () => {
    const samples = await draw({ text: { ...plain, temperature: 1.3 }, image: { ...plain, temperature: 0.7 } });
    const logits = await teacherForced(samples.map(asSequence));
    samples.forEach((sample, index) => {
      expect(sample.promptIds).toEqual(prompts[Math.floor(index / 4)]);
      expect(sample.codes).toHaveLength(11);
      expect(sample.logProbability).toHaveLength(sample.rationaleIds.length + 12);
      expect(difference(sample, (position) => logits[index]?.[position] ?? [], { text: 1.3, image: 0.7 })).toBeLessThan(
        1e-5,
      );
    });
    // The cases this test is about did occur: several lengths, and texts ended by the model and by the budget.
    expect(new Set(samples.map(({ rationaleIds }) => rationaleIds.length)).size).toBeGreaterThan(2);
    expect(new Set(samples.map(({ rationaleEnded }) => rationaleEnded)).size).toBe(2);
  });

  test('with guidance it is u + w (c - u) of two forwards, with a fixed unconditional sequence or one made from the row', async () => {
    const image = { ...plain, guidance: 2.5 };
    const padded = (sequence: readonly number[]): number[] =>
      sequence.map((id, index) => (index === 0 || index === sequence.length - 1 ? id : 2));
    for (const unconditional of [[0, imageStart], padded]) {
      const samples = await draw({ image, unconditional, samplesPerPrompt: 2 }, { guidance: true, rows: 6 });
      const conditional = await teacherForced(samples.map(asSequence));
      const twins = samples.map((sample): Sequence => {
        const sequence = asSequence(sample);
        return {
          ...sequence,
          text: typeof unconditional === 'function' ? unconditional(sequence.text) : unconditional,
        };
      });
      const free = await teacherForced(twins);
      samples.forEach((sample, index) => {
        const text = asSequence(sample).text.length;
        const shift = (twins[index]?.text.length ?? 0) - text;
        const mixed = (position: number): number[] => {
          const c = conditional[index]?.[position] ?? [];
          if (position < text) return c;
          return c.map((value, id) => {
            const u = free[index]?.[position + shift]?.[id] ?? NaN;
            return u + 2.5 * (value - u);
          });
        };
        expect(difference(sample, mixed, { text: 1, image: 1 })).toBeLessThan(2e-5);
      });
    }
  });

  test('the scorer gives what the sampler noted: the ratio of the first policy update is 1 for every token that was drawn', async () => {
    const samples = await draw({ image: { ...plain, temperature: 0.7 } });
    const temperature = { text: device.scalar('text temperature', 1), image: device.scalar('image temperature', 0.7) };
    const programs = new TokenPrograms({ name: 'scorer', workspace, backbone, parameters: weights, temperature });
    const batch = packSequences(
      samples.map((sample) => ({ ...asSequence(sample), firstTarget: sample.promptIds.length })),
    );
    const { program, scored: outputs } = await programs.prepare(batch);
    program.run();
    let compared = 0;
    for (const kind of ['text', 'image'] as const) {
      const { used, owner, position } = batch[kind];
      const values = outputs[kind] === undefined ? new Float32Array() : await device.readFloats(outputs[kind]);
      for (let i = 0; i < used; i++) {
        const sample = samples[owner[i] ?? -1];
        const index = (position[i] ?? 0) - (sample?.promptIds.length ?? 0);
        if (sample?.imageStartForced && index === sample.rationaleIds.length) continue;
        expect(Math.abs(Math.exp((values[i * 2] ?? NaN) - (sample?.logProbability[index] ?? NaN)) - 1)).toBeLessThan(
          1e-5,
        );
        compared += 1;
      }
    }
    expect(compared).toBe(
      samples.reduce((sum, { steps, imageStartForced }) => sum + steps - (imageStartForced ? 1 : 0), 0),
    );
    await programs.close();
  });

  test('temperature 0 follows the largest logit from start to end', async () => {
    const greedy = { ...plain, temperature: 0 };
    const samples = await draw({ text: greedy, image: greedy, samplesPerPrompt: 1 });
    const logits = await teacherForced(samples.map(asSequence));
    // The likeliest token of these weights is never the image start: every rationale is cut, and says nothing about its end.
    expect(samples.map(({ imageStartForced }) => imageStartForced)).toEqual([true, true, true]);
    samples.forEach(({ promptIds, rationaleIds, codes }, index) => {
      const argmax = (position: number): number =>
        (logits[index]?.[position] ?? []).reduce((best, value, id, all) => (value > (all[best] ?? 0) ? id : best), 0);
      const firstCode = promptIds.length + rationaleIds.length + 1;
      expect(rationaleIds).toEqual(rationaleIds.map((_, offset) => argmax(promptIds.length + offset)));
      expect(argmax(firstCode - 1)).not.toBe(imageStart);
      expect(codes).toEqual(codes.map((_, offset) => argmax(firstCode + offset)));
    });
  });
});

test('a sample depends on seed and row key: not on the batch, on its place in it, or on the number of rows', async () => {
  const together = await draw({});
  const again = await draw({}, { rows: 5 });
  expect(again).toEqual(together);
  const order = [2, 0, 1];
  const shuffled = await draw(
    {
      prompts: order.map((index) => prompts[index] ?? []),
      rowKeys: order.flatMap((index) => [0, 1, 2, 3].map((sample) => index * 4 + sample)),
    },
    { rows: 31 },
  );
  expect(shuffled).toEqual(order.flatMap((index) => together.slice(index * 4, index * 4 + 4)));
  const other = await draw({ seed: 22 });
  expect(other.map(({ codes }) => codes)).not.toEqual(together.map(({ codes }) => codes));
  expect(new Set(together.map(({ codes }) => codes.join())).size).toBe(12);
});

test.each([undefined, 5])(
  'alone or as row 7 of 8, among prompts of other lengths, a row is the same bit for bit (guidance %s)',
  async (guidance) => {
    const image = { ...plain, ...(guidance !== undefined && { guidance }) };
    const padded = (sequence: readonly number[]): number[] =>
      sequence.map((id, index) => (index === 0 || index === sequence.length - 1 ? id : 2));
    const many = Array.from({ length: 8 }, (_, index) => [
      0,
      ...Array.from({ length: index % 6 }, (__, place) => 4 + ((index * 7 + place) % 19)),
    ]);
    const request = { image, unconditional: padded, samplesPerPrompt: 1 };
    const together = await draw({ ...request, prompts: many }, { rows: 8, guidance: guidance !== undefined });
    for (const index of [0, 3, 7]) {
      const [alone] = await draw(
        { ...request, prompts: [many[index] ?? []], rowKeys: [index] },
        { rows: 1, guidance: guidance !== undefined },
      );
      expect(alone).toEqual(together[index]);
    }
  },
);

test('rows that have ended leave the computation, and nothing changes for the others', async () => {
  const seen: SampleProgress[] = [];
  const long = {
    prompts: [...prompts, ...prompts],
    samplesPerPrompt: 10,
    rowKeys: Array.from({ length: 60 }, (_, index) => index),
  };
  const together = await draw({ ...long, onProgress: (progress) => seen.push(progress) }, { rows: 60, textBudget: 40 });
  const rows = seen.filter(({ phase }) => phase === 'text').map((progress) => progress.rows);
  expect(rows[0]).toBe(60);
  expect(rows.at(-1)).toBeLessThanOrEqual(32);
  expect(rows).toEqual(rows.toSorted((a, b) => b - a));
  expect(await draw(long, { rows: 7, textBudget: 40 })).toEqual(together);
});

describe('text alone', () => {
  const write = async (
    request: Partial<WriteRequest>,
    options: Partial<SamplerOptions> = {},
  ): Promise<WrittenText[]> => {
    const sampler = await createSampler({
      device,
      workspace,
      backbone,
      weights,
      rows: 12,
      promptBudget: 6,
      textBudget: 9,
      imageCount: 0,
      special: { imageStart, eos },
      ...options,
    });
    const result = await sampler.write({ prompts, samplesPerPrompt: 4, seed: 21, text: plain, ...request });
    sampler.close();
    return result;
  };

  test('ends with the end token or with the budget; an image start is a token like any other', async () => {
    const texts = await write({ samplesPerPrompt: 8 }, { rows: 24 });
    expect(new Set(texts.map(({ ended }) => ended)).size).toBe(2);
    expect(texts.some(({ ids }) => ids.includes(imageStart))).toBe(true);
    const logits = await teacherForced(
      texts.map(({ promptIds, ids }) => ({
        text: [...promptIds, ...ids, eos],
        firstTarget: 1,
        codes: [],
        trailing: [],
      })),
    );
    expect(texts.some(({ ended }) => !ended)).toBe(true);
    texts.forEach(({ promptIds, ids, ended, logProbability }, index) => {
      expect(ids).not.toContain(eos);
      expect(ids.length).toBe(logProbability.length - (ended ? 1 : 0));
      if (!ended) expect(ids).toHaveLength(8);
      logProbability.forEach((value, place) => {
        const [expected] = scored(logits[index]?.[promptIds.length + place] ?? [], ids[place] ?? eos, 1);
        expect(Math.abs(value - expected)).toBeLessThan(1e-5);
      });
    });
  });

  test('vectors take the place of tokens', async () => {
    // A picture whose vectors stand one behind the other.
    const row = (vectors: number): PictureSpan => ({
      vectors,
      offsets: Uint32Array.from({ length: vectors }, (_, i) => i),
      extent: vectors,
    });
    const placeholder = 22;
    // The vectors are those of other tokens: the answer must be that of the prompt with these tokens.
    const tokens = [7, 9, 4, 13];
    const table = await device.readFloats(weights.get('text'));
    const values = device.tensor(
      'features',
      [4, 32],
      'f32',
      Float32Array.from(tokens.flatMap((id) => [...table.slice(id * 32, id * 32 + 32)])),
    );
    const plainTexts = await write({
      prompts: [
        [0, 7, 9, 5],
        [0, 8],
        [4, 13, 6],
      ],
    });
    const withVectors = await write({
      prompts: [
        [0, placeholder, placeholder, 5],
        [0, 8],
        [placeholder, placeholder, 6],
      ],
      features: { placeholder, values, pictures: [[row(2)], [], [row(2)]] },
    });
    expect(withVectors.map(({ ids }) => ids)).toEqual(plainTexts.map(({ ids }) => ids));
    withVectors.forEach(({ logProbability }, index) =>
      logProbability.forEach((value, place) =>
        expect(value).toBeCloseTo(plainTexts[index]?.logProbability[place] ?? NaN, 5),
      ),
    );
    const refused = async (prompt: number[], vectors: number): Promise<unknown> =>
      write({ prompts: [prompt], features: { placeholder, values, pictures: [[row(vectors)]] } }).catch(
        (error: unknown) => (error instanceof Error ? error.message : error),
      );
    expect(await refused([0, placeholder, 5], 1)).toMatch(/1 placeholders need features \[1, 32\]/);
    expect(await refused([0, placeholder], 1)).toMatch(/must not end with a placeholder/);
    expect(await refused([0, placeholder, 5], 2)).toMatch(/a picture of 2 vectors has 1 placeholders/);
    expect(await refused([0, placeholder, placeholder, 5], 1)).toMatch(/more placeholders than 1 picture/);
    expect(await refused([0, 5], 1)).toMatch(/1 of 1 picture\(s\) have no placeholders/);
    device.destroyTensor(values);
  });
});

test('keys and values in half precision change log-probabilities by no more than their rounding', async () => {
  if (!device.has('shader-f16')) return;
  const greedy = { ...plain, temperature: 0 };
  const given = prompts.map(() => [4, 5, 6]);
  const request: Partial<SampleRequest> = { rationale: given, text: greedy, image: { ...plain, temperature: 1 } };
  const [whole, half] = [await draw(request), await draw(request, { cache: 'f16' })];
  const differences = whole.flatMap(({ codes, logProbability }, index) => {
    const other = half[index];
    // Until a draw falls otherwise, after which the sequences are two different ones.
    const same = codes.findIndex((code, place) => code !== other?.codes[place]);
    const end = same < 0 ? codes.length : same;
    return [...logProbability.slice(4, 4 + end)].map((value, place) =>
      Math.abs(value - (other?.logProbability[4 + place] ?? NaN)),
    );
  });
  expect(differences.length).toBeGreaterThan(60);
  expect(Math.max(...differences)).toBeLessThan(1e-2);
  expect(Math.max(...differences)).toBeGreaterThan(0);
});

test('weights changed in place are what the next drawing uses', async () => {
  const own = new ParameterSet(device, backbone.parameters, { seed: 4 });
  const sampler = await createSampler({
    device,
    workspace,
    backbone,
    weights: own,
    rows: 3,
    promptBudget: 6,
    textBudget: 9,
    imageCount: 11,
    special: { imageStart, eos },
  });
  const request: SampleRequest = {
    prompts,
    samplesPerPrompt: 1,
    seed: 1,
    text: plain,
    image: plain,
    rationale: 'write',
  };
  const before = await sampler.sample(request);
  expect(await sampler.sample(request)).toEqual(before);
  device.write(own.get('image head'), new Float32Array(18 * 32));
  const [sample] = await sampler.sample(request);
  expect(sample?.rationaleIds).toEqual(before[0]?.rationaleIds);
  sample?.logProbability.slice(-11).forEach((value) => expect(value).toBeCloseTo(-Math.log(18), 5));
  sampler.close();
  own.close();
});

describe('rationales', () => {
  test('a text that uses up its budget gets a forced image start', async () => {
    const samples = await draw({ samplesPerPrompt: 8 }, { textBudget: 2, rows: 24 });
    const cut = samples.filter(({ rationaleEnded }) => !rationaleEnded);
    expect(cut.length).toBeGreaterThan(0);
    for (const { rationaleIds, imageStartForced, logProbability, entropy, steps } of cut) {
      expect(rationaleIds).toHaveLength(1);
      expect(imageStartForced).toBe(true);
      expect([logProbability[1], entropy[1]]).toEqual([0, 0]);
      expect(steps).toBe(13);
    }
  });

  test('an end token ends a rationale: the image start behind it is forced, the rationale is complete', async () => {
    const samples = await draw({ samplesPerPrompt: 8 }, { special: { imageStart: 22, eos: 3 }, rows: 24 });
    const ended = samples.filter(({ imageStartForced, rationaleEnded }) => imageStartForced && rationaleEnded);
    expect(ended.length).toBeGreaterThan(0);
    for (const { rationaleIds } of ended) expect(rationaleIds).not.toContain(3);
  });

  test('left out: prompts end with the image start and everything noted belongs to codes', async () => {
    const direct = prompts.map((ids) => [...ids.slice(0, 5), imageStart]);
    const samples = await draw({ prompts: direct, rationale: 'skip' }, { textBudget: 0 });
    const logits = await teacherForced(samples.map(asSequence));
    samples.forEach((sample, index) => {
      expect(sample).toMatchObject({ rationaleIds: [], imageStartForced: false, rationaleEnded: true, steps: 11 });
      expect(sample.logProbability).toHaveLength(11);
      expect(difference(sample, (position) => logits[index]?.[position] ?? [], { text: 1, image: 1 })).toBeLessThan(
        1e-5,
      );
    });
  });

  test('given: taken as they are, with nothing noted for them', async () => {
    const given = [[4, 5], [], [6, 7, 8, 9]];
    const samples = await draw({ rationale: given, samplesPerPrompt: 2 });
    const logits = await teacherForced(samples.map(asSequence));
    samples.forEach((sample, index) => {
      const rationale = given[Math.floor(index / 2)] ?? [];
      expect(sample).toMatchObject({
        rationaleIds: rationale,
        imageStartForced: true,
        rationaleEnded: true,
        steps: 11,
      });
      expect([...sample.logProbability.slice(0, rationale.length + 1)]).toEqual(
        new Array(rationale.length + 1).fill(0),
      );
      const codesOnly = {
        ...sample,
        promptIds: asSequence(sample).text,
        rationaleIds: [],
        logProbability: sample.logProbability.slice(rationale.length + 1),
        entropy: sample.entropy.slice(rationale.length + 1),
      };
      expect(difference(codesOnly, (position) => logits[index]?.[position] ?? [], { text: 1, image: 1 })).toBeLessThan(
        1e-5,
      );
    });
  });
});

test('progress tells how far each phase is, in steps and samples', async () => {
  const seen: SampleProgress[] = [];
  await draw({ onProgress: (progress) => seen.push(progress) }, { rows: 8 });
  expect(seen.at(0)).toMatchObject({ phase: 'text', steps: 9, finished: 0, samples: 12 });
  expect(seen.filter(({ phase }) => phase === 'image').map(({ step, finished }) => [step, finished])).toEqual([
    [8, 0],
    [11, 0],
    [8, 8],
    [11, 8],
  ]);
});

describe('what does not fit is refused before anything runs', () => {
  test.each([
    [{ prompts: [[0, 1, 2, 3, 4, 5, 6]] }, /prompt 1 has 7 tokens/],
    [{ prompts: [[]] }, /no tokens/],
    [{ rationale: [[1, 2, 3, 4, 5, 6, 7, 8, 9], [], []] }, /rationale given for prompt 1 has 9 tokens/],
    [{ rationale: 'skip' }, /must end with the image start/],
    [{ rowKeys: [1] }, /1 row keys for 12 samples/],
    [{ image: { ...plain, guidance: 3 }, unconditional: [0, imageStart] }, /made without guidance/],
    [{ text: { ...plain, temperature: -1 } }, /temperature is -1/],
  ] as const)('%o', async (request, message) => {
    await expect(draw(request)).rejects.toThrow(message);
  });

  test('logits that are no numbers end the run with a message', async () => {
    const broken = new ParameterSet(device, backbone.parameters, { seed: 4 });
    device.write(broken.get('image head'), new Float32Array(18 * 32).fill(NaN));
    await expect(draw({}, { weights: broken })).rejects.toThrow(/not finite/);
    broken.close();
  });
});
