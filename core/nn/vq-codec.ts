/**
 * The VQ-16 codec: pictures to a grid of code vectors and back (https://arxiv.org/abs/2406.06525, https://arxiv.org/abs/2012.09841).
 * Encoder and decoder are lists of layers made from a configuration; weights and forward pass both follow from the list, so
 * that a large published codec and a tiny one for 48 × 48 pictures are the same code. Layouts: pictures f32 [B, H, W, 4] in -1 … 1, the
 * fourth channel zero (it makes every load a whole vec4); filters [O, kernel, kernel, C]. `vq-checkpoint.ts` knows how files differ.
 */
import type { Tape } from '../autograd/tape.ts';
import type { ParameterSpec, Weights } from '../contracts/backbone.ts';
import type { Device } from '../gpu/device.ts';
import { attention, type Segments } from '../ops/attention.ts';
import { conv2d } from '../ops/conv2d.ts';
import { groupNorm } from '../ops/group-norm.ts';
import { upsampleConv2d } from '../ops/upsample.ts';
import { dimension, reshape, sizeOf, type Tensor } from '../tensor/tensor.ts';

export interface VqCodecConfig {
  /** Height and width of the pictures. */
  readonly imageSize: number;
  readonly baseChannels: number;
  /** Channels of a level in units of `baseChannels`, finest level first; each further level halves height and width. */
  readonly multipliers: readonly number[];
  /** Residual blocks of each level, finest first. */
  readonly encoderBlocks: readonly number[];
  /** Residual blocks of each level, coarsest first, as the decoder runs. */
  readonly decoderBlocks: readonly number[];
  /** Where pixels attend to each other: nowhere, between the two middle blocks, or there and after each block of the coarsest level. */
  readonly attention: 'none' | 'middle' | 'coarsest';
  /** Groups of every normalization; a divisor of all channel counts. */
  readonly groups: number;
  readonly latentChannels: number;
  readonly embeddingDimension: number;
  readonly codes: number;
}

/**
 * The embedded default: 48 × 48 pictures to 6 × 6 of 256 codes, 81 MFLOP a picture. Encoder and decoder have 16, 16, 32 and 64 channels,
 * with blocks only where pictures are small: one block at 48 × 48 would cost 21 MFLOP, as much as the four middle blocks together.
 * No attention: under the middle blocks' filters every one of the 36 positions sees nearly all others already. Trained by
 * presets/nano/vq.yaml it draws 600 unseen scenes back at 28.9 dB; the detector finds the right inventory in 99.7 % of them.
 */
export const nanoCodec: VqCodecConfig = {
  imageSize: 48,
  baseChannels: 16,
  multipliers: [1, 1, 2, 4],
  encoderBlocks: [0, 1, 1, 1],
  decoderBlocks: [0, 1, 1, 0],
  attention: 'none',
  groups: 8,
  latentChannels: 64,
  embeddingDimension: 8,
  codes: 256,
};

export const pictureChannels = 4;

export interface VqCodec {
  readonly config: VqCodecConfig;
  /** Codes per row and column of a picture. */
  readonly gridSize: number;
  /** Names as published checkpoints have them, without the prefix; shapes as on the device. */
  readonly parameters: readonly ParameterSpec[];
  /** Floating point operations of one encoding and one decoding, two per multiplication and addition, filters only. */
  readonly operations: number;
  /** Latents f32 [B, grid, grid, embeddingDimension] of pictures [B, H, W, 4]; not normalized. */
  encode(tape: Tape, weights: Weights, pictures: Tensor, segments: Segments | undefined): Tensor;
  /** Pictures [B, H, W, 4], not clipped, of normalized code vectors [B, grid, grid, embeddingDimension]. */
  decode(tape: Tape, weights: Weights, vectors: Tensor, segments: Segments | undefined): Tensor;
  /** What attention needs for a batch; undefined when the codec has none. Two tensors that the caller destroys. */
  segments(device: Device, images: number): Segments | undefined;
}

/** The parameter of a codec that holds the code vectors, [K, D]. */
export const codebookName = 'quantize.embedding.weight';

type Layer =
  | {
      readonly kind: 'conv';
      readonly name: string;
      readonly from: number;
      readonly to: number;
      readonly kernel: 1 | 3;
      readonly size?: 'halve' | 'double';
    }
  | { readonly kind: 'block'; readonly name: string; readonly from: number; readonly to: number }
  | { readonly kind: 'attention'; readonly name: string; readonly from: number }
  | { readonly kind: 'norm'; readonly name: string; readonly from: number };

