/**
 * Weights stored in 16 bits against the f32 run on the same fixture. The bounds are what a run in 16 bits costs a 24-layer model of the
 * 1B shape in PyTorch: hidden states apart by 8e-3 of their norm in f16 and 6e-2 in bf16, logits of spread 1.36 by at most 0.07 and 0.5.
 */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { at, maximumError, relativeError } from '../../core/testing.ts';
import { packTokens } from '../../core/testing/packed.ts';
import { compute, type Bench } from './comparison.ts';
import { loadFixture } from './fixture.ts';
import { imageTokens, rowsOf, textTokens } from './tokens.ts';

const storages = { f16: { hidden: 8e-3, logits: 0.07 }, bf16: { hidden: 6e-2, logits: 0.5 } } as const;
const spreadOfBounds = 1.36;

describe.each(['tiny-a', 'tiny-b'])('%s', (name) => {
  let device: Device;
  let bench: Bench;
  beforeAll(async () => {
    device = await openDevice();
    bench = {
      device,
      workspace: new Workspace(device),
      fixture: await loadFixture(fileURLToPath(new URL(`./janus/${name}`, import.meta.url)), 'huggingface'),
    };
  });
  afterAll(() => device.close());

  const run = async (storage: 'f32' | keyof typeof storages): Promise<Float32Array[]> => {
    const { fixture } = bench;
    const [prompt = []] = rowsOf(fixture, 'image.prompt_ids');
    const [codes = []] = rowsOf(fixture, 'image.codes');
    const packed = packTokens(device, [[...textTokens(prompt), ...imageTokens(codes)]]);
    const weights = await fixture.weights(device, false, storage);
    const values = await compute(bench, (tape) => {
      const states = fixture.backbone.hidden(tape, weights, packed.tokens);
      return [
        states,
        fixture.backbone.textLogits(tape, weights, states),
        fixture.backbone.imageLogits(tape, weights, states),
      ];
    });
    weights.close();
    return values;
  };

  test.each(Object.keys(storages) as (keyof typeof storages)[])('%s', async (storage) => {
    const [exact, rounded] = [await run('f32'), await run(storage)];
    const [hidden = new Float32Array(), ...logits] = exact;
    const [roundedHidden = new Float32Array(), ...roundedLogits] = rounded;
    const apart = relativeError(roundedHidden, hidden);
    expect(apart).toBeLessThan(storages[storage].hidden);
    // It was stored in fewer bits.
    expect(apart).toBeGreaterThan(1e-6);
    logits.forEach((values, index) => {
      const spread = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
      expect(maximumError(roundedLogits[index] ?? [], values) / spread).toBeLessThan(
        storages[storage].logits / spreadOfBounds,
      );
      expect(Number.isFinite(at(values, 0))).toBe(true);
    });
  });
});
