import { afterAll, beforeAll, expect, test } from 'vitest';
import { ParameterSet } from '../../../core/weights/parameters.ts';
import { Workspace } from '../../../core/autograd/workspace.ts';
import type { Tape } from '../../../core/autograd/tape.ts';
import type { PackedTokens, PrefillTarget, Weights } from '../../../core/contracts/backbone.ts';
import { openDevice, type Device } from '../../../core/gpu/device.ts';
import { createSampler, type SampledSequence } from '../../../core/nn/sampler.ts';
import { stepRows } from '../../../core/nn/step-sizes.ts';
import type { Tensor } from '../../../core/tensor/tensor.ts';
import { SmallBackbone } from '../../support/small-backbone.ts';

let device: Device;
beforeAll(async () => {
  device = await openDevice();
});
afterAll(() => device.close());

/** Notes how many tokens, filler included, each prefill program computes. */
class Counting extends SmallBackbone {
  readonly tokens: number[] = [];

  override hidden(tape: Tape, weights: Weights, tokens: PackedTokens, prefill?: PrefillTarget): Tensor {
    this.tokens.push(tokens.count);
    return super.hidden(tape, weights, tokens, prefill);
  }
}

test('what prompts share is computed once: equal ones, and the beginnings of others', async () => {
  const longest = [0, ...Array.from({ length: 25 }, (_, index) => 4 + (index % 19))];
  const prompts = Array.from({ length: 20 }, (_, index) => longest.slice(0, 26 - index));
  const rule = { temperature: 1, topK: 0, topP: 1 };
  const backbone = new Counting();
  const weights = new ParameterSet(device, backbone.parameters, { seed: 4 });
  const draw = async (some: readonly (readonly number[])[], first: number): Promise<SampledSequence[]> => {
    const sampler = await createSampler({
      device,
      workspace: new Workspace(device),
      backbone,
      weights,
      rows: 40,
      prompts: 1,
      promptBudget: 26,
      textBudget: 4,
      imageCount: 3,
      special: { imageStart: 3 },
    });
    const rowKeys = some.flatMap((_, index) => [2 * (first + index), 2 * (first + index) + 1]);
    const result = await sampler.sample({
      prompts: some,
      samplesPerPrompt: 2,
      rowKeys,
      seed: 1,
      text: rule,
      image: rule,
      rationale: 'write',
    });
    sampler.close();
    return result;
  };
  const together = await draw(prompts, 0);
  // 330 tokens of prompts, 660 with both samples: one program of 128 has served them all.
  expect(new Set(backbone.tokens)).toEqual(new Set([128]));
  for (const index of [0, 7, 19])
    expect(await draw([prompts[index] ?? []], index)).toEqual(together.slice(2 * index, 2 * index + 2));
  weights.close();
});

test('a step has room for the active rows, no more than there are, and few sizes', () => {
  for (const most of [1, 7, 8, 11, 12, 60, 128, 1000]) {
    const sizes = Array.from({ length: most }, (_, index) => stepRows(index + 1, most));
    sizes.forEach((size, index) => {
      expect(size).toBeGreaterThanOrEqual(index + 1);
      expect(size).toBeLessThanOrEqual(most);
      if (index > 0) expect(size).toBeGreaterThanOrEqual(sizes[index - 1] ?? 0);
      expect(size).toBeLessThanOrEqual(Math.max(8, 1.5 * (index + 1)));
    });
    expect(new Set(sizes).size).toBeLessThanOrEqual(2 * Math.log2(Math.max(2, most)));
  }
});
