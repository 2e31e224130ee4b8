/** The contract checks: what comes with reasongen keeps its contracts, and each seeded mistake is named by its cause. */
import { describe, expect, test } from 'vitest';
import type { Component, Slot, Slots } from '../../../core/contracts/slots.ts';
import type { AdvantagesEvent } from '../../../core/contracts/hooks.ts';
import { loadBuiltInPlugins } from '../../../core/preset/plugins.ts';
import {
  defineBackbone,
  defineBenchmark,
  defineDataset,
  defineExtension,
  defineImageTokenizer,
  defineJudge,
  defineOptimizer,
  defineReward,
  defineTokenizer,
  z,
  type Image,
  type Reward,
  type Sample,
  type Split,
} from '../../../core/plugin.ts';
import {
  checkBackbone,
  checkBenchmark,
  checkDataset,
  checkExtension,
  checkImageTokenizer,
  checkJudge,
  checkOptimizer,
  checkReward,
  checkTokenizer,
  ContractError,
  testImage,
  testSample,
} from '../../../core/testing.ts';
import { openComponent } from '../../../core/testing/contract.ts';
import { standInImageTokenizer, standInTokenizer } from '../../../core/testing/stand-ins.ts';
import { unifiedBackbone } from '../../../plugins/unified/backbone.ts';
import { testDevice } from '../../ops/device.ts';

const builtIn = await loadBuiltInPlugins([]);
const device = await testDevice();

function component<Name extends Slot>(slot: Name, name: string): Component<Name> {
  const found = builtIn
    .flatMap(({ plugin }) => plugin.provides)
    .find((each) => each.slot === slot && each.name === name);
  if (found === undefined) throw new Error(`no ${slot} ${name}`);
  return found as Component<Name>;
}

describe('what comes with reasongen keeps its contract', () => {
  test('every option of every component says what it means, and none is taken that is not known', async () => {
    const silent: string[] = [];
    for (const each of builtIn.flatMap(({ plugin }) => plugin.provides)) {
      // Only the declaration is looked at: what many of them are created from is not there.
      const error = await openComponent(each, { options: { 'no such option': 1 } }).catch((cause: unknown) => cause);
      if (!/does not take the options/.test(String(error))) silent.push(String(error));
    }
    expect(silent).toEqual([]);
  });
  test('dataset', () => checkDataset(component('dataset', 'nano-world'), { sharedTasks: ['single_object'] }));
  test('benchmark', () => {
    const image = testImage(() => [255, 255, 255], { width: 48, height: 48 });
    return checkBenchmark(component('benchmark', 'nano-geneval'), {
      sharedTasks: ['single_object'],
      draw: () => ({ image }),
    });
  });
  test('tokenizer', () => checkTokenizer(component('tokenizer', 'byte-bpe')));
  test.each(['adamw', 'adamw-8bit', 'lion', 'muon', 'sgd'])('optimizer %s', (name) =>
    checkOptimizer(component('optimizer', name), { device }),
  );
});

const options = z.strictObject({});
const reward = (score: Reward['score']): Component<'reward'> =>
  defineReward({ name: 'seeded', summary: 'with a mistake', options, create: () => ({ score }) });
const brightness = ({ image }: Sample): number =>
  image.data.reduce((sum, value) => sum + value, 0) / image.data.length / 255;

test('a reward without a mistake passes', async () => {
  await checkReward(
    reward((samples) => samples.map(brightness)),
    { range: [0, 1] },
  );
});

test('one that compares passes when it says so', async () => {
  const rank = (samples: readonly Sample[]): number[] =>
    samples.map(
      (sample) =>
        samples.filter((other) => other.group === sample.group && brightness(other) < brightness(sample)).length,
    );
  await expect(checkReward(reward(rank))).rejects.toThrow(/when each sample is asked about alone.*`compares`/);
  await checkReward(reward(rank), { compares: 'group' });
});

test('a reward is shown as much as it compares, and scores something', async () => {
  const seen = (more: object): Component<'reward'> =>
    defineReward({
      name: 'seeded',
      summary: 'with a mistake',
      options,
      create: () => ({ score: (samples) => samples.map(brightness), ...more }),
    });
  await checkReward(seen({ sees: 'group' }), { compares: 'group' });
  await expect(checkReward(seen({ sees: 'group' }), { compares: 'batch' })).rejects.toThrow(
    /compares the samples of a batch and says `sees: 'group'`/,
  );
  await expect(checkReward(seen({}), { samples: [testSample()] })).rejects.toThrow(/fewer than two groups/);
  await expect(checkReward(reward((samples) => samples.map(() => null)))).rejects.toThrow(
    /scores none of the samples it is asked about/,
  );
});

