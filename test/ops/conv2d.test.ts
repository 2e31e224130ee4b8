import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Tape } from '../../core/autograd/tape.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { conv2d, type Conv2dOptions } from '../../core/ops/conv2d.ts';
import { at, checkOp, randomFloats } from '../../core/testing.ts';

interface Case {
  readonly name: string;
  readonly x: readonly [number, number, number, number];
  readonly outChannels: number;
  readonly kernel: number;
  readonly options?: Conv2dOptions;
  readonly hasResidual?: boolean;
}

const rightBottom = { before: 0, after: 1 };
const cases: readonly Case[] = [
  { name: '3x3, as wide as one tile', x: [2, 6, 6, 16], outChannels: 16, kernel: 3 },
  {
    name: '3x3 with a residual, more channels than a tile',
    x: [1, 5, 7, 8],
    outChannels: 36,
    kernel: 3,
    hasResidual: true,
  },
  {
    name: '3x3 with stride 2, zeros at the right and bottom',
    x: [2, 8, 6, 4],
    outChannels: 20,
    kernel: 3,
    options: { stride: 2, padding: rightBottom },
  },
  {
    name: '3x3 with stride 2, zeros around, odd sides',
    x: [1, 7, 5, 8],
    outChannels: 4,
    kernel: 3,
    options: { stride: 2 },
  },
  {
    name: '3x3 with stride 2, more channels than a tile',
    x: [2, 12, 12, 36],
    outChannels: 8,
    kernel: 3,
    options: { stride: 2, padding: rightBottom },
  },
  { name: '1x1', x: [3, 4, 4, 12], outChannels: 8, kernel: 1 },
  { name: '5x5, three channels in and out', x: [1, 6, 5, 3], outChannels: 3, kernel: 5 },
  { name: '3x3, prime sizes', x: [1, 11, 13, 7], outChannels: 5, kernel: 3, hasResidual: true },
  { name: 'one pixel', x: [1, 1, 1, 4], outChannels: 4, kernel: 3 },
  { name: 'many pixels', x: [3, 17, 19, 4], outChannels: 4, kernel: 3 },
];

// The plain definition, in float64.
function oracle(
  { x: shape, outChannels, kernel, options = {} }: Case,
  x: Float64Array,
  weight: Float64Array,
  bias: Float64Array,
  residual?: Float64Array,
): Float64Array {
  const [images, height, width, channels] = shape;
  const { stride = 1, padding = { before: (kernel - 1) / 2, after: (kernel - 1) / 2 } } = options;
  const [outHeight, outWidth] = outSides(shape, kernel, options);
  const out = new Float64Array(images * outHeight * outWidth * outChannels);
  let index = 0;
  for (let image = 0; image < images; image++)
    for (let y = 0; y < outHeight; y++)
      for (let column = 0; column < outWidth; column++)
        for (let o = 0; o < outChannels; o++, index++) {
          let sum = at(bias, o) + (residual === undefined ? 0 : at(residual, index));
          for (let ty = 0; ty < kernel; ty++)
            for (let tx = 0; tx < kernel; tx++) {
              const sy = y * stride + ty - padding.before;
              const sx = column * stride + tx - padding.before;
              if (sy < 0 || sx < 0 || sy >= height || sx >= width) continue;
              const base = ((image * height + sy) * width + sx) * channels;
              for (let c = 0; c < channels; c++)
                sum += at(x, base + c) * at(weight, ((o * kernel + ty) * kernel + tx) * channels + c);
            }
          out[index] = sum;
        }
  return out;
}

function outSides([, height, width]: Case['x'], kernel: number, options: Conv2dOptions): [number, number] {
  const { stride = 1, padding = { before: (kernel - 1) / 2, after: (kernel - 1) / 2 } } = options;
  const side = (length: number): number => Math.floor((length + padding.before + padding.after - kernel) / stride) + 1;
  return [side(height), side(width)];
}

