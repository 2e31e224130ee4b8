/**
 * Convolutions on subgroup matrices and their gradients against float64, within stated bounds: every stride, padding and size of a filter, odd sizes,
 * broken values, the same bits in every batch, nothing written behind the result. Runs where the adapter has matrices: `npm run verify:matrix` has one.
 */
import { describe, expect, test } from 'vitest';
import { MatrixProducts } from '../../core/gpu/matrix-products.ts';
import { usableShapes } from '../../core/ops/linear-matrix.ts';
import { upsampleConv2d } from '../../core/ops/upsample.ts';
import { at, checkOp, randomFloats, relativeError } from '../../core/testing.ts';
import { convolved } from '../../core/testing/oracles.ts';
import { testDevice } from './device.ts';
import {
  convolve,
  convolveInTurns,
  lengths,
  nameOf,
  outSides,
  results,
  terms,
  valuesOf,
  worst,
  type Found,
  type Sizes,
} from './matrix-convolution.ts';

const device = await testDevice();
const precisions = ['f16', 'f32-split'] as const;
const shapes = usableShapes(device);
// Without one the tests are shown as left out, on a shape that stands for it.
const cases = (shapes.length === 0 ? [{ M: 8, N: 8, K: 8 }] : shapes).flatMap((shape) =>
  precisions.map((precision) => new MatrixProducts(device, shape, precision)),
);
const named = cases.map(
  (products) => [Object.values(products.shape).join(' x '), products.precision, products] as const,
);

const none = { before: 0, after: 0 };
const around = { before: 1, after: 1 };
const sizes: readonly Sizes[] = [
  { images: 2, height: 6, width: 6, inChannels: 16, outChannels: 16, kernel: 3, stride: 1, ...around },
  { images: 1, height: 5, width: 7, inChannels: 9, outChannels: 70, kernel: 3, stride: 1, ...around },
  { images: 2, height: 9, width: 11, inChannels: 7, outChannels: 5, kernel: 3, stride: 1, ...none },
  { images: 3, height: 8, width: 6, inChannels: 4, outChannels: 20, kernel: 3, stride: 2, before: 0, after: 1 },
  { images: 2, height: 7, width: 5, inChannels: 8, outChannels: 4, kernel: 3, stride: 2, ...around },
  { images: 3, height: 4, width: 5, inChannels: 12, outChannels: 8, kernel: 1, stride: 1, ...none },
  { images: 2, height: 5, width: 6, inChannels: 12, outChannels: 8, kernel: 1, stride: 2, ...none },
  { images: 1, height: 6, width: 5, inChannels: 3, outChannels: 3, kernel: 5, stride: 1, before: 2, after: 2 },
  { images: 1, height: 6, width: 9, inChannels: 5, outChannels: 6, kernel: 5, stride: 2, before: 3, after: 0 },
  { images: 1, height: 1, width: 1, inChannels: 1, outChannels: 1, kernel: 3, stride: 1, ...around },
  { images: 1, height: 17, width: 19, inChannels: 65, outChannels: 4, kernel: 3, stride: 1, ...around },
];
const odd: Sizes = {
  ...{ images: 3, height: 7, width: 5, inChannels: 9, outChannels: 11, kernel: 3, stride: 1 },
  ...around,
};
const halving: Sizes = { ...odd, height: 8, stride: 2, before: 0, after: 1 };

