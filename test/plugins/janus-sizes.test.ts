/** Sizes no published model has: heads of any even width, grouped heads, widths that are no multiple of four, odd vocabularies and depths. */
import { afterAll, describe, expect, test } from 'vitest';
import { ParameterSet } from '../../core/weights/parameters.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { openDevice } from '../../core/gpu/device.ts';
import { createSampler } from '../../core/nn/sampler.ts';
import { createPictureInputs } from '../../core/nn/picture-inputs.ts';
import { tokenLogProbability } from '../../core/ops/log-probability.ts';
import { gatherRows } from '../../core/ops/rows.ts';
import { at, maximumError, randomFloats, randomWords } from '../../core/testing.ts';
import type { Tensor } from '../../core/tensor/tensor.ts';
import { janusBackbone, type JanusSizes } from '../../plugins/janus/backbone.ts';
import { JanusOracle, type OracleToken } from '../support/janus-oracle.ts';
import { packTokens } from '../../core/testing/packed.ts';

const device = await openDevice();
const workspace = new Workspace(device);
afterAll(() => device.close());

const common = { ropeTheta: 10000, normEpsilon: 1e-6, codeDimension: 8 };
const cases: Record<string, JanusSizes> = {
  'heads of 10, grouped': {
    ...common,
    hidden: 40,
    layers: 2,
    heads: 4,
    keyValueHeads: 2,
    mlp: 50,
    textVocabulary: 131,
    imageVocabulary: 51,
    vision: { imageSize: 9, patchSize: 3, width: 18, layers: 2, heads: 3, mlp: 37, normEpsilon: 1e-6, alignerDepth: 3 },
  },
  'width 30': {
    ...common,
    hidden: 30,
    layers: 2,
    heads: 5,
    keyValueHeads: 1,
    mlp: 33,
    textVocabulary: 67,
    imageVocabulary: 41,
    codeAlignerLayers: 1,
    vision: {
      imageSize: 10,
      patchSize: 5,
      width: 22,
      layers: 1,
      heads: 2,
      mlp: 44,
      normEpsilon: 1e-6,
      alignerDepth: 1,
    },
  },
  'heads wider than the stream': {
    ...common,
    hidden: 24,
    layers: 1,
    heads: 3,
    keyValueHeads: 3,
    headDimension: 20,
    mlp: 44,
    textVocabulary: 33,
    imageVocabulary: 29,
    codeAlignerLayers: 3,
    vision: { imageSize: 8, patchSize: 2, width: 20, layers: 1, heads: 1, mlp: 20, normEpsilon: 1e-6, alignerDepth: 2 },
  },
};

