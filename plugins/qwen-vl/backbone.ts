/**
 * Qwen2.5-VL and Qwen3-VL as a backbone: a Qwen decoder with positions of three axes (time, row, column) and, apart from it, the tower that looks
 * at pictures of any size. It writes text and draws nothing. Text models of the same generations are the decoder alone. Weight names are those inside
 * transformers.
 */
import {
  addRows,
  columnsOf,
  decoderHidden,
  decoderParameters,
  decoderStep,
  embedding,
  embedPacked,
  initialSpread,
  linear,
  segmentArrays,
  workingHeads,
  type Backbone,
  type DecoderShape,
  type PackedTokens,
  type PictureArray,
  type Tape,
  type Tensor,
  type Vision,
  type Weights,
} from '../../core/compute.ts';
import { ReasongenError, type Image } from '../../core/plugin.ts';
import { isThird, type Family, type QwenConfig, type QwenTextSizes, type QwenVisionSizes } from './config.ts';
import {
  fitPicture,
  gridOf,
  largestPicture,
  patchesOf,
  patchPlaces,
  smartResize,
  type PictureRules,
} from './pictures.ts';
import { spanOf, tableNeighbors, windowOrder } from './places.ts';
import { towerFeatures, towerParameters } from './tower.ts';

const decoderPrefix = 'model.language_model.';
export const table = `${decoderPrefix}embed_tokens.weight`;
export const head = 'lm_head.weight';

/** `rules` of pictures, of models that look. */
export function qwenBackbone(name: string, { family, text, vision }: QwenConfig, rules?: PictureRules): Backbone {
  const { hidden, vocabulary, isTied } = text;
  const shape = qwenDecoder(family, text);
  const headName = isTied ? table : head;
  const depth = vision?.deepstack.length ?? 0;
  const embedText: Backbone['embedText'] = (tape, weights, ids) => embedding(tape, weights.get(table), ids);
  const embedImage = (): never => cannotDraw(name);
  return {
    name,
    hiddenSize: hidden,
    layers: shape.layers,
    heads: shape.heads,
    keyValueHeads: shape.keyValueHeads,
    headDimension: workingHeads(shape).headDimension,
    positionAxes: text.sections?.length ?? 1,
    textVocabulary: vocabulary,
    imageVocabulary: 0,
    parameters: [
      { name: table, shape: [vocabulary, hidden], init: { normal: initialSpread } },
      ...decoderParameters(shape),
      ...(isTied ? [] : [{ name: head, shape: [vocabulary, hidden], init: { normal: initialSpread } }]),
    ],
    ...(vision !== undefined && rules !== undefined && { vision: qwenVision(vision, rules) }),
    embedText,
    embedImage,
    hidden(tape, weights, tokens, prefill) {
      const { own, behind } = withDeepstack(tape, tokens, hidden, depth);
      const x = embedPacked(tape, { embedText, embedImage }, weights, own);
      return decoderHidden(tape, weights, shape, x, own, prefill, behind);
    },
    step: (tape, weights, x, positions, cache) => decoderStep(tape, weights, shape, x, positions, cache),
    textLogits: (tape, weights, x) => linear(tape, x, weights.get(headName)),
    textHead: (_tape, weights, x) => ({ states: x, weight: weights.get(headName) }),
    imageLogits: () => cannotDraw(name),
  };
}

export function qwenDecoder(family: Family, { sections, ...text }: QwenTextSizes): DecoderShape {
  const isNormed = isThird(family);
  return {
    ...text,
    prefix: decoderPrefix,
    queryKeyNorm: isNormed,
    attentionBias: !isNormed,
    ...(sections !== undefined && {
      rotaryAxes: { sections, order: isNormed ? ('interleaved' as const) : ('contiguous' as const) },
    }),
  };
}

/** The vectors of pictures as tokens, and what of them is added behind the first layers. */
export function withDeepstack(
  tape: Tape,
  tokens: PackedTokens,
  hidden: number,
  depth: number,
): { readonly own: PackedTokens; readonly behind: (layer: number, residual: Tensor) => Tensor } {
  const { features, featureRows } = tokens;
  if (features === undefined || featureRows === undefined || depth === 0)
    return { own: tokens, behind: (_layer, residual) => residual };
  return {
    own: { ...tokens, features: columnsOf(tape, features, 0, hidden) },
    behind: (layer, residual) =>
      layer < depth
        ? addRows(tape, residual, columnsOf(tape, features, (layer + 1) * hidden, hidden), featureRows)
        : residual,
  };
}

export function qwenVision(sizes: QwenVisionSizes, rules: PictureRules): Vision {
  const factor = sizes.patchSize * sizes.merge;
  return {
    parameters: towerParameters(sizes),
    vectorSize: sizes.hidden * (1 + sizes.deepstack.length),
    largest: largestPicture(factor, rules),
    fittedSize: (size) => smartResize(size, factor, rules),
    fit: (image) => fitPicture(image, factor, rules),
    span: (fitted) => spanOf(gridOf(fitted, sizes), sizes.merge),
    layOut: (fitted) => towerArrays(fitted, sizes, rules),
    features: (tape, weights: Weights, pictures) => towerFeatures(tape, weights, sizes, pictures),
  };
}

/** What the tower reads: patches in their order, and what else is in the order of its blocks. */
function towerArrays(
  fitted: readonly Image[],
  sizes: QwenVisionSizes,
  rules: PictureRules,
): Readonly<Record<string, PictureArray>> {
  const { merge, windows, table: places } = sizes;
  const square = merge ** 2;
  const grids = fitted.map((image) => gridOf(image, sizes));
  const positions = grids.flatMap((grid) => patchPlaces(grid, merge));
  const words = (values: readonly number[], ...shape: number[]): PictureArray => ({
    shape,
    values: Uint32Array.from(values),
  });
  const count = positions.length;
  const whole = segmentArrays(grids.map(({ rows, columns }) => rows * columns));
  const patches = { patches: patchesOf(fitted, sizes, rules), pictureStart: whole.start, pictureEnd: whole.end };
  if (places !== undefined) {
    const neighbors = grids.map((grid) => tableNeighbors(grid, merge, places.side));
    const shares = Float32Array.from(neighbors.flatMap((each) => each.shares));
    return {
      ...patches,
      positions: words(positions.flat(), count, 2),
      neighbors: words(
        neighbors.flatMap(({ rows }) => rows),
        count,
        4,
      ),
      shares: { shape: [count, 4], values: shares },
    };
  }
  if (windows === undefined) throw new RangeError('unreachable: a tower has windows or a table of places');
  const { index, sizes: vectors } = windowOrder(grids, merge, windows.side);
  const order = index.flatMap((vector) => Array.from({ length: square }, (_, patch) => vector * square + patch));
  const back = new Uint32Array(index.length);
  index.forEach((vector, row) => (back[vector] = row));
  const parts = segmentArrays(vectors.map((size) => size * square));
  return {
    ...patches,
    windowStart: parts.start,
    windowEnd: parts.end,
    positions: words(
      order.flatMap((patch) => positions[patch] ?? []),
      count,
      2,
    ),
    patchOrder: words(order, count),
    vectorOrder: { shape: [index.length], values: back },
  };
}

export function cannotDraw(name: string): never {
  throw new ReasongenError({
    code: 'CANNOT_DRAW',
    message: `${name} reads pictures and writes text; it draws no pictures`,
    place: 'backbone',
    hint: 'use a backbone that draws, such as janus-checkpoint, where pictures are made; ask works with this one',
    exitCode: 2,
  });
}
