/** Convolutions and what goes with them. */
import { conv2d } from '../../ops/conv2d.ts';
import { groupNorm } from '../../ops/group-norm.ts';
import { upsampleConv2d } from '../../ops/upsample.ts';
import type { Device } from '../../gpu/device.ts';
import { at } from '../arrays.ts';
import { checkOp, type OpCheck, type OpErrors } from '../check-op.ts';
import { convolved, standardised, type ConvolutionSizes } from '../oracles.ts';
import { type DeviceCase, floats } from './cases.ts';
import { matrixPrecisions, onMatrices } from './matrices.ts';

const convolutions: readonly ConvolutionSizes[] = [
  { images: 2, side: 9, inChannels: 4, outChannels: 12, kernel: 3, stride: 1, before: 1, after: 1 },
  { images: 1, side: 10, inChannels: 12, outChannels: 40, kernel: 3, stride: 2, before: 0, after: 1 },
  { images: 1, side: 7, inChannels: 5, outChannels: 7, kernel: 1, stride: 1, before: 0, after: 0 },
];

function formOf({ images, side, inChannels, outChannels, kernel, stride }: ConvolutionSizes): string {
  return `${kernel}x${kernel}, stride ${stride}, ${images} x ${side}x${side}, ${inChannels} → ${outChannels}`;
}

function checkConvolution(
  device: Device,
  sizes: ConvolutionSizes,
  given: Pick<OpCheck<string>, 'products' | 'valueTolerance' | 'gradientTolerance'>,
): Promise<OpErrors> {
  const { images, side, inChannels, outChannels, kernel, stride, before, after } = sizes;
  return checkOp({
    ...{ device, ...given },
    inputs: {
      x: floats([images, side, side, inChannels], 1),
      weight: floats([outChannels, kernel, kernel, inChannels], 2),
      bias: floats([outChannels], 3),
    },
    op: (tape, { x, weight, bias }) =>
      conv2d(tape, x, weight, bias, { stride: stride === 2 ? 2 : 1, padding: { before, after } }),
    oracle: ({ x, weight, bias }) => convolved(x, weight, bias, sizes),
  });
}

export const pictureCases: readonly DeviceCase[] = [
  ...convolutions.map((sizes): DeviceCase => ({
    op: 'convolution',
    form: formOf(sizes),
    run: (device) => checkConvolution(device, sizes, {}),
  })),
  ...matrixPrecisions.flatMap((precision) =>
    convolutions.map((sizes): DeviceCase => ({
      op: `convolution on matrices, ${precision}`,
      form: formOf(sizes),
      ...onMatrices(precision, (device, given) => checkConvolution(device, sizes, given)),
    })),
  ),
  {
    op: 'enlarged convolution',
    form: '5x5 → 10x10, 8 → 12',
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([1, 5, 5, 8], 1), weight: floats([12, 3, 3, 8], 2), bias: floats([12], 3) },
        op: (tape, { x, weight, bias }) => upsampleConv2d(tape, x, weight, bias),
        oracle: ({ x, weight, bias }) => {
          const large = Float64Array.from({ length: 800 }, (_, i) =>
            at(x, (Math.floor(i / 160) * 5 + Math.floor((Math.floor(i / 8) % 10) / 2)) * 8 + (i % 8)),
          );
          return convolved(large, weight, bias, {
            images: 1,
            side: 10,
            inChannels: 8,
            outChannels: 12,
            kernel: 3,
            stride: 1,
            before: 1,
            after: 1,
          });
        },
      }),
  },
  {
    op: 'GroupNorm',
    form: '2 x 6x6x12, 3 groups',
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([2, 6, 6, 12], 1), weight: floats([12], 2), bias: floats([12], 3) },
        op: (tape, { x, weight, bias }) => groupNorm(tape, x, weight, bias, { groups: 3, epsilon: 1e-6 }),
        oracle: ({ x, weight, bias }) => {
          const out = new Float64Array(x.length);
          for (let image = 0; image < 2; image++)
            for (let group = 0; group < 3; group++) {
              const indices = Array.from(
                { length: 144 },
                (_, i) => image * 432 + Math.floor(i / 4) * 12 + group * 4 + (i % 4),
              );
              standardised(
                Float64Array.from(indices, (index) => at(x, index)),
                1e-6,
              ).forEach((value, i) => {
                const index = at(indices, i);
                out[index] = value * at(weight, index % 12) + at(bias, index % 12);
              });
            }
          return out;
        },
      }),
  },
];