/** A convolutional codec as functions of weights: pictures to latents, latents to codes, codes to pictures. Sizes come from the configuration alone. */
export function vqCodec(config: VqCodecConfig): VqCodec {
  const encoder = encoderLayers(config);
  const decoder = decoderLayers(config);
  const gridSize = config.imageSize / 2 ** (config.multipliers.length - 1);
  refuseMisfits(config, gridSize, [...encoder, ...decoder]);
  const codebook: ParameterSpec = {
    name: codebookName,
    shape: [config.codes, config.embeddingDimension],
    init: { normal: 1 },
    // Only its direction counts: decay would change nothing but the step size.
    decay: false,
  };
  return {
    config,
    gridSize,
    parameters: [...encoder.flatMap(parametersOf), codebook, ...decoder.flatMap(parametersOf)],
    operations: operationsOf(encoder, config.imageSize) + operationsOf(decoder, gridSize),
    encode: (tape, weights, pictures, segments) => runLayers(tape, weights, encoder, pictures, config.groups, segments),
    decode: (tape, weights, vectors, segments) => runLayers(tape, weights, decoder, vectors, config.groups, segments),
    segments: (device, images) =>
      config.attention === 'none' ? undefined : imageSegments(device, images, gridSize ** 2),
  };
}

function encoderLayers(config: VqCodecConfig): Layer[] {
  const { multipliers, baseChannels, encoderBlocks, latentChannels } = config;
  const layers: Layer[] = [
    { kind: 'conv', name: 'encoder.conv_in', from: pictureChannels, to: baseChannels, kernel: 3 },
  ];
  let channels = baseChannels;
  multipliers.forEach((multiplier, level) => {
    const name = `encoder.down.${level}`;
    const isCoarsest = level === multipliers.length - 1;
    channels = addBlocks(
      layers,
      name,
      encoderBlocks[level] ?? 0,
      channels,
      multiplier * baseChannels,
      isCoarsest && config.attention === 'coarsest',
    );
    if (!isCoarsest)
      layers.push({
        kind: 'conv',
        name: `${name}.downsample.conv`,
        from: channels,
        to: channels,
        kernel: 3,
        size: 'halve',
      });
  });
  addMiddle(layers, 'encoder', channels, config.attention !== 'none');
  layers.push(
    { kind: 'norm', name: 'encoder.norm_out', from: channels },
    { kind: 'conv', name: 'encoder.conv_out', from: channels, to: latentChannels, kernel: 3 },
    { kind: 'conv', name: 'quant_conv', from: latentChannels, to: config.embeddingDimension, kernel: 1 },
  );
  return layers;
}

function decoderLayers(config: VqCodecConfig): Layer[] {
  const { multipliers, baseChannels, decoderBlocks, latentChannels } = config;
  let channels = (multipliers.at(-1) ?? 1) * baseChannels;
  const layers: Layer[] = [
    { kind: 'conv', name: 'post_quant_conv', from: config.embeddingDimension, to: latentChannels, kernel: 1 },
    { kind: 'conv', name: 'decoder.conv_in', from: latentChannels, to: channels, kernel: 3 },
  ];
  addMiddle(layers, 'decoder', channels, config.attention !== 'none');
  multipliers.toReversed().forEach((multiplier, level) => {
    const name = `decoder.up.${level}`;
    channels = addBlocks(
      layers,
      name,
      decoderBlocks[level] ?? 0,
      channels,
      multiplier * baseChannels,
      level === 0 && config.attention === 'coarsest',
    );
    const isFinest = level === multipliers.length - 1;
    if (!isFinest)
      layers.push({
        kind: 'conv',
        name: `${name}.upsample.conv`,
        from: channels,
        to: channels,
        kernel: 3,
        size: 'double',
      });
  });
  layers.push(
    { kind: 'norm', name: 'decoder.norm_out', from: channels },
    { kind: 'conv', name: 'decoder.conv_out', from: channels, to: pictureChannels, kernel: 3 },
  );
  return layers;
}

/** The first block of a level changes the number of channels; a level without blocks keeps it. Returns the channels after it. */
function addBlocks(
  layers: Layer[],
  name: string,
  blocks: number,
  from: number,
  to: number,
  hasAttention: boolean,
): number {
  for (let block = 0; block < blocks; block++) {
    layers.push({ kind: 'block', name: `${name}.block.${block}`, from: block === 0 ? from : to, to });
    if (hasAttention) layers.push({ kind: 'attention', name: `${name}.attn.${block}`, from: to });
  }
  return blocks === 0 ? from : to;
}

function addMiddle(layers: Layer[], name: string, channels: number, hasAttention: boolean): void {
  layers.push({ kind: 'block', name: `${name}.mid.block_1`, from: channels, to: channels });
  if (hasAttention) layers.push({ kind: 'attention', name: `${name}.mid.attn_1`, from: channels });
  layers.push({ kind: 'block', name: `${name}.mid.block_2`, from: channels, to: channels });
}

