/** Sizes no published model has, against float64: heads that are no whole vectors, grouped heads, widths that are no multiple of four, odd vocabularies. */
import { afterAll, describe, expect, test } from 'vitest';
import { Workspace } from '../../../core/autograd/workspace.ts';
import { Tape } from '../../../core/autograd/tape.ts';
import type { Image } from '../../../core/contracts/image.ts';
import { openDevice } from '../../../core/gpu/device.ts';
import { placePictures } from '../../../core/nn/features.ts';
import { createPackedInputs } from '../../../core/nn/packed-inputs.ts';
import { packSequences } from '../../../core/nn/packing.ts';
import { createPictureInputs } from '../../../core/nn/picture-inputs.ts';
import { ParameterSet } from '../../../core/weights/parameters.ts';
import { at, maximumError, randomFloats, randomWords } from '../../../core/testing.ts';
import { qwenBackbone } from '../../../plugins/qwen-vl/backbone.ts';
import type { LookingConfig } from '../../../plugins/qwen-vl/config.ts';
import { gridOf, patchPlaces } from '../../../plugins/qwen-vl/pictures.ts';
import { QwenOracle, type OracleToken } from '../../support/qwen-oracle.ts';

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
  const factor = config.vision.patchSize * config.vision.merge;
  const rules = {
    ...{ minPixels: factor ** 2, maxPixels: 100 * factor ** 2 },
    ...{ mean: [0.4, 0.5, 0.6], deviation: [0.2, 0.3, 0.4] },
  };
  const backbone = qwenBackbone('odd', config, rules);
  const looking = backbone.vision;
  if (looking === undefined) throw new Error('it does not look');
  const specs = [...backbone.parameters, ...looking.parameters];
  const values = new Map(
    specs.map(({ name, shape, init }, index) => {
      const count = shape.reduce((a, b) => a * b, 1);
      const isGain = 'constant' in init && init.constant === 1;
      return [name, { shape, data: randomFloats(count, index + 1, 0.4).map((v) => v + (isGain ? 1 : 0)) }] as const;
    }),
  );
  const picture = (width: number, height: number, seed: number): Image => ({
    width,
    height,
    data: Uint8Array.from(randomWords(width * height * 3, seed, 256)),
  });
  const pictures = [picture(3 * factor, 5 * factor, 1), picture(2 * factor, factor, 2)];
  const spans = pictures.map((each) => looking.span(each));
  const arrays = looking.layOut(pictures);
  const grids = pictures.map((each) => gridOf(each, config.vision));
  const placeholder = 5;
  const ids = [
    ...[7, 8],
    ...new Array<number>(spans[0]?.vectors ?? 0).fill(placeholder),
    9,
    ...new Array<number>(spans[1]?.vectors ?? 0).fill(placeholder),
    ...[10, 11, 12],
  ];

  test('vectors and logits agree with float64', async () => {
    const weights = new ParameterSet(device, specs, { seed: 0, initialize: 'none' });
    weights.load(values, 'test');
    const placed = placePictures(ids, placeholder, spans, 3);
    const batch = packSequences([
      { text: ids, firstTarget: ids.length, codes: [], trailing: [], features: placed.at, positions: placed.positions },
    ]);
    const inputs = createPackedInputs(device, batch, backbone);
    inputs.fill(batch);
    const tape = new Tape(workspace);
    const features = looking.features(tape, weights, createPictureInputs(device, arrays));
    const states = backbone.hidden(tape, weights, { ...inputs.tokens, features });
    const kept = [features, backbone.textLogits(tape, weights, states)].map((tensor) => tape.output(tensor));
    (await tape.finish('odd sizes')).run();
    const [seen = [], logits = []] = await device.read(kept);

    const oracle = new QwenOracle(
      config,
      new Map([...values].map(([name, { shape, data }]) => [name, { shape, data: Array.from(data) }])),
    );
    const patches = arrays['patches'] ?? { shape: [], values: [] };
    const length = patches.shape[1] ?? 0;
    const places = grids.flatMap((grid, index) =>
      patchPlaces(grid, config.vision.merge).map(([row, column]) => ({ picture: index, row, column })),
    );
    const vectors = oracle.vectors(
      places.map((place, i) => ({ ...place, values: Array.from(patches.values.slice(i * length, (i + 1) * length)) })),
      grids,
    );
    let next = 0;
    const tokens = ids.map((id, index): OracleToken => {
      const position = (axis: number): number => at(placed.positions.positions, 3 * index + axis);
      const where = [position(0), position(1), position(2)] as const;
      if (id !== placeholder) return { x: oracle.embedding(id), at: where };
      const [x = [], ...behind] = vectors[next++] ?? [];
      return { x, at: where, behind };
    });
    const expected = oracle.hidden(tokens).flatMap((state) => oracle.logits(state));
    // Numbers as large as these are told apart.
    for (const numbers of [vectors.flat(2), expected]) expect(Math.max(...numbers)).toBeGreaterThan(0.5);
    expect(maximumError(seen, vectors.flat(2))).toBeLessThan(1e-4);
    expect(maximumError(logits.slice(0, expected.length), expected)).toBeLessThan(2e-4);
    weights.close();
  });
});
