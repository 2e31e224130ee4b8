import type { Tape } from '../autograd/tape.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { addAdapter } from './linear-adapter.ts';
import { forward, inputGradient, weightGradient } from './linear-shards.ts';

/**
 * out[M, N] = x[M, K] · weight[N, K]ᵀ + bias[N], the weight of any type and in any number of parts.
 * Backward: dX = dOut · weight; dWeight += dOutᵀ · x; dBias += Σ_m dOut.
 * A weight with an adapter counts as weight + scale · up · down: see linear-adapter.ts.
 */
export function linear(tape: Tape, x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const inner = dimension(x, -1);
  const columns = dimension(weight, 0);
  const rows = sizeOf(x.shape) / inner;
  if (dimension(weight, 1) !== inner)
    throw new RangeError(`linear: ${x.name} [${x.shape}] does not fit ${weight.name} [${weight.shape}]`);
  const out = tape.empty(`${weight.name} out`, [...x.shape.slice(0, -1), columns]);
  forward(tape, { a: x, weight, out, rows, columns, inner }, bias);
  const adapter = weight.adapter === undefined ? undefined : addAdapter(tape, x, weight.adapter, out, rows);
  const inputs = [
    x,
    weight,
    ...(bias === undefined ? [] : [bias]),
    ...(weight.adapter === undefined ? [] : [weight.adapter.down, weight.adapter.up]),
  ];
  tape.differentiable(inputs, out, (dOut, needs) => {
    weightGradient(tape, { a: dOut, weight, rows, columns, inner }, x);
    const dBias = bias === undefined ? undefined : tape.gradientOf(bias);
    if (dBias !== undefined) {
      tape.launch({
        kernel: 'linear/bias-gradient',
        bindings: { d_out: dOut, d_bias: dBias },
        params: { rows, columns },
        groups: [Math.ceil(columns / 64), 1, 1],
      });
    }
    if (!needs[0]) {
      adapter?.backward(dOut, undefined);
      return [];
    }
    const dX = tape.empty(`d ${weight.name} in`, x.shape);
    inputGradient(tape, { a: dOut, weight, out: dX, rows, columns: inner, inner: columns }, tape.takeGradient(x));
    return [adapter === undefined ? dX : adapter.backward(dOut, dX)];
  });
  return out;
}
