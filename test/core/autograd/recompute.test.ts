/** Blocks computed again on the way back: the same bits in less memory. */
import { afterAll, expect, test } from 'vitest';
import { ParameterSet } from '../../../core/weights/parameters.ts';
import type { Program } from '../../../core/autograd/program.ts';
import { Workspace } from '../../../core/autograd/workspace.ts';
import { Tape } from '../../../core/autograd/tape.ts';
import type { Backbone } from '../../../core/contracts/backbone.ts';
import { openDevice } from '../../../core/gpu/device.ts';
import { add } from '../../../core/ops/add.ts';
import { linear } from '../../../core/ops/linear.ts';
import { randomFloats } from '../../../core/testing.ts';
import { janusBackbone } from '../../../plugins/janus/backbone.ts';
import { unifiedBackbone } from '../../../plugins/unified/backbone.ts';
import { packTokens } from '../../../core/testing/packed.ts';

const device = await openDevice();
afterAll(() => device.close());

const sizes = {
  hidden: 32,
  layers: 4,
  heads: 4,
  keyValueHeads: 2,
  mlp: 56,
  ropeTheta: 1e4,
  normEpsilon: 1e-6,
  textVocabulary: 40,
  imageVocabulary: 24,
  codeDimension: 8,
};

interface Pass {
  readonly program: Program;
  readonly hidden: Float32Array;
  readonly gradients: ReadonlyMap<string, { readonly data: Float32Array }>;
}

/** Two passes over the same sequences, so that gradients add up as micro-batches do. */
async function pass(backbone: Backbone, recompute: boolean): Promise<Pass> {
  const parameters = new ParameterSet(device, backbone.parameters, { seed: 3, trainable: () => true });
  const sequences = [7, 19, 13, 30].map((length) =>
    Array.from({ length }, (_, index) => ({ id: (index * 5) % 24, isImage: index > length / 2 })),
  );
  const { tokens } = packTokens(device, sequences);
  const tape = new Tape(new Workspace(device), { recompute });
  parameters.watch(tape);
  const hidden = backbone.hidden(tape, parameters, tokens);
  const kept = tape.output(hidden);
  tape.seed(hidden, device.tensor('seed', hidden.shape, 'f32', randomFloats(tokens.count * sizes.hidden, 5)));
  tape.backward();
  const program = await tape.finish('pass');
  program.run();
  program.run();
  return { program, hidden: await device.readFloats(kept), gradients: await parameters.read('gradients') };
}

test.each([
  ['janus', janusBackbone('test', sizes)],
  ['unified', unifiedBackbone('test', { ...sizes, queryKeyNorm: true })],
])('%s: every gradient has the same bits, and the program needs less than half', async (_name, backbone) => {
  const kept = await pass(backbone, false);
  const again = await pass(backbone, true);
  expect(again.hidden).toEqual(kept.hidden);
  expect(again.gradients.size).toBe(backbone.parameters.length);
  for (const [name, { data }] of kept.gradients) {
    if (!/head/.test(name))
      expect(
        data.some((value) => value !== 0),
        `${name} has a gradient`,
      ).toBe(true);
    expect(again.gradients.get(name)?.data, name).toEqual(data);
  }
  expect(again.program.plan.bytes).toBeLessThan(kept.program.plan.bytes / 2);
  // A second forward pass, but for what only led to the residual stream at its end.
  expect(again.program.launchCount).toBeGreaterThan(kept.program.launchCount);
});

test('what a block computes again and nobody reads is left out', async () => {
  const record = (recompute: boolean): Promise<Program> => {
    const tape = new Tape(new Workspace(device), { recompute });
    const x = device.tensor('x', [8, 8]);
    const [weight, other] = [device.tensor('weight', [8, 8]), device.tensor('other', [8, 8])];
    tape.watch(weight, device.tensor('d weight', [8, 8]));
    tape.watch(other, device.tensor('d other', [8, 8]));
    const out = tape.block(() => {
      const inner = linear(tape, x, weight);
      return add(tape, inner, linear(tape, inner, other));
    });
    tape.seed(out, x);
    tape.backward();
    return tape.finish('block');
  };
  // Three launches forward; of these only the first is needed again.
  expect((await record(true)).launchCount).toBe((await record(false)).launchCount + 1);
});

test('a block on a tape that watches nothing is just recorded', () => {
  const tape = new Tape(new Workspace(device), { recompute: true });
  const x = device.tensor('x', [8, 8]);
  const out = tape.block(() => linear(tape, x, device.tensor('weight', [8, 8])));
  tape.seed(out, x);
  tape.backward();
  expect(tape.recorded).toHaveLength(1);
});
