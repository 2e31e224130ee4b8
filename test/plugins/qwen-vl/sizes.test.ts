/** Sizes no published model has, against float64: heads that are no whole vectors, grouped heads, widths that are no multiple of four, odd vocabularies. */
import { afterAll, describe, expect, test } from 'vitest';
import { Workspace } from '../../../core/autograd/workspace.ts';
import { openDevice } from '../../../core/gpu/device.ts';
import { ParameterSet } from '../../../core/weights/parameters.ts';
import { maximumError } from '../../../core/testing.ts';
import type { LookingConfig } from '../../../plugins/qwen-vl/config.ts';
import { qwenForward } from '../../support/qwen-forward.ts';

const device = await openDevice();
const workspace = new Workspace(device);
afterAll(() => device.close());

const text = { layers: 3, ropeTheta: 10_000, normEpsilon: 1e-6, maxPositions: 64 };
const vision = { layers: 3, frames: 2, ropeTheta: 10_000, deepstack: [] };
const cases: Readonly<Record<string, LookingConfig>> = {
  'windows, heads of 20 and of 10': {
    family: 'qwen2.5-vl',
    text: {
      ...text,
      ...{ hidden: 30, heads: 6, keyValueHeads: 2, headDimension: 10, sections: [1, 3, 1] },
      ...{ mlp: 41, vocabulary: 67, isTied: true },
    },
    vision: {
      ...vision,
      ...{ width: 40, heads: 2, mlp: 27, patchSize: 3, merge: 2, hidden: 30 },
      windows: { side: 2, fullBlocks: [1] },
    },
  },
  'squares of three, heads of 4 and of 12': {
    family: 'qwen2.5-vl',
    text: {
      ...text,
      ...{ hidden: 33, heads: 3, keyValueHeads: 1, headDimension: 12, sections: [2, 2, 2] },
      ...{ mlp: 20, vocabulary: 51, isTied: false },
    },
    vision: {
      ...vision,
      ...{ width: 12, heads: 3, mlp: 30, patchSize: 2, merge: 3, hidden: 33 },
      windows: { side: 1, fullBlocks: [2] },
    },
  },
  'deepstack, heads of 12 and of 14': {
    family: 'qwen3-vl',
    text: {
      ...text,
      ...{ hidden: 26, heads: 4, keyValueHeads: 2, headDimension: 14, sections: [3, 2, 2] },
      ...{ mlp: 37, vocabulary: 71, isTied: false },
    },
    vision: {
      ...vision,
      ...{ width: 36, heads: 3, mlp: 22, patchSize: 4, merge: 2, hidden: 26, table: { side: 5 }, deepstack: [2, 0] },
    },
  },
};

describe.each(Object.entries(cases))('%s', (_name, config) => {
  test('vectors and logits agree with float64', async () => {
    const forward = qwenForward(config);
    const weights = new ParameterSet(device, forward.specs, { seed: 0, initialize: 'none' });
    weights.load(forward.values, 'test');
    const found = await forward.onDevice(workspace, weights);
    const expected = forward.inFloat64(forward.values);
    // Numbers as large as these are told apart.
    for (const numbers of [expected.vectors, expected.logits])
      expect(Math.max(...Array.from(numbers))).toBeGreaterThan(0.5);
    expect(maximumError(found.vectors, expected.vectors)).toBeLessThan(1e-4);
    expect(maximumError(found.logits, expected.logits)).toBeLessThan(2e-4);
    weights.close();
  });
});
