/** A convolution on subgroup matrices, its gradients, and what float64 makes of them, for the tests of the kernels and of kernels that are wrong. */
import { Tape } from '../../core/autograd/tape.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import type { Device } from '../../core/gpu/device.ts';
import type { MatrixPrecision, MatrixProducts } from '../../core/gpu/matrix-products.ts';
import { conv2d } from '../../core/ops/conv2d.ts';
import type { Reading } from '../../core/ops/conv2d-reading.ts';
import { matrixConvolution, matrixWeightGradient } from '../../core/ops/conv2d-matrix.ts';
import { matrixErrorBound } from '../../core/ops/linear-matrix.ts';
import { sumSplits } from '../../core/ops/sum-splits.ts';
import type { Tensor } from '../../core/tensor/tensor.ts';
import { at } from '../../core/testing.ts';
import { spreadValues } from './matrix-product.ts';

export interface Sizes {
  readonly images: number;
  readonly height: number;
  readonly width: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: number;
  readonly stride: 1 | 2;
  readonly before: number;
  readonly after: number;
}

/** `images x height x width x inChannels → outChannels, kernel / stride, before + after`. */
export function nameOf(sizes: Sizes): string {
  const { images, height, width, inChannels, outChannels, kernel, stride, before, after } = sizes;
  return `${images} x ${height} x ${width} x ${inChannels} → ${outChannels}, ${kernel} x ${kernel} / ${stride}, ${before} + ${after} zeros`;
}

export function outSides({ height, width, kernel, stride, before, after }: Sizes): [number, number] {
  const side = (length: number): number => Math.floor((length + before + after - kernel) / stride) + 1;
  return [side(height), side(width)];
}

/** Of a picture's x, of a picture's result and of a filter. */
export function lengths(sizes: Sizes): Readonly<Record<'x' | 'out' | 'weight', number>> {
  const [outHeight, outWidth] = outSides(sizes);
  const { height, width, inChannels, outChannels, kernel } = sizes;
  return { x: height * width * inChannels, out: outHeight * outWidth * outChannels, weight: kernel ** 2 * inChannels };
}

export interface Values {
  readonly x: Float32Array;
  readonly weight: Float32Array;
  readonly dOut: Float32Array;
}

/** Pictures, filters, derivatives and channels of sizes apart; the largest of a picture come last. */
export function valuesOf(sizes: Sizes): Values {
  const { images, inChannels, outChannels } = sizes;
  const { x, out, weight } = lengths(sizes);
  const spread = (length: number, channels: number, seed: number): Float32Array =>
    spreadValues(images, length, seed).map((value, place) => {
      const channel = place % channels;
      const isLast = place % length >= length - channels;
      return value * 2 ** (((channel * 7) % 11) - 5 + (isLast ? 8 : 0));
    });
  return {
    x: spread(x, inChannels, 1),
    weight: spreadValues(outChannels, weight, 2),
    dOut: spread(out, outChannels, 3),
  };
}

/** Places in the result, in x and in the weight of everything that is multiplied: the definition of a convolution. */
export function* terms(sizes: Sizes): Generator<readonly [out: number, x: number, weight: number]> {
  const { images, height, width, inChannels, outChannels, kernel, stride, before } = sizes;
  const [outHeight, outWidth] = outSides(sizes);
  let out = 0;
  for (let image = 0; image < images; image++)
    for (let y = 0; y < outHeight; y++)
      for (let column = 0; column < outWidth; column++)
        for (let o = 0; o < outChannels; o++, out++)
          for (let tap = 0; tap < kernel ** 2; tap++) {
            const sy = y * stride + Math.floor(tap / kernel) - before;
            const sx = column * stride + (tap % kernel) - before;
            if (sy < 0 || sx < 0 || sy >= height || sx >= width) continue;
            for (let c = 0; c < inChannels; c++)
              yield [
                out,
                ((image * height + sy) * width + sx) * inChannels + c,
                (o * kernel ** 2 + tap) * inChannels + c,
              ];
          }
}

export const results = ['out', 'dX', 'dWeight'] as const;
export type Result = (typeof results)[number];
export type Found = Readonly<Record<Result, Float32Array>>;