async function check(device: Device, item: Case): Promise<void> {
  const { x, outChannels, kernel, options = {}, hasResidual = false } = item;
  const weight = [outChannels, kernel, kernel, x[3]];
  const count = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);
  const residual = [x[0], ...outSides(x, kernel, options), outChannels];
  const inputs = {
    x: { shape: x, data: randomFloats(count(x), 1) },
    weight: { shape: weight, data: randomFloats(count(weight), 2) },
    bias: { shape: [outChannels], data: randomFloats(outChannels, 3) },
    residual: { shape: residual, data: randomFloats(count(residual), 4) },
  };
  // Sums of up to a few thousand products in f32; the error of one sum grows with the root of its length.
  const tolerances = { valueTolerance: 2e-6, gradientTolerance: 2e-5 };
  if (hasResidual) {
    await checkOp({
      device,
      inputs,
      op: (tape, tensors) =>
        conv2d(tape, tensors.x, tensors.weight, tensors.bias, { ...options, residual: tensors.residual }),
      oracle: (values) => oracle(item, values.x, values.weight, values.bias, values.residual),
      ...tolerances,
    });
  } else {
    const { residual: _unused, ...others } = inputs;
    await checkOp({
      device,
      inputs: others,
      op: (tape, tensors) => conv2d(tape, tensors.x, tensors.weight, tensors.bias, options),
      oracle: (values) => oracle(item, values.x, values.weight, values.bias),
      ...tolerances,
    });
  }
}

describe('conv2d', () => {
  let device: Device;
  let portable: Device;
  beforeAll(async () => {
    device = await openDevice();
    portable = await openDevice({ without: ['subgroups'] });
  });
  afterAll(() => {
    device.close();
    portable.close();
  });

  test.each(cases)('$name', (item) => check(device, item));
  test.each(cases)('$name, without subgroups', (item) => check(portable, item));

  test('an input that is its own residual gets both gradients', async () => {
    const data = randomFloats(3 * 3 * 4, 5);
    const weight = randomFloats(4 * 9 * 4, 6);
    const item: Case = { name: '', x: [1, 3, 3, 4], outChannels: 4, kernel: 3 };
    await checkOp({
      device,
      inputs: { x: { shape: item.x, data } },
      op: (tape, { x }) => {
        const fixed = device.tensor('weight', [4, 3, 3, 4], 'f32', weight);
        return conv2d(tape, x, fixed, undefined, { residual: x });
      },
      oracle: ({ x }) => oracle(item, x, Float64Array.from(weight), new Float64Array(4), x),
      gradientTolerance: 2e-5,
    });
  });

  test('a result does not depend on what else is in the batch', async () => {
    const image = randomFloats(6 * 6 * 8, 7);
    const weight = device.tensor('weight', [8, 3, 3, 8], 'f32', randomFloats(8 * 9 * 8, 8));
    const run = async (images: number): Promise<Float32Array> => {
      const workspace = new Workspace(device);
      const tape = new Tape(workspace);
      const x = device.tensor('x', [images, 6, 6, 8], 'f32', new Float32Array(images * image.length));
      device.write({ ...x, shape: [1, 6, 6, 8] }, image);
      const out = tape.output(conv2d(tape, x, weight, undefined));
      const program = await tape.finish('batch');
      program.run();
      const values = (await device.readFloats(out)).slice(0, image.length);
      program.dispose();
      workspace.close();
      return values;
    };
    expect(await run(5)).toEqual(await run(1));
  });

  test('more than 65535 groups of pixels', async () => {
    const side = 1456;
    for (const each of [device, portable]) {
      const tape = new Tape(new Workspace(each));
      const x = each.tensor(
        'x',
        [1, side, side, 4],
        'f32',
        Float32Array.from({ length: side * side * 4 }, (_, index) => index % 251),
      );
      const weight = each.tensor(
        'weight',
        [4, 1, 1, 4],
        'f32',
        Float32Array.of(1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0, 1, 1, 1, 1),
      );
      const out = tape.output(conv2d(tape, x, weight, undefined));
      const groups = Math.max(...tape.recorded.map((step) => ('groups' in step ? step.groups[0] * step.groups[1] : 0)));
      expect(groups).toBeGreaterThan(65535);
      (await tape.finish('many pixels')).run();
      const values = await each.readFloats(out);
      let wrong = 0;
      for (let base = 0; base < values.length; base += 4) {
        const [a, b, c, d] = [base % 251, (base + 1) % 251, (base + 2) % 251, (base + 3) % 251];
        if (
          at(values, base) !== a ||
          at(values, base + 1) !== 2 * b ||
          at(values, base + 2) !== 3 * c ||
          at(values, base + 3) !== a + b + c + d
        )
          wrong += 1;
      }
      expect(wrong).toBe(0);
      each.destroyTensor(x);
      each.destroyTensor(out);
    }
  });

  test('shapes that do not fit are named', () => {
    const tape = new Tape(new Workspace(device));
    const x = device.tensor('picture', [1, 4, 4, 8]);
    const weight = device.tensor('filters', [4, 3, 3, 4]);
    expect(() => conv2d(tape, x, weight, undefined)).toThrow('picture [1,4,4,8] does not fit filters [4,3,3,4]');
  });
});
