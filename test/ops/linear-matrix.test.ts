/**
 * Products on subgroup matrices against float64, within stated bounds: every form, odd sizes, every storage, broken values, the same bits in every
 * batch, nothing written behind the result. Most of it runs where the adapter has matrices: `npm run verify:matrix` has one.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Tape } from '../../core/autograd/tape.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Device } from '../../core/gpu/device.ts';
import { MatrixProducts } from '../../core/gpu/matrix-products.ts';
import { PlanningDevice } from '../../core/gpu/planning-device.ts';
import { matrixFeature } from '../../core/gpu/subgroup-matrices.ts';
import { chooseMatrix, matrixFault, openProducts } from '../../core/matrix-trial.ts';
import { usableShapes } from '../../core/ops/linear-matrix.ts';
import { linear } from '../../core/ops/linear.ts';
import { at, randomFloats, relativeError } from '../../core/testing.ts';
import { testDevice } from './device.ts';
import { exactly, multiply, spreadValues, worst, type Kind, type Sizes } from './matrix-product.ts';
import { storedWeight } from './stored-weight.ts';

const device = await testDevice();
const shapes = usableShapes(device);
const precisions = ['f16', 'f32-split'] as const;
const folder = mkdtempSync(join(tmpdir(), 'matrices-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('which shapes are used: f16 that sum in f32, the largest first, none without f16 or where a tile is no whole number of them', () => {
  const matrices = [
    { operands: 'f16', sums: 'f32', M: 8, N: 8, K: 8 },
    { operands: 'f16', sums: 'f16', M: 16, N: 16, K: 16 },
    { operands: 'f16', sums: 'f32', M: 16, N: 16, K: 16 },
    { operands: 'f16', sums: 'f32', M: 12, N: 16, K: 16 },
    { operands: 'u8', sums: 'u32', M: 8, N: 8, K: 8 },
  ];
  const features = [matrixFeature, 'shader-f16', 'subgroups'];
  const of = (claims: Partial<Device['adapter']>): unknown =>
    usableShapes({ adapter: { ...device.adapter, features, matrices, subgroupMaxSize: 32, ...claims } });
  expect(of({})).toEqual([
    { M: 16, N: 16, K: 16 },
    { M: 8, N: 8, K: 8 },
  ]);
  expect(of({ features: [matrixFeature, 'subgroups'] })).toEqual([]);
  expect(of({ subgroupMaxSize: 128 })).toEqual([]);
});

test('an adapter without matrices keeps the f32 kernels and says why', async () => {
  const without = new Device(device.gpu, { ...device.adapter, features: [], matrices: [] });
  const { shape, why } = await chooseMatrix(without, 'f16', { REASONGEN_CACHE: folder });
  expect(shape).toBeUndefined();
  expect(why).toContain('offers no subgroup matrices');
  const told: string[] = [];
  const log = { info: () => expect.unreachable(), warn: (message: string) => void told.push(message) };
  expect(await openProducts(without, 'f32-split', log)).toBeUndefined();
  expect(told).toEqual([`products asked for in f32-split are computed in f32: ${why}`]);
  expect(await openProducts(without, 'f32', log)).toBeUndefined();
  expect(told).toHaveLength(1);
});

test('a plan counts what the largest matrices of an adapter need, and tries nothing', async () => {
  const matrices = [{ operands: 'f16', sums: 'f32', M: 16, N: 8, K: 16 }];
  const features = [matrixFeature, 'shader-f16', 'subgroups'];
  const adapter = { ...device.adapter, features, matrices, subgroupMaxSize: 32 };
  const products = await openProducts(new PlanningDevice(device.limits, adapter), 'f16');
  expect(products).toMatchObject({ shape: { M: 16, N: 8, K: 16 }, precision: 'f16' });
});

// `verify:matrix` says so: there, nothing below is to be left out.
test.runIf(process.env['REASONGEN_MATRICES'] === 'required')('this adapter has matrices', () =>
  expect(shapes).not.toEqual([]),
);

const cases = shapes.flatMap((shape) => precisions.map((precision) => new MatrixProducts(device, shape, precision)));
const named = cases.map(
  (products) => [Object.values(products.shape).join(' x '), products.precision, products] as const,
);

describe.skipIf(cases.length === 0)('on matrices', () => {
  const sizes = [
    [1, 1, 1],
    [7, 13, 5],
    [64, 64, 64],
    [65, 130, 66],
    [129, 70, 33],
    [200, 96, 256],
  ].map(([rows = 0, columns = 0, inner = 0]): Sizes => ({ rows, columns, inner }));

  describe.each(named)('%s, %s', (_shape, precision, products) => {
    test.each(['nt', 'nn', 'tn'] as const)(
      '%s: every output is within its bound, and nothing behind the last',
      async (kind) => {
        for (const size of sizes) {
          const { rows, columns, inner } = size;
          const [a, b] = [spreadValues(rows, inner, 1), spreadValues(columns, inner, 2)];
          const found = await multiply({ device, kind, sizes: size, a, b, products });
          expect(worst(found, kind, a, b, size, precision), Object.values(size).join(' x ')).toBeLessThanOrEqual(1);
        }
      },
    );

    test('bias, addend and what is there are added', async () => {
      const size = { rows: 67, columns: 37, inner: 40 };
      const [a, b] = [randomFloats(67 * 40, 1), randomFloats(37 * 40, 2)];
      const [bias, addend, before] = [randomFloats(37, 3), randomFloats(67 * 37, 4), randomFloats(67 * 37, 5)];
      const plain = await multiply({ device, kind: 'nt', sizes: size, a, b, products });
      const found = await multiply({ device, kind: 'nt', sizes: size, a, b, products, bias, addend, before });
      const sums = addend.map((value, index) =>
        Math.fround(Math.fround(Math.fround(at(plain, index) + at(bias, index % 37)) + value) + at(before, index)),
      );
      expect(found.subarray(0, sums.length)).toEqual(sums);
    });

    test('as a whole, the error is that of as many bits', async () => {
      const size = { rows: 150, columns: 100, inner: 300 };
      const [a, b] = [randomFloats(150 * 300, 1), randomFloats(100 * 300, 2)];
      const found = await multiply({ device, kind: 'nt', sizes: size, a, b, products });
      const exact = exactly('nt', a, b, size).map(({ value }) => value);
      const error = relativeError(found.subarray(0, exact.length), exact);
      const [least, most] = precision === 'f16' ? [1e-4, 4e-4] : [1e-9, 4e-7];
      expect(error).toBeGreaterThan(least);
      expect(error).toBeLessThan(most);
    });

    test('a row has the same bits in every batch', async () => {
      const [columns, inner] = [70, 90];
      const [a, b] = [spreadValues(140, inner, 1), spreadValues(columns, inner, 2)];
      const all = (rows: number): Promise<Float32Array> =>
        multiply({ device, kind: 'nt', sizes: { rows, columns, inner }, a: a.slice(0, rows * inner), b, products });
      const whole = await all(140);
      for (const rows of [1, 2, 63, 64, 65])
        expect((await all(rows)).subarray(0, rows * columns)).toEqual(whole.subarray(0, rows * columns));
    });

    test.each(['nt', 'nn', 'tn'] as const)(
      '%s: operands converted beforehand and as they are read, in small tiles and in large ones, give the same bits',
      async (kind) => {
        const { tuning } = device;
        const size = { rows: 150, columns: 140, inner: 75 };
        const [a, b] = [spreadValues(size.rows, size.inner, 1), spreadValues(size.columns, size.inner, 2)];
        const found = [];
        for (const [largeTilesFrom, fewLines] of [
          [1000, 64],
          [0, 64],
          [1000, 1000],
        ] as const) {
          device.tuning = { ...tuning, largeTilesFrom };
          found.push(await multiply({ device, kind, sizes: size, a, b, products, fewLines }));
        }
        device.tuning = tuning;
        expect(worst(found[0]!, kind, a, b, size, precision)).toBeLessThanOrEqual(1);
        expect(found[1]).toEqual(found[0]);
        expect(found[2]).toEqual(found[0]);
      },
    );

    // One test a storage: a software driver takes seconds to compile each of its kernels.
    test
      .runIf(precision === 'f32-split')
      .each(
        (['f32', 'f16', 'bf16', 'int8', 'int4'] as const).flatMap((storage) => [
          [storage, 66, 'linear/matrix-blocks'] as const,
          [storage, 30, 'linear/matrix'] as const,
        ]),
      )('weights stored as %s, %i rows', async (storage, rows, kernel) => {
      const size = { rows, columns: 70, inner: 128 };
      const x = randomFloats(rows * 128, 1);
      const stored = await storedWeight(device, [70, 128], randomFloats(70 * 128, 2), storage);
      const workspace = new Workspace(device, products);
      const input = device.tensor('x', [rows, 128], 'f32', x);
      const [dX, dOut] = [
        device.tensor('d x', [rows, 128]),
        device.tensor('d out', [rows, 70], 'f32', randomFloats(rows * 70, 3)),
      ];
      const tape = new Tape(workspace);
      tape.watch(input, dX);
      const out = linear(tape, input, stored.tensor);
      const kept = tape.output(out);
      tape.seed(out, dOut);
      tape.backward();
      const kernels = tape.recorded.flatMap((step) => ('kernel' in step ? [String(step.kernel)] : []));
      expect(kernels.filter((name) => name === kernel)).toHaveLength(2);
      (await tape.finish('stored')).run();
      const bound = (found: Float32Array, kind: Kind, a: Float32Array, of: Sizes): number =>
        worst(found, kind, a, stored.values, of, precision);
      expect(bound(await device.readFloats(kept), 'nt', x, size)).toBeLessThanOrEqual(1);
      const back = { rows, columns: 128, inner: 70 };
      expect(bound(await device.readFloats(dX), 'nn', randomFloats(rows * 70, 3), back)).toBeLessThanOrEqual(1);
      workspace.close();
      stored.set.close();
    });

    test('what is broken breaks its row and its column alone', async () => {
      const size = { rows: 66, columns: 67, inner: 40 };
      for (const broken of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        const [a, b] = [randomFloats(66 * 40, 1), randomFloats(67 * 40, 2)];
        a[3 * 40 + 17] = broken;
        b[65 * 40 + 39] = broken;
        const found = await multiply({ device, kind: 'nt', sizes: size, a, b, products });
        for (let index = 0; index < 66 * 67; index++) {
          const isBroken = Math.floor(index / 67) === 3 || index % 67 === 65;
          expect(Number.isFinite(at(found, index)), `${index}`).toBe(!isBroken);
        }
      }
    });

    test('the smallest and the largest values neither vanish nor overflow', async () => {
      const size = { rows: 3, columns: 3, inner: 32 };
      const b = randomFloats(3 * 32, 2);
      for (const scale of [2 ** -100, 2 ** -30, 2 ** 60, 2 ** 120]) {
        const a = randomFloats(3 * 32, 1).map((value) => value * scale);
        const found = await multiply({ device, kind: 'nt', sizes: size, a, b, products });
        expect(worst(found, 'nt', a, b, size, precision), `${scale}`).toBeLessThanOrEqual(1);
      }
      // Operands at both ends, whose product is an ordinary number.
      const [small, large] = [b.map((value) => value * 2 ** -110), b.map((value) => value * 2 ** 110)];
      const found = await multiply({ device, kind: 'nt', sizes: size, a: small, b: large, products });
      expect(worst(found, 'nt', small, large, size, precision)).toBeLessThanOrEqual(1);
    });

    test('a trial before use finds it right, and the next one is told so', async () => {
      expect(await matrixFault(device, products.shape, precision)).toBeUndefined();
      const environment = { REASONGEN_CACHE: folder };
      expect((await chooseMatrix(device, precision, environment)).shape).toEqual(shapes[0]);
      expect((await chooseMatrix(device, precision, environment)).why).toContain('found right before');
    });

    test('what is lost of the operands is counted', async () => {
      // Past a row of 64 and past a group of 64 rows; a power below the bound of each precision, and one above it.
      const size = { rows: 70, columns: 66, inner: 75 };
      const lowest = precision === 'f16' ? -27 : -38;
      const a = new Float32Array(70 * 75).fill(1);
      const b = new Float32Array(66 * 75).fill(-1);
      for (const row of [0, 64, 69]) a[row * 75 + 74] = 2 ** (lowest - 1);
      for (const row of [1, 65]) a[row * 75 + 74] = 2 ** lowest;
      for (const column of [5, 65]) b[column * 75 + 3] = -(2 ** (lowest - 3));
      a[2 * 75] = 0;
      a[3 * 75 + 1] = Number.NaN;
      b[7 * 75 + 70] = Number.NEGATIVE_INFINITY;
      await products.takeCounts();
      for (const kind of ['nt', 'nn', 'tn'] as const) {
        const turned = (x: Float32Array, rows: number): Float32Array =>
          Float32Array.from({ length: x.length }, (_, place) => at(x, (place % rows) * 75 + Math.floor(place / rows)));
        await multiply({
          ...{ device, kind, sizes: size, products },
          a: kind === 'tn' ? turned(a, 70) : a,
          b: kind === 'nt' ? b : turned(b, 66),
        });
        expect(await products.takeCounts(), kind).toEqual({ values: (70 + 66) * 75, lost: 5, broken: 2 });
      }
      expect(await products.takeCounts()).toEqual({ values: 0, lost: 0, broken: 0 });
    });

    test('counts go past 32 bits', async () => {
      device.write(products.counts, Uint32Array.of(2 ** 32 - 10, 3, 2 ** 32 - 1, 0, 0, 0));
      const size = { rows: 3, columns: 3, inner: 32 };
      await multiply({ device, kind: 'nt', sizes: size, a: randomFloats(96, 1), b: randomFloats(96, 2), products });
      expect(await products.takeCounts()).toEqual({ values: 4 * 2 ** 32 - 10 + 192, lost: 2 ** 32 - 1, broken: 0 });
    });
  });
});
