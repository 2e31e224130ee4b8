import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Tape } from '../../core/autograd/tape.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { upsample, upsampleConv2d } from '../../core/ops/upsample.ts';
import { at, checkOp, randomFloats } from '../../core/testing.ts';

describe('upsample', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice();
  });
  afterAll(() => device.close());

  test.each([[[1, 1, 1, 4]], [[2, 3, 5, 8]], [[3, 7, 11, 12]]])('%j', async (shape) => {
    const [, height = 0, width = 0, channels = 0] = shape;
    const count = shape.reduce((product, n) => product * n, 1);
    await checkOp({
      device,
      inputs: { x: { shape, data: randomFloats(count, 1) } },
      op: (tape, { x }) => upsample(tape, x),
      oracle: ({ x }) =>
        Float64Array.from({ length: 4 * count }, (_, index) => {
          const c = index % channels;
          const column = Math.floor(index / channels) % (2 * width);
          const line = Math.floor(index / channels / (2 * width));
          const image = Math.floor(line / (2 * height));
          const y = Math.floor((line % (2 * height)) / 2);
          return at(x, ((image * height + y) * width + Math.floor(column / 2)) * channels + c);
        }),
      valueTolerance: 0,
    });
  });

  test.each([
    { x: [2, 3, 5, 8], outChannels: 12, without: [] },
    { x: [3, 6, 6, 16], outChannels: 16, without: [] },
    { x: [1, 1, 1, 4], outChannels: 36, without: [] },
    { x: [2, 3, 5, 8], outChannels: 12, without: ['subgroups' as const] },
    { x: [1, 4, 3, 5], outChannels: 3, without: [] },
  ])(
    'with a convolution: $x to $outChannels channels, without $without',
    async ({ x: shape, outChannels, without }) => {
      const own = await openDevice({ without });
      const [images = 0, height = 0, width = 0, channels = 0] = shape;
      const count = (sizes: readonly number[]): number => sizes.reduce((product, n) => product * n, 1);
      const filters = [outChannels, 3, 3, channels];
      await checkOp({
        device: own,
        inputs: {
          x: { shape, data: randomFloats(count(shape), 1) },
          weight: { shape: filters, data: randomFloats(count(filters), 2) },
          bias: { shape: [outChannels], data: randomFloats(outChannels, 3) },
        },
        op: (tape, { x, weight, bias }) => upsampleConv2d(tape, x, weight, bias),
        oracle: ({ x, weight, bias }) =>
          Float64Array.from({ length: images * 4 * height * width * outChannels }, (_, index) => {
            const o = index % outChannels;
            const column = Math.floor(index / outChannels) % (2 * width);
            const line = Math.floor(index / outChannels / (2 * width));
            const image = Math.floor(line / (2 * height));
            let sum = at(bias, o);
            for (let ty = 0; ty < 3; ty++)
              for (let tx = 0; tx < 3; tx++) {
                const y = (line % (2 * height)) + ty - 1;
                const sx = column + tx - 1;
                if (y < 0 || sx < 0 || y >= 2 * height || sx >= 2 * width) continue;
                const base = ((image * height + Math.floor(y / 2)) * width + Math.floor(sx / 2)) * channels;
                for (let c = 0; c < channels; c++)
                  sum += at(x, base + c) * at(weight, ((o * 3 + ty) * 3 + tx) * channels + c);
              }
            return sum;
          }),
        // Up to four filter values are added before they are multiplied.
        valueTolerance: 2e-6,
        gradientTolerance: 2e-5,
      });
      own.close();
    },
  );

  test('three channels are refused', () => {
    const tape = new Tape(new Workspace(device));
    expect(() => upsample(tape, device.tensor('picture', [1, 2, 2, 3]))).toThrow('must have a multiple of 4 channels');
  });
});
