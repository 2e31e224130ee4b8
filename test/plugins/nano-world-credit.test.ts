/** `painted-codes`: which codes of a drawing count. */
import { expect, test } from 'vitest';
import type { AdvantagesEvent, Sample } from '../../core/plugin.ts';
import { createHooks } from '../../core/hooks.ts';
import { paintedCodes } from '../../plugins/nano-world/credit.ts';
import { render } from '../../plugins/nano-world/scene.ts';
import { createSpriteSheet } from '../../plugins/nano-world/sprites.ts';

/** Of a drawing with a cake in the cell in the middle. */
async function weightsOf(
  rationale: string,
  before?: readonly number[],
  otherWeight?: number,
): Promise<readonly (readonly number[])[]> {
  const cake = { classIndex: 4, look: 0, cell: 4, size: 14, dx: 0, dy: 0 } as const;
  const image = { width: 48, height: 48, data: render([cake], createSpriteSheet()) };
  const place = { id: 'a', group: 0, copy: 0, step: 1, phase: 'train', specification: null } as const;
  const codes = Array.from({ length: 36 }, () => 1);
  const sample: Sample = { ...place, prompt: 'p', task: '', rationale, rationaleEnded: true, image, codes };
  // Two tokens of text and the image start.
  const entropy = Array.from({ length: 39 }, () => 1);
  const drawn = { rationaleIds: [1, 2], codes, entropy, logProbability: entropy };
  const judgements = [{ total: 1, scores: {} }];
  const event: AdvantagesEvent = {
    step: 1,
    groupSize: 1,
    samples: [sample],
    judgements,
    advantages: [1],
    drawn: [drawn],
  };
  const extension = await paintedCodes.create(paintedCodes.options.parse({ otherWeight }), {} as never);
  const hooks = createHooks([{ name: 'mine', extension }]);
  return hooks.advantages({ ...event, ...(before !== undefined && { tokenWeights: [before] }) }).tokenWeights ?? [];
}

const text = [1, 1, 1];
/** Six rows of six codes, two by two of each cell. */
const rows = (...weights: readonly string[]): number[] => weights.flatMap((row) => Array.from(row, Number));

test('codes count where something is painted, and where the plan wants something', async () => {
  expect(await weightsOf('nothing that is a plan')).toEqual([
    [...text, ...rows('000000', '000000', '001100', '001100', '000000', '000000')],
  ]);
  expect(await weightsOf('plan : a cake at top left .')).toEqual([
    [...text, ...rows('110000', '110000', '001100', '001100', '000000', '000000')],
  ]);
});

test('weights of an extension before it hold, and the background may count a little', async () => {
  const before = Array.from({ length: 39 }, (_, token) => (token < 3 ? 0.5 : 2));
  const [weights = []] = await weightsOf('', before, 0.25);
  expect(weights.slice(0, 4)).toEqual([0.5, 0.5, 0.5, 0.5]);
  expect(weights[3 + 2 * 6 + 2]).toBe(2);
});
