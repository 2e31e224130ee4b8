/** The run's own model as a judge: on the golden fixtures' weights, held to a model in float64. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Image, Tokenizer } from '../../core/plugin.ts';
import { firstTokens } from '../../core/models/first-tokens.ts';
import { readSafetensors } from '../support/safetensors.ts';
import { openTestDevice, randomWords, testSamples } from '../../core/testing.ts';
import { openComponent, type ContractSettings } from '../../core/testing/contract.ts';
import { checkJudge } from '../../core/testing/check-judge.ts';
import { checkReward } from '../../core/testing/check-reward.ts';
import { janusBackbone } from '../../plugins/janus/backbone.ts';
import { sizesOf } from '../../plugins/janus/checkpoint.ts';
import { janusFormat } from '../../plugins/janus/published.ts';
import { readJanusConfig } from '../../plugins/janus/config.ts';
import { janusTokenizer, publishedQuestions } from '../../plugins/huggingface-tokenizer/tokenizer.ts';
import plugin from '../../plugins/self-judge/index.ts';
import { Gathered } from '../../core/models/gathered.ts';
import { Sight } from '../../core/models/vision-input.ts';
import { janusFolder } from '../support/janus-folder.ts';
import { JanusOracle, patchesOf, type OracleToken } from '../support/janus-oracle.ts';
import { Workplace } from '../support/runs.ts';

const place = new Workplace();
const never = new AbortController().signal;
const [judge, reward] = plugin.provides as never as [
  Parameters<typeof checkJudge>[0],
  Parameters<typeof checkReward>[0],
];

const picture = (seed: number, width = 24, height = 16): Image => ({
  width,
  height,
  data: Uint8Array.from(randomWords(width * height * 3, seed, 256)),
});

let settings: ContractSettings = {};
let folder = '';
beforeAll(async () => {
  folder = janusFolder(place.path('model'), 'tiny-a');
  const sizes = sizesOf(readJanusConfig(join(folder, 'config.json')));
  settings = {
    device: await openTestDevice(),
    others: {
      backbone: { ...janusBackbone('test', sizes), published: { format: janusFormat, folder } },
      tokenizer: janusTokenizer(join(folder, 'tokenizer.json'), publishedQuestions),
    },
    options: { model: folder, batch: 4, answerTokens: 6, questionTokens: 1024 },
  };
});
afterAll(() => settings.device?.close());

/** The probabilities of next tokens by the model in float64. */
async function expected(
  image: Image,
  question: string,
): Promise<{ readonly tokenizer: Tokenizer; of(text: string): number }> {
  const sizes = sizesOf(readJanusConfig(join(folder, 'config.json')));
  const stored = await readSafetensors(join(folder, 'model.safetensors'));
  const weights = [...stored].map(
    ([name, { shape, data }]) => [name, { shape, data: Float32Array.from(data as Float32Array) }] as const,
  );
  const oracle = new JanusOracle(sizes, new Map(weights));
  const { vision } = janusBackbone('test', sizes);
  const tokenizer = janusTokenizer(join(folder, 'tokenizer.json'), publishedQuestions);
  if (vision === undefined || tokenizer.conversation === undefined) throw new Error('it does not look');
  const fitted = vision.fit(image);
  const vectors = oracle.features(patchesOf(vision, fitted));
  let next = 0;
  const sequence = tokenizer
    .conversation([{ question, pictures: [vision.span(fitted).vectors] }])
    .map((id): OracleToken =>
      id === tokenizer.special.imagePlaceholder ? { vector: vectors[next++] ?? [] } : { text: id },
    );
  const logits = oracle.textLogits(oracle.hidden(sequence).at(-1) ?? []);
  const largest = Math.max(...logits);
  const sum = logits.reduce((all, value) => all + Math.exp(value - largest), 0);
  const of = (text: string): number => Math.exp((logits[tokenizer.encode(text)[0] ?? 0] ?? 0) - largest) / sum;
  return { tokenizer, of };
}

describe('first tokens', () => {
  const words = new Map([
    ['yes', [1]],
    ['Yes', [2]],
    [' yes', [3]],
    ['YES', [4, 5]],
    ['no', [6]],
    [' no', [7]],
  ]);
  const known = { encode: (text: string) => words.get(text) ?? [9, ...Buffer.from(text)] };

  test('a spelling that is a token counts, with a blank and without; pieces of others do not', () => {
    expect(firstTokens(known as Tokenizer, [['yes', 'Yes', 'YES'], ['no']])).toEqual([
      [1, 3, 2],
      [6, 7],
    ]);
  });

  test('where none is, their first tokens do, without those that answers share', () => {
    const letters = { encode: (text: string) => [...Buffer.from(text)] };
    expect(firstTokens(letters as Tokenizer, [['yes'], ['no']])).toEqual([[121], [110]]);
    expect(() => firstTokens(letters as Tokenizer, [['two'], ['ten']])).toThrow(/no first token tells "two"/);
  });
});