export interface Run {
  readonly device: Device;
  readonly products: MatrixProducts | undefined;
  readonly sizes: Sizes;
  readonly values: Values;
  readonly bias?: Float32Array;
  readonly residual?: Float32Array;
  /** Instead of the kernel of a name. */
  readonly kernel?: URL;
  readonly insteadOf?: string;
}

/** The result and both gradients. */
export async function convolve({
  device,
  products,
  sizes,
  values,
  bias,
  residual,
  kernel,
  insteadOf,
}: Run): Promise<Found> {
  const { images, height, width, inChannels, outChannels, kernel: side, stride, before, after } = sizes;
  const outShape = [images, ...outSides(sizes), outChannels];
  const workspace = new Workspace(device, products);
  const made: Tensor[] = [];
  const make = (name: string, shape: number[], data?: Float32Array): Tensor => {
    const tensor = device.tensor(name, shape, 'f32', data);
    made.push(tensor);
    return tensor;
  };
  const shapes = { x: [images, height, width, inChannels], weight: [outChannels, side, side, inChannels] };
  const [x, weight] = [make('x', shapes.x, values.x), make('weight', shapes.weight, values.weight)];
  const [dX, dWeight] = [make('d x', shapes.x), make('d weight', shapes.weight)];
  const tape = new Tape(workspace);
  tape.watch(x, dX);
  tape.watch(weight, dWeight);
  const out = conv2d(tape, x, weight, bias && make('bias', [outChannels], bias), {
    stride,
    padding: { before, after },
    ...(residual !== undefined && { residual: make('residual', outShape, residual) }),
  });
  const kept = tape.output(out);
  made.push(kept);
  tape.seed(out, make('d out', outShape, values.dOut));
  tape.backward();
  if (kernel !== undefined) {
    const steps = tape.recorded as unknown as { kernel?: string | URL }[];
    steps.forEach((step, place) => {
      if (step.kernel === insteadOf) steps[place] = { ...step, kernel };
    });
  }
  const program = await tape.finish('convolution');
  program.run();
  const [value, ofX, ofWeight] = (await device.read([kept, dX, dWeight])) as [Float32Array, Float32Array, Float32Array];
  program.dispose();
  workspace.close();
  for (const tensor of made) device.destroyTensor(tensor);
  return { out: value, dX: ofX, dWeight: ofWeight };
}

/** What stands behind a result and must stay. */
const guard = 12345.5;

/** As `convolve` makes them, with few converted pictures at a time; nothing may be written behind the result. */
export async function convolveInTurns(
  { device, sizes, values }: Pick<Run, 'device' | 'sizes' | 'values'>,
  products: MatrixProducts,
  bytesAtOnce: number,
): Promise<Pick<Found, 'out' | 'dWeight'>> {
  const { images, height, width, inChannels, outChannels, kernel, stride, before } = sizes;
  const [outHeight, outWidth] = outSides(sizes);
  const workspace = new Workspace(device);
  const tape = new Tape(workspace);
  const x = device.tensor('x', [images, height, width, inChannels], 'f32', values.x);
  const weight = device.tensor('weight', [outChannels, kernel, kernel, inChannels], 'f32', values.weight);
  const dOut = device.tensor('d out', [images, outHeight, outWidth, outChannels], 'f32', values.dOut);
  const dWeight = device.tensor('d weight', weight.shape);
  const length = values.dOut.length;
  const behind = new Float32Array(2 * length + 4096).fill(guard);
  const out = device.tensor('out', [behind.length], 'f32', behind);
  const reading: Reading = {
    ...{ images, inChannels, outChannels, kernel, step: stride, sign: 1, offset: -before, shift: 0 },
    out: [outHeight, outWidth],
    in: [height, width],
  };
  matrixConvolution(tape, products, { x, weight, bias: undefined, residual: undefined, out, reading }, bytesAtOnce);
  sumSplits(tape, matrixWeightGradient(tape, products, { dOut, x, reading }, bytesAtOnce), dWeight);
  const program = await tape.finish('convolution in turns');
  program.run();
  const [value, gradient] = (await device.read([out, dWeight])) as [Float32Array, Float32Array];
  program.dispose();
  workspace.close();
  for (const tensor of [x, weight, dOut, dWeight, out]) device.destroyTensor(tensor);
  if (value.subarray(length).some((found) => found !== guard)) throw new Error('something stands behind the result');
  return { out: value.slice(0, length), dWeight: gradient };
}