describe.each(Object.entries(cases))('%s', (_name, sizes) => {
  const backbone = janusBackbone('odd', sizes);
  const { vision } = backbone;
  if (vision === undefined) throw new Error('no vision');
  const blank = vision.fit({ width: 1, height: 1, data: new Uint8Array(3) });
  const { vectors } = vision.span(blank);
  const specs = [...backbone.parameters, ...vision.parameters].map((spec) => ({ ...spec, shape: spec.shape }));
  const values = new Map(
    specs.map(({ name, shape }, index) => [
      name,
      {
        shape,
        data: randomFloats(
          shape.reduce((a, b) => a * b, 1),
          index + 1,
          0.5,
        ),
      },
    ]),
  );
  const makeWeights = (trained: boolean): ParameterSet => {
    const weights = new ParameterSet(device, specs, { seed: 0, trainable: () => trained });
    weights.load(values, 'test');
    return weights;
  };
  const patchSize = 3 * (sizes.vision?.patchSize ?? 0) ** 2;
  const patches = randomFloats(vectors * patchSize, 77);
  const oracle = new JanusOracle(sizes, values);
  const seen = oracle.features(
    Array.from({ length: vectors }, (_, i) => Array.from(patches.subarray(i * patchSize, (i + 1) * patchSize))),
  );
  const text = Array.from(randomWords(4, 5, sizes.textVocabulary));
  const codes = Array.from(randomWords(5, 6, sizes.imageVocabulary));
  const sequence: OracleToken[] = [
    ...text.map((id) => ({ text: id })),
    ...seen.map((vector) => ({ vector })),
    { text: 1 },
    ...codes.map((code) => ({ code })),
  ];
  const tokens = [
    ...text.map((id) => ({ id, isImage: false })),
    ...seen.map(() => ({ id: 0, isImage: false, isFeature: true })),
    { id: 1, isImage: false },
    ...codes.map((id) => ({ id, isImage: true })),
  ];

  /** Features, hidden states and both kinds of logits of the sequence, after a shorter one. */
  const record = (tape: Tape, weights: ParameterSet): { features: Tensor; text: Tensor; image: Tensor } => {
    const inputs = createPictureInputs(device, vision.layOut([blank]));
    device.write(inputs.get('patches'), patches);
    const features = vision.features(tape, weights, inputs);
    const packed = packTokens(device, [tokens.slice(0, 3), tokens], features);
    const hidden = backbone.hidden(tape, weights, packed.tokens);
    const rows = device.tensor(
      'rows',
      [tokens.length],
      'u32',
      Uint32Array.from(tokens, (_, index) => packed.row(1, index)),
    );
    const states = gatherRows(tape, hidden, rows);
    return {
      features,
      text: backbone.textLogits(tape, weights, states),
      image: backbone.imageLogits(tape, weights, states),
    };
  };

  test('features and logits of both heads agree with float64', async () => {
    const weights = makeWeights(false);
    const tape = new Tape(workspace);
    const recorded = record(tape, weights);
    const kept = [recorded.features, recorded.text, recorded.image].map((tensor) => tape.output(tensor));
    (await tape.finish('odd sizes')).run();
    const [features = [], textLogits = [], imageLogits = []] = await device.read(kept);
    const states = oracle.hidden(sequence);
    expect(maximumError(features, seen.flat())).toBeLessThan(2e-4);
    expect(
      maximumError(
        textLogits,
        states.flatMap((state) => oracle.textLogits(state)),
      ),
    ).toBeLessThan(2e-4);
    expect(
      maximumError(
        imageLogits,
        states.flatMap((state) => oracle.imageLogits(state)),
      ),
    ).toBeLessThan(2e-4);
    weights.close();
  });

  test('the gradient of every weight, tower and aligners included, is the slope of the float64 loss', async () => {
    const weights = makeWeights(true);
    const tape = new Tape(workspace);
    weights.watch(tape);
    const { text: textLogits, image: imageLogits } = record(tape, weights);
    for (const logits of [textLogits, imageLogits]) {
      const ids = device.tensor('ids', [tokens.length], 'u32', new Uint32Array(tokens.length).fill(3));
      const scored = tokenLogProbability(tape, logits, ids, { temperature: 1 });
      tape.seed(
        scored,
        device.tensor(
          'slope',
          [tokens.length, 2],
          'f32',
          Float32Array.from({ length: tokens.length * 2 }, (_, i) => (i % 2 === 0 ? 1 : 0)),
        ),
      );
    }
    tape.backward();
    (await tape.finish('odd gradients')).run();
    const gradients = await weights.read('gradients');
    const loss = (changed: ReadonlyMap<string, { shape: readonly number[]; data: ArrayLike<number> }>): number => {
      const model = new JanusOracle(sizes, changed);
      const seenNow = model.features(
        Array.from({ length: vectors }, (_, i) => Array.from(patches.subarray(i * patchSize, (i + 1) * patchSize))),
      );
      const states = model.hidden(
        sequence.map((token, index) => ('vector' in token ? { vector: seenNow[index - text.length] ?? [] } : token)),
      );
      return states.reduce(
        (sum, state) => sum + logProbability(model.textLogits(state), 3) + logProbability(model.imageLogits(state), 3),
        0,
      );
    };
    // One random direction per kind of weight: layers share their code.
    const kinds = new Map(specs.map(({ name }) => [name.replace(/\d+/g, '#'), name]));
    for (const name of kinds.values()) {
      const value = values.get(name);
      const gradient = gradients.get(name)?.data ?? [];
      if (value === undefined) throw new Error(name);
      const direction = randomFloats(value.data.length, 99);
      const step = 1e-4;
      const moved = (sign: number): number =>
        loss(
          new Map<string, { shape: readonly number[]; data: ArrayLike<number> }>([
            ...values,
            [
              name,
              { shape: value.shape, data: Float64Array.from(value.data, (v, i) => v + sign * step * at(direction, i)) },
            ],
          ]),
        );
      const expected = (moved(1) - moved(-1)) / (2 * step);
      const actual = direction.reduce((sum, d, i) => sum + d * at(gradient, i), 0);
      const size = Math.sqrt(direction.reduce((sum, d, i) => sum + (d * at(gradient, i)) ** 2, 0));
      expect(Math.abs(actual - expected), name).toBeLessThan(1e-3 * Math.max(size, Math.abs(expected), 0.05));
    }
    weights.close();
  });

  test('what is read for text alone, or for pictures alone, is what the backbone says', () => {
    const weights = makeWeights(false);
    const read = (use: (tape: Tape, seen: Pick<ParameterSet, 'get'>) => void): Set<string> => {
      const names = new Set<string>();
      use(new Tape(workspace), { get: (name) => (names.add(name), weights.get(name)) });
      return names;
    };
    const asText = [{ id: 1, isImage: false }];
    const asImage = [...asText, { id: 1, isImage: true }];
    const written = read((tape, shown) =>
      backbone.textLogits(tape, shown, backbone.hidden(tape, shown, packTokens(device, [asText]).tokens)),
    );
    const image = read((tape, shown) =>
      backbone.imageLogits(tape, shown, backbone.hidden(tape, shown, packTokens(device, [asImage]).tokens)),
    );
    const all = backbone.parameters.map(({ name }) => name);
    expect(all.filter((name) => !image.has(name)).sort()).toEqual([...(backbone.textOnly ?? [])].sort());
    expect(all.filter((name) => !written.has(name)).sort()).toEqual([...(backbone.imageOnly ?? [])].sort());
    weights.close();
  });

  test('decoding step by step takes the likeliest codes of the whole forward pass', async () => {
    const weights = makeWeights(false);
    const count = 6;
    const sampler = await createSampler({
      device,
      workspace,
      backbone,
      weights,
      rows: 2,
      promptBudget: text.length + 1,
      textBudget: 0,
      imageCount: count,
      special: { imageStart: 1, eos: 2 },
    });
    const rule = { temperature: 0, topK: 0, topP: 1 };
    const [sample] = await sampler.sample({
      prompts: [[...text, 1]],
      samplesPerPrompt: 1,
      seed: 0,
      text: rule,
      image: rule,
      rationale: 'skip',
    });
    const drawn = sample?.codes ?? [];
    expect(drawn).toHaveLength(count);
    const states = oracle.hidden([
      ...text.map((id) => ({ text: id })),
      { text: 1 },
      ...drawn.map((code) => ({ code })),
    ]);
    drawn.forEach((code, index) => {
      const logits = oracle.imageLogits(states[text.length + index] ?? []);
      expect(Math.max(...logits) - at(logits, code)).toBeLessThan(1e-4);
    });
    sampler.close();
    weights.close();
  });
});

function logProbability(logits: readonly number[], id: number): number {
  const largest = Math.max(...logits);
  return at(logits, id) - largest - Math.log(logits.reduce((sum, value) => sum + Math.exp(value - largest), 0));
}
