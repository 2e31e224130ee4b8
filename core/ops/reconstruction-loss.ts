import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, type Tensor } from '../tensor/tensor.ts';

export interface ReconstructionOptions {
  /** Weight of the edge term; 0.5 by default. */
  readonly edge?: number;
  /** How much a pixel counts that differs from the background by more than `threshold`; 4 by default. */
  readonly emphasis?: number;
  readonly threshold?: number;
  /** In the units of the pictures. */
  readonly background?: readonly [red: number, green: number, blue: number];
}

/**
 * How far a picture out[B, H, W, 4] is from goal[B, H, W, 4] (the fourth channel pads): weighted |d| + 2 d², plus the difference of
 * neighboring errors, which keeps edges sharp. The formula stands in kernels/reconstruction-loss/rows.wgsl.
 * Starts the gradient of `out` when the tape goes back; returns f32 [B · H, 2]: each image row's share of the loss and its Σ d².
 */
export function reconstructionLoss(tape: Tape, out: Tensor, goal: Tensor, options: ReconstructionOptions = {}): Tensor {
  const [images, height, width] = [dimension(out, 0), dimension(out, 1), dimension(out, 2)];
  if (dimension(out, 3) !== 4 || goal.shape.join() !== out.shape.join()) {
    throw new RangeError(
      `reconstructionLoss: ${out.name} [${out.shape}] and ${goal.name} [${goal.shape}] must be [B, H, W, 4] alike`,
    );
  }
  const { edge = 0.5, emphasis = 4, threshold = 0.06, background = [0, 0, 0] } = options;
  const lines = images * height;
  const losses = tape.empty('reconstruction losses', [lines, 2]);
  const dOut = tape.empty(`d ${out.name}`, out.shape);
  tape.launch({
    kernel: 'reconstruction-loss/rows',
    bindings: { out, goal, d_out: dOut, losses },
    params: {
      lines,
      height,
      width,
      edge,
      emphasis,
      threshold,
      background_red: background[0],
      background_green: background[1],
      background_blue: background[2],
    },
    groups: grid(Math.ceil(lines / 64)),
  });
  if (tape.needs(out)) tape.seed(out, dOut);
  return losses;
}