/** Of each result, the worst error as a share of what the bound allows. */
export function worst(found: Found, sizes: Sizes, values: Values, precision: MatrixPrecision): Record<Result, number> {
  const { inChannels, outChannels } = sizes;
  const each = lengths(sizes);
  const image = {
    x: (place: number) => Math.floor(place / each.x),
    out: (place: number) => Math.floor(place / each.out),
  };
  const byImage = {
    x: largest(values.x, image.x),
    dOut: largest(values.dOut, image.out),
  };
  const channel = (count: number) => (place: number) => place % count;
  const filter = (place: number): number => Math.floor(place / each.weight);
  const byChannel = {
    x: largest(values.x, channel(inChannels)),
    dOut: largest(values.dOut, channel(outChannels)),
    weightOut: largest(values.weight, filter),
    weightIn: largest(values.weight, channel(inChannels)),
  };
  const sums = {
    out: new Sums(found.out.length),
    dX: new Sums(found.dX.length),
    dWeight: new Sums(found.dWeight.length),
  };
  for (const [o, x, w] of terms(sizes)) {
    const [valueOfX, slope, valueOfWeight] = [at(values.x, x), at(values.dOut, o), at(values.weight, w)];
    sums.out.add(o, valueOfX, valueOfWeight);
    sums.dX.add(x, slope, valueOfWeight);
    sums.dWeight.add(w, slope, valueOfX);
  }
  return {
    out: sums.out.worst(found.out, precision, (place) => [
      at(byImage.x, image.out(place)),
      at(byChannel.weightOut, place % outChannels),
    ]),
    dX: sums.dX.worst(found.dX, precision, (place) => [
      at(byImage.dOut, image.x(place)),
      at(byChannel.weightIn, place % inChannels),
    ]),
    dWeight: sums.dWeight.worst(found.dWeight, precision, (place) => [
      at(byChannel.dOut, filter(place)),
      at(byChannel.x, place % inChannels),
    ]),
  };
}

function largest(values: Float32Array, group: (place: number) => number): number[] {
  const found: number[] = [];
  values.forEach((value, place) => {
    found[group(place)] = Math.max(found[group(place)] ?? 0, Math.abs(value));
  });
  return found;
}

/** Sums of products in float64, beside what their bound is made of. */
class Sums {
  private readonly value: Float64Array;
  private readonly products: Float64Array;
  private readonly a: Float64Array;
  private readonly b: Float64Array;
  private readonly count: Float64Array;

  constructor(length: number) {
    this.value = new Float64Array(length);
    this.products = new Float64Array(length);
    this.a = new Float64Array(length);
    this.b = new Float64Array(length);
    this.count = new Float64Array(length);
  }

  add(place: number, a: number, b: number): void {
    this.value[place]! += a * b;
    this.products[place]! += Math.abs(a * b);
    this.a[place]! += Math.abs(a);
    this.b[place]! += Math.abs(b);
    this.count[place]! += 1;
  }

  worst(
    found: Float32Array,
    precision: MatrixPrecision,
    magnitudes: (place: number) => readonly [A: number, B: number],
  ): number {
    const shares = Array.from(found, (value, place) => {
      const error = Math.abs(value - at(this.value, place));
      if (error === 0) return 0;
      const [A, B] = magnitudes(place);
      const [products, a, b] = [at(this.products, place), at(this.a, place), at(this.b, place)];
      // Sums of splits are added up as well.
      const K = at(this.count, place) + 32;
      return error / matrixErrorBound(precision, { products, a, b, A, B, K });
    });
    return shares.some((share) => Number.isNaN(share))
      ? Number.POSITIVE_INFINITY
      : shares.reduce((most, share) => Math.max(most, share), 0);
  }
}
