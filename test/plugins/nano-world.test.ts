import { describe, expect, test } from 'vitest';
import { createNanoDataset } from '../../plugins/nano-world/dataset.ts';
import { philox } from '../../core/tensor/philox.ts';
import { drawStream } from '../../plugins/nano-world/random.ts';
import { parseRationale, planNames, rationaleOf } from '../../plugins/nano-world/rationale.ts';
import { boxOf, drawScene, relationsOf } from '../../plugins/nano-world/scene.ts';
import {
  drawSpecification,
  promptOf,
  specificationSpace,
  trainingMix,
} from '../../plugins/nano-world/specification.ts';
import type { Specification } from '../../plugins/nano-world/specification.ts';
import { createSpriteSheet } from '../../plugins/nano-world/sprites.ts';
import { classNames, colorNames, plural, relations, tasks, withArticle } from '../../plugins/nano-world/vocabulary.ts';

const space = specificationSpace();
const sheet = createSpriteSheet();
const all = tasks.flatMap((task) => [...new Set([...space.pools[task].seen, ...space.pools[task].heldout])]);

describe('random numbers', () => {
  test('agree with the known answers of Random123', () => {
    expect(philox([0, 0, 0, 0], [0, 0])).toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
    const ones = 0xffffffff;
    expect(philox([ones, ones, ones, ones], [ones, ones])).toEqual([0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
    expect(philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0])).toEqual([
      0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1,
    ]);
  });

  test('streams differ by seed, purpose, index and visit, also where only high bits of the seed differ', () => {
    const firsts = [
      drawStream(1, 1, 1),
      drawStream(2, 1, 1),
      drawStream(1, 2, 1),
      drawStream(1, 1, 2),
      drawStream(1, 1, 1, 1),
      drawStream(1 + 2 ** 32, 1, 1),
    ];
    expect(new Set(firsts.map((stream) => stream.uniform())).size).toBe(6);
  });

  test('below is uniform and shuffled is a permutation', () => {
    const stream = drawStream(3, 9, 0);
    const counts = Array.from({ length: 7 }, () => 0);
    for (let draw = 0; draw < 7000; draw++) counts[stream.below(7)]!++;
    // Six degrees of freedom: chi-square above 22.5 has probability 0.001.
    expect(counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0)).toBeLessThan(22.5);
    expect(stream.shuffled([1, 2, 3, 4, 5]).sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5]);
  });
});

describe('specifications', () => {
  test('number as in the study and have distinct prompts', () => {
    const sizes = Object.fromEntries(tasks.map((task) => [task, all.filter((one) => one.task === task).length]));
    expect(sizes).toEqual({
      single_object: 12,
      two_object: 132,
      counting: 36,
      colors: 72,
      position: 528,
      color_attr: 3960,
    });
    expect(new Set(all.map(promptOf)).size).toBe(4740);
    for (const one of all) expect(space.ofPrompt(promptOf(one))).toBe(one);
    expect(space.ofPrompt('a photo of a apple')).toBeUndefined();
  });

  test('hold out by the rules of the study', () => {
    const c = (name: string) => classNames.findIndex((one) => one === name);
    const k = (color: string | undefined) => colorNames.findIndex((one) => one === color) + 1;
    const rules: Record<string, (one: Specification) => boolean> = {
      single_object: () => true,
      counting: ({ wanted, count }) => (c(wanted[0]!.name) + count!) % 6 === 0,
      colors: ({ wanted }) => (c(wanted[0]!.name) + 5 * k(wanted[0]!.color)) % 6 === 0,
      two_object: ({ wanted }) => (7 * c(wanted[0]!.name) + 3 * c(wanted[1]!.name)) % 8 === 0,
      position: ({ wanted, relation }) =>
        (7 * c(wanted[0]!.name) + 3 * c(wanted[1]!.name) + 5 * relations.indexOf(relation!)) % 8 === 0,
      color_attr: ({ wanted }) =>
        (7 * c(wanted[0]!.name) + 3 * c(wanted[1]!.name) + 5 * k(wanted[0]!.color) + k(wanted[1]!.color)) % 8 === 0,
    };
    for (const task of tasks) {
      const { seen, heldout } = space.pools[task];
      expect(heldout.every(rules[task]!)).toBe(true);
      expect(seen.some(rules[task]!)).toBe(task === 'single_object');
    }
  });

  test('hold-out is balanced: every count, color and class keeps examples and loses some', () => {
    const { counting, colors, color_attr: attribution } = space.pools;
    for (const count of [2, 3, 4]) expect(counting.heldout.filter((one) => one.count === count)).toHaveLength(2);
    for (const color of colorNames) {
      expect(colors.heldout.filter((one) => one.wanted[0]?.color === color)).toHaveLength(2);
    }
    for (const name of classNames) {
      expect(counting.seen.filter((one) => one.wanted[0]?.name === name).length).toBeGreaterThanOrEqual(2);
      expect(colors.heldout.filter((one) => one.wanted[0]?.name === name)).toHaveLength(1);
      const share = attribution.heldout.filter((one) => one.wanted[0]?.name === name).length / 330;
      expect(share).toBeGreaterThan(0.1);
      expect(share).toBeLessThan(0.15);
    }
  });

  test('are worded as GenEval words them', () => {
    const word = (specification: Specification) => promptOf(specification);
    expect(word({ task: 'single_object', wanted: [{ name: 'umbrella' }] })).toBe('a photo of an umbrella');
    expect(word({ task: 'two_object', wanted: [{ name: 'bird' }, { name: 'umbrella' }] })).toBe(
      'a photo of a bird and an umbrella',
    );
    expect(word({ task: 'counting', wanted: [{ name: 'teddy bear' }], count: 4 })).toBe('a photo of four teddy bears');
    expect(word({ task: 'colors', wanted: [{ name: 'apple', color: 'red' }] })).toBe('a photo of a red apple');
    expect(word({ task: 'position', wanted: [{ name: 'giraffe' }, { name: 'airplane' }], relation: 'right of' })).toBe(
      'a photo of a giraffe right of an airplane',
    );
    expect(
      word({
        task: 'color_attr',
        wanted: [
          { name: 'car', color: 'green' },
          { name: 'giraffe', color: 'purple' },
        ],
      }),
    ).toBe('a photo of a green car and a purple giraffe');
    expect(plural('bus')).toBe('buses');
    expect(withArticle('orange cat')).toBe('an orange cat');
  });

  test('are drawn in the shares of the training mix', () => {
    const counts = Object.fromEntries(tasks.map((task) => [task, 0])) as Record<string, number>;
    for (let index = 0; index < 8000; index++)
      counts[drawSpecification(space, 'seen', drawStream(5, 1, index)).task]!++;
    for (const task of tasks) expect(counts[task]! / 8000).toBeCloseTo(trainingMix[task], 1.5);
  });
});

