import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { rowVectors } from './row-vectors.ts';
import { shareRows } from '../gpu/row-groups.ts';
import { sumSplits } from './sum-splits.ts';

/**
 * x [..., D], weight [D], bias [D] → (x − mean) / sqrt(variance + ε) · weight + bias over the last axis.
 * Backward: kernels/layer-norm; adds what else flows into x (the residual) while it writes. Gradients of weight and bias are summed
 * in blocks of 32 rows, then over the blocks.
 */
export function layerNorm(tape: Tape, x: Tensor, weight: Tensor, bias: Tensor, epsilon: number): Tensor {
  const columns = dimension(x, -1);
  const rows = sizeOf(x.shape) / columns;
  const vectors = rowVectors(columns);
  const { width } = vectors;
  if (sizeOf(weight.shape) !== columns || sizeOf(bias.shape) !== columns) {
    throw new RangeError(
      `layerNorm: ${x.name} [${x.shape}] with ${weight.name} [${weight.shape}] and ${bias.name} [${bias.shape}]: the widths differ`,
    );
  }
  const out = tape.empty(`${weight.name} out`, x.shape);
  const statistics = tape.empty(`${weight.name} statistics`, [rows, 2], 'f32', { exact: true });
  const share = shareRows(tape.device);
  const constants = { ...vectors.constants, ...share.constants };
  const groups = grid(share.groups(rows));
  tape.launch({
    kernel: 'layer-norm/forward',
    constants,
    bindings: { x, weight, bias, out, statistics },
    params: { rows, width, epsilon },
    groups,
  });
  tape.differentiable([x, weight, bias], out, (dOut, needs) => {
    const dWeight = tape.gradientOf(weight);
    const dBias = tape.gradientOf(bias);
    if (dWeight !== undefined || dBias !== undefined) {
      const blocks = Math.ceil(rows / 32);
      const products = tape.empty(`${weight.name} gradient blocks`, [blocks, columns]);
      const sums = tape.empty(`${bias.name} gradient blocks`, [blocks, columns]);
      tape.launch({
        kernel: 'layer-norm/weight-gradient',
        constants: vectors.alias,
        bindings: { x, statistics, d_out: dOut, products, sums },
        params: { rows, width, blocks },
        groups: grid(Math.ceil((blocks * width) / 64)),
      });
      if (dWeight !== undefined) sumSplits(tape, products, dWeight);
      if (dBias !== undefined) sumSplits(tape, sums, dBias);
    }
    if (!needs[0]) return [];
    const dX = tape.empty(`d ${weight.name} in`, x.shape);
    const addend = tape.takeGradient(x);
    tape.launch({
      kernel: 'layer-norm/input-gradient',
      constants: { ...constants, HAS_ADDEND: addend !== undefined },
      bindings: { x, weight, statistics, d_out: dOut, addend: addend ?? dOut, d_x: dX },
      params: { rows, width },
      groups,
    });
    return [dX];
  });
  return out;
}
