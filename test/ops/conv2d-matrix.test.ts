import { describe, expect, test } from 'vitest';
import { MatrixProducts } from '../../core/gpu/matrix-products.ts';
import { usableShapes } from '../../core/ops/linear-matrix.ts';
import { testDevice } from './device.ts';
import { convolve, nameOf, valuesOf, worst, type Sizes } from './matrix-convolution.ts';

const device = await testDevice();
const shapes = usableShapes(device);
const precisions = ['f16', 'f32-split'] as const;
const around = { before: 1, after: 1 };
const sizes: readonly Sizes[] = [
  { images: 2, height: 6, width: 6, inChannels: 16, outChannels: 16, kernel: 3, stride: 1, ...around },
  { images: 1, height: 5, width: 7, inChannels: 9, outChannels: 70, kernel: 3, stride: 1, ...around },
  { images: 3, height: 8, width: 6, inChannels: 4, outChannels: 20, kernel: 3, stride: 2, before: 0, after: 1 },
  { images: 2, height: 7, width: 5, inChannels: 8, outChannels: 4, kernel: 3, stride: 2, ...around },
  { images: 3, height: 4, width: 5, inChannels: 12, outChannels: 8, kernel: 1, stride: 1, before: 0, after: 0 },
  { images: 2, height: 5, width: 6, inChannels: 12, outChannels: 8, kernel: 1, stride: 2, before: 0, after: 0 },
  { images: 1, height: 6, width: 5, inChannels: 3, outChannels: 3, kernel: 5, stride: 1, before: 2, after: 2 },
  { images: 1, height: 6, width: 9, inChannels: 5, outChannels: 6, kernel: 5, stride: 2, before: 3, after: 0 },
  { images: 1, height: 1, width: 1, inChannels: 1, outChannels: 1, kernel: 3, stride: 1, ...around },
  { images: 2, height: 9, width: 11, inChannels: 7, outChannels: 5, kernel: 3, stride: 1, before: 0, after: 0 },
];
describe.each(shapes.flatMap((shape) => precisions.map((precision) => [precision, new MatrixProducts(device, shape, precision)] as const)))('%s', (precision, products) => {
  test.each(sizes.map((size) => [nameOf(size), size] as const))('%s', async (_name, size) => {
    const values = valuesOf(size);
    const found = await convolve({ device, products, sizes: size, values });
    const share = worst(found, size, values, precision);
    console.log(JSON.stringify(share));
    expect(share.out).toBeLessThanOrEqual(1);
    expect(share.dWeight).toBeLessThanOrEqual(1);
    expect(share.dX).toBeLessThanOrEqual(1);
  });
});
