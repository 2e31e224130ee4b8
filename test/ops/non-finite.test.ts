/**
 * A value that is not a number, or infinite, comes out of every op where it must and nowhere else: WGSL lets compilers assume that neither
 * occurs, and a broken weight that vanishes in an op would never be found.
 */
import { describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import type { Device } from '../../core/gpu/device.ts';
import { add } from '../../core/ops/add.ts';
import { conv2d } from '../../core/ops/conv2d.ts';
import { gelu } from '../../core/ops/gelu.ts';
import { groupNorm } from '../../core/ops/group-norm.ts';
import { layerNorm } from '../../core/ops/layer-norm.ts';
import { linear } from '../../core/ops/linear.ts';
import { multiply, scale, weightedSum } from '../../core/ops/pointwise.ts';
import { sumAll, sumRows } from '../../core/ops/reduce.ts';
import { rmsNorm } from '../../core/ops/rms-norm.ts';
import { rotary } from '../../core/ops/rotary.ts';
import { silu } from '../../core/ops/silu.ts';
import { softmax } from '../../core/ops/softmax.ts';
import { swiglu } from '../../core/ops/swiglu.ts';
import { upsample, upsampleConv2d } from '../../core/ops/upsample.ts';
import { sizeOf, type Tensor } from '../../core/tensor/tensor.ts';
import { randomFloats } from '../../core/testing.ts';
import { testRowDevices } from './device.ts';

interface Case {
  readonly name: string;
  readonly shape: readonly number[];
  /** Element of the input that is broken. */
  readonly at: number;
  readonly op: (tape: Tape, x: Tensor, constant: (name: string, shape: readonly number[]) => Tensor) => Tensor;
  /** Whether an element of the output must be broken. */
  readonly isBroken: (index: number) => boolean;
  /** The same for an infinity, where that differs. */
  readonly isBrokenByInfinity?: (index: number) => boolean;
  /** An op that is linear in the element passes its gradient on without looking at it; all others must show it there too. */
  readonly isLinear?: boolean;
}

const only =
  (index: number) =>
  (each: number): boolean =>
    each === index;
const rowOf =
  (index: number, width: number) =>
  (each: number): boolean =>
    Math.floor(each / width) === Math.floor(index / width);
/** Pictures [1, 5, 5, 4]: pixels at most `reach` from the one in the middle. */
const around =
  (reach: number, side: number, middle: readonly number[]) =>
  (each: number): boolean => {
    const pixel = Math.floor(each / 4);
    const [low = 0, high = 0] = middle;
    const isNear = (place: number): boolean => place >= low - reach && place <= high + reach;
    return isNear(Math.floor(pixel / side)) && isNear(pixel % side);
  };
const middlePixel = (2 * 5 + 2) * 4 + 1;

const cases: readonly Case[] = [
  { name: 'gelu', shape: [37], at: 9, op: (tape, x) => gelu(tape, x), isBroken: only(9) },
  { name: 'gelu, tanh', shape: [37], at: 9, op: (tape, x) => gelu(tape, x, 'tanh'), isBroken: only(9) },
  { name: 'silu', shape: [37], at: 9, op: (tape, x) => silu(tape, x), isBroken: only(9) },
  {
    name: 'swiglu, gate',
    shape: [37],
    at: 9,
    op: (tape, x, constant) => swiglu(tape, x, constant('up', [37])),
    isBroken: only(9),
  },
  {
    name: 'swiglu, up',
    shape: [37],
    at: 9,
    op: (tape, x, constant) => swiglu(tape, constant('gate', [37]), x),
    isBroken: only(9),
    isLinear: true,
  },
  {
    name: 'add',
    shape: [37],
    at: 9,
    op: (tape, x, constant) => add(tape, x, constant('b', [37])),
    isBroken: only(9),
    isLinear: true,
  },
  { name: 'multiply', shape: [37], at: 9, op: (tape, x) => multiply(tape, x, x), isBroken: only(9) },
  { name: 'scale', shape: [37], at: 9, op: (tape, x) => scale(tape, x, 3), isBroken: only(9), isLinear: true },
  {
    name: 'weightedSum',
    shape: [37],
    at: 9,
    op: (tape, x, constant) => weightedSum(tape, x, 2, constant('b', [37]), 3),
    isBroken: only(9),
    isLinear: true,
  },
  { name: 'softmax', shape: [5, 12], at: 15, op: (tape, x) => softmax(tape, x), isBroken: rowOf(15, 12) },
  { name: 'sumRows', shape: [5, 12], at: 15, op: (tape, x) => sumRows(tape, x), isBroken: only(1), isLinear: true },
  { name: 'sumAll', shape: [5, 12], at: 15, op: (tape, x) => sumAll(tape, x), isBroken: only(0), isLinear: true },
  {
    name: 'rmsNorm',
    shape: [5, 12],
    at: 15,
    op: (tape, x, constant) => rmsNorm(tape, x, constant('w', [12]), 1e-6),
    isBroken: rowOf(15, 12),
    isBrokenByInfinity: only(15),
  },
  {
    name: 'layerNorm',
    shape: [5, 12],
    at: 15,
    op: (tape, x, constant) => layerNorm(tape, x, constant('w', [12]), constant('b', [12]), 1e-6),
    isBroken: rowOf(15, 12),
  },
  {
    name: 'linear',
    shape: [5, 12],
    at: 15,
    op: (tape, x, constant) => linear(tape, x, constant('w', [8, 12])),
    isBroken: rowOf(8, 8),
    isLinear: true,
  },
  {
    name: 'rotary',
    shape: [5, 16],
    at: 18,
    op: (tape, x) =>
      rotary(tape, x, tape.device.tensor('positions', [5], 'u32', Uint32Array.of(1, 2, 3, 4, 5)), {
        heads: 1,
        headDimension: 16,
        theta: 100,
      }),
    isBroken: (each) => each === 18 || each === 26,
    isLinear: true,
  },
  {
    name: 'groupNorm with silu',
    shape: [2, 5, 5, 8],
    at: 2,
    op: (tape, x, constant) => groupNorm(tape, x, constant('w', [8]), constant('b', [8]), { groups: 2, silu: true }),
    isBroken: (each) => each < 200 && each % 8 < 4,
  },
  {
    name: 'conv2d',
    shape: [1, 5, 5, 4],
    at: middlePixel,
    op: (tape, x, constant) => conv2d(tape, x, constant('w', [4, 3, 3, 4]), constant('b', [4])),
    isBroken: around(1, 5, [2, 2]),
    isLinear: true,
  },
  {
    name: 'upsample',
    shape: [1, 5, 5, 4],
    at: middlePixel,
    op: (tape, x) => upsample(tape, x),
    isBroken: (each) => around(0, 10, [4, 5])(each) && each % 4 === 1,
    isLinear: true,
  },
  {
    name: 'upsampleConv2d',
    shape: [1, 5, 5, 4],
    at: middlePixel,
    op: (tape, x, constant) => upsampleConv2d(tape, x, constant('w', [4, 3, 3, 4]), constant('b', [4])),
    isBroken: around(1, 10, [4, 5]),
    isLinear: true,
  },
];

async function broken(
  device: Device,
  { shape, at, op }: Case,
  value: number,
): Promise<{ out: number[]; gradient: number; size: number }> {
  const workspace = new Workspace(device);
  const tape = new Tape(workspace);
  const made: Tensor[] = [];
  const constant = (name: string, sizes: readonly number[]): Tensor => {
    const tensor = device.tensor(
      name,
      sizes,
      'f32',
      randomFloats(sizeOf(sizes), 5).map((each) => each + 2),
    );
    made.push(tensor);
    return tensor;
  };
  const data = randomFloats(sizeOf(shape), 1);
  data[at] = value;
  const x = device.tensor('x', shape, 'f32', data);
  const gradient = device.tensor('d x', shape);
  tape.watch(x, gradient);
  const result = op(tape, x, constant);
  const out = tape.output(result);
  tape.seed(result, constant('d out', result.shape));
  tape.backward();
  const program = await tape.finish('broken');
  program.run();
  const [values, slopes] = (await device.read([out, gradient])) as Float32Array[];
  program.dispose();
  workspace.close();
  for (const tensor of [...made, x, gradient, out]) device.destroyTensor(tensor);
  return {
    out: [...(values ?? [])].flatMap((each, index) => (Number.isFinite(each) ? [] : [index])),
    gradient: slopes?.[at] ?? 0,
    size: values?.length ?? 0,
  };
}

describe.each(await testRowDevices())('%s', (_name, device) => {
  test.each(cases)('$name', async (item) => {
    for (const value of [Number.NaN, Infinity]) {
      const { out, gradient, size } = await broken(device, item, value);
      const isBroken = (value === Infinity ? item.isBrokenByInfinity : undefined) ?? item.isBroken;
      expect(out, String(value)).toEqual([...Array(size).keys()].filter(isBroken));
      // An infinity may have a finite slope: silu(∞) rises by 1.
      if (Number.isNaN(value)) expect(Number.isFinite(gradient), 'derivative').toBe(item.isLinear === true);
    }
  });
});
