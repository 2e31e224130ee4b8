import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { channelSums } from './channel-sums.ts';
import type { Reading } from './conv2d-reading.ts';
import { convolve, transposeWeight, conv2dWeightGradient } from './conv2d.ts';
import { sumSplits } from './sum-splits.ts';

/**
 * Nearest neighbor enlargement by two: x[B, H, W, C] → out[B, 2H, 2W, C]. Backward: dX is the sum of the four copies. C % 4 == 0.
 *
 * `upsampleConv2d` is the enlargement with a 3 × 3 convolution behind it, never writing the large picture between them: the
 * repeated pixels make the filter one of 4 × 4 that widens by a stride of two, with 4 instead of 9 products (kernels/upsample/enlarge-weight).
 * Its input gradient is then a convolution of dOut with stride 2, and its weight gradient that of the 4 × 4 filter folded back.
 */
export function upsample(tape: Tape, x: Tensor): Tensor {
  const [images, height, width, channels] = [dimension(x, 0), dimension(x, 1), dimension(x, 2), dimension(x, 3)];
  if (channels % 4 !== 0) throw new RangeError(`upsample: ${x.name} [${x.shape}] must have a multiple of 4 channels`);
  const out = tape.empty(`${x.name} enlarged`, [images, 2 * height, 2 * width, channels]);
  const count = sizeOf(out.shape) / 4;
  tape.launch({
    kernel: 'upsample/nearest',
    bindings: { value: x, out },
    params: { count, out_width: 2 * width, channels },
    groups: grid(Math.ceil(count / 64)),
  });
  tape.differentiable([x], out, (dOut) => {
    const dX = tape.empty(`d ${x.name}`, x.shape);
    tape.launch({
      kernel: 'upsample/gradient',
      bindings: { d_out: dOut, d_value: dX },
      params: { count: count / 4, width, channels },
      groups: grid(Math.ceil(count / 4 / 64)),
    });
    return [dX];
  });
  return out;
}

/** out[B, 2H, 2W, O] = convolution of the enlarged x[B, H, W, C] with weight[O, 3, 3, C] + bias[O], zeros around. Any channels. Gradients reach x, weight (+=) and bias (+=). */
export function upsampleConv2d(tape: Tape, x: Tensor, weight: Tensor, bias: Tensor): Tensor {
  const [images, height, width, inChannels] = [dimension(x, 0), dimension(x, 1), dimension(x, 2), dimension(x, 3)];
  const outChannels = dimension(weight, 0);
  if (weight.shape.join() !== [outChannels, 3, 3, inChannels].join()) {
    throw new RangeError(`upsampleConv2d: ${x.name} [${x.shape}] does not fit ${weight.name} [${weight.shape}]`);
  }
  const wide = tape.empty(`${weight.name} wide`, [outChannels, 4, 4, inChannels]);
  const channels = { out_channels: outChannels, in_channels: inChannels };
  tape.launch({
    kernel: 'upsample/enlarge-weight',
    bindings: { weight, wide },
    params: channels,
    groups: grid(Math.ceil(sizeOf(wide.shape) / 64)),
  });
  const small = [height, width] as const;
  const large = [2 * height, 2 * width] as const;
  const out = tape.empty(`${weight.name} out`, [images, ...large, outChannels]);
  convolve(tape, x, wide, bias, undefined, out, {
    images,
    out: large,
    in: small,
    inChannels,
    outChannels,
    kernel: 4,
    step: 1,
    sign: -1,
    offset: 1,
    shift: 1,
  });
  tape.differentiable([x, weight, bias], out, (dOut, needs) => {
    // Seen from the small picture: a convolution of dOut with stride 2.
    const back: Reading = {
      images,
      out: small,
      in: large,
      inChannels: outChannels,
      outChannels: inChannels,
      kernel: 4,
      step: 2,
      sign: 1,
      offset: -1,
      shift: 0,
    };
    const dWeight = tape.gradientOf(weight);
    if (dWeight !== undefined) {
      const { partial } = conv2dWeightGradient(tape, x, dOut, back);
      tape.launch({
        kernel: 'upsample/enlarge-weight-gradient',
        bindings: { partial, d_weight: dWeight },
        params: { ...channels, splits: dimension(partial, 0) },
        groups: grid(Math.ceil(sizeOf(weight.shape) / 64)),
      });
    }
    const dBias = tape.gradientOf(bias);
    if (dBias !== undefined) sumSplits(tape, channelSums(tape, dOut), dBias);
    if (!needs[0]) return [];
    const dX = tape.empty(`d ${x.name}`, x.shape);
    convolve(tape, dOut, transposeWeight(tape, wide), undefined, undefined, dX, back);
    return [dX];
  });
  return out;
}
