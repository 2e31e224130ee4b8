/** [splits, O], to be added up by `sumSplits`: Σ over everything else of x[…, O]. The gradient of a bias, where no other kernel makes it on the way. */
import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';

export function channelSums(tape: Tape, x: Tensor): Tensor {
  const channels = dimension(x, x.shape.length - 1);
  const width = channels % 4 === 0 ? 4 : 1;
  const pixels = sizeOf(x.shape) / channels;
  const pixelsPerSplit = Math.max(16, Math.ceil((pixels * channels) / width / 2048));
  const splits = Math.ceil(pixels / pixelsPerSplit);
  const partial = tape.empty(`${x.name} splits`, [splits, channels]);
  tape.launch({
    kernel: 'conv2d/bias-partial',
    constants: width === 4 ? { elem: 'vec4f' } : {},
    bindings: { d_out: x, partial },
    params: { pixels, pixels_per_split: pixelsPerSplit, splits, out_channels: channels / width },
    groups: grid(Math.ceil((splits * channels) / width / 64)),
  });
  return partial;
}
