/** Two hundred pairs of right and nearly right pictures: what they hold is what their labels say, and a score by single questions tells them apart. */
import { describe, expect, test } from 'vitest';
import type { Component, Judge, Sample, Score } from '../../core/plugin.ts';
import { at } from '../../core/testing.ts';
import chatJudge from '../../plugins/chat-judge/index.ts';
import { questionsByRule } from '../../core/questions/atomic.ts';
import { createDetector } from '../../plugins/nano-world/detector.ts';
import { createSpriteSheet } from '../../plugins/nano-world/sprites.ts';
import { gradeOf, judgeScene } from '../../plugins/nano-world/verdict.ts';
import { nearMisses, type NearMiss } from '../support/near-misses.ts';
import { sceneEye } from '../support/scene-eye.ts';

const pairs = nearMisses(200, 1);
const inspect = createDetector(createSpriteSheet());

describe('the labelled pairs', () => {
  test('are the same for a seed, and of three kinds in equal parts', () => {
    expect(nearMisses(9, 1)).toEqual(pairs.slice(0, 9));
    expect(nearMisses(9, 2)).not.toEqual(pairs.slice(0, 9));
    for (const miss of ['count', 'color', 'side'])
      expect(pairs.filter((pair) => pair.miss === miss).length).toBeGreaterThan(65);
    expect(new Set(pairs.map(({ prompt }) => prompt)).size).toBeGreaterThan(120);
  });

  test('one picture is right, the other wrong in one thing only', () => {
    for (const { prompt, miss, specification, right, wrong } of pairs) {
      const [good, bad] = [right, wrong].map(({ data }) => judgeScene(specification, inspect(data)));
      expect(good?.strict, prompt).toBe(true);
      expect(bad?.geneval, prompt).toBe(false);
      expect(good && gradeOf(good, false), prompt).toBe(1);
      const atoms = { count: bad?.count ?? 1, color: Math.min(1, ...(bad?.colored ?? [])), side: bad?.relation ?? 1 };
      for (const [kind, atom] of Object.entries(atoms)) expect(atom < 1, `${prompt}: ${kind}`).toBe(kind === miss);
      expect(
        bad?.present.every((each) => each === 1),
        prompt,
      ).toBe(true);
    }
  });

  test('metadata say what the prompt says, in the form of GenEval', () => {
    for (const { prompt, metadata } of pairs) {
      const words = prompt.split(/\W+/);
      for (const { class: name, color, position } of metadata.include) {
        expect(prompt).toContain(name);
        if (color !== undefined) expect(words).toContain(color);
        // What stands behind the relation is what it is told from.
        if (position !== undefined)
          expect(prompt).toMatch(new RegExp(`${name} ${position[0]} an? ${at(metadata.include, position[1]).class}$`));
      }
    }
  });
});

describe('a score by single questions, of a judge with a script that is never quite sure', () => {
  /** The share of pairs of which the right picture is worth more. */
  async function ranked(
    judge: Judge,
    aggregate: string,
    some: readonly NearMiss[] = pairs,
    hasMetadata = true,
  ): Promise<number> {
    const component = chatJudge.provides.find(({ slot }) => slot === 'reward') as Component<'reward'>;
    const options = component.options.parse({ judge: 'eye', mode: 'decomposed', aggregate });
    const reward = await component.create(options, { getAll: async () => [judge] } as never);
    const sample = ({ prompt, metadata }: NearMiss, image: Sample['image']): Sample =>
      ({ prompt, specification: hasMetadata ? metadata : null, image }) as Sample;
    const samples = some.flatMap((pair) => [sample(pair, pair.right), sample(pair, pair.wrong)]);
    const values = (await reward.score(samples, new AbortController().signal)).map((score) => (score as Score).value);
    return some.filter((_, index) => at(values, 2 * index) > at(values, 2 * index + 1)).length / some.length;
  }

  test.each(['product', 'geometric-mean', 'mean'])(
    '%s: the right picture of every pair is worth more',
    async (aggregate) => {
      expect(await ranked(sceneEye(0.15), aggregate)).toBe(1);
    },
  );

  test('doubt costs some of them, and a judge that does not look ranks by chance', async () => {
    const doubtful = await ranked(sceneEye(0.6), 'product');
    expect(doubtful).toBeGreaterThan(0.6);
    expect(doubtful).toBeLessThan(1);
    const blind = await ranked(sceneEye(0, { blind: true }), 'product');
    expect(blind).toBeGreaterThan(0.25);
    expect(blind).toBeLessThan(0.7);
  });

  test('questions that the judge has written itself do as well', async () => {
    for (const pair of pairs.slice(0, 6)) {
      const written = `Here they are:\n${JSON.stringify(questionsByRule(pair.metadata))}`;
      expect(await ranked(sceneEye(0.15, { written }), 'product', [pair], false), pair.prompt).toBe(1);
    }
  });
});