describe('scenes', () => {
  test.each([
    [[0, 0, 100, 100], [200, 0, 300, 100], ['left of']],
    [[0, 0, 100, 100], [0, 200, 100, 300], ['above']],
    [
      [0, 0, 100, 100],
      [120, 120, 220, 220],
      ['left of', 'above'],
    ],
    [[0, 0, 100, 100], [40, 0, 140, 100], []],
    [[0, 0, 100, 100], [41, 0, 141, 100], ['left of']],
    [[0, 0, 200, 100], [150, 60, 350, 160], ['left of']],
    [[0, 0, 100, 100], [0, 0, 100, 100], []],
  ] as const)("GenEval's position rule: %j to %j is %j", (a, b, expected) => {
    expect(relationsOf(a, b)).toEqual(expected);
  });

  test('put objects into distinct cells, counted ones in raster order, related ones in relation', () => {
    for (let index = 0; index < 600; index++) {
      const random = drawStream(8, 1, index);
      const specification = drawSpecification(space, 'seen', random);
      const objects = drawScene(specification, sheet, random);
      const cells = objects.map((object) => object.cell);
      expect(new Set(cells).size).toBe(specification.count ?? specification.wanted.length);
      expect(specification.count ? cells : []).toEqual(specification.count ? [...cells].sort((a, b) => a - b) : []);
      const [a, b] = objects.map((one) => boxOf(one, sheet(one.classIndex, one.look, one.size)));
      const holding: readonly (string | undefined)[] = specification.relation ? relationsOf(a!, b!) : [undefined];
      expect(holding).toContain(specification.relation);
    }
  });
});

