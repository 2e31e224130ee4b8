/** A Qwen-VL model of any sizes with random weights over two pictures and a text: on the device, and in float64. */
import type { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import type { ParameterSpec, Weights } from '../../core/contracts/backbone.ts';
import type { Image } from '../../core/contracts/image.ts';
import { placePictures } from '../../core/nn/features.ts';
import { createPackedInputs } from '../../core/nn/packed-inputs.ts';
import { packSequences } from '../../core/nn/packing.ts';
import { createPictureInputs } from '../../core/nn/picture-inputs.ts';
import type { FloatTensor } from '../../core/weights/parameters.ts';
import { at, randomFloats, randomWords } from '../../core/testing.ts';
import { qwenBackbone } from '../../plugins/qwen-vl/backbone.ts';
import type { LookingConfig } from '../../plugins/qwen-vl/config.ts';
import { gridOf, patchPlaces } from '../../plugins/qwen-vl/pictures.ts';
import { QwenOracle, type OracleToken } from './qwen-oracle.ts';

/** Vectors of the pictures, and logits of every token. */
export interface Forward {
  readonly vectors: ArrayLike<number>;
  readonly logits: ArrayLike<number>;
}

export interface QwenForward {
  readonly specs: readonly ParameterSpec[];
  /** Random ones. */
  readonly values: ReadonlyMap<string, FloatTensor>;
  onDevice(workspace: Workspace, weights: Weights): Promise<Forward>;
  inFloat64(values: ReadonlyMap<string, FloatTensor>): Forward;
}

/** `spread`: of the random weights. */
export function qwenForward(config: LookingConfig, spread = 0.4): QwenForward {
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
      return [name, { shape, data: randomFloats(count, index + 1, spread).map((v) => v + (isGain ? 1 : 0)) }] as const;
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
  const placed = placePictures(ids, placeholder, spans, 3);
  return {
    specs,
    values,
    async onDevice(workspace, weights) {
      const { device } = workspace;
      const batch = packSequences([
        {
          text: ids,
          firstTarget: ids.length,
          codes: [],
          trailing: [],
          features: placed.at,
          positions: placed.positions,
        },
      ]);
      const inputs = createPackedInputs(device, batch, backbone);
      inputs.fill(batch);
      const tape = new Tape(workspace);
      const features = looking.features(tape, weights, createPictureInputs(device, arrays));
      const states = backbone.hidden(tape, weights, { ...inputs.tokens, features });
      const kept = [features, backbone.textLogits(tape, weights, states)].map((tensor) => tape.output(tensor));
      (await tape.finish('odd sizes')).run();
      const [vectors = [], logits = []] = await device.read(kept);
      return { vectors, logits: logits.slice(0, ids.length * config.text.vocabulary) };
    },
    inFloat64(given) {
      const oracle = new QwenOracle(
        config,
        new Map([...given].map(([name, { shape, data }]) => [name, { shape, data: Array.from(data) }])),
      );
      const patches = arrays['patches'] ?? { shape: [], values: [] };
      const length = patches.shape[1] ?? 0;
      const places = grids.flatMap((grid, index) =>
        patchPlaces(grid, config.vision.merge).map(([row, column]) => ({ picture: index, row, column })),
      );
      const vectors = oracle.vectors(
        places.map((place, i) => ({
          ...place,
          values: Array.from(patches.values.slice(i * length, (i + 1) * length)),
        })),
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
      return { vectors: vectors.flat(2), logits: oracle.hidden(tokens).flatMap((state) => oracle.logits(state)) };
    },
  };
}
