/** Two hundred pairs of right and nearly right pictures: what they hold is what their labels say. */
import { describe, expect, test } from 'vitest';
import { at } from '../../core/testing.ts';
import { createDetector } from '../../plugins/nano-world/detector.ts';
import { createSpriteSheet } from '../../plugins/nano-world/sprites.ts';
import { gradeOf, judgeScene } from '../../plugins/nano-world/verdict.ts';
import { nearMisses } from '../support/near-misses.ts';

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