describe('rationales', () => {
  const cat = { name: 'cat' } as const;
  const redCar = { name: 'car', color: 'red' } as const;

  test('are worded as in the study', () => {
    const counting: Specification = { task: 'counting', wanted: [cat], count: 2 };
    expect(rationaleOf(counting, [0, 8], 0)).toBe(
      'plan : two cats ; first cat at top left ; second cat at bottom right .',
    );
    expect(rationaleOf(counting, [0, 8], 1)).toBe(
      'draw two cats : first cat in top left ; second cat in bottom right .',
    );
    expect(rationaleOf(counting, [1, 4], 2)).toBe(
      'the scene has two cats ; first cat at the top center ; second cat at the middle center .',
    );
    const pair: Specification = { task: 'two_object', wanted: [redCar, { name: 'apple' }] };
    expect(rationaleOf(pair, [3, 5], 0)).toBe('plan : a red car at middle left ; an apple at middle right .');
    expect(rationaleOf(pair, [3, 5], 1)).toBe('draw a red car in middle left and an apple in middle right .');
    expect(rationaleOf(pair, [3, 5], 2)).toBe(
      'the scene has a red car at the middle left , an apple at the middle right .',
    );
  });

  test('are read back: every specification, every template', () => {
    for (const [index, specification] of all.entries()) {
      const cells = [index % 5, 5, 6, 8].slice(0, specification.count ?? specification.wanted.length);
      for (const template of [0, 1, 2]) {
        const plan = parseRationale(rationaleOf(specification, cells, template));
        expect(plan?.objects.map((one) => one.cell)).toEqual(cells);
        expect(plan && planNames(plan, specification)).toBe(true);
      }
    }
  });

  test.each([
    '',
    'plan : .',
    'plan : a cat at top left',
    'plan : a apple at top left .',
    'plan : a cat in top left .',
    'plan : a cat at the top left .',
    'plan : a pink cat at top left .',
    'plan : a dog at top left .',
    'plan : a cat at top top .',
    'plan : two cats ; first cat at top left .',
    'plan : two cats ; second cat at top left ; first cat at top right .',
    'plan : two cats ; first cat at top left ; second bird at top right .',
    'draw two cats ; first cat in top left ; second cat in top right .',
    'the scene has a cat at the top left ; a bird at the top right .',
    'plan : a cat at top left . plan : a cat at top left .',
  ])('rejects "%s"', (text) => {
    expect(parseRationale(text)).toBeUndefined();
  });

  test('a plan of other objects, colors, numbers or order does not name the prompt', () => {
    const names = (text: string, specification: Specification) => planNames(parseRationale(text)!, specification);
    const pair: Specification = { task: 'color_attr', wanted: [redCar, { name: 'cat', color: 'blue' }] };
    expect(names('plan : a red car at top left ; a blue cat at top right .', pair)).toBe(true);
    expect(names('plan : a blue cat at top left ; a red car at top right .', pair)).toBe(false);
    expect(names('plan : a blue car at top left ; a red cat at top right .', pair)).toBe(false);
    expect(names('plan : a red car at top left .', pair)).toBe(false);
    const three: Specification = { task: 'counting', wanted: [cat], count: 3 };
    expect(names('plan : two cats ; first cat at top left ; second cat at top right .', three)).toBe(false);
  });
});

describe('dataset', () => {
  const dataset = createNanoDataset();

  test('is a pure function of index and seed', () => {
    const again = createNanoDataset();
    for (const index of [0, 1, 77, 23_999]) {
      expect(again.example(index, 4)).toEqual(dataset.example(index, 4));
      expect(again.codecImage(index, 4)).toEqual(dataset.codecImage(index, 4));
      expect(again.prompt(index, 4, 'heldout')).toEqual(dataset.prompt(index, 4, 'heldout'));
      expect(dataset.example(index, 4).image).not.toEqual(dataset.example(index, 5).image);
    }
  });

  test('keeps held-out combinations out of every training prompt', () => {
    const heldout = new Set(
      tasks.flatMap((task) => (task === 'single_object' ? [] : space.pools[task].heldout.map(promptOf))),
    );
    for (let index = 0; index < 3000; index++) {
      expect(heldout.has(dataset.prompt(index, 1, 'seen').prompt)).toBe(false);
      const { task, prompt } = dataset.prompt(index, 1, 'heldout');
      expect(task === 'single_object' || heldout.has(prompt)).toBe(true);
    }
    for (let index = 0; index < 300; index++) expect(heldout.has(dataset.example(index, 1).prompt)).toBe(false);
  });

  test('words a rationale anew at each visit and keeps the plan', () => {
    const { rationale, specification } = dataset.example(11, 7);
    expect(dataset.rationale(11, 7, 0)).toBe(rationale);
    const visits = Array.from({ length: 30 }, (_, visit) => dataset.rationale(11, 7, visit));
    expect(new Set(visits).size).toBe(3);
    expect(new Set(visits.map((text) => JSON.stringify(parseRationale(text)))).size).toBe(1);
    expect(planNames(parseRationale(rationale)!, specification as Specification)).toBe(true);
  });

  test('codec pictures are dense: 3–9 objects in most, more paint than examples', () => {
    const paint = (data: Uint8Array) => data.filter((value, at) => at % 3 === 0 && value !== 214).length;
    const total = (make: (index: number) => Uint8Array) =>
      Array.from({ length: 60 }, (_, index) => paint(make(index))).reduce((a, b) => a + b, 0);
    expect(total((index) => dataset.codecImage(index, 1).data)).toBeGreaterThan(
      2 * total((index) => dataset.example(index, 1).image.data),
    );
  });

  test('the corpus has every word the world can write', () => {
    const words = (texts: readonly string[]) => new Set(texts.flatMap((text) => text.split(' ')));
    const written = all.flatMap((specification) => {
      const cells = [0, 4, 5, 8].slice(0, specification.count ?? specification.wanted.length);
      return [promptOf(specification), ...[0, 1, 2].map((template) => rationaleOf(specification, cells, template))];
    });
    const corpus = words(dataset.corpus());
    for (const word of words(written)) expect(corpus).toContain(word);
    expect(corpus.size).toBe(62);
  });
});