function runLayers(
  tape: Tape,
  weights: Weights,
  layers: readonly Layer[],
  input: Tensor,
  groups: number,
  segments: Segments | undefined,
): Tensor {
  const get = (name: string): { weight: Tensor; bias: Tensor } => ({
    weight: weights.get(`${name}.weight`),
    bias: weights.get(`${name}.bias`),
  });
  const conv = (x: Tensor, name: string, options: Parameters<typeof conv2d>[4] = {}): Tensor => {
    const { weight, bias } = get(name);
    return conv2d(tape, x, weight, bias, options);
  };
  const norm = (x: Tensor, name: string, silu: boolean): Tensor => {
    const { weight, bias } = get(name);
    return groupNorm(tape, x, weight, bias, { groups, silu });
  };
  return layers.reduce((x, layer) => {
    const { name } = layer;
    switch (layer.kind) {
      case 'norm':
        return norm(x, name, true);
      case 'conv':
        // Halving pads at the right and bottom only, as the published networks do.
        if (layer.size === 'halve') return conv(x, name, { stride: 2, padding: { before: 0, after: 1 } });
        return layer.size === 'double'
          ? upsampleConv2d(tape, x, weights.get(`${name}.weight`), weights.get(`${name}.bias`))
          : conv(x, name);
      case 'block': {
        const inner = conv(norm(x, `${name}.norm1`, true), `${name}.conv1`);
        const residual = layer.from === layer.to ? x : conv(x, `${name}.nin_shortcut`);
        return conv(norm(inner, `${name}.norm2`, true), `${name}.conv2`, { residual });
      }
      case 'attention': {
        if (segments === undefined) throw new RangeError(`${name} needs segments`);
        const normal = norm(x, `${name}.norm`, false);
        const channels = layer.from;
        const rows = (part: string): Tensor => {
          const projected = conv(normal, `${name}.${part}`);
          return reshape(projected, [dimension(x, 0) * dimension(x, 1) * dimension(x, 2), channels]);
        };
        const options = { heads: 1, keyValueHeads: 1, headDimension: channels, causal: false, scale: channels ** -0.5 };
        const mixed = attention(tape, rows('q'), rows('k'), rows('v'), segments, options);
        return conv(reshape(mixed, x.shape), `${name}.proj_out`, { residual: x });
      }
    }
  }, input);
}

function parametersOf(layer: Layer): ParameterSpec[] {
  const { name, from } = layer;
  switch (layer.kind) {
    case 'norm':
      return normParameters(name, from);
    case 'conv':
      return convParameters(name, from, layer.to, layer.kernel);
    case 'block':
      return [
        ...normParameters(`${name}.norm1`, from),
        ...convParameters(`${name}.conv1`, from, layer.to, 3),
        ...normParameters(`${name}.norm2`, layer.to),
        ...convParameters(`${name}.conv2`, layer.to, layer.to, 3),
        ...(from === layer.to ? [] : convParameters(`${name}.nin_shortcut`, from, layer.to, 1)),
      ];
    case 'attention':
      return [
        ...normParameters(`${name}.norm`, from),
        ...['q', 'k', 'v', 'proj_out'].flatMap((part) => convParameters(`${name}.${part}`, from, from, 1)),
      ];
  }
}

function normParameters(name: string, channels: number): ParameterSpec[] {
  return [
    { name: `${name}.weight`, shape: [channels], init: { constant: 1 } },
    { name: `${name}.bias`, shape: [channels], init: { constant: 0 } },
  ];
}

function convParameters(name: string, from: number, to: number, kernel: number): ParameterSpec[] {
  return [
    // The variance of a uniform start within 1 / √(inputs of one output).
    {
      name: `${name}.weight`,
      shape: [to, kernel, kernel, from],
      init: { normal: 1 / Math.sqrt(3 * from * kernel * kernel) },
    },
    { name: `${name}.bias`, shape: [to], init: { constant: 0 } },
  ];
}

function operationsOf(layers: readonly Layer[], size: number): number {
  let side = size;
  let total = 0;
  for (const layer of layers) {
    if (layer.kind === 'conv' && layer.size === 'halve') side /= 2;
    if (layer.kind === 'conv' && layer.size === 'double') side *= 2;
    for (const { shape } of parametersOf(layer)) {
      // Enlargement and convolution in one need 4 of 9 products.
      const share = layer.kind === 'conv' && layer.size === 'double' ? 4 / 9 : 1;
      if (shape.length === 4) total += 2 * share * side * side * sizeOf(shape);
    }
  }
  return total;
}

/** Every picture is a segment of its own. */
function imageSegments(device: Device, images: number, positions: number): Segments {
  const start = Uint32Array.from({ length: images * positions }, (_, row) => Math.floor(row / positions) * positions);
  return {
    segmentStart: device.tensor('picture start', [start.length], 'u32', start),
    segmentEnd: device.tensor(
      'picture end',
      [start.length],
      'u32',
      start.map((first) => first + positions),
    ),
  };
}

function refuseMisfits(config: VqCodecConfig, gridSize: number, layers: readonly Layer[]): void {
  const levels = config.multipliers.length;
  if (!Number.isInteger(gridSize) || config.encoderBlocks.length !== levels || config.decoderBlocks.length !== levels) {
    throw new RangeError(
      `a codec of ${levels} levels needs ${levels} encoderBlocks and decoderBlocks (given ${config.encoderBlocks.length} and ${config.decoderBlocks.length}) ` +
        `and an imageSize divisible by ${2 ** (levels - 1)} (given ${config.imageSize})`,
    );
  }
  const odd = layers.find((layer) => (layer.kind !== 'conv' ? layer.from % config.groups !== 0 : layer.from % 4 !== 0));
  if (odd !== undefined)
    throw new RangeError(
      `${odd.name}: ${odd.from} channels do not divide into ${config.groups} groups and vectors of 4`,
    );
}
