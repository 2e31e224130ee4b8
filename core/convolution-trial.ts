/** What `matrix-trial.ts` tries of convolutions: the kernels that no product of `linear` goes through, once each in small tiles and in large ones. */
import type { Device } from './gpu/device.ts';
import type { MatrixPrecision, MatrixProducts } from './gpu/matrix-products.ts';
import { conv2d } from './ops/conv2d.ts';
import { matrixErrorBound } from './ops/linear-matrix.ts';
import { at } from './tensor/at.ts';
import { tryOp } from './tried-op.ts';

/** Past the edges of a tile, more than one step of the sum, and lines that are no whole number of matrices. */
const sizes = { images: 2, height: 7, width: 9, inChannels: 10, outChannels: 70, kernel: 3 } as const;

interface Values {
  readonly x: Float32Array;
  readonly weight: Float32Array;
  readonly slopes: Float32Array;
}

/** What is wrong with convolutions on matrices, forward and both gradients; undefined when nothing is. Leaves another tuning behind. */
export async function convolutionFault(device: Device, products: MatrixProducts): Promise<string | undefined> {
  for (const [stride, largeTilesFrom] of [
    [1, Number.MAX_SAFE_INTEGER],
    [2, 0],
  ] as const) {
    device.tuning = { ...device.tuning, largeTilesFrom };
    const [height, width] = [Math.ceil(sizes.height / stride), Math.ceil(sizes.width / stride)];
    const values: Values = {
      x: trialValues(sizes.images * sizes.height * sizes.width * sizes.inChannels, 1),
      weight: trialValues(sizes.outChannels * sizes.kernel ** 2 * sizes.inChannels, 2),
      slopes: trialValues(sizes.images * height * width * sizes.outChannels, 3),
    };
    const found = await convolve(device, products, values, stride);
    const fault = compare(products.precision, found, values, stride);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** Of both signs and several sizes. */
function trialValues(count: number, seed: number): Float32Array {
  return Float32Array.from(
    { length: count },
    (_, index) => Math.sin(index * 12.9898 + seed) * 2 ** (((index + seed) % 7) * 2),
  );
}

function convolve(
  device: Device,
  products: MatrixProducts,
  { x, weight, slopes }: Values,
  stride: 1 | 2,
): Promise<readonly Float32Array[]> {
  const { images, height, width, inChannels, outChannels, kernel } = sizes;
  return tryOp(device, products, {
    inputs: [
      { shape: [images, height, width, inChannels], data: x },
      { shape: [outChannels, kernel, kernel, inChannels], data: weight },
    ],
    slopes: { shape: [images, Math.ceil(height / stride), Math.ceil(width / stride), outChannels], data: slopes },
    record: (tape, [input, filters]) => conv2d(tape, input, filters, undefined, { stride }),
  });
}

/** The first value that is further from float64 than the bound allows, in words. */
function compare(
  precision: MatrixPrecision,
  found: readonly Float32Array[],
  { x, weight, slopes }: Values,
  stride: 1 | 2,
): string | undefined {
  const results = [
    new Sums('convolution', slopes.length),
    new Sums('gradient of the pictures', x.length),
    new Sums('gradient of the filters', weight.length),
  ] as const;
  const { height, width, inChannels, outChannels, kernel } = sizes;
  const [outHeight, outWidth] = [Math.ceil(height / stride), Math.ceil(width / stride)];
  for (let o = 0; o < slopes.length; o++) {
    const pixel = Math.floor(o / outChannels);
    const image = Math.floor(pixel / (outHeight * outWidth));
    const [line, column] = [Math.floor(pixel / outWidth) % outHeight, pixel % outWidth];
    for (let tap = 0; tap < kernel ** 2; tap++) {
      const y = line * stride + Math.floor(tap / kernel) - (kernel - 1) / 2;
      const z = column * stride + (tap % kernel) - (kernel - 1) / 2;
      if (y < 0 || z < 0 || y >= height || z >= width) continue;
      for (let c = 0; c < inChannels; c++) {
        const i = ((image * height + y) * width + z) * inChannels + c;
        const w = ((o % outChannels) * kernel ** 2 + tap) * inChannels + c;
        results[0].add(o, at(x, i), at(weight, w));
        results[1].add(i, at(slopes, o), at(weight, w));
        results[2].add(w, at(slopes, o), at(x, i));
      }
    }
  }
  const [xMost, weightMost, slopesMost] = [largest(x), largest(weight), largest(slopes)];
  return (
    results[0].fault(precision, found[0], xMost, weightMost) ??
    results[1].fault(precision, found[1], slopesMost, weightMost) ??
    results[2].fault(precision, found[2], slopesMost, xMost)
  );
}

function largest(values: Float32Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

/** Sums of products in float64, beside what their bound is made of. */
class Sums {
  private readonly name: string;
  private readonly value: Float64Array;
  private readonly products: Float64Array;
  private readonly a: Float64Array;
  private readonly b: Float64Array;
  private readonly count: Float64Array;

  constructor(name: string, length: number) {
    this.name = name;
    const make = (): Float64Array => new Float64Array(length);
    [this.value, this.products, this.a, this.b, this.count] = [make(), make(), make(), make(), make()];
  }

  add(place: number, a: number, b: number): void {
    const add = (sums: Float64Array, value: number): void => void (sums[place] = at(sums, place) + value);
    add(this.value, a * b);
    add(this.products, Math.abs(a * b));
    add(this.a, Math.abs(a));
    add(this.b, Math.abs(b));
    add(this.count, 1);
  }

  /** `A`, `B`: the largest magnitudes of the whole operands, which allow no less than those of a picture or a channel. */
  fault(precision: MatrixPrecision, found: Float32Array | undefined, A: number, B: number): string | undefined {
    for (const [place, exact] of this.value.entries()) {
      const [products, a, b] = [at(this.products, place), at(this.a, place), at(this.b, place)];
      // Splits of a sum are added up as well.
      const bound = matrixErrorBound(precision, { products, a, b, A, B, K: at(this.count, place) + 32 });
      const value = at(found ?? [], place);
      if (!(Math.abs(value - exact) <= bound))
        return `the ${this.name} is ${value} instead of ${exact} in place ${place}`;
    }
    return undefined;
  }
}
