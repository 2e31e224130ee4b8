/** Elementwise ops of one or two tensors of one shape; `add.ts` has the plain sum. */
import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { sizeOf, type Tensor } from '../tensor/tensor.ts';

/** a · b, two tensors of one shape. Gradients: dA = dOut · b, dB = dOut · a. */
export function multiply(tape: Tape, a: Tensor, b: Tensor): Tensor {
  refuseOtherShape('multiply', a, b);
  const out = times(tape, a, b, 'product');
  tape.differentiable([a, b], out, (dOut, needs) => [
    needs[0] ? times(tape, dOut, b, `d ${a.name}`) : undefined,
    needs[1] ? times(tape, dOut, a, `d ${b.name}`) : undefined,
  ]);
  return out;
}

/** factor · x, any shape. Gradient: dX = factor · dOut. */
export function scale(tape: Tape, x: Tensor, factor: number): Tensor {
  const out = scaled(tape, x, factor, `${x.name} scaled`);
  tape.differentiable([x], out, (dOut) => [scaled(tape, dOut, factor, `d ${x.name}`)]);
  return out;
}

/** alpha · a + beta · b, two tensors of one shape: a residual with a weight, or guidance with alpha = s and beta = 1 − s. Gradients: dA = alpha · dOut, dB = beta · dOut. */
export function weightedSum(tape: Tape, a: Tensor, alpha: number, b: Tensor, beta: number): Tensor {
  refuseOtherShape('weightedSum', a, b);
  const out = tape.empty('weighted sum', a.shape);
  const count = sizeOf(a.shape);
  tape.launch({
    kernel: 'pointwise/weighted-sum',
    bindings: { a, b, out },
    params: { count, alpha, beta },
    groups: grid(Math.ceil(count / 256)),
  });
  tape.differentiable([a, b], out, (dOut, needs) => [
    needs[0] ? (alpha === 1 ? dOut : scaled(tape, dOut, alpha, `d ${a.name}`)) : undefined,
    needs[1] ? (beta === 1 ? dOut : scaled(tape, dOut, beta, `d ${b.name}`)) : undefined,
  ]);
  return out;
}

function times(tape: Tape, a: Tensor, b: Tensor, name: string): Tensor {
  const out = tape.empty(name, a.shape);
  const count = sizeOf(a.shape);
  tape.launch({
    kernel: 'pointwise/multiply',
    bindings: { a, b, out },
    params: { count },
    groups: grid(Math.ceil(count / 256)),
  });
  return out;
}

function scaled(tape: Tape, x: Tensor, factor: number, name: string): Tensor {
  const out = tape.empty(name, x.shape);
  const count = sizeOf(x.shape);
  tape.launch({
    kernel: 'pointwise/scale',
    bindings: { x, out },
    params: { count, factor },
    groups: grid(Math.ceil(count / 256)),
  });
  return out;
}

function refuseOtherShape(op: string, a: Tensor, b: Tensor): void {
  if (sizeOf(a.shape) !== sizeOf(b.shape))
    throw new RangeError(`${op}: ${a.name} [${a.shape}] and ${b.name} [${b.shape}] differ`);
}
