import { describe, expect, test } from 'vitest';
import type { Sample, Score } from '../../core/plugin.ts';
import { createNanoGeneval } from '../../plugins/nano-world/benchmark.ts';
import { createNanoDataset } from '../../plugins/nano-world/dataset.ts';
import plugin from '../../plugins/nano-world/index.ts';
import { agreementReward, formatReward, verdictReward } from '../../plugins/nano-world/rewards.ts';
import { render } from '../../plugins/nano-world/scene.ts';
import type { PlacedObject } from '../../plugins/nano-world/scene.ts';
import { createSpriteSheet } from '../../plugins/nano-world/sprites.ts';
import { classNames } from '../../plugins/nano-world/vocabulary.ts';

const sheet = createSpriteSheet();
const dataset = createNanoDataset();
const strict = verdictReward({ strict: true, graded: false });
const lenient = verdictReward({ strict: false, graded: false });
const graded = verdictReward({ strict: true, graded: true });
const signal = new AbortController().signal;

type Drawn = readonly [name: (typeof classNames)[number], cell: number, look?: number];

function sampleOf(prompt: string, drawn: readonly Drawn[], change: Partial<Sample> = {}): Sample {
  const objects = drawn.map(([name, cell, look = 0]): PlacedObject => ({
    classIndex: classNames.indexOf(name),
    look,
    cell,
    size: 14,
    dx: 0,
    dy: 0,
  }));
  const image = { width: 48, height: 48, data: render(objects, sheet) };
  return {
    id: 'a',
    prompt,
    task: '',
    specification: null,
    rationale: '',
    rationaleEnded: true,
    group: 0,
    copy: 0,
    step: 0,
    phase: 'train',
    image,
    codes: [],
    ...change,
  };
}

async function scoreOf(reward: typeof strict, sample: Sample): Promise<Score> {
  const [score] = await reward.score([sample], signal);
  if (score === undefined || score === null || typeof score === 'number' || 'noVerdict' in score)
    throw new Error('expected a score with reasons');
  return score;
}

