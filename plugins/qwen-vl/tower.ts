/**
 * The vision towers of Qwen2.5-VL and Qwen3-VL, in f32 throughout: their activations leave the range of halves. Patches → linear → blocks of
 * attention and perceptron, turned by row and column → squares of patches merged into vectors of the decoder. Names are those inside transformers.
 *
 * Qwen2.5-VL sorts its patches by windows before the first block, sees beyond a window in few blocks only, and puts the merged vectors back in
 * order. Qwen3-VL sees whole pictures, adds a table of places, and merges the states behind some blocks as well: vectors that are added behind the
 * first layers of the decoder.
 */
import {
  add,
  attention,
  columnsOf,
  dimension,
  embeddingBag,
  gatherRows,
  gelu,
  joinColumns,
  layerNorm,
  linear,
  reshape,
  resizeParts,
  rmsNorm,
  rotary,
  rotaryWidth,
  sizeOf,
  swiglu,
  type ParameterSpec,
  type PictureInputs,
  type Segments,
  type Tape,
  type Tensor,
  type Weights,
} from '../../core/compute.ts';
import type { QwenVisionSizes } from './config.ts';

export const towerPrefix = 'model.visual.';

const normEpsilon = 1e-6;

/** What the tower computes on its way; patches in the order in which blocks have them. */
export interface TowerStages {
  /** f32 [patches, width], in the order of patches. */
  readonly patches: Tensor;
  /** f32 [patches, width], added to it. */
  readonly places: Tensor | undefined;
  /** f32 [patches, width] behind each block. */
  readonly blocks: readonly Tensor[];
  /** f32 [vectors, hidden] of states behind some blocks. */
  readonly deepstack: readonly Tensor[];
  /** f32 [vectors, hidden], in the order of blocks and in that of pictures. */
  readonly merged: Tensor;
  readonly ordered: Tensor;
}

/** f32 [vectors, hidden · (1 + deepstack)]: the vectors, then what is added behind the first layers of the decoder, side by side. */
export function towerFeatures(tape: Tape, weights: Weights, sizes: QwenVisionSizes, pictures: PictureInputs): Tensor {
  const { ordered, deepstack } = towerStages(tape, weights, sizes, pictures);
  return joinColumns(tape, [ordered, ...deepstack]);
}

export function towerStages(
  tape: Tape,
  weights: Weights,
  sizes: QwenVisionSizes,
  pictures: PictureInputs,
): TowerStages {
  const { width, layers, windows, deepstack } = sizes;
  const projection = `${towerPrefix}patch_embed.proj`;
  const filters = weights.get(`${projection}.weight`);
  const patches = linear(
    tape,
    pictures.get('patches'),
    reshape(filters, [width, sizeOf(filters.shape) / width]),
    windows === undefined ? weights.get(`${projection}.bias`) : undefined,
  );
  const places =
    windows === undefined
      ? embeddingBag(
          tape,
          weights.get(`${towerPrefix}pos_embed.weight`),
          pictures.get('neighbors'),
          pictures.get('shares'),
        )
      : undefined;
  const whole = segmentsOf(pictures, 'picture');
  const parts = windows === undefined ? whole : segmentsOf(pictures, 'window');
  let x = places === undefined ? gatherRows(tape, patches, pictures.get('patchOrder')) : add(tape, patches, places);
  const blocks: Tensor[] = [];
  const deep: Tensor[] = [];
  for (let layer = 0; layer < layers; layer++) {
    const isWhole = windows === undefined || windows.fullBlocks.includes(layer);
    x = block(tape, weights, sizes, layer, x, pictures.get('positions'), isWhole ? whole : parts);
    blocks.push(x);
    const index = deepstack.indexOf(layer);
    if (index >= 0) deep[index] = merge(tape, weights, sizes, x, `deepstack_merger_list.${index}`);
  }
  const merged = merge(tape, weights, sizes, x, 'merger');
  const ordered = windows === undefined ? merged : gatherRows(tape, merged, pictures.get('vectorOrder'));
  return { patches, places, blocks, deepstack: deep, merged, ordered };
}

function segmentsOf(pictures: PictureInputs, name: 'picture' | 'window'): Segments {
  return { segmentStart: pictures.get(`${name}Start`), segmentEnd: pictures.get(`${name}End`) };
}

function block(
  tape: Tape,
  weights: Weights,
  sizes: QwenVisionSizes,
  layer: number,
  x: Tensor,
  positions: Tensor,
  segments: Segments,
): Tensor {
  const { width, heads, windows } = sizes;
  const at = `${towerPrefix}blocks.${layer}.`;
  const affine = (from: Tensor, name: string): Tensor =>
    linear(tape, from, weights.get(`${at}${name}.weight`), weights.get(`${at}${name}.bias`));
  const norm = (from: Tensor, name: string): Tensor =>
    normed(tape, weights, from, `${at}${name}`, windows !== undefined);
  const projected = affine(norm(x, 'norm1'), 'attn.qkv');
  const part = (index: number): Tensor => columnsOf(tape, projected, index * width, width);
  const headDimension = rotaryWidth(width / heads);
  const section = width / heads / 4;
  const turned = (index: number): Tensor =>
    rotary(tape, resizeParts(tape, part(index), 2 * heads, headDimension / 2), positions, {
      heads,
      headDimension,
      theta: sizes.ropeTheta,
      axes: { sections: [section, section], order: 'axial' },
    });
  const seen = attention(tape, turned(0), turned(1), resizeParts(tape, part(2), heads, headDimension), segments, {
    heads,
    keyValueHeads: heads,
    headDimension,
    causal: false,
    scale: 1 / Math.sqrt(width / heads),
  });
  const middle = add(tape, x, affine(resizeParts(tape, seen, heads, width / heads), 'attn.proj'));
  const y = norm(middle, 'norm2');
  const inner =
    windows === undefined
      ? affine(gelu(tape, affine(y, 'mlp.linear_fc1'), 'tanh'), 'mlp.linear_fc2')
      : affine(swiglu(tape, affine(y, 'mlp.gate_proj'), affine(y, 'mlp.up_proj')), 'mlp.down_proj');
  return add(tape, middle, inner);
}

