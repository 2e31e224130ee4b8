/** The reward `detector`: GenEval's rules on what judges say, for samples that carry its metadata. */
import { describe, expect, test } from 'vitest';
import type { Component, Detection, Judge, Reward, RewardAnswer, Sample } from '../../core/plugin.ts';
import { at } from '../../core/testing.ts';
import geneval from '../../plugins/geneval/index.ts';
import { coco } from '../../plugins/geneval/ontology.ts';

const signal = new AbortController().signal;
const box = (x: number, y = 0): Detection['box'] => [x, y, x + 10, y + 10];
const seen = (label: string, score: number, place = box(0)): Detection => ({ label, score, box: place });

/** A detector that finds what it is told, and a classifier that knows the color of each place. */
function judgesOf(found: readonly Detection[], colorAt: (x: number) => string = () => 'red'): Judge[] {
  return [
    { ...{ title: 'eye', fingerprint: { model: 'a' }, name: 'eye' }, detect: async () => found },
    {
      ...{ title: 'palette', fingerprint: { model: 'b' }, name: 'palette' },
      classify: async (_, object, labels) => labels.map((label) => Number(label === colorAt(object.box[0]))),
    },
  ];
}

async function rewardOf(judges: readonly Judge[], options: object = {}): Promise<Reward> {
  const component = geneval.provides.find(
    ({ slot, name }) => slot === 'reward' && name === 'detector',
  ) as Component<'reward'>;
  return component.create(component.options.parse(options), { getAll: async () => judges } as never);
}

const sampleOf = (specification: unknown): Sample =>
  ({ prompt: 'a photo', specification, image: { width: 40, height: 40, data: new Uint8Array(4800) } }) as Sample;

async function scored(
  specification: unknown,
  found: readonly Detection[],
  options: object = {},
  colorAt?: (x: number) => string,
): Promise<RewardAnswer> {
  return at(await (await rewardOf(judgesOf(found, colorAt), options)).score([sampleOf(specification)], signal), 0);
}

const three = { tag: 'counting', include: [{ class: 'cup', count: 3 }], exclude: [{ class: 'cup', count: 4 }] };
const cups = (...scores: number[]): Detection[] => scores.map((score, index) => seen('cup', score, box(index * 12)));

describe('the three kinds of credit', () => {
  test.each<[string, number[], number, number, number]>([
    ['as many as are wanted', [0.97, 0.95, 0.92, 0.6], 1, 1, 1],
    ['one too many', [0.97, 0.95, 0.92, 0.91], 0, 0.5, 2 / 3],
    ['two of three', [0.97, 0.95, 0.6], 0, 0.5, 2 / 3],
    ['none', [], 0, 0, 0],
    ['a crowd', [0.99, 0.98, 0.97, 0.96, 0.95, 0.94, 0.93], 0, 0.5, 0],
  ])('counting: %s', async (_, scores, verdict, atoms, counts) => {
    for (const [credit, value] of Object.entries({ verdict, atoms, counts }))
      expect(await scored(three, cups(...scores), { credit }), credit).toMatchObject({
        value: expect.closeTo(value, 12),
        parts: { right: verdict, atoms },
      });
  });

  test('colors are those of the surest objects, or of any in the corrected rules', async () => {
    const red = { tag: 'colors', include: [{ class: 'cup', count: 1, color: 'red' }] };
    const colorAt = (x: number): string => (x === 0 ? 'blue' : 'red');
    const two = cups(0.9, 0.8);
    expect(await scored(red, two, {}, colorAt)).toMatchObject({
      value: 0,
      why: expect.stringMatching(/^eye: .*red cup/),
    });
    expect(await scored(red, two, { credit: 'atoms' }, colorAt)).toMatchObject({ value: 0.5 });
    expect(await scored(red, two, { mode: 'corrected' }, colorAt)).toMatchObject({ value: 1 });
  });

  test('positions', async () => {
    const left = {
      tag: 'position',
      include: [
        { class: 'dog', count: 1 },
        { class: 'cup', count: 1, position: ['left of', 0] },
      ],
    };
    const scene = [seen('cup', 0.9, box(0)), seen('dog', 0.8, box(30))];
    expect(await scored(left, scene)).toMatchObject({ value: 1 });
    expect(
      await scored(
        left,
        scene.map(({ label, score }, index) => seen(label, score, box(index === 0 ? 30 : 0))),
        { credit: 'atoms' },
      ),
    ).toMatchObject({ value: expect.closeTo(2 / 3, 12) });
  });
});

test('a prompt without metadata is not judged, and nobody is asked', async () => {
  const nobody: Judge[] = judgesOf([]).map((judge) => ({
    ...judge,
    ...(judge.detect && { detect: () => Promise.reject(new Error('was asked')) }),
  }));
  const reward = await rewardOf(nobody);
  for (const specification of [
    null,
    undefined,
    {},
    'a text',
    { include: [] },
    { tag: 'x', include: [{ class: 'cup', count: 0 }] },
  ])
    expect(await reward.score([sampleOf(specification)], signal)).toEqual([null]);
  await expect(reward.score([sampleOf(three)], signal)).rejects.toThrow('was asked');
});

test('the names of detectors are those of GenEval, and the preset must have both judges', async () => {
  const mouse = { tag: 'single_object', include: [{ class: 'computer mouse', count: 1 }] };
  expect(coco.aliases['mouse']).toBe('computer mouse');
  expect(await scored(mouse, [seen('mouse', 0.4)])).toMatchObject({ value: 1, why: 'eye: found 1 computer mouse' });
  await expect(rewardOf(judgesOf([]).slice(0, 1))).rejects.toMatchObject({ code: 'MISSING_JUDGE' });
});