describe('nano-verdict', () => {
  test('says in words what is there and what is missing', async () => {
    const why = async (prompt: string, drawn: readonly Drawn[]) => (await scoreOf(strict, sampleOf(prompt, drawn))).why;
    expect(
      await why('a photo of two cakes', [
        ['cake', 0],
        ['apple', 4],
      ]),
    ).toBe('expected two cakes, found 1 cake (top left) and 1 apple (middle center)');
    expect(
      await why('a photo of two cakes', [
        ['cake', 0],
        ['cake', 8],
      ]),
    ).toBe('found 2 cakes (top left, bottom right)');
    expect(await why('a photo of a red car', [['car', 2, 4]])).toBe('expected a red car, found 1 blue car (top right)');
    expect(await why('a photo of an umbrella', [])).toBe('expected an umbrella, found nothing it knows');
    expect(
      await why('a photo of a cat left of a bird', [
        ['cat', 8],
        ['bird', 6],
      ]),
    ).toBe(
      'expected a cat left of a bird, found 1 bird (bottom left) and 1 cat (bottom right); the cat is right of the bird',
    );
    expect(
      await why('a photo of a cat left of a bird', [
        ['cat', 8],
        ['bird', 0],
      ]),
    ).toContain('the cat is right of and below the bird');
  });

  test('says how much paint it cannot explain', async () => {
    const sample = sampleOf('a photo of a cat', [['cat', 0]]);
    for (let at = 40 * 48; at < 41 * 48; at++) sample.image.data.set([180, 0, 0], at * 3);
    const score = await scoreOf(strict, sample);
    expect(score.value).toBe(0);
    expect(score.why).toBe('expected a cat, found 1 cat (top left); 48 painted pixels belong to no known object');
    expect((await scoreOf(lenient, sample)).value).toBe(1);
  });

  test('extra objects are free for GenEval and not for the strict verdict', async () => {
    const sample = sampleOf('a photo of a cat and a bird', [
      ['cat', 0],
      ['bird', 4],
      ['car', 8],
    ]);
    expect((await scoreOf(strict, sample)).value).toBe(0);
    expect((await scoreOf(lenient, sample)).value).toBe(1);
    expect((await scoreOf(lenient, sample)).parts).toMatchObject({ geneval: 1, strict: 0, objects: 1, clean: 0 });
  });

  test('grades are the mean of the atoms', async () => {
    const value = async (prompt: string, drawn: readonly Drawn[], reward = graded) =>
      (await scoreOf(reward, sampleOf(prompt, drawn))).value;
    expect(
      await value('a photo of three cats', [
        ['cat', 0],
        ['cat', 4],
      ]),
    ).toBeCloseTo((2 / 3 + 0) / 2, 12);
    expect(
      await value(
        'a photo of two cats',
        [0, 1, 2, 3, 4].map((cell) => ['cat', cell] as const),
      ),
    ).toBe(0);
    // Objects 1 and 1, colors 1 and 0, clean 1.
    expect(
      await value('a photo of a red car and a blue cat', [
        ['car', 0, 1],
        ['cat', 8, 1],
      ]),
    ).toBeCloseTo(4 / 5, 12);
    // Objects 1 and 0, relation 0, clean 0.
    expect(await value('a photo of a cat above a bird', [['cat', 0]])).toBeCloseTo(1 / 4, 12);
    const lenientGrade = verdictReward({ strict: false, graded: true });
    expect(
      await value(
        'a photo of a cat',
        [
          ['cat', 0],
          ['car', 4],
        ],
        lenientGrade,
      ),
    ).toBe(1);
    expect(
      await value('a photo of a cat', [
        ['cat', 0],
        ['car', 4],
      ]),
    ).toBe(0.5);
  });

  test('reports whether the picture follows its plan', async () => {
    const plan = 'plan : a cat at top left .';
    const follows = await scoreOf(strict, sampleOf('a photo of a cat', [['cat', 0]], { rationale: plan }));
    expect(follows.parts?.plan_picture).toBe(1);
    const strays = await scoreOf(strict, sampleOf('a photo of a cat', [['cat', 1]], { rationale: plan }));
    expect(strays).toMatchObject({ value: 1, parts: { plan_picture: 0 } });
    expect((await scoreOf(strict, sampleOf('a photo of a cat', [['cat', 1]]))).parts).not.toHaveProperty(
      'plan_picture',
    );
    const agreement = agreementReward();
    expect((await scoreOf(agreement, sampleOf('', [['cat', 0]], { rationale: plan }))).value).toBe(1);
    expect(
      (
        await scoreOf(
          agreement,
          sampleOf(
            '',
            [
              ['cat', 0],
              ['car', 3],
            ],
            { rationale: plan },
          ),
        )
      ).value,
    ).toBe(0);
    expect((await scoreOf(agreement, sampleOf('', [['cat', 0]], { rationale: 'cat' }))).value).toBe(0);
  });

  test('refuses prompts and pictures of another world by name', async () => {
    const foreign = sampleOf('a photo of a dog', []);
    expect(() => strict.score([foreign], signal)).toThrow(/"a photo of a dog" is not a prompt of the nano world/);
    const large = {
      ...sampleOf('a photo of a cat', []),
      image: { width: 64, height: 64, data: new Uint8Array(64 * 64 * 3) },
    };
    expect(() => strict.score([large], signal)).toThrow(/64x64/);
  });

  test('stops when aborted', () => {
    const abort = new AbortController();
    abort.abort();
    expect(() => strict.score([sampleOf('a photo of a cat', [])], abort.signal)).toThrow(/abort/i);
  });
});