describe.skipIf(shapes.length === 0).each(named)('%s, %s', (_shape, precision, products) => {
  test.each(sizes.map((size) => [nameOf(size), size] as const))(
    '%s: result and gradients are within their bounds',
    async (_name, size) => {
      const values = valuesOf(size);
      const shares = worst(await convolve({ device, products, sizes: size, values }), size, values, precision);
      for (const result of results) expect(shares[result], result).toBeLessThanOrEqual(1);
    },
  );

  test('in large tiles and in small ones, the same bits', async () => {
    const { tuning } = device;
    const size: Sizes = { ...odd, outChannels: 70, inChannels: 67 };
    const values = valuesOf(size);
    const found = [];
    for (const largeTilesFrom of [1000, 0]) {
      device.tuning = { ...tuning, largeTilesFrom };
      found.push(await convolve({ device, products, sizes: size, values }));
    }
    device.tuning = tuning;
    const [small, large] = found as [Found, Found];
    expect(large.out).toEqual(small.out);
    expect(large.dX).toEqual(small.dX);
    expect(worst(large, size, values, precision).dWeight).toBeLessThanOrEqual(1);
  });

  test('bias and residual are added', async () => {
    const values = valuesOf(odd);
    const [bias, residual] = [randomFloats(11, 4), randomFloats(values.dOut.length, 5)];
    const plain = await convolve({ device, products, sizes: odd, values });
    const { out } = await convolve({ device, products, sizes: odd, values, bias, residual });
    const sums = plain.out.map((value, place) => Math.fround(value + at(bias, place % 11)) + at(residual, place));
    expect(out).toEqual(sums);
  });

  test('as a whole, the error is that of as many bits', async () => {
    const size = { images: 2, side: 12, inChannels: 40, outChannels: 24, kernel: 3, stride: 1, ...around };
    const count = { x: 2 * 144 * 40, weight: 24 * 9 * 40, out: 2 * 144 * 24 };
    const values = { x: randomFloats(count.x, 1), weight: randomFloats(count.weight, 2) };
    const whole: Sizes = { ...size, height: 12, width: 12, stride: 1 };
    const dOut = randomFloats(count.out, 3);
    const found = await convolve({ device, products, sizes: whole, values: { ...values, dOut } });
    const error = relativeError(found.out, convolved(values.x, values.weight, new Float32Array(24), size));
    const [least, most] = precision === 'f16' ? [1e-4, 4e-4] : [1e-9, 4e-7];
    expect(error).toBeGreaterThan(least);
    expect(error).toBeLessThan(most);
  });

  test.each([
    ['stride 1', odd],
    ['stride 2', halving],
  ] as const)('%s: a picture has the same bits in every batch', async (_name, size) => {
    const values = valuesOf(size);
    const each = lengths(size);
    // Far larger and far smaller neighbors, and broken ones.
    for (const factor of [1, 2 ** 90, 2 ** -90, Number.NaN]) {
      const x = values.x.map((value, place) => (place < each.x ? value * factor : value));
      const dOut = values.dOut.map((value, place) => (place < each.out ? value * factor : value));
      const whole = await convolve({ device, products, sizes: size, values: { ...values, x, dOut } });
      for (const first of [1, 2]) {
        const alone = await convolve({
          ...{ device, products, sizes: { ...size, images: 3 - first } },
          values: { ...values, x: x.slice(first * each.x), dOut: dOut.slice(first * each.out) },
        });
        expect(alone.out).toEqual(whole.out.slice(first * each.out));
        expect(alone.dX).toEqual(whole.dX.slice(first * each.x));
      }
    }
  });

  test.each([
    ['stride 1', odd],
    ['stride 2', halving],
  ] as const)('%s: pictures taken in turns, the same bits, and nothing behind the last', async (_name, size) => {
    const values = valuesOf(size);
    const whole = await convolve({ device, products, sizes: size, values });
    for (const bytesAtOnce of [2 ** 28, 1]) {
      const found = await convolveInTurns({ device, sizes: size, values }, products, bytesAtOnce);
      expect(found.out).toEqual(whole.out);
      const share = worst({ ...whole, dWeight: found.dWeight }, size, values, precision).dWeight;
      expect(share).toBeLessThanOrEqual(1);
    }
  });

  test.each([
    ['stride 1', odd],
    ['stride 2', halving],
    ['no zeros around', { ...odd, ...none }],
  ] as const)('%s: a broken pixel breaks what its patches make, and nothing else', async (_name, size) => {
    const values = valuesOf(size);
    const { inChannels, outChannels } = size;
    const [x, dOut] = [values.x.length - 1, lengths(size).out];
    for (const broken of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const ofX = await convolve({
        ...{ device, products, sizes: size },
        values: { ...values, x: values.x.with(x, broken) },
      });
      const ofOut = await convolve({
        ...{ device, products, sizes: size },
        values: { ...values, dOut: values.dOut.with(dOut, broken) },
      });
      const reached = {
        out: new Set<number>(),
        dX: new Set<number>(),
        byX: new Set<number>(),
        byOut: new Set<number>(),
      };
      for (const [o, i, w] of terms(size)) {
        if (i === x) {
          reached.out.add(o);
          reached.byX.add(w);
        }
        if (o === dOut) {
          reached.dX.add(i);
          reached.byOut.add(w);
        }
      }
      expect(brokenOf(ofX.out)).toEqual([...reached.out].sort((a, b) => a - b));
      expect(brokenOf(ofX.dX)).toEqual([]);
      expect(brokenOf(ofOut.dX)).toEqual([...reached.dX].sort((a, b) => a - b));
      // In the weight gradient it may break its channel under other taps as well, and breaks no other channel.
      const [byX, byOut] = [brokenOf(ofX.dWeight), brokenOf(ofOut.dWeight)];
      expect([...reached.byX].filter((place) => !byX.includes(place))).toEqual([]);
      expect(byX.filter((place) => place % inChannels !== x % inChannels)).toEqual([]);
      expect([...reached.byOut].filter((place) => !byOut.includes(place))).toEqual([]);
      const filter = lengths(size).weight;
      expect(byOut.filter((place) => Math.floor(place / filter) !== dOut % outChannels)).toEqual([]);
    }
  });

  test("a filter's broken value breaks its output channel", async () => {
    const values = valuesOf(odd);
    const filter = lengths(odd).weight;
    const weight = values.weight.with(4 * filter + 30, Number.NaN);
    const { out } = await convolve({ device, products, sizes: odd, values: { ...values, weight } });
    expect(brokenOf(out)).toEqual(Array.from(out.keys()).filter((place) => place % 11 === 4));
  });

  test('the smallest and the largest values neither vanish nor overflow', async () => {
    for (const scale of [2 ** -100, 2 ** -30, 2 ** 60, 2 ** 100]) {
      const plain = {
        x: randomFloats(3 * 35 * 9, 1),
        weight: randomFloats(11 * 81, 2),
        dOut: randomFloats(3 * 35 * 11, 3),
      };
      const values = {
        ...plain,
        x: plain.x.map((value) => value * scale),
        weight: plain.weight.map((value) => value / scale),
      };
      const shares = worst(await convolve({ device, products, sizes: odd, values }), odd, values, precision);
      for (const result of results) expect(shares[result], `${result}, ${scale}`).toBeLessThanOrEqual(1);
    }
  });

  test("what is far smaller than its picture's largest pixel is lost, is counted, and is kept in another picture", async () => {
    const values = { ...valuesOf(odd), weight: randomFloats(11 * 81, 2) };
    const each = lengths(odd);
    const x = randomFloats(values.x.length, 1).with(0, 2 ** 45);
    await products.takeCounts();
    const { out } = await convolve({ device, products, sizes: odd, values: { ...values, x } });
    // Read twice, by the result and by the weight gradient, which scales by channel: there it is the other values of channel 0, of all pictures.
    const { lost } = await products.takeCounts();
    expect(lost).toBeGreaterThanOrEqual(each.x - 1 + values.x.length / 9 - 1);
    const reached = new Set<number>();
    for (const [o, i] of terms(odd)) if (i === 0) reached.add(o);
    for (let place = 0; place < each.out; place++) expect(at(out, place) === 0).toBe(!reached.has(place));
    const plain = await convolve({ device, products, sizes: odd, values: { ...values, x: x.with(0, 1) } });
    expect(out.slice(each.out)).toEqual(plain.out.slice(each.out));
  });

  test('pixels of zeros come to zero', async () => {
    const values = valuesOf(odd);
    const x = new Float32Array(values.x.length);
    const found = await convolve({ device, products, sizes: odd, values: { ...values, x } });
    expect(found.out).toEqual(new Float32Array(values.dOut.length));
    expect(found.dWeight).toEqual(new Float32Array(values.weight.length));
  });

  test('what is lost of the operands is counted', async () => {
    const size: Sizes = { ...odd, ...none, height: 20, width: 11 };
    const count = { x: 3 * 220 * 9, weight: 11 * 81, out: 3 * 18 * 9 * 11 };
    const lowest = precision === 'f16' ? -27 : -38;
    const x = new Float32Array(count.x).fill(1);
    const dOut = new Float32Array(count.out).fill(1);
    x[5] = 2 ** (lowest - 1);
    x[count.x - 1] = -(2 ** (lowest - 2));
    x[700] = 2 ** lowest;
    x[701] = 0;
    dOut[count.out - 1] = 2 ** (lowest - 1);
    dOut[0] = Number.NaN;
    await products.takeCounts();
    await convolve({
      device,
      products,
      sizes: size,
      values: { x, dOut, weight: new Float32Array(count.weight).fill(1) },
    });
    // The result and the weight gradient read x, both gradients read dOut, the result and the gradient of x the weight.
    const values = 2 * (count.x + count.out + count.weight);
    expect(await products.takeCounts()).toEqual({ values, lost: 2 * 2 + 2, broken: 2 });
  });

  test.each([
    [[2, 3, 5, 8], 12],
    [[1, 1, 1, 4], 36],
    [[1, 4, 3, 5], 3],
  ])('with an enlargement before it: %j to %i channels', async (shape, outChannels) => {
    const [images = 0, height = 0, width = 0, channels = 0] = shape;
    const weight = [outChannels, 3, 3, channels];
    const bound = precision === 'f16' ? 1e-3 : 1e-6;
    await checkOp({
      device,
      products,
      inputs: {
        x: { shape, data: randomFloats(images * height * width * channels, 1) },
        weight: { shape: weight, data: randomFloats(outChannels * 9 * channels, 2) },
        bias: { shape: [outChannels], data: randomFloats(outChannels, 3) },
      },
      op: (tape, tensors) => upsampleConv2d(tape, tensors.x, tensors.weight, tensors.bias),
      oracle: (values) => {
        const large: Sizes = {
          ...{ images, height: 2 * height, width: 2 * width, inChannels: channels, outChannels },
          ...{ kernel: 3, stride: 1, ...around },
        };
        const [outHeight, outWidth] = outSides(large);
        const out = Float64Array.from({ length: images * outHeight * outWidth * outChannels }, (_, place) =>
          at(values.bias, place % outChannels),
        );
        for (const [o, i, w] of terms(large)) {
          const pixel = Math.floor(i / channels);
          const [column, line] = [pixel % (2 * width), Math.floor(pixel / (2 * width))];
          const [image, y] = [Math.floor(line / (2 * height)), line % (2 * height)];
          const small = (image * height + Math.floor(y / 2)) * width + Math.floor(column / 2);
          out[o]! += at(values.x, small * channels + (i % channels)) * at(values.weight, w);
        }
        return out;
      },
      valueTolerance: bound,
      gradientTolerance: Math.max(1e-5, 8 * bound),
    });
  });
});

function brokenOf(values: Float32Array): number[] {
  return Array.from(values.keys()).filter((place) => !Number.isFinite(at(values, place)));
}
