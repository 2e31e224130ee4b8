/**
 * A SigLIP vision tower without class token or pooling, and the perceptron that carries its vectors into a decoder
 * (https://arxiv.org/abs/2303.15343; as Janus-Pro uses it): patches → linear, plus a learned place → blocks
 * x += attention(norm(x)), x += mlp(norm(x)), all patches of a picture seeing each other → norm → perceptron.
 * Weight names are those of the Hugging Face port. Pictures come as patches, so that the first convolution is a product.
 */
import type { Tape } from '../autograd/tape.ts';
import type { ParameterSpec, PictureArray, PictureInputs, Vision, Weights } from '../contracts/backbone.ts';
import type { Image } from '../contracts/image.ts';
import { fitSquare } from './resize.ts';
import { add } from '../ops/add.ts';
import { attention } from '../ops/attention.ts';
import { embedding } from '../ops/embedding.ts';
import { attentionWidth, resizeParts } from '../ops/heads.ts';
import { layerNorm } from '../ops/layer-norm.ts';
import { linear } from '../ops/linear.ts';
import { reshape, type Tensor } from '../tensor/tensor.ts';
import { at } from '../tensor/at.ts';
import { perceptron, perceptronParameters, type Perceptron } from './perceptron.ts';
import { segmentArrays } from './picture-inputs.ts';

export interface SiglipSizes {
  /** Height and width of a picture in pixels; a multiple of `patchSize`. */
  readonly imageSize: number;
  readonly patchSize: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  /** Inner width of a block's perceptron. */
  readonly mlp: number;
  readonly normEpsilon: number;
  /** Width of the decoder. */
  readonly hidden: number;
  /** Linear layers of the perceptron behind the tower. */
  readonly alignerDepth: number;
}

const tower = 'model.vision_model.';
const channels = 3;
/** What stands beside a picture that is no square: the mean of the published preprocessing, in bytes. */
const gray = [127, 127, 127] as const;

/** A SigLIP tower with the perceptron behind it, as the vision part of a backbone (`Backbone.vision`). */
export function siglipVision(sizes: SiglipSizes): Vision {
  const { imageSize } = sizes;
  const tokens = tokensOf(sizes);
  const aligner: Perceptron = {
    name: 'model.aligner',
    first: 'fc1',
    from: sizes.width,
    hidden: sizes.hidden,
    to: sizes.hidden,
    depth: sizes.alignerDepth,
  };
  const size = { width: imageSize, height: imageSize };
  const span = { vectors: tokens, offsets: Uint32Array.from({ length: tokens }, (_, i) => i), extent: tokens };
  return {
    parameters: [...towerParameters(sizes, tokens), ...perceptronParameters(aligner)],
    vectorSize: sizes.hidden,
    largest: size,
    fittedSize: () => size,
    fit: (image) => fitSquare(image, imageSize, gray),
    span: () => span,
    layOut: (pictures) => siglipInputs(sizes, pictures.length, pixelOf(pictures, imageSize)),
    features: (tape, weights, pictures) => perceptron(tape, weights, aligner, runTower(tape, weights, sizes, pictures)),
  };
}

function tokensOf({ imageSize, patchSize }: Pick<SiglipSizes, 'imageSize' | 'patchSize'>): number {
  return Math.floor(imageSize / patchSize) ** 2;
}

/** f32 [B · tokens, width] after the last norm. */
function runTower(tape: Tape, weights: Weights, sizes: SiglipSizes, pictures: PictureInputs): Tensor {
  const { width, heads, layers, normEpsilon } = sizes;
  const affine = (x: Tensor, name: string): Tensor =>
    linear(tape, x, weights.get(`${tower}${name}.weight`), weights.get(`${tower}${name}.bias`));
  const norm = (x: Tensor, name: string): Tensor =>
    layerNorm(tape, x, weights.get(`${tower}${name}.weight`), weights.get(`${tower}${name}.bias`), normEpsilon);
  const headDimension = attentionWidth(width / heads);
  const scale = 1 / Math.sqrt(width / heads);
  const filters = weights.get(`${tower}embeddings.patch_embedding.weight`);
  const seen = linear(
    tape,
    pictures.get('patches'),
    reshape(filters, [width, channels * sizes.patchSize ** 2]),
    weights.get(`${tower}embeddings.patch_embedding.bias`),
  );
  let x = add(
    tape,
    seen,
    embedding(tape, weights.get(`${tower}embeddings.position_embedding.weight`), pictures.get('places')),
  );
  const segments = { segmentStart: pictures.get('segmentStart'), segmentEnd: pictures.get('segmentEnd') };
  for (let layer = 0; layer < layers; layer++) {
    const prefix = `encoder.layers.${layer}.`;
    const before = norm(x, `${prefix}layer_norm1`);
    const project = (part: string): Tensor =>
      resizeParts(tape, affine(before, `${prefix}self_attn.${part}_proj`), heads, headDimension);
    const mixed = attention(tape, project('q'), project('k'), project('v'), segments, {
      heads,
      keyValueHeads: heads,
      headDimension,
      causal: false,
      scale,
    });
    const middle = add(
      tape,
      x,
      affine(resizeParts(tape, mixed, heads, width / heads), `${prefix}self_attn.projection_layer`),
    );
    const inner: Perceptron = {
      name: `${tower}${prefix}mlp`,
      first: 'fc1',
      last: 'fc2',
      from: width,
      hidden: sizes.mlp,
      to: width,
      depth: 2,
    };
    x = add(tape, middle, perceptron(tape, weights, inner, norm(middle, `${prefix}layer_norm2`)));
  }
  return norm(x, 'post_layernorm');
}

