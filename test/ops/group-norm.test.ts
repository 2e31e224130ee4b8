import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Tape } from '../../core/autograd/tape.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { groupNorm } from '../../core/ops/group-norm.ts';
import { at, checkOp, randomFloats } from '../../core/testing.ts';

const epsilon = 1e-6;

function oracle(
  shape: readonly number[],
  groups: number,
  hasSilu: boolean,
  x: Float64Array,
  weight: Float64Array,
  bias: Float64Array,
): Float64Array {
  const [images = 0, height = 0, width = 0, channels = 0] = shape;
  const pixels = height * width;
  const size = channels / groups;
  const out = new Float64Array(x.length);
  for (let image = 0; image < images; image++)
    for (let group = 0; group < groups; group++) {
      const members: number[] = [];
      for (let p = 0; p < pixels; p++)
        for (let c = group * size; c < (group + 1) * size; c++) members.push((image * pixels + p) * channels + c);
      const mean = members.reduce((sum, index) => sum + at(x, index), 0) / members.length;
      const variance = members.reduce((sum, index) => sum + (at(x, index) - mean) ** 2, 0) / members.length;
      for (const index of members) {
        const value =
          ((at(x, index) - mean) / Math.sqrt(variance + epsilon)) * at(weight, index % channels) +
          at(bias, index % channels);
        out[index] = hasSilu ? value / (1 + Math.exp(-value)) : value;
      }
    }
  return out;
}

describe('groupNorm', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice();
  });
  afterAll(() => device.close());

  test.each([
    { shape: [2, 6, 6, 16], groups: 8, silu: true },
    { shape: [2, 6, 6, 16], groups: 8, silu: false },
    { shape: [3, 5, 7, 12], groups: 4, silu: true },
    { shape: [1, 1, 1, 8], groups: 2, silu: true },
    { shape: [1, 3, 3, 32], groups: 32, silu: true },
    { shape: [2, 37, 41, 4], groups: 1, silu: true },
  ])('[$shape] in $groups groups, silu $silu', async ({ shape, groups, silu }) => {
    const channels = shape.at(-1) ?? 0;
    const count = shape.reduce((product, n) => product * n, 1);
    await checkOp({
      device,
      inputs: {
        x: { shape, data: randomFloats(count, 1, 2).map((value) => value + 0.5) },
        weight: { shape: [channels], data: randomFloats(channels, 2).map((value) => 1 + value / 2) },
        bias: { shape: [channels], data: randomFloats(channels, 3) },
      },
      op: (tape, { x, weight, bias }) => groupNorm(tape, x, weight, bias, { groups, silu }),
      oracle: ({ x, weight, bias }) => oracle(shape, groups, silu, x, weight, bias),
      valueTolerance: 2e-6,
      gradientTolerance: 5e-5,
    });
  });

  test('a mean a thousand times the deviation does not cancel the variance away', async () => {
    const shape = [1, 24, 24, 8];
    const x = randomFloats(24 * 24 * 8, 4).map((value) => 1000 + value);
    await checkOp<'x' | 'weight' | 'bias'>({
      device,
      inputs: {
        x: { shape, data: x },
        weight: { shape: [8], data: new Float32Array(8).fill(1) },
        bias: { shape: [8], data: new Float32Array(8) },
      },
      op: (tape, { x: input, weight, bias }) => groupNorm(tape, input, weight, bias, { groups: 2 }),
      oracle: ({ x: input, weight, bias }) => oracle(shape, 2, false, input, weight, bias),
      fixed: ['x'],
      // One unit in the last place of 1000 is 6e-5, against values of size 1.
      valueTolerance: 2e-4,
      gradientTolerance: 2e-3,
    });
  });

  test('channels that do not divide into the groups are refused', () => {
    const tape = new Tape(new Workspace(device));
    const x = device.tensor('picture', [1, 2, 2, 8]);
    const weight = device.tensor('norm', [8]);
    expect(() => groupNorm(tape, x, weight, weight, { groups: 3 })).toThrow(
      'picture [1,2,2,8] does not fit norm [8] in 3 groups',
    );
  });
});
