/** The guided scorer through the fused head against guidance on whole logits: one meaning, values and gradients. */
import { expect, test } from 'vitest';
import { ParameterSet } from '../../../core/weights/parameters.ts';
import { Workspace } from '../../../core/autograd/workspace.ts';
import type { Tape } from '../../../core/autograd/tape.ts';
import type { Backbone, Head, Weights } from '../../../core/contracts/backbone.ts';
import type { Tokenizer } from '../../../core/contracts/tokenizer.ts';
import { TokenPrograms } from '../../../core/nn/token-program.ts';
import { linear } from '../../../core/ops/linear.ts';
import { packCompletions } from '../../../core/recipes/grpo/completions.ts';
import type { Tensor } from '../../../core/tensor/tensor.ts';
import { relativeError } from '../../../core/testing.ts';
import { testDevice } from '../../ops/device.ts';
import { SmallBackbone } from '../../support/small-backbone.ts';

const device = await testDevice();
const imageStart = 3;
const tokenizer = {
  special: { imageStart },
  unconditional: (ids: readonly number[]) => ids.map((id, index) => (index === 0 || index === ids.length - 1 ? id : 2)),
} as unknown as Tokenizer;

/** Codes enough for the head to be made in chunks, and a bias, which guidance must leave as it is. */
const codes = 4200;
class LargeBackbone extends SmallBackbone {
  override readonly imageVocabulary: number = codes;
  override readonly parameters = [
    ...new SmallBackbone().parameters.filter(({ name }) => !name.startsWith('image')),
    { name: 'image', shape: [codes, 32], init: { normal: 1 } },
    { name: 'image head', shape: [codes, 32], init: { normal: 0.2 } },
    { name: 'image bias', shape: [codes], init: { normal: 1 } },
  ];

  override imageLogits(tape: Tape, weights: Weights, hidden: Tensor): Tensor {
    return linear(tape, hidden, weights.get('image head'), weights.get('image bias'));
  }
}

class FusedBackbone extends LargeBackbone {
  imageHead(_tape: Tape, weights: Weights, hidden: Tensor): Head {
    return { states: hidden, weight: weights.get('image head'), bias: weights.get('image bias') };
  }
}

async function score(
  backbone: Backbone,
  detach: boolean,
): Promise<{ values: Float32Array; gradients: Map<string, Float32Array> }> {
  const member = (seed: number): Parameters<typeof packCompletions>[0][number] => ({
    sequence: {
      promptIds: [1, 5, 6, 9],
      rationaleIds: [7, 8],
      imageStartForced: false,
      codes: [seed, 4100 + seed, 77, 2000 - seed],
      logProbability: new Float32Array(7),
    },
    advantage: 1,
    step: 1,
  });
  const choice = {
    rationale: true,
    guidance: 4,
    textTemperature: 1,
    imageTemperature: 1,
    textWeight: 1,
    imageWeight: 1,
    rationaleTokens: 6,
  };
  const parameters = new ParameterSet(device, backbone.parameters, { seed: 5, trainable: () => true });
  const programs = new TokenPrograms({
    name: 'guided',
    workspace: new Workspace(device),
    backbone,
    parameters,
    temperature: { text: device.scalar('text temperature', 1), image: device.scalar('image temperature', 0.9) },
    guidance: { weight: device.scalar('guidance', 4), detach },
    objective: (_tape, scored) => {
      const part = (tensor: Tensor | undefined) => {
        if (tensor === undefined) return undefined;
        const count = tensor.shape[0] ?? 0;
        return {
          dOut: device.tensor(
            'd out',
            [count, 2],
            'f32',
            Float32Array.from({ length: count * 2 }, (_, index) => Math.cos(index)),
          ),
          inputs: {},
          outputs: {},
        };
      };
      return { text: part(scored.text), image: part(scored.image) };
    },
  });
  const { program, scored } = await programs.prepare(packCompletions([member(1), member(9)], tokenizer, choice));
  program.run();
  if (scored.image === undefined) throw new Error('no image tokens');
  const values = await device.readFloats(scored.image);
  const gradients = new Map([...(await parameters.read('gradients'))].map(([name, { data }]) => [name, data]));
  await programs.close();
  parameters.close();
  return { values, gradients };
}

test.each([false, true])('unconditional branch detached: %s', async (detach) => {
  const whole = await score(new LargeBackbone(), detach);
  const fused = await score(new FusedBackbone(), detach);
  expect(relativeError(fused.values, whole.values)).toBeLessThan(1e-5);
  for (const [name, gradient] of whole.gradients)
    expect(relativeError(fused.gradients.get(name) ?? [], gradient), name).toBeLessThan(1e-4);
});