function towerParameters(sizes: SiglipSizes, tokens: number): ParameterSpec[] {
  const { width, patchSize, layers } = sizes;
  const std = 1 / Math.sqrt(width);
  const bias = (name: string, size: number): ParameterSpec => ({
    name: `${tower}${name}.bias`,
    shape: [size],
    init: { constant: 0 },
  });
  const affine = (name: string, rows: number, columns: number): ParameterSpec[] => [
    { name: `${tower}${name}.weight`, shape: [rows, columns], init: { normal: std } },
    bias(name, rows),
  ];
  const norm = (name: string): ParameterSpec[] => [
    { name: `${tower}${name}.weight`, shape: [width], init: { constant: 1 } },
    bias(name, width),
  ];
  const block = (layer: number): ParameterSpec[] => {
    const prefix = `encoder.layers.${layer}.`;
    return [
      ...norm(`${prefix}layer_norm1`),
      ...['q', 'k', 'v'].flatMap((part) => affine(`${prefix}self_attn.${part}_proj`, width, width)),
      ...affine(`${prefix}self_attn.projection_layer`, width, width),
      ...norm(`${prefix}layer_norm2`),
      ...affine(`${prefix}mlp.fc1`, sizes.mlp, width),
      ...affine(`${prefix}mlp.fc2`, width, sizes.mlp),
    ];
  };
  return [
    {
      name: `${tower}embeddings.patch_embedding.weight`,
      shape: [width, channels, patchSize, patchSize],
      init: { normal: 1 / Math.sqrt(channels * patchSize ** 2) },
    },
    bias('embeddings.patch_embedding', width),
    { name: `${tower}embeddings.position_embedding.weight`, shape: [tokens, width], init: { normal: std } },
    ...Array.from({ length: layers }, (_, layer) => block(layer)).flat(),
    ...norm('post_layernorm'),
  ];
}

/**
 * What the tower reads of `count` pictures whose values, in -1 … 1, `value` tells: patches f32 [B · tokens, 3 · patchSize²] in raster order, within
 * a patch channel, row, column; the place of each in its picture; a segment for each picture.
 */
export function siglipInputs(
  { imageSize, patchSize }: Pick<SiglipSizes, 'imageSize' | 'patchSize'>,
  count: number,
  value: (picture: number, channel: number, y: number, x: number) => number,
): Readonly<Record<'patches' | 'places' | 'segmentStart' | 'segmentEnd', PictureArray>> {
  const tokens = tokensOf({ imageSize, patchSize });
  const across = Math.floor(imageSize / patchSize);
  const rows = count * tokens;
  const patches = new Float32Array(rows * channels * patchSize ** 2);
  let to = 0;
  for (let picture = 0; picture < count; picture++)
    for (let token = 0; token < tokens; token++) {
      const [top, left] = [Math.floor(token / across) * patchSize, (token % across) * patchSize];
      for (let channel = 0; channel < channels; channel++)
        for (let y = top; y < top + patchSize; y++)
          for (let x = left; x < left + patchSize; x++) patches[to++] = value(picture, channel, y, x);
    }
  const { start, end } = segmentArrays(Array.from({ length: count }, () => tokens));
  return {
    patches: { shape: [rows, channels * patchSize ** 2], values: patches },
    places: { shape: [rows], values: Uint32Array.from({ length: rows }, (_, row) => row % tokens) },
    segmentStart: start,
    segmentEnd: end,
  };
}

/** (byte / 255 - 0.5) / 0.5 */
function pixelOf(
  pictures: readonly Image[],
  imageSize: number,
): (picture: number, channel: number, y: number, x: number) => number {
  for (const { width, height } of pictures) {
    if (width !== imageSize || height !== imageSize)
      throw new RangeError(
        `a picture has ${width} x ${height} pixels; this model looks at ${imageSize} x ${imageSize}`,
      );
  }
  return (picture, channel, y, x) =>
    at(at(pictures, picture).data, (y * imageSize + x) * channels + channel) / 127.5 - 1;
}
