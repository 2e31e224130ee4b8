import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { linear } from './linear.ts';
import { transposedProduct } from './linear-products.ts';
import { multiply, scale, weightedSum } from './pointwise.ts';
import { sumAll } from './reduce.ts';

const [a, b, c] = [3.4445, -4.775, 2.0315];

/**
 * The nearest matrix with all singular values about 1: x [R, C] → U·Vᵀ of x = U·S·Vᵀ, by Newton–Schulz steps of degree five
 * (Bernstein and Newhouse 2024), with the coefficients of Muon (Jordan et al. 2024) that lift small singular values fastest and leave
 * them between 0.7 and 1.2. Steps are X ← aX + (bA + cA²)X with A = X·Xᵀ, on the shorter side; matrix products only. No backward.
 */
export function newtonSchulz(tape: Tape, x: Tensor, steps = 5): Tensor {
  const [rows, columns] = [dimension(x, 0), dimension(x, 1)];
  const count = sizeOf(x.shape);
  let value = tape.empty(`${x.name} of norm 1`, x.shape);
  const squareSum = sumAll(tape, multiply(tape, x, x));
  tape.launch({
    kernel: 'newton-schulz/normalize',
    bindings: { x, square_sum: squareSum, out: value },
    params: { count },
    groups: grid(Math.ceil(count / 256)),
  });
  for (let step = 0; step < steps; step++) {
    // A and the polynomial of it are symmetric: each may stand for its transpose.
    const gram = rows <= columns ? linear(tape, value, value) : ownProduct(tape, value, columns, rows);
    const polynomial = weightedSum(tape, gram, b, linear(tape, gram, gram), c);
    if (rows <= columns) {
      const next = scale(tape, value, a);
      transposedProduct(tape, polynomial, value, next, rows, columns, rows);
      value = next;
    } else {
      value = weightedSum(tape, value, a, linear(tape, value, polynomial), 1);
    }
  }
  return value;
}

/** xᵀ · x of x [inner, side]. */
function ownProduct(tape: Tape, x: Tensor, side: number, inner: number): Tensor {
  const out = tape.empty(`${x.name} gram`, [side, side]);
  const count = side * side;
  tape.launch({ kernel: 'pointwise/zero', bindings: { out }, params: { count }, groups: grid(Math.ceil(count / 256)) });
  transposedProduct(tape, x, x, out, side, side, inner);
  return out;
}
