import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, type Tensor } from '../tensor/tensor.ts';
import { sumSplits } from './sum-splits.ts';

export interface GroupNormOptions {
  readonly groups: number;
  /** Applies SiLU to the result. */
  readonly silu?: boolean;
  /** 1e-6 by default. */
  readonly epsilon?: number;
}

/**
 * out = f((x - mean) / √(variance + epsilon) · weight + bias) over x[B, H, W, C], mean and variance per image and group of
 * C / groups neighboring channels; f = SiLU when asked for, which saves two passes over the picture. C % 4 == 0.
 * Backward, with n the normalized value, v = n · weight + bias and e = dOut · f'(v):
 *   dBias += Σ e, dWeight += Σ e n, dX = (weight e - mean_group(weight e) - n · mean_group(weight e n)) / deviation
 */
export function groupNorm(tape: Tape, x: Tensor, weight: Tensor, bias: Tensor, options: GroupNormOptions): Tensor {
  const { groups, epsilon = 1e-6 } = options;
  const silu = options.silu === true ? 1 : 0;
  const [images, pixels, channels] = [dimension(x, 0), dimension(x, 1) * dimension(x, 2), dimension(x, 3)];
  if (
    channels % groups !== 0 ||
    channels % 4 !== 0 ||
    dimension(weight, 0) !== channels ||
    dimension(bias, 0) !== channels
  ) {
    throw new RangeError(
      `groupNorm: ${x.name} [${x.shape}] does not fit ${weight.name} [${weight.shape}] in ${groups} groups`,
    );
  }
  const chunk = chunkOf(pixels);
  const chunks = Math.ceil(pixels / chunk);
  const layout = { images, pixels, channels, chunks };
  const wide = grid(Math.ceil((images * chunks * channels) / 256));
  const narrow = grid(Math.ceil((images * groups) / 64));
  const means = tape.empty('chunk means', [images, chunks, channels]);
  const squares = tape.empty('chunk squares', [images, chunks, channels]);
  const mean = tape.empty('group means', [images, channels]);
  const scale = tape.empty('group scales', [images, channels]);
  const out = tape.empty(`${weight.name} out`, x.shape);
  tape.launch({
    kernel: 'group-norm/statistics',
    bindings: { x, means, squares },
    params: { ...layout, chunk },
    groups: wide,
  });
  tape.launch({
    kernel: 'group-norm/combine',
    bindings: { means, squares, mean, scale },
    params: { ...layout, chunk, groups, epsilon },
    groups: narrow,
  });
  tape.launch({
    kernel: 'group-norm/apply',
    bindings: { x, mean, scale, weight, bias, out },
    params: { ...layout, chunk, silu },
    groups: wide,
  });
  tape.differentiable([x, weight, bias], out, (dOut, needs) => {
    const sums = tape.empty('chunk sums', [images, chunks, channels]);
    const products = tape.empty('chunk products', [images, chunks, channels]);
    const biasOfImage = tape.empty(`d ${bias.name} of image`, [images, channels]);
    const weightOfImage = tape.empty(`d ${weight.name} of image`, [images, channels]);
    const aAndB = tape.empty('group gradients a and b', [images, 2, channels]);
    const saved = { x, mean, scale, weight, bias, d_out: dOut };
    tape.launch({
      kernel: 'group-norm/gradient-partial',
      bindings: { ...saved, sums, products },
      params: { ...layout, chunk, silu },
      groups: wide,
    });
    tape.launch({
      kernel: 'group-norm/gradient-combine',
      bindings: { sums, products, weight, d_bias: biasOfImage, d_weight: weightOfImage, a_and_b: aAndB },
      params: { ...layout, groups },
      groups: narrow,
    });
    const dWeight = tape.gradientOf(weight);
    if (dWeight !== undefined) sumSplits(tape, weightOfImage, dWeight);
    const dBias = tape.gradientOf(bias);
    if (dBias !== undefined) sumSplits(tape, biasOfImage, dBias);
    if (!needs[0]) return [];
    const dX = tape.empty(`d ${x.name}`, x.shape);
    tape.launch({
      kernel: 'group-norm/gradient-apply',
      bindings: { ...saved, a_and_b: aAndB, d_x: dX },
      params: { ...layout, chunk, silu },
      groups: wide,
    });
    return [dX];
  });
  return out;
}

/**
 * Pixels one thread walks: long enough to share what is per image, short enough to keep every core busy. It does not depend on the
 * batch, so that a picture's values do not either.
 */
function chunkOf(pixels: number): number {
  return Math.min(pixels, Math.max(36, Math.ceil(Math.sqrt(pixels))));
}