describe('a mistake of a reward is named', () => {
  let calls = 0;
  let current: readonly Sample[] = [];
  const mistakes: readonly (readonly [string, Reward['score'], RegExp])[] = [
    ['a score that is not finite', (samples) => samples.map(() => Math.log(-1)), /its score for sample 0 .* is NaN/],
    ['a score too few', (samples) => samples.slice(1).map(() => 0.5), /returned 7 scores for 8 samples/],
    [
      'out of range',
      (samples) => samples.map((sample) => 2 * brightness(sample)),
      /scores 2 for sample-0 .* out of the range from 0 to 1/,
    ],
    ['random numbers', (samples) => samples.map(() => Math.random()), /when asked again: it draws random numbers/],
    [
      'a counter',
      (samples) => samples.map(() => Math.min(1, (calls += 0.01))),
      /when asked again: it draws random numbers, reads a clock, or remembers/,
    ],
    [
      'places instead of samples',
      (samples) => samples.map((_, index) => index / 8),
      /when asked in another order: it takes its answers from places/,
    ],
    [
      'scaled by the largest of the call',
      (samples) => samples.map((sample) => brightness(sample) / Math.max(...samples.map(brightness), 0.01)),
      /when each sample is asked about alone: it depends on what else is in the call/,
    ],
    [
      'one variable for all calls',
      async (samples) => {
        current = samples;
        await new Promise((resolve) => setTimeout(resolve, 1));
        return samples.map((sample, index) => brightness(current[index] ?? sample));
      },
      /when two calls are under way: calls share state/,
    ],
    [
      'it sorts what it was handed',
      (samples) => (samples as Sample[]).sort(() => 0).map(brightness),
      /cannot|read only/,
    ],
    [
      'it fails without samples',
      (samples) => {
        const { step } = samples[0]!;
        return samples.map((sample) => brightness(sample) ** step);
      },
      /fails when it is asked about no samples/,
    ],
    [
      'it goes on when it is aborted',
      (samples, signal) =>
        new Promise((resolve) => setTimeout(() => resolve(samples.map(() => 0.5)), signal.aborted ? 400 : 1)),
      /goes on 100 ms after its signal was aborted: hand the signal/,
    ],
    ['no list', () => 0.5 as never, /did not return a list of scores/],
  ];
  test.each(mistakes)('%s', async (_, score, message) => {
    const wait: Reward['score'] = (samples, signal) => {
      // The signal is aborted right behind the call.
      if (!/goes on/.test(message.source) || samples.length === 0) return score(samples, signal);
      return Promise.resolve().then(() => score(samples, signal));
    };
    await expect(checkReward(reward(wait), { range: [0, 1], abortWithin: 100 })).rejects.toThrow(message);
  });
});

describe('a mistake of a declaration is named', () => {
  const declare = (more: Partial<Parameters<typeof defineReward>[0]>): Component<'reward'> =>
    defineReward({
      name: 'seeded',
      summary: 'with a mistake',
      options,
      create: () => ({ score: (samples) => samples.map(() => 1) }),
      ...more,
    });
  test.each([
    ['no summary', declare({ summary: '' }), /needs a summary/],
    [
      'an option that says nothing',
      declare({ options: z.strictObject({ gain: z.number().default(1) }) as never }),
      /what its option `gain` means/,
    ],
    ['options that take anything', declare({ options: z.looseObject({}) as never }), /z\.strictObject/],
    ['a name', declare({ name: 'My Reward' }), /small letters, digits and hyphens/],
    [
      'a need that is not listed',
      declare({ create: async (_options, scope) => (await scope.get('tokenizer'), { score: () => [] }) }),
      /does not list it in `needs`/,
    ],
    [
      'a device nobody gave',
      declare({ create: async (_options, scope) => (await scope.onDevice((given) => given)(), { score: () => [] }) }),
      /openTestDevice/,
    ],
    ['nothing created', declare({ create: (() => undefined) as never }), /creates undefined/],
    ['a method by another name', declare({ create: (() => ({ scores: () => [] })) as never }), /no function `score`/],
  ])('%s', (_, seeded, message) => expect(checkReward(seeded)).rejects.toThrow(message));
});