describe('questions that are gathered', () => {
  test('those that come while others are answered go together, in order, and never two batches at once', async () => {
    const batches: number[][] = [];
    let running = 0;
    const turns = { last: Promise.resolve() };
    const gathered = new Gathered<number, number>(3, turns, async (some) => {
      expect((running += 1)).toBe(1);
      batches.push([...some]);
      await new Promise((resolve) => setTimeout(resolve, 5));
      running -= 1;
      return some.map((each) => each * 10);
    });
    const other = new Gathered<string, string>(2, turns, async (some) => {
      expect((running += 1)).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 5));
      running -= 1;
      return some;
    });
    const left = new AbortController();
    const asked = [1, 2, 3, 4, 5].map((each) => gathered.ask(each, never));
    const given = gathered.ask(6, left.signal);
    left.abort(new Error('given up'));
    await expect(given).rejects.toThrow('given up');
    expect(await Promise.all([...asked, other.ask('a', never)])).toEqual([10, 20, 30, 40, 50, 'a']);
    expect(batches).toEqual([
      [1, 2, 3],
      [4, 5],
    ]);
  });

  test('a batch that fails fails its own questions and none behind it', async () => {
    const gathered = new Gathered<number, number>(2, { last: Promise.resolve() }, async (some) => {
      if (some.includes(2)) throw new Error('out of order');
      return some;
    });
    const ends = await Promise.allSettled([1, 2, 3].map((each) => gathered.ask(each, never)));
    expect(ends.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
  });
});

describe('the judge', () => {
  test('keeps its contract: finite evidence, the same alone, in another order and at once, and an end when aborted', async () => {
    await checkJudge(judge, { ...settings, images: [picture(1), picture(2, 9, 30)], texts: ['red', 'a "wall"'] });
  });

  test('its probabilities are those of the model in float64, and the same bits in every company', async () => {
    const { made, dispose } = await openComponent(judge, settings);
    const sets = [['yes', 'Yes'], ['no'], ['maybe']];
    const ask = (seed: number, question: string): Promise<readonly number[]> =>
      made.answerProbabilities?.(picture(seed), question, sets, never) ?? Promise.reject(new Error('it cannot'));
    const questions = ['Is it red?', 'Is there a very small dog in the lower left corner?', 'Red?'];
    const alone = [];
    for (const [index, question] of questions.entries()) alone.push(await ask(index, question));
    const together = await Promise.all([...questions, ...questions].map((question, index) => ask(index % 3, question)));
    expect(together).toEqual([...alone, ...alone]);
    for (const [index, question] of questions.entries()) {
      const { of } = await expected(picture(index), question);
      const wanted = [of('y') + of('Y'), of('n'), of('m')];
      alone[index]?.forEach((value, set) => expect(value).toBeCloseTo(wanted[set] ?? NaN, 5));
    }
    await dispose();
  });

  test('a picture is looked at once for all questions of a batch about it, and each answer is that to it alone', async () => {
    const questions = ['Is it red?', 'Is there a very small dog in the lower left corner?'];
    type Made = Awaited<ReturnType<typeof openComponent<'judge'>>>['made'];
    const likely = (made: Made, seed: number, question: string): unknown =>
      made.answerProbabilities?.(picture(seed), question, [['yes'], ['no']], never);
    const written = (made: Made, seed: number, question: string): unknown =>
      made.answer?.(picture(seed), question, never);
    for (const ask of [likely, written]) {
      const alone = [];
      const one = await openComponent(judge, settings);
      for (const seed of [1, 2]) for (const question of questions) alone.push(await ask(one.made, seed, question));
      await one.dispose();
      const look = vi.spyOn(Sight.prototype, 'look');
      const { made, dispose } = await openComponent(judge, settings);
      const all = (): Promise<unknown> =>
        Promise.all([1, 2].flatMap((seed) => questions.map((question) => ask(made, seed, question))));
      // Each time a picture of its own, with the same bytes; and again when it is known already.
      expect(await all()).toEqual(alone);
      expect(await all()).toEqual(alone);
      expect(look.mock.calls.map(([pictures]) => pictures.length)).toEqual([2]);
      look.mockRestore();
      expect(await made.write?.('What is red?', never)).toEqual(expect.any(String));
      await dispose();
    }
  });

  test('a question that is too long is refused by itself', async () => {
    const short = { ...settings, options: { ...settings.options, questionTokens: 260 } };
    const { made, dispose } = await openComponent(judge, short);
    const ends = await Promise.allSettled(
      ['Red?', 'Is it red? '.repeat(40)].map(async (text) =>
        made.answerProbabilities?.(picture(1), text, [['yes'], ['no']], never),
      ),
    );
    expect(ends[0]?.status).toBe('fulfilled');
    expect(ends[1]).toMatchObject({
      reason: { code: 'QUESTION_TOO_LONG', hint: expect.stringContaining('questionTokens') },
    });
    await dispose();
  });

  test('what is kept of another checkpoint is kept by its content; what the run trains is not kept', async () => {
    const made = async (model: string): Promise<{ changes?: true; fingerprint: Readonly<Record<string, string>> }> => {
      const opened = await openComponent(judge, { ...settings, options: { model } });
      await opened.dispose();
      return opened.made;
    };
    const [one, other] = [await made(folder), await made(janusFolder(place.path('other'), 'tiny-b'))];
    expect(one.changes).toBeUndefined();
    expect(one.fingerprint['weights']).toMatch(/^[0-9a-f]{64}$/);
    expect(one.fingerprint['weights']).not.toBe(other.fingerprint['weights']);
    expect((await made('policy')).changes).toBe(true);
  });
});

describe('the reward', () => {
  test.each(['graded', 'decomposed', 'boxed'])('%s keeps the contract of rewards', async (mode) => {
    const samples = testSamples().map((sample) => ({
      ...sample,
      specification: { include: [{ class: 'dog', count: 2, color: 'red' }] },
    }));
    const options = { ...settings.options, mode, unparsed: 'zero' };
    await checkReward(reward, { ...settings, options, samples, range: [0, 1] });
  });
});
