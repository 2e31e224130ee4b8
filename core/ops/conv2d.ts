import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { channelSums } from './channel-sums.ts';
import { matrixConvolution, matrixWeightGradient } from './conv2d-matrix.ts';
import type { Reading } from './conv2d-reading.ts';
import { sumSplits } from './sum-splits.ts';

export interface Conv2dOptions {
  readonly stride?: 1 | 2;
  /** Zeros before (top, left) and after (bottom, right); (kernel - 1) / 2 on all sides by default. */
  readonly padding?: { readonly before: number; readonly after: number };
  /** Added to the result. */
  readonly residual?: Tensor;
}

/**
 * out[B, Ho, Wo, O] = convolution of x[B, H, W, C] with weight[O, kernel, kernel, C] + bias[O] (+ residual[B, Ho, Wo, O]).
 * Channels last, odd square kernels, zero padding. Backward: dX is the convolution of dOut with the transposed weight, dWeight +=
 * Σ_p dOut · x and dBias += Σ_p dOut in splits of the pixels, so that small layers use every core as well.
 */
export function conv2d(
  tape: Tape,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  options: Conv2dOptions = {},
): Tensor {
  const [images, height, width, inChannels] = [dimension(x, 0), dimension(x, 1), dimension(x, 2), dimension(x, 3)];
  const [outChannels, kernel] = [dimension(weight, 0), dimension(weight, 1)];
  if (
    x.shape.length !== 4 ||
    weight.shape.join() !== [outChannels, kernel, kernel, inChannels].join() ||
    kernel % 2 === 0
  ) {
    throw new RangeError(`conv2d: ${x.name} [${x.shape}] does not fit ${weight.name} [${weight.shape}]`);
  }
  const { stride = 1, residual } = options;
  const { before, after } = options.padding ?? { before: (kernel - 1) / 2, after: (kernel - 1) / 2 };
  const outSide = (side: number): number => Math.floor((side + before + after - kernel) / stride) + 1;
  const sides = { out: [outSide(height), outSide(width)], in: [height, width] } as const;
  const reading: Reading = {
    images,
    ...sides,
    inChannels,
    outChannels,
    kernel,
    step: stride,
    sign: 1,
    offset: -before,
    shift: 0,
  };
  const out = tape.empty(`${weight.name} out`, [images, ...sides.out, outChannels]);
  if (residual !== undefined && residual.shape.join() !== out.shape.join()) {
    throw new RangeError(`conv2d: residual ${residual.name} [${residual.shape}] is not [${out.shape}]`);
  }
  convolve(tape, x, weight, bias, residual, out, reading);
  const inputs = [x, weight, ...(bias === undefined ? [] : [bias]), ...(residual === undefined ? [] : [residual])];
  tape.differentiable(inputs, out, (dOut, needs) => {
    const dWeight = tape.gradientOf(weight);
    const dBias = bias === undefined ? undefined : tape.gradientOf(bias);
    if (dWeight !== undefined || dBias !== undefined) {
      const { partial, sums } = conv2dWeightGradient(tape, dOut, x, reading);
      if (dWeight !== undefined) sumSplits(tape, partial, dWeight);
      if (dBias !== undefined) sumSplits(tape, sums ?? channelSums(tape, dOut), dBias);
    }
    const dX = needs[0] ? inputGradient(tape, dOut, weight, x, reading) : undefined;
    return [dX, undefined, ...(bias === undefined ? [] : [undefined]), ...(residual === undefined ? [] : [dOut])];
  });
  return out;
}

/** Records out = (reading of x) · weight (+ bias) (+ residual). `upsample.ts` builds on it as well. */
export function convolve(
  tape: Tape,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  residual: Tensor | undefined,
  out: Tensor,
  reading: Reading,
): void {
  const { products } = tape;
  if (products !== undefined) {
    matrixConvolution(tape, products, { x, weight, bias, residual, out, reading });
    return;
  }
  const { inChannels, outChannels, shift } = reading;
  const pixels = reading.images * reading.out[0] * reading.out[1];
  const isBroadcast = tape.device.hasBroadcastTiles && inChannels % 4 === 0;
  // Narrow layers take more pixels instead of more channels.
  const [rows, columns] = !isBroadcast
    ? [32, 32]
    : outChannels === 4
      ? [32, 4]
      : outChannels <= 16
        ? [32, 16]
        : [16, 32];
  const [groupsX, groupsY] = grid(Math.ceil(pixels / rows));
  tape.launch({
    // conv2d/broadcast-16x32, conv2d/broadcast-32x16, conv2d/broadcast-32x4
    kernel: isBroadcast ? `conv2d/broadcast-${rows}x${columns}` : 'conv2d/portable',
    // What is absent binds the weight instead; the flags keep it from being read.
    bindings: { x, weight, bias: bias ?? weight, residual: residual ?? weight, out },
    params: {
      pixels,
      out_height: reading.out[0],
      out_width: reading.out[1],
      in_height: reading.in[0],
      in_width: reading.in[1],
      in_channels: inChannels,
      out_channels: outChannels,
      kernel: reading.kernel,
      step: reading.step,
      sign: reading.sign,
      offset: reading.offset,
      shift,
      apart: shift === 1 && reading.out[0] % 2 === 0 && reading.out[1] % 2 === 0 ? 1 : 0,
      has_bias: bias === undefined ? 0 : 1,
      has_residual: residual === undefined ? 0 : 1,
    },
    groups: [groupsX, groupsY, Math.ceil(outChannels / columns)],
  });
}