describe('plan-format', () => {
  const format = formatReward();
  const score = (prompt: string, rationale: string, rationaleEnded = true) =>
    scoreOf(format, sampleOf(prompt, [], { rationale, rationaleEnded }));

  test('is 1 for every example of the dataset', async () => {
    for (let index = 0; index < 100; index++) {
      const { prompt, rationale } = dataset.example(index, 3);
      expect(await score(prompt, rationale)).toMatchObject({ value: 1, parts: { ended: 1, plan: 1, names: 1 } });
    }
  });

  test('names what is wrong', async () => {
    const right = 'draw a cat in top left .';
    expect(await score('a photo of a cat', right, false)).toMatchObject({
      value: 0,
      parts: { ended: 0, plan: 1, names: 1 },
      why: expect.stringContaining('cut'),
    });
    expect(await score('a photo of a bird', right)).toMatchObject({ value: 0, parts: { ended: 1, plan: 1, names: 0 } });
    expect(await score('a photo of a cat', 'draw a cat in in top left .')).toMatchObject({
      value: 0,
      parts: { plan: 0, names: 0 },
    });
    expect(await score('a photo of a cat', '')).toMatchObject({
      value: 0,
      parts: { ended: 0 },
      why: expect.stringContaining('no rationale'),
    });
  });
});

describe('nano-geneval', () => {
  const benchmark = createNanoGeneval({ verdict: 'strict' });

  test('spreads prompts evenly over the six tasks; the same arguments give the same prompts', () => {
    const prompts = benchmark.prompts('heldout', 60, 1);
    for (const task of benchmark.tasks) expect(prompts.filter((one) => one.task === task)).toHaveLength(10);
    expect(benchmark.prompts('heldout', 60, 1)).toEqual(prompts);
    expect(benchmark.prompts('heldout', 25, 1)).toEqual(prompts.slice(0, 25));
    expect(benchmark.prompts('heldout', 60, 2)).not.toEqual(prompts);
  });

  test('held-out and seen prompts share single objects only', () => {
    const seen = new Set(benchmark.prompts('seen', 3000, 1).map((one) => one.prompt));
    for (const { task, prompt } of benchmark.prompts('heldout', 600, 1))
      expect(seen.has(prompt)).toBe(task === 'single_object');
  });

  test('repeats a prompt of a task only when all have been used', () => {
    const counting = benchmark
      .prompts('heldout', 72, 5)
      .filter((one) => one.task === 'counting')
      .map((one) => one.prompt);
    expect(new Set(counting.slice(0, 6)).size).toBe(6);
    expect(new Set(counting.slice(6, 12)).size).toBe(6);
  });

  test('passes every example as rendered, and gives the verdict asked for', async () => {
    const samples = Array.from({ length: 100 }, (_, index): Sample => {
      const { prompt, task, specification, rationale, image } = dataset.example(index, 9);
      return sampleOf(prompt, [], { id: `${index}`, task, specification, rationale, image });
    });
    const verdicts = await benchmark.judge(samples, signal);
    expect(verdicts.every((one) => one.pass && one.parts?.plan_picture === 1)).toBe(true);
    const crowded = sampleOf('a photo of a cat', [
      ['cat', 0],
      ['car', 4],
    ]);
    const [byStrict] = await benchmark.judge([crowded], signal);
    const [byGeneval] = await createNanoGeneval({ verdict: 'geneval' }).judge([crowded], signal);
    expect([byStrict?.pass, byGeneval?.pass]).toEqual([false, true]);
  });
});

test('the plugin declares its components with checked options', () => {
  expect(plugin.provides.map((one) => `${one.slot} ${one.name}`)).toEqual([
    'dataset nano-world',
    'reward nano-verdict',
    'reward plan-format',
    'reward plan-agreement',
    'benchmark nano-geneval',
    'extension painted-codes',
  ]);
  const verdict = plugin.provides.find((one) => one.name === 'nano-verdict');
  expect(verdict?.options.parse({})).toEqual({ strict: true, graded: false });
  expect(verdict?.options.safeParse({ strikt: true }).success).toBe(false);
});
