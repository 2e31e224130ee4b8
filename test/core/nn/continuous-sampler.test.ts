/** Rows that come and go get the tokens of rows that are alone. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Workspace } from '../../../core/autograd/workspace.ts';
import { openDevice, type Device } from '../../../core/gpu/device.ts';
import { ContinuousSampler } from '../../../core/nn/continuous-sampler.ts';
import { placePictures, type PromptFeatures } from '../../../core/nn/features.ts';
import type { DrawWork, TextToken, WriteEnd, WriteWork } from '../../../core/nn/row-work.ts';
import {
  createSampler,
  type SampledSequence,
  type SamplerOptions,
  type WrittenText,
} from '../../../core/nn/sampler.ts';
import type { SamplingRule } from '../../../core/ops/sample.ts';
import { at } from '../../../core/tensor/at.ts';
import { philox } from '../../../core/tensor/philox.ts';
import { ParameterSet } from '../../../core/weights/parameters.ts';
import { SmallBackbone } from '../../support/small-backbone.ts';

const special = { imageStart: 3, eos: 1 };
const backbone = new SmallBackbone();
const never = (): AbortSignal => new AbortController().signal;

let device: Device;
let workspace: Workspace;
let weights: ParameterSet;
beforeAll(async () => {
  device = await openDevice();
  workspace = new Workspace(device);
  weights = new ParameterSet(device, backbone.parameters, { seed: 4 });
});
afterAll(() => device.close());

const sizes = { promptBudget: 6, textBudget: 9, imageCount: 11, guidance: true };
const optionsOf = (rows: number, more: Partial<SamplerOptions> = {}): SamplerOptions => ({
  ...{ device, workspace, backbone, weights, rows, special },
  ...sizes,
  ...more,
});

/** The number-th of several values that do not repeat too soon. */
const pick = <Value>(values: readonly Value[], number: number, salt: number): Value =>
  at(values, philox([number, salt, 0, 0], [9, 0])[0] % values.length);
const rules: readonly SamplingRule[] = [
  { temperature: 1, topK: 0, topP: 1 },
  { temperature: 0, topK: 0, topP: 1 },
  { temperature: 1.4, topK: 5, topP: 1 },
  { temperature: 0.8, topK: 0, topP: 0.7 },
  { temperature: 1.1, topK: 9, topP: 0.9 },
];
const prompts = [[0, 7, 8, 9], [0, 5], [0, 11, 12, 13, 14, 6], [4]];

function drawing(number: number, signal = never()): DrawWork {
  const rationale = pick<'write' | readonly number[]>(['write', 'write', [7, 5, 6]], number, 1);
  return {
    promptIds: pick(prompts, number, 2),
    rationale,
    seed: number % 5 === 0 ? 2 ** 40 + number : number,
    key: number % 3,
    text: pick(rules, number, 3),
    image: { ...pick(rules, number, 4), guidance: pick([1, 1, 2.5, 4], number, 5) },
    unconditional: (ids) => ids.map((id, index) => (index === 0 || index === ids.length - 1 ? id : 2)),
    signal,
  };
}

async function drawnAlone(work: DrawWork): Promise<SampledSequence> {
  const sampler = await createSampler(optionsOf(1));
  const { promptIds, rationale, seed, key, text, image, unconditional } = work;
  const [sequence] = await sampler.sample({
    ...{ prompts: [promptIds], samplesPerPrompt: 1, seed, rowKeys: [key], text, image, unconditional },
    rationale: typeof rationale === 'string' ? rationale : [rationale],
  });
  sampler.close();
  if (sequence === undefined) throw new Error('nothing was drawn');
  return sequence;
}

describe('pictures', () => {
  test('in any company, joining and leaving at any time, are those that the other sampler draws alone', async () => {
    const sampler = await ContinuousSampler.open(optionsOf(5));
    // Each begins when one before it ends, or with others at once.
    const works = Array.from({ length: 24 }, (_, number) => drawing(number));
    const done: Promise<SampledSequence>[] = [];
    for (const [number, work] of works.entries()) {
      done.push(sampler.draw(work));
      if (number % 4 === 3) await Promise.race(done.slice(-4));
    }
    const together = await Promise.all(done);
    expect(sampler.load).toEqual({ active: 0, waiting: 0 });
    await sampler.close();
    for (const [number, work] of works.entries()) expect(together[number]).toEqual(await drawnAlone(work));
  });

  test('one that leaves makes room, changes no other, and its promise says why', async () => {
    const sampler = await ContinuousSampler.open(optionsOf(2));
    const gone = [new AbortController(), new AbortController(), new AbortController()];
    const leaving = gone.map(({ signal }, index) => sampler.draw(drawing(index, signal)));
    const staying = sampler.draw(drawing(7));
    expect(sampler.load.active + sampler.load.waiting).toBe(4);
    for (const [index, { abort }] of gone.map((each) => ({ abort: () => each.abort(new Error('gone')) })).entries()) {
      abort();
      await expect(leaving[index]).rejects.toThrow('gone');
    }
    expect(await staying).toEqual(await drawnAlone(drawing(7)));
    await expect(sampler.draw(drawing(1, AbortSignal.abort(new Error('before'))))).rejects.toThrow('before');
    expect(sampler.load).toEqual({ active: 0, waiting: 0 });
    await sampler.close();
    await expect(sampler.draw(drawing(1))).rejects.toThrow('closed');
  });

  test('what goes wrong with one row ends that row', async () => {
    const sampler = await ContinuousSampler.open(optionsOf(3));
    const bad: DrawWork = { ...drawing(1), image: { ...at(rules, 0), guidance: 2 }, unconditional: () => [0] };
    const [wrong, right] = await Promise.allSettled([sampler.draw(bad), sampler.draw(drawing(3))]);
    expect(wrong).toMatchObject({
      status: 'rejected',
      reason: { message: expect.stringMatching(/image start/) as string },
    });
    expect(right).toEqual({ status: 'fulfilled', value: await drawnAlone(drawing(3)) });
    await expect(sampler.draw({ ...drawing(1), promptIds: new Array<number>(7).fill(5) })).rejects.toMatchObject({
      code: 'PROMPT_TOO_LONG',
    });
    await sampler.close();
  });
});