function normed(tape: Tape, weights: Weights, x: Tensor, name: string, isRms: boolean): Tensor {
  const weight = weights.get(`${name}.weight`);
  return isRms
    ? rmsNorm(tape, x, weight, normEpsilon)
    : layerNorm(tape, x, weight, weights.get(`${name}.bias`), normEpsilon);
}

/** Squares of patches, which lie end to end, to one vector each. The merger normalises patches, those of the deepstack whole squares. */
function merge(tape: Tape, weights: Weights, sizes: QwenVisionSizes, x: Tensor, name: string): Tensor {
  const { width, windows } = sizes;
  const at = `${towerPrefix}${name}.`;
  const { norm, first, second } = mergerNames(sizes);
  const square = sizes.merge ** 2;
  const joined = (from: Tensor): Tensor => reshape(from, [dimension(from, 0) / square, square * width]);
  const squares =
    name === 'merger'
      ? joined(normed(tape, weights, x, `${at}${norm}`, windows !== undefined))
      : normed(tape, weights, joined(x), `${at}${norm}`, false);
  const affine = (from: Tensor, layer: string): Tensor =>
    linear(tape, from, weights.get(`${at}${layer}.weight`), weights.get(`${at}${layer}.bias`));
  return affine(gelu(tape, affine(squares, first)), second);
}

function mergerNames({ windows }: QwenVisionSizes): { norm: string; first: string; second: string } {
  return windows === undefined
    ? { norm: 'norm', first: 'linear_fc1', second: 'linear_fc2' }
    : { norm: 'ln_q', first: 'mlp.0', second: 'mlp.2' };
}

/** Every weight of the tower. */
export function towerParameters(sizes: QwenVisionSizes): ParameterSpec[] {
  const { width, layers, mlp, patchSize, frames, windows, table, deepstack, hidden } = sizes;
  const square = sizes.merge ** 2 * width;
  const named = (name: string, shape: readonly number[], init: ParameterSpec['init']): ParameterSpec => ({
    name: `${towerPrefix}${name}`,
    shape,
    init,
  });
  const bias = (name: string, size: number): ParameterSpec => named(`${name}.bias`, [size], { constant: 0 });
  const affine = (name: string, rows: number, columns: number): ParameterSpec[] => [
    named(`${name}.weight`, [rows, columns], { normal: 1 / Math.sqrt(columns) }),
    bias(name, rows),
  ];
  const norm = (name: string, size: number, isRms = windows !== undefined): ParameterSpec[] => [
    named(`${name}.weight`, [size], { constant: 1 }),
    ...(isRms ? [] : [bias(name, size)]),
  ];
  const merger = (name: string, normSize: number): ParameterSpec[] => {
    const names = mergerNames(sizes);
    return [
      ...norm(`${name}.${names.norm}`, normSize),
      ...affine(`${name}.${names.first}`, square, square),
      ...affine(`${name}.${names.second}`, hidden, square),
    ];
  };
  const ofBlock = (layer: number): ParameterSpec[] => {
    const at = `blocks.${layer}.`;
    const perceptron =
      windows === undefined
        ? [...affine(`${at}mlp.linear_fc1`, mlp, width), ...affine(`${at}mlp.linear_fc2`, width, mlp)]
        : [
            ...affine(`${at}mlp.gate_proj`, mlp, width),
            ...affine(`${at}mlp.up_proj`, mlp, width),
            ...affine(`${at}mlp.down_proj`, width, mlp),
          ];
    return [
      ...norm(`${at}norm1`, width),
      ...affine(`${at}attn.qkv`, 3 * width, width),
      ...affine(`${at}attn.proj`, width, width),
      ...norm(`${at}norm2`, width),
      ...perceptron,
    ];
  };
  const filter = [width, 3, frames, patchSize, patchSize];
  return [
    named('patch_embed.proj.weight', filter, { normal: 1 / Math.sqrt(sizeOf(filter) / width) }),
    ...(windows === undefined ? [bias('patch_embed.proj', width)] : []),
    ...(table === undefined
      ? []
      : [{ ...named('pos_embed.weight', [table.side ** 2, width], { normal: 0.02 }), exact: true as const }]),
    ...Array.from({ length: layers }, (_, layer) => ofBlock(layer)).flat(),
    ...merger('merger', width),
    ...deepstack.flatMap((_, index) => merger(`deepstack_merger_list.${index}`, square)),
  ];
}
