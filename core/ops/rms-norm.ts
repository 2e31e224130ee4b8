import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { rowVectors } from './row-vectors.ts';
import { shareRows } from '../gpu/row-groups.ts';

/**
 * x [..., D], weight [D] → x / sqrt(mean(x²) + ε) · weight over the last axis.
 * Backward: kernels/rms-norm; adds what else flows into x (the residual) while it writes. The weight's gradient is summed in blocks of 32 rows, then over the blocks.
 */
export function rmsNorm(tape: Tape, x: Tensor, weight: Tensor, epsilon: number): Tensor {
  const columns = dimension(x, -1);
  const rows = sizeOf(x.shape) / columns;
  const vectors = rowVectors(columns);
  const { width } = vectors;
  if (sizeOf(weight.shape) !== columns)
    throw new RangeError(`rmsNorm: ${x.name} [${x.shape}] with ${weight.name} [${weight.shape}]: the widths differ`);
  const out = tape.empty(`${weight.name} out`, x.shape);
  const scale = tape.empty(`${weight.name} scale`, [rows], 'f32', { exact: true });
  const share = shareRows(tape.device);
  const constants = { ...vectors.constants, ...share.constants };
  const groups = grid(share.groups(rows));
  tape.launch({
    kernel: 'rms-norm/forward',
    constants,
    bindings: { x, weight, out, scale },
    params: { rows, width, epsilon },
    groups,
  });
  tape.differentiable([x, weight], out, (dOut, needs) => {
    const dWeight = tape.gradientOf(weight);
    if (dWeight !== undefined) weightGradient(tape, x, scale, dOut, dWeight, rows, columns);
    if (!needs[0]) return [undefined, undefined];
    const dX = tape.empty(`d ${weight.name} in`, x.shape);
    const addend = tape.takeGradient(x);
    tape.launch({
      kernel: 'rms-norm/input-gradient',
      constants: { ...constants, HAS_ADDEND: addend !== undefined },
      bindings: { x, weight, scale, d_out: dOut, addend: addend ?? dOut, d_x: dX },
      params: { rows, width },
      groups,
    });
    return [dX, undefined];
  });
  return out;
}

function weightGradient(
  tape: Tape,
  x: Tensor,
  scale: Tensor,
  dOut: Tensor,
  dWeight: Tensor,
  rows: number,
  columns: number,
): void {
  const blocks = Math.ceil(rows / 32);
  const { width, alias } = rowVectors(columns);
  const partial = tape.empty(`${dWeight.name} blocks`, [blocks, columns]);
  tape.launch({
    kernel: 'rms-norm/weight-gradient',
    constants: alias,
    bindings: { x, scale, d_out: dOut, partial },
    params: { rows, width, blocks },
    groups: grid(Math.ceil((blocks * width) / 64)),
  });
  tape.launch({
    kernel: 'linear/bias-gradient',
    bindings: { d_out: partial, d_bias: dWeight },
    params: { rows: blocks, columns },
    groups: [Math.ceil(columns / 64), 1, 1],
  });
}
