/**
 * Qwen-VL with every matrix in codes of 8 and 4 bits. Two things are told apart: what a kernel makes of the codes, which is the model of the decoded values
 * to rounding; and what the codes cost, by stated bounds. The fixtures' rows are mostly no whole groups of 64, so that few of their matrices are codes.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Workspace } from '../../../core/autograd/workspace.ts';
import { openDevice, type Device } from '../../../core/gpu/device.ts';
import { maximumError, relativeError } from '../../../core/testing.ts';
import { ParameterSet } from '../../../core/weights/parameters.ts';
import { storedType } from '../../../core/weights/layout.ts';
import type { LookingConfig } from '../../../plugins/qwen-vl/config.ts';
import { qwenForward } from '../../support/qwen-forward.ts';

let device: Device;
let workspace: Workspace;
beforeAll(async () => {
  device = await openDevice();
  workspace = new Workspace(device);
});
afterAll(() => device.close());

const common = { layers: 2, ropeTheta: 10_000 };
const text = {
  ...{ ...common, hidden: 64, heads: 4, keyValueHeads: 2, headDimension: 16, sections: [2, 3, 3], mlp: 128 },
  ...{ normEpsilon: 1e-6, vocabulary: 67, maxPositions: 64, isTied: false },
};
const vision = { ...common, frames: 2, width: 64, heads: 4, mlp: 128, patchSize: 4, merge: 2, hidden: 64 };
const whole: Readonly<Record<string, LookingConfig>> = {
  'Qwen2.5-VL': {
    family: 'qwen2.5-vl',
    text,
    vision: { ...vision, windows: { side: 2, fullBlocks: [1] }, deepstack: [] },
  },
  'Qwen3-VL': { family: 'qwen3-vl', text, vision: { ...vision, table: { side: 5 }, deepstack: [1] } },
};

describe.each(Object.entries(whole))('%s with every matrix in codes', (_name, config) => {
  // By the norm: a step of 4 bits is a fifteenth of a group's range, one of 8 bits a 255th.
  test.each([
    ['int8', 1e-2],
    ['int4', 2e-1],
  ] as const)('%s', async (storage, bound) => {
    const forward = qwenForward(config, 0.15);
    const matrices = forward.specs.filter(({ shape, exact }) => shape.length === 2 && exact !== true);
    expect(matrices.map((spec) => storedType(spec, storage))).toEqual(matrices.map(() => storage));
    const weights = new ParameterSet(device, forward.specs, { seed: 0, storage, initialize: 'none' });
    weights.load(forward.values, 'test');
    const found = await forward.onDevice(workspace, weights);
    const decoded = forward.inFloat64(await weights.read());
    expect(maximumError(found.vectors, decoded.vectors)).toBeLessThan(1e-4);
    expect(maximumError(found.logits, decoded.logits)).toBeLessThan(2e-4);
    const exact = forward.inFloat64(forward.values);
    for (const part of ['vectors', 'logits'] as const) {
      const error = relativeError(found[part], exact[part]);
      expect(error).toBeLessThan(bound);
      expect(error).toBeGreaterThan(bound / 100);
    }
    weights.close();
  });
});