describe('a mistake of another slot is named', () => {
  const world = component('dataset', 'nano-world');
  const world48 = { width: 48, height: 48 };
  const changed = async <Name extends Slot>(
    base: Component<Name>,
    change: (made: Slots[Name]) => Partial<Slots[Name]>,
  ): Promise<Component<Name>> => {
    const { made } = await openComponent(base);
    return { ...base, create: () => Object.assign(Object.create(made as object), change(made)) as Slots[Name] };
  };
  test.each([
    [
      'examples by chance',
      { example: (made: never, index: number) => example(made, index + Math.floor(Math.random() * 1000)) },
      /another example \d+ when asked again/,
    ],
    [
      'held-out prompts that are trained on',
      { prompt: (made: never, index: number, seed: number) => prompt(made, index, seed, 'seen') },
      /among what is trained on/,
    ],
    [
      'pictures of another size',
      { codecImage: () => testImage(() => [0, 0, 0]) },
      /codecImage\(0\) a picture of 16 x 16; its imageSize is/,
    ],
    [
      'prompts by chance',
      {
        prompt: (made: never, index: number, seed: number, split: Split) =>
          prompt(made, split === 'seen' ? Math.floor(Math.random() * 1e6) : index, seed, split),
      },
      /another prompt \d+ of the split seen when asked again/,
    ],
    [
      'rationales by chance',
      { rationale: () => `a ${Math.random() < 0.5 ? 'red' : 'blue'} cup` },
      /example \d+ another rationale when asked again/,
    ],
    ['no rationale', { rationale: () => undefined }, /example 0 the rationale undefined; a rationale is a text/],
    [
      'a rationale in words nobody learns',
      { rationale: () => 'xylophone' },
      /"xylophone", which is not in its `corpus`/,
    ],
    [
      'pictures for the codec by chance',
      {
        codecImage: () => {
          const color = Math.random() * 256;
          return testImage(() => [color, color, color], world48);
        },
      },
      /another codecImage\(23\) when asked again/,
    ],
    ['a task nobody listed', { tasks: ['other'] }, /of the task ".*", which is not in its `tasks` \(other\)/],
    ['words nobody learns', { corpus: () => ['a'] }, /which is not in its `corpus`/],
  ])('dataset: %s', async (_, change, message) => {
    const seeded = await changed(
      world,
      (made) =>
        Object.fromEntries(
          Object.entries(change).map(([name, value]) => [
            name,
            typeof value === 'function' && name !== 'corpus' && name !== 'codecImage'
              ? (value as (...args: unknown[]) => unknown).bind(undefined, made)
              : value,
          ]),
        ) as never,
    );
    await expect(checkDataset(seeded, { sharedTasks: ['single_object'] })).rejects.toThrow(message);
  });
  const example = (made: { example(index: number, seed: number): unknown }, index: number): unknown =>
    made.example(index, 1);
  const prompt = (
    made: { prompt(index: number, seed: number, split: Split): unknown },
    index: number,
    seed: number,
    split: Split,
  ): unknown => made.prompt(index, seed, split);

  const stored = (picture: () => Promise<Image>): Component<'dataset'> =>
    defineDataset({
      name: 'seeded',
      summary: 'with a mistake',
      options,
      create: () => ({
        imageSize: { width: 16, height: 16 },
        tasks: ['all'],
        open: async () => ({
          rows: 4,
          hash: 'four',
          at: async (position) => ({
            prompt: `prompt ${position}`,
            task: 'all',
            specification: null,
            rationale: '',
            place: `row ${position}`,
            pictureHash: String(position),
            picture,
          }),
        }),
      }),
    });
  test('a dataset of files: pictures by chance', async () => {
    await checkDataset(stored(async () => testImage(() => [1, 2, 3])));
    let shade = 0;
    const shaded = async (): Promise<Image> => {
      shade += 1;
      return testImage(() => [shade, 0, 0]);
    };
    await expect(checkDataset(stored(shaded))).rejects.toThrow(/gives row 0 another picture when asked again/);
  });

  const items = (seed: number, count: number): { prompt: string; task: string; specification: unknown }[] =>
    Array.from({ length: count }, (_, index) => ({
      prompt: `prompt ${seed} ${index}`,
      task: 'all',
      specification: null,
    }));
  const benchmark = (more: object): Component<'benchmark'> =>
    defineBenchmark({
      name: 'seeded',
      summary: 'with a mistake',
      options,
      create: () => ({
        tasks: ['all'],
        prompts: (split, count, seed) => items(split === 'seen' ? seed : -seed, count),
        judge: (samples) => samples.map((sample) => ({ pass: brightness(sample) > 0.5, why: 'bright' })),
        ...more,
      }),
    });
  test('a benchmark without a mistake passes', () => checkBenchmark(benchmark({})));
  test.each([
    [
      'prompts by chance',
      { prompts: (_: string, count: number) => items(Math.floor(Math.random() * 1e9), count) },
      /other prompts of the split seen when asked again/,
    ],
    [
      'one list for both splits',
      { prompts: (_: string, count: number, seed: number) => items(seed, count) },
      /in both splits/,
    ],
    [
      'a specification JSON cannot hold',
      {
        prompts: (split: string, count: number) =>
          items(split.length, count).map((item) => ({ ...item, specification: new Map() })),
      },
      /specification that JSON cannot hold/,
    ],
    [
      'verdicts without a why',
      { judge: (samples: readonly Sample[]) => samples.map(() => ({ pass: true })) },
      /no `pass` \(true or false\) with its `why`/,
    ],
    [
      'verdicts by place',
      { judge: (samples: readonly Sample[]) => samples.map((_, index) => ({ pass: index < 3, why: '' })) },
      /when asked in another order/,
    ],
    [
      'scores by place',
      {
        judge: (samples: readonly Sample[]) => samples.map((_, index) => ({ pass: true, why: '', score: index / 100 })),
      },
      /says "pass" with the score 0 on drawing 0 .*, and "pass" with the score 0\.07 when asked in another order/,
    ],
    [
      'atoms by chance',
      {
        judge: (samples: readonly Sample[]) =>
          samples.map(() => ({ pass: true, why: '', atoms: [{ id: 'object', kind: 'object', score: Math.random() }] })),
      },
      /says "pass" for object 0\.\d+ on drawing 0 .* when asked again/,
    ],
    ['no split', { splits: [] }, /declares the splits \[\]; there are "seen" and "heldout"/],
    ['a split that there is not', { splits: ['seen', 'test'] }, /declares the splits \["seen","test"\]/],
    [
      'one file for all pictures of a prompt',
      { layout: { file: (_: unknown, index: number) => `${index}.png` } },
      /gives picture 0 of "prompt \d+ 0" and picture 1 of "prompt \d+ 0" one name: 0\.png/,
    ],
    [
      'pictures elsewhere',
      { layout: { file: (_: unknown, index: number, copy: number) => `../${index}-${copy}.png` } },
      /outside of its folder/,
    ],
    ['a measurement of nothing', { measure: () => ({ spread: Number.NaN }) }, /measures spread = NaN/],
  ])('benchmark: %s', (_, more, message) => expect(checkBenchmark(benchmark(more))).rejects.toThrow(message));

  const judge = (more: object): Component<'judge'> =>
    defineJudge({
      name: 'seeded',
      summary: 'with a mistake',
      options,
      create: () => ({ title: 'Seeded', fingerprint: { rule: 'brightness' }, ...more }),
    });
  let answered = 0;
  test('a judge without a mistake passes', () =>
    checkJudge(
      judge({
        detect: async () => [{ label: 'dot', score: 0.5, box: [0, 0, 4, 4] }],
        similarity: async (_: never, texts: string[]) => texts.map(({ length }) => 1 / length),
        answer: async () => 'yes',
      }),
    ));
  test.each([
    ['no method at all', {}, /none of its methods is there/],
    [
      'a fingerprint of the moment',
      {
        get fingerprint() {
          return { run: String(answered++) };
        },
        answer: async () => '',
      },
      /another fingerprint/,
    ],
    ['a number too few', { similarity: async () => [0.5] }, /similarity: it gives 1 numbers for 3 texts/],
    [
      'logits for cosines',
      { similarity: async () => [9, 1, 1] },
      /similarity: it gives 9; a cosine lies between -1 and 1/,
    ],
    [
      'a box as x, y, width, height',
      { detect: async () => [{ label: 'dot', score: 0.5, box: [9, 9, 4, 4] }] },
      /"dot" has the box \[9,9,4,4\]; a box is left, top, right/,
    ],
    [
      'the surest last',
      { detect: async () => [0.1, 0.9].map((score) => ({ label: 'dot', score, box: [0, 0, 4, 4] })) },
      /the surest comes first/,
    ],
    ['an answer that is no text', { answer: async () => true }, /answer: it answers true, which is no text/],
    ['a counter', { answer: async () => String(answered++) }, /other evidence of picture \d when asked again/],
    [
      'an abort unheard',
      {
        answer: (_image: never, _question: never, signal: AbortSignal) =>
          new Promise((resolve) => {
            setTimeout(() => setTimeout(() => resolve('yes'), signal.aborted ? 300 : 0), 1);
          }),
      },
      /goes on 50 ms after its signal was aborted/,
    ],
  ])('judge: %s', (_, more, message) => expect(checkJudge(judge(more), { abortWithin: 50 })).rejects.toThrow(message));

  const letters = standInTokenizer();
  const tokenizer = (more: object): Component<'tokenizer'> =>
    defineTokenizer({ name: 'seeded', summary: 'with a mistake', options, create: () => ({ ...letters, ...more }) });
  let made = 0;
  test('the stand-ins pass', async () => {
    await checkTokenizer(tokenizer({}));
    await checkImageTokenizer(codes({}));
  });
  test.each([
    ['ids beyond its vocabulary', { vocabularySize: 9 }, /ids are whole numbers below its vocabularySize, 9/],
    [
      'special tokens out of text',
      { encode: (text: string) => (text.includes('<s>') ? [1] : letters.encode(text)) },
      /makes its special token bos out of the text "<s>"/,
    ],
    [
      'prompts that lead to no picture',
      { prompt: (text: string) => letters.encode(text) },
      /does not end with imageStart/,
    ],
    ['no token to pad with', { special: { bos: 1, eos: 2, imageStart: 3 } }, /has no special token `pad`/],
    [
      'pictures that start where a text ends',
      { special: { pad: 0, bos: 1, eos: 3, imageStart: 3 } },
      /has one id, 3, for its special tokens imageStart and eos/,
    ],
    [
      'prompts without their text',
      { prompt: (_: string, mode: string) => [1, mode === 'rationale' ? 4 : 3] },
      /lays out "a photo of two cakes" and "red bird" as one prompt/,
    ],
    [
      'prompts by chance',
      { prompt: (_: string, mode: string) => [1, 5 + (made++ % 9), mode === 'rationale' ? 4 : 3] },
      /lays out the prompt "a photo of two cakes" otherwise when asked again/,
    ],
    [
      'special tokens as text',
      { decode: (ids: number[]) => letters.decode(ids) + (ids.includes(2) ? '</s>' : '') },
      /writes special tokens as "<\/s>"/,
    ],
    [
      'guidance longer than the prompt',
      { unconditional: (ids: number[]) => [...ids, 3] },
      /longer than those they replace/,
    ],
  ])('tokenizer: %s', (_, more, message) => expect(checkTokenizer(tokenizer(more))).rejects.toThrow(message));
  test('tokenizer: a hash of the moment', () =>
    expect(
      checkTokenizer(
        defineTokenizer({
          name: 'seeded',
          summary: 'with a mistake',
          options,
          create: () => ({ ...letters, hash: `made ${made++}` }),
        }),
      ),
    ).rejects.toThrow(/another hash when it is made again/));

  const gray = standInImageTokenizer();
  const codes = (more: object): Component<'imageTokenizer'> =>
    defineImageTokenizer({ name: 'seeded', summary: 'with a mistake', options, create: () => ({ ...gray, ...more }) });
  test.each([
    [
      'half a grid',
      { encode: async (images: never[]) => images.map(() => [1, 2]) },
      /gives picture 0 2 codes; its grid is 2 x 2/,
    ],
    ['a code book of raw vectors', { codebook: () => new Float32Array(19 * 8).fill(1) }, /vector of length 2\.8/],
    [
      'pictures of another size',
      { decode: async (list: never[]) => list.map(() => testImage(() => [0, 0, 0])) },
      /decodes picture 0 to 16 x 16/,
    ],
    ['a picture too few', { decode: async () => [] }, /gives 0 pictures for 3 lists of codes/],
    [
      'a batch that is normalized',
      { encode: async (images: never[]) => images.map(() => [images.length, 1, 1, 1]) },
      /other codes when it is encoded alone/,
    ],
  ])('imageTokenizer: %s', (_, more, message) => expect(checkImageTokenizer(codes(more))).rejects.toThrow(message));

  const extension = (handlers: object): Component<'extension'> =>
    defineExtension({ name: 'seeded', summary: 'with a mistake', options, create: () => handlers });
  test('an extension without a mistake passes', () => checkExtension(extension({ step: () => {}, finish: () => {} })));
  test.each([
    ['a hook that does not exist', { steps: () => {} }, /steps/],
    ['nothing tapped', {}, /taps no hook/],
    [
      'advantages lost',
      { advantages: (event: AdvantagesEvent) => ({ ...event, advantages: [1] }) },
      /1 advantages for 8 samples/,
    ],
    [
      'a total that is not finite',
      {
        rewards: (event: object) => ({
          ...event,
          judgements: Array.from({ length: 8 }, () => ({ total: Number.NaN, scores: {} })),
        }),
      },
      /total of judgement 0 is NaN/,
    ],
    ['a handler that never settles', { step: () => new Promise(() => {}) }, /does not settle at the hook step/],
    [
      'a finish that expects a start to have worked',
      {
        finish: ({ error }: { error?: unknown }) => {
          if (error !== undefined) throw new TypeError('nothing to close');
        },
      },
      /nothing to close/,
    ],
  ])('extension: %s', (_, handlers, message) =>
    expect(checkExtension(extension(handlers), { handlerWithin: 50 })).rejects.toThrow(message),
  );

  const optimizer = (
    change: (opened: ReturnType<Slots['optimizer']['open']>) => object,
    rule = component('optimizer', 'sgd'),
  ): Component<'optimizer'> =>
    defineOptimizer({
      name: 'seeded',
      summary: 'with a mistake',
      options,
      create: async () => {
        const base = await rule.create(rule.options.parse({ learningRate: 0.01 }), {} as never);
        return {
          ...base,
          open: (parameters) => {
            const opened = base.open(parameters);
            return {
              ...opened,
              record: opened.record.bind(opened),
              prepare: opened.prepare.bind(opened),
              ...change(opened),
            };
          },
        };
      },
    });
  test.each([
    [
      'it climbs',
      (opened) => ({ prepare: (step: number, rate: number) => opened.prepare(step, -rate) }),
      /moves .* up its gradient/,
    ],
    [
      'a rate of its own',
      (opened) => ({ prepare: (step: number) => opened.prepare(step, 0.01) }),
      /at a learning rate of 0/,
    ],
    [
      'a rate without its schedule',
      (opened) => ({ prepare: (step: number, rate: number) => opened.prepare(step, rate === 0 ? 0 : 0.01) }),
      /as far at half the learning rate/,
    ],
    ['state that is not saved', () => ({ state: new Map() }), /is not in its `state`/],
    ['it does nothing', () => ({ record: () => {} }), /reports the gradient norm 0/],
  ] as readonly (readonly [string, (opened: ReturnType<Slots['optimizer']['open']>) => object, RegExp])[])(
    'optimizer: %s',
    (_, change, message) => expect(checkOptimizer(optimizer(change), { device })).rejects.toThrow(message),
  );
  test('optimizer: state that is not saved, of a rule that takes signs alone', () =>
    expect(
      checkOptimizer(
        optimizer(() => ({ state: new Map() }), component('optimizer', 'lion')),
        { device },
      ),
    ).rejects.toThrow(/is not in its `state`/));

  const sizes = {
    hidden: 32,
    layers: 1,
    heads: 4,
    keyValueHeads: 2,
    mlp: 40,
    ropeTheta: 10_000,
    normEpsilon: 1e-6,
    queryKeyNorm: false,
    textVocabulary: 32,
    imageVocabulary: 19,
  };
  const whole = unifiedBackbone('whole', sizes);
  const backbone = (more: object): Component<'backbone'> =>
    defineBackbone({ name: 'seeded', summary: 'with a mistake', options, create: () => ({ ...whole, ...more }) });
  test.each([
    ['one name twice', { parameters: [...whole.parameters, whole.parameters[0]] }, /names two parameters/],
    [
      'steps at positions of their own',
      {
        step: (tape: never, weights: never, x: never, _: never, cache: never) =>
          whole.step(tape, weights, x, device.tensor('zero', [3], 'u32', new Uint32Array(3)), cache),
      },
      /draws otherwise than it is trained/,
    ],
    [
      'a weight nobody reads',
      { parameters: [...whole.parameters, { name: 'spare', shape: [4, 4], init: { normal: 0.1 } }] },
      /gives spare no gradient/,
    ],
  ])('backbone: %s', (_, more, message) => expect(checkBackbone(backbone(more), { device })).rejects.toThrow(message));
});

test('a breach is an error with a name of its own', async () => {
  await expect(
    checkReward(
      reward((samples) => samples.map(() => 7)),
      { range: [0, 1] },
    ),
  ).rejects.toBeInstanceOf(ContractError);
});