function inputGradient(tape: Tape, dOut: Tensor, weight: Tensor, x: Tensor, reading: Reading): Tensor {
  const dX = tape.empty(`d ${x.name}`, x.shape);
  convolve(tape, dOut, transposeWeight(tape, weight), undefined, undefined, dX, {
    images: reading.images,
    out: reading.in,
    in: reading.out,
    inChannels: reading.outChannels,
    outChannels: reading.inChannels,
    kernel: reading.kernel,
    step: 1,
    sign: -1,
    offset: -reading.offset,
    shift: reading.step === 2 ? 1 : 0,
  });
  return dX;
}

/** [O, kernel, kernel, C] → [C, kernel, kernel, O]. */
export function transposeWeight(tape: Tape, weight: Tensor): Tensor {
  const [outChannels, kernel, inChannels] = [dimension(weight, 0), dimension(weight, 1), dimension(weight, 3)];
  const transposed = tape.empty(`${weight.name} transposed`, [inChannels, kernel, kernel, outChannels]);
  const isVector = inChannels % 4 === 0 && outChannels % 4 === 0;
  tape.launch({
    kernel: isVector ? 'conv2d/transpose-weight-vector' : 'conv2d/transpose-weight',
    bindings: { weight, transposed },
    params: { out_channels: outChannels, in_channels: inChannels, taps: kernel * kernel },
    groups: grid(Math.ceil(sizeOf(weight.shape) / (isVector ? 1024 : 64))),
  });
  return transposed;
}

/** partial [splits, O, kernel, kernel, C] and, where the kernel makes them on the way, sums [splits, O] of dOut: to be added up. */
export function conv2dWeightGradient(
  tape: Tape,
  dOut: Tensor,
  x: Tensor,
  reading: Reading,
): { partial: Tensor; sums?: Tensor } {
  const { products } = tape;
  if (products !== undefined) return { partial: matrixWeightGradient(tape, products, { dOut, x, reading }) };
  const { inChannels, outChannels, kernel } = reading;
  const isBroadcast = tape.device.hasBroadcastTiles && inChannels % 4 === 0 && outChannels % 4 === 0;
  const columns = kernel * kernel * inChannels;
  const lines = reading.images * reading.out[0];
  const tiles = isBroadcast
    ? ([Math.ceil(columns / 32), Math.ceil(outChannels / 16)] as const)
    : ([Math.ceil(columns / 64), Math.ceil(outChannels / 4)] as const);
  const wanted = tape.device.adapter.isSoftware ? 32 : 2048;
  const linesPerSplit = Math.ceil(lines / Math.min(lines, Math.max(1, Math.ceil(wanted / (tiles[0] * tiles[1])))));
  const splits = Math.ceil(lines / linesPerSplit);
  const partial = tape.empty('weight gradient splits', [splits, outChannels, kernel, kernel, inChannels]);
  const sums = tape.empty('bias gradient splits', [splits, outChannels]);
  tape.launch({
    kernel: isBroadcast ? 'conv2d/weight-gradient-broadcast' : 'conv2d/weight-gradient-portable',
    bindings: { d_out: dOut, x, partial, sums },
    params: {
      lines,
      lines_per_split: linesPerSplit,
      out_height: reading.out[0],
      out_width: reading.out[1],
      in_height: reading.in[0],
      in_width: reading.in[1],
      in_channels: inChannels,
      out_channels: outChannels,
      kernel,
      step: reading.step,
      offset: reading.offset,
    },
    groups: [...tiles, splits],
  });
  return { partial, sums };
}
