/** A whole Qwen2.5-VL learns to look: gradients of an answer's likelihood, back through decoder, merger and tower to the pixels' own matrix, against differences. */
import { afterAll, expect, test } from 'vitest';
import { Workspace } from '../../../core/autograd/workspace.ts';
import { Tape } from '../../../core/autograd/tape.ts';
import { openDevice } from '../../../core/gpu/device.ts';
import { placePictures } from '../../../core/nn/features.ts';
import { createPackedInputs } from '../../../core/nn/packed-inputs.ts';
import { packSequences } from '../../../core/nn/packing.ts';
import { createPictureInputs } from '../../../core/nn/picture-inputs.ts';
import { tokenLogProbability } from '../../../core/ops/log-probability.ts';
import { gatherRows } from '../../../core/ops/rows.ts';
import { at, randomFloats, randomWords } from '../../../core/testing.ts';
import { ParameterSet } from '../../../core/weights/parameters.ts';
import { qwenBackbone } from '../../../plugins/qwen-vl/backbone.ts';
import type { LookingConfig } from '../../../plugins/qwen-vl/config.ts';

const config: LookingConfig = {
  family: 'qwen2.5-vl',
  text: {
    ...{ hidden: 48, layers: 2, heads: 4, keyValueHeads: 2, headDimension: 12, sections: [2, 2, 2], mlp: 40 },
    ...{ ropeTheta: 10_000, normEpsilon: 1e-6, vocabulary: 67, maxPositions: 64, isTied: false },
  },
  vision: {
    ...{ layers: 2, frames: 2, ropeTheta: 10_000, width: 32, heads: 2, mlp: 36, patchSize: 4, merge: 2, hidden: 48 },
    ...{ windows: { side: 1, fullBlocks: [1] }, deepstack: [] },
  },
};
const rules = { minPixels: 64, maxPixels: 6400, mean: [0.4, 0.5, 0.6], deviation: [0.2, 0.3, 0.4] };

const device = await openDevice();
afterAll(() => device.close());

test('every matrix, by a step along its gradient', async () => {
  const backbone = qwenBackbone('learning', config, rules);
  const { vision } = backbone;
  if (vision === undefined) throw new Error('it does not look');
  const workspace = new Workspace(device);
  const specs = [...backbone.parameters, ...vision.parameters];
  const weights = new ParameterSet(device, specs, { seed: 1, trainable: () => true });
  const values = new Map(
    specs.map(({ name, shape, init }, index) => {
      const isGain = 'constant' in init && init.constant === 1;
      const count = shape.reduce((a, b) => a * b, 1);
      return [name, { shape, data: randomFloats(count, index + 1, 0.2).map((v) => v + (isGain ? 1 : 0)) }] as const;
    }),
  );
  weights.load(values, 'test');
  const picture = { width: 24, height: 24, data: Uint8Array.from(randomWords(24 * 24 * 3, 3, 256)) };
  const span = vision.span(picture);
  const ids = [7, 8, ...new Array<number>(span.vectors).fill(5), 9, 10, 11, 12, 13];
  const placed = placePictures(ids, 5, [span], 3);
  const sequence = { text: ids, firstTarget: ids.length - 2, codes: [], trailing: [] };
  const batch = packSequences([{ ...sequence, features: placed.at, positions: placed.positions }]);
  const inputs = createPackedInputs(device, batch, backbone);
  inputs.fill(batch);
  const tape = new Tape(workspace);
  weights.watch(tape);
  const features = vision.features(tape, weights, createPictureInputs(device, vision.layOut([picture])));
  const hidden = backbone.hidden(tape, weights, { ...inputs.tokens, features });
  const states = gatherRows(tape, hidden, inputs.textTargets.rows);
  const logits = backbone.textLogits(tape, weights, states);
  const scored = tokenLogProbability(tape, logits, inputs.textTargets.ids, { temperature: 1 });
  const slopes = Float32Array.from({ length: batch.text.count * 2 }, (_, index) =>
    index % 2 === 0 && index / 2 < batch.text.used ? 1 : 0,
  );
  const out = tape.output(scored);
  tape.seed(scored, device.tensor('slopes', [batch.text.count, 2], 'f32', slopes));
  tape.backward();
  const program = await tape.finish('learn');
  const likelihood = async (): Promise<number> => {
    program.run();
    const found = await device.readFloats(out);
    return slopes.reduce((sum, slope, index) => sum + slope * at(found, index), 0);
  };
  await likelihood();
  const gradients = await weights.read('gradients');
  const matrices = specs.filter(({ shape }) => shape.length >= 2);
  for (const { name, shape } of matrices) {
    const gradient = gradients.get(name)?.data ?? new Float32Array();
    const square = gradient.reduce((sum, value) => sum + value * value, 0);
    expect(square, name).toBeGreaterThan(1e-3);
    const length = 5e-3 / Math.sqrt(square);
    const moved = async (sign: number): Promise<number> => {
      const data = (values.get(name)?.data ?? gradient).map(
        (value, index) => value + sign * length * at(gradient, index),
      );
      weights.load(new Map([...values, [name, { shape, data }]]), 'test');
      return likelihood();
    };
    const slope = ((await moved(1)) - (await moved(-1))) / (2 * length);
    expect(Math.abs(slope / square - 1), name).toBeLessThan(0.02);
  }
  weights.close();
});
