/** A policy that is paid for pictures that show nothing: the run says so soon, also when it was interrupted; one that is paid for what was asked says nothing. */
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { curve, type Ended, metricsOf, root, Workplace } from '../../../support/runs.ts';

const place = new Workplace();

/** Rewards as one writes them: one that pays for the cheapest picture of all, one for the right color in the first field and nothing else. */
const plugin = (): string =>
  place.write(
    'paid.ts',
    `import { definePlugin, definePointwiseReward, z } from '${join(root, 'core/plugin.ts')}';
import { colorNames, fields } from '${join(root, 'test/support/colors.ts')}';
const one = (name, score) =>
  definePointwiseReward({ name, summary: 'a test', options: z.strictObject({}), create: () => ({ score }) });
export default definePlugin({ name: 'paid', provides: [
  one('emptiness', ({ image }) => {
    const seen = fields(image, 2);
    return Math.max(...seen.map((color) => seen.filter((each) => each === color).length)) / 4;
  }),
  one('first-field', ({ image, specification }) => Number(colorNames[fields(image, 2)[0]] === specification)),
] });
`,
  );

function preset(name: string, rewards: string): string {
  return place.preset(
    name,
    `plugins: [${plugin()}]
rewards: ${rewards}
optimizer: { use: adamw, learningRate: 1e-2 }
recipe: { use: grpo, steps: 20, prompts: 4, groupSize: 8, rationale: false, evaluations: 0, imageTemperature: 1, saveEvery: 20 }`,
  );
}

const alarms = ({ lines }: Ended): string[] => lines.filter((line) => line.includes('guard hacking'));

describe('a reward that pays for blank pictures, with a judge that is held out', () => {
  let hacked: Ended;
  let file: string;
  beforeAll(async () => {
    file = preset('hacked', '[emptiness, { use: first-field, heldOut: true }]');
    hacked = await place.run(file);
  });

  test('raises the alarm within 20 steps', () => {
    expect(alarms(hacked)[0]).toMatch(/show nothing|differ by/);
    expect(curve(hacked.directory, 'reward/emptiness').at(-1)).toBeGreaterThan(0.9);
  });

  test('raises it at the same step when it was stopped in between and went on', async () => {
    const at = Number(/step (\d+)/.exec(alarms(hacked)[0] ?? '')?.[1]);
    const stopped = await place.run(file, { stopAfter: at - 2 });
    expect(alarms(stopped)).toEqual([]);
    const resumed = await place.run(file, { resume: stopped });
    expect(alarms(resumed)).toEqual(alarms(hacked));
    expect(metricsOf(resumed.directory).length).toBe(20);
  });
});

test('a reward that pays for what was asked raises none', async () => {
  const clean = await place.run(preset('clean', '[first-field, { use: emptiness, heldOut: true }]'));
  expect(alarms(clean)).toEqual([]);
  expect(metricsOf(clean.directory)).toHaveLength(20);
  expect(Math.max(...curve(clean.directory, 'reward/emptiness'))).toBeLessThan(0.6);
});