describe('texts', () => {
  const textOnly = { imageCount: 0, guidance: false, textBudget: 13 };

  function writing(
    number: number,
    tokens: number,
    more: Partial<WriteWork> = {},
  ): { work: WriteWork; heard: TextToken[] } {
    const heard: TextToken[] = [];
    const work = {
      ...{ promptIds: pick(prompts, number, 2), seed: number, key: number % 4, text: pick(rules, number, 6) },
      ...{ tokens, signal: never() },
      onTokens: (some: readonly TextToken[]) => heard.push(...some) > 0,
      ...more,
    };
    return { work, heard };
  }

  async function writtenAlone({ promptIds, seed, key, text }: WriteWork): Promise<WrittenText> {
    const sampler = await createSampler(optionsOf(1, textOnly));
    const [written] = await sampler.write({ prompts: [promptIds], samplesPerPrompt: 1, seed, rowKeys: [key], text });
    sampler.close();
    if (written === undefined) throw new Error('nothing was written');
    return written;
  }

  test('are those of the other sampler up to their budget, with and without logits, whatever is beside them', async () => {
    const sampler = await ContinuousSampler.open(optionsOf(7, textOnly));
    const all = Array.from({ length: 40 }, (_, number) =>
      writing(number, 1 + (philox([number, 7, 0, 0], [9, 0])[0] % 12), { wantsLogits: number % 3 === 0 }),
    );
    const done: Promise<WriteEnd>[] = [];
    for (const [number, { work }] of all.entries()) {
      done.push(sampler.write(work));
      if (number % 5 === 4) await done[number - 2];
    }
    const ends = await Promise.all(done);
    await sampler.close();
    expect(new Set(ends)).toEqual(new Set(['model', 'budget']));
    for (const [number, { work, heard }] of all.entries()) {
      const alone = await writtenAlone(work);
      expect(heard.map(({ id }) => id)).toEqual(alone.ids.slice(0, work.tokens));
      expect(ends[number]).toBe(alone.ids.length < work.tokens ? 'model' : 'budget');
      for (const { id, logits, logProbability } of heard) {
        expect(logits === undefined).toBe(work.wantsLogits !== true);
        if (logits === undefined) continue;
        const largest = Math.max(...logits);
        if (work.text.temperature === 0) expect(logits.indexOf(largest)).toBe(id);
        const total = logits.reduce((sum, value) => sum + Math.exp(value - largest), 0);
        // Drawn from the whole distribution as it is: what the device noted is what the logits say.
        if (work.text === rules[0])
          expect(at([...logits], id) - largest - Math.log(total)).toBeCloseTo(logProbability, 4);
      }
    }
  });

  test('end when whoever hears of them has enough, or throws', async () => {
    const sampler = await ContinuousSampler.open(optionsOf(2, textOnly));
    const enough = writing(0, 12, { text: { temperature: 3, topK: 0, topP: 1 }, onTokens: () => false });
    const other = writing(5, 12);
    const [told, threw, end] = await Promise.allSettled([
      sampler.write(enough.work),
      sampler.write(
        writing(1, 12, {
          onTokens: () => {
            throw new Error('cannot be decoded');
          },
        }).work,
      ),
      sampler.write(other.work),
    ]);
    expect(told).toEqual({ status: 'fulfilled', value: 'told' });
    expect(threw).toMatchObject({ status: 'rejected', reason: { message: 'cannot be decoded' } });
    expect(end.status).toBe('fulfilled');
    expect(other.heard.map(({ id }) => id)).toEqual((await writtenAlone(other.work)).ids.slice(0, 12));
    await sampler.close();
  });

  test('pictures of any sizes leave no more programs behind than are kept', async () => {
    const values = device.tensor('vectors', [60, backbone.hiddenSize], 'f32');
    const sampler = await ContinuousSampler.open(optionsOf(1, { ...textOnly, promptBudget: 62 }));
    const destroyed = vi.spyOn(device, 'destroyTensor');
    // A shape for each number of vectors; a look at 32 of them is kept.
    for (let vectors = 1; vectors <= 40; vectors++) {
      const promptIds = [0, ...new Array<number>(vectors).fill(2), 5];
      const span = { vectors, offsets: Uint32Array.from({ length: vectors }, (_, index) => index), extent: vectors };
      const features = async (): Promise<PromptFeatures> =>
        Promise.resolve({ ...placePictures(promptIds, 2, [span], 1), values, first: 0 });
      await sampler.write(writing(vectors, 1, { promptIds, features }).work);
    }
    // 41 shapes, of which the first, which was reserved, has no vectors.
    expect(destroyed.mock.calls.filter(([{ name }]) => name === 'features')).toHaveLength(8);
    destroyed.mockRestore();
    await sampler.close();
    device.destroyTensor(values);
  });

  test('a failing picture rejects the rows that it is for, and no others', async () => {
    const sampler = await ContinuousSampler.open(optionsOf(1, textOnly));
    const broken = writing(1, 4, { features: () => Promise.reject(new Error('no such picture')) });
    const whole = writing(2, 4);
    const ends = await Promise.allSettled([sampler.write(broken.work), sampler.write(whole.work)]);
    expect(ends).toMatchObject([{ status: 'rejected' }, { status: 'fulfilled' }]);
    await sampler.close();
  });
});
