/** Rewards that look at pixels and words only: `artifact`, `diversity`, `rationale-format`. */
import { describe, expect, test } from 'vitest';
import type { Component, Reward, RewardAnswer, Sample, Score } from '../../core/plugin.ts';
import { at } from '../../core/testing.ts';
import artifact from '../../plugins/artifact/index.ts';
import diversity from '../../plugins/diversity/index.ts';
import { createNanoDataset } from '../../plugins/nano-world/dataset.ts';
import rationaleFormat from '../../plugins/rationale-format/index.ts';
import { contentWords, namedWords } from '../../plugins/rationale-format/words.ts';

const signal = new AbortController().signal;
const dataset = createNanoDataset();
const picture = (index: number): Sample['image'] => dataset.example(index, 1).image;
const blank = { width: 48, height: 48, data: new Uint8Array(48 * 48 * 3).fill(200) };

async function rewardOf(plugin: { readonly provides: readonly Component[] }, options: object = {}): Promise<Reward> {
  const component = at(plugin.provides, 0) as Component<'reward'>;
  return component.create(component.options.parse(options), undefined as never);
}

let made = 0;
function sampleOf(change: Partial<Sample>): Sample {
  return {
    id: `s${made++}`,
    group: 0,
    copy: 0,
    step: 0,
    phase: 'train',
    prompt: '',
    task: '',
    specification: null,
    rationale: '',
    rationaleEnded: true,
    image: picture(0),
    codes: [],
    ...change,
  };
}

const scores = async (reward: Reward, samples: readonly Sample[]): Promise<readonly RewardAnswer[]> =>
  reward.score(samples, signal);

describe('artifact', () => {
  test('a picture of something is worth 1, one of nothing 0, and says why', async () => {
    const found = await scores(await rewardOf(artifact), [sampleOf({}), sampleOf({ image: blank })]);
    expect(found).toMatchObject([
      { value: 1, parts: { blank: 0, flat: 0, dark: 0, saturated: 0, grid: 0 } },
      { value: 0, why: 'the picture is blank, flat', parts: { blank: 1, flat: 1, dark: 0, saturated: 0, grid: 0 } },
    ]);
  });

  test('only the faults that are named count', async () => {
    const reward = await rewardOf(artifact, { faults: ['grid'] });
    expect(await scores(reward, [sampleOf({ image: blank })])).toEqual([
      { value: 1, why: 'a picture of something', parts: { grid: 0 } },
    ]);
    expect(at(artifact.provides, 0).options.safeParse({ faults: ['ugly'] }).success).toBe(false);
  });
});

describe('diversity', () => {
  test('is the mean distance to the others of the group, whatever order they stand in', async () => {
    const reward = await rewardOf(diversity);
    const samples = [
      sampleOf({ group: 1, image: picture(1) }),
      sampleOf({ group: 2, image: picture(4) }),
      sampleOf({ group: 1, image: picture(1) }),
      sampleOf({ group: 1, image: picture(2) }),
      sampleOf({ group: 2, image: picture(4) }),
      sampleOf({ group: 3, image: picture(7) }),
    ];
    const found = (await scores(reward, samples)) as (Score | null)[];
    const [a, c, b, other, d, alone] = found;
    expect(alone).toBeNull();
    expect([c?.value, d?.value]).toEqual([0, 0]);
    expect(a?.value).toBe(b?.value);
    expect(other?.value).toBeCloseTo(2 * (a?.value ?? 0), 12);
    expect([a?.parts?.['nearest'], other?.parts?.['nearest']]).toEqual([0, other?.value]);
    const turned = (await scores(reward, samples.toReversed())) as (Score | null)[];
    expect(turned.toReversed().map((score) => score?.value)).toEqual(found.map((score) => score?.value));
  });

  test('of rationales: the share of pairs of words that are not the same', async () => {
    const reward = await rewardOf(diversity, { of: 'rationales' });
    const found = await scores(
      reward,
      ['draw a cat', 'draw a cat', 'Draw a dog!', '', ''].map((rationale, index) =>
        sampleOf({ rationale, group: index < 3 ? 0 : 1 }),
      ),
    );
    // Of "· draw, draw a, a cat, cat ·" and "· draw, draw a, a dog, dog ·", two of six are shared.
    expect(found.map((each) => (each as Score).value)).toEqual(
      [1 / 3, 1 / 3, 2 / 3, 0, 0].map((value) => expect.closeTo(value, 12)),
    );
  });
});

describe('rationale-format', () => {
  const judged = async (change: Partial<Sample>, options: object = {}): Promise<Score> =>
    at(await scores(await rewardOf(rationaleFormat, options), [sampleOf(change)]), 0) as Score;
  const prompt = 'a photo of two red apples left of a bench';
  const good = 'I place two shiny apples, both red, on the left, and to the right of them a wooden bench.';

  test('a rationale that is long enough, ends and names everything is worth 1', async () => {
    expect(await judged({ prompt, rationale: good })).toEqual({
      value: 1,
      why: 'a readable rationale that names what the prompt names',
      parts: { ended: 1, length: 1, names: 1 },
    });
  });

  test.each<[string, Partial<Sample>, number, RegExp]>([
    ['none', { rationale: '' }, 0, /^there is no rationale$/],
    ['spaces', { rationale: ' \n ' }, 0, /^there is no rationale$/],
    ['cut off', { rationale: good, rationaleEnded: false }, 0, /^it was cut at the length cap$/],
    ['too short', { rationale: 'two red apples, bench' }, 0.4, /^it has 4 words, not 10 to 200$/],
    ['too long', { rationale: `${good} ${'very '.repeat(381)}` }, 0.5, /^it has 400 words, not 10 to 200$/],
    [
      'something else',
      { rationale: 'Here is a green field with one single bench standing in the middle of it.' },
      0.25,
      /^it does not name two, red, apples$/,
    ],
  ])('%s', async (_, change, value, why) => {
    const score = await judged({ prompt, ...change });
    expect(score.value).toBeCloseTo(value, 12);
    expect(score.why).toMatch(why);
  });

  test('its limits are options, and a prompt that names nothing asks for no names', async () => {
    expect((await judged({ prompt, rationale: 'two red apples, bench' }, { least: 3 })).value).toBe(1);
    expect((await judged({ prompt: 'a photo of it', rationale: good })).parts).toEqual({
      ended: 1,
      length: 1,
      names: 1,
    });
  });

  test.each([
    ['a photo of three cakes', ['three', 'cakes'], 'the first cake, a second cake and 3 in all'],
    ["the cat's knives and wolves", ["cat's", 'knives', 'wolves'], 'a cat, a knife, one wolf'],
    ['Benches, buses, boxes, cherries', ['benches', 'buses', 'boxes', 'cherries'], 'a bench a bus a box a cherry'],
    ['a grey colour', ['grey', 'colour'], 'Grey is the color'],
    ['un éléphant à Zürich', ['un', 'éléphant', 'à', 'zürich'], 'un éléphant est à ZÜRICH'],
    ['a photo of a tie', ['tie'], 'A tie.'],
    ['glass, tennis, cactus', ['glass', 'tennis', 'cactus'], 'glass tennis cactus'],
    ['$& and \\boxed{1}', ['boxed', '1'], 'boxed one'],
  ])('%s', (text, words, rationale) => {
    expect(contentWords(text)).toEqual(words);
    expect(namedWords(words, rationale)).toEqual(words);
    expect(namedWords(words, 'something else entirely')).toEqual([]);
  });

  test('a word within another is another', () => {
    expect(namedWords(['cat', 'car'], 'a category of cards')).toEqual([]);
  });
});
