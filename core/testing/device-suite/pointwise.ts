/** Activations. */
import type { Tape } from '../../autograd/tape.ts';
import { gelu } from '../../ops/gelu.ts';
import { silu } from '../../ops/silu.ts';
import { swiglu } from '../../ops/swiglu.ts';
import { at } from '../arrays.ts';
import { checkOp } from '../check-op.ts';
import { geluOf } from '../oracles.ts';
import { type DeviceCase, floats, logistic } from './cases.ts';

const pointwise: Readonly<
  Record<
    string,
    readonly [(tape: Tape, x: Parameters<typeof silu>[1]) => ReturnType<typeof silu>, (x: number) => number]
  >
> = {
  SiLU: [silu, (x) => x * logistic(x)],
  'GELU, exact': [(tape, x) => gelu(tape, x), geluOf],
  'GELU, tanh': [
    (tape, x) => gelu(tape, x, 'tanh'),
    (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  ],
};

export const pointwiseCases: readonly DeviceCase[] = [
  ...Object.entries(pointwise).map(([op, [made, exact]]): DeviceCase => ({
    op,
    form: '1003 values',
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([1003], 1, 5) },
        op: (tape, { x }) => made(tape, x),
        oracle: ({ x }) => x.map(exact),
        valueTolerance: 2e-6,
      }),
  })),
  {
    op: 'SwiGLU',
    form: '1003 values',
    run: (device) =>
      checkOp({
        device,
        inputs: { gate: floats([1003], 1, 3), up: floats([1003], 2) },
        op: (tape, { gate, up }) => swiglu(tape, gate, up),
        oracle: ({ gate, up }) => gate.map((value, i) => value * logistic(value) * at(up, i)),
      }),
  },
];
