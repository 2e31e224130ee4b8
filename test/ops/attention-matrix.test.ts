/**
 * Attention on subgroup matrices against float64, within stated bounds: forward and all gradients, odd lengths and heads, shared keys, the same bits in
 * every pack, broken values, values of sizes far apart. Most of it runs where the adapter has matrices: `npm run verify:matrix` has one.
 */
import { describe, expect, test } from 'vitest';
import { planMemory } from '../../core/autograd/memory-plan.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import { MatrixProducts } from '../../core/gpu/matrix-products.ts';
import { attention, type AttentionOptions } from '../../core/ops/attention.ts';
import { usableShapes } from '../../core/ops/linear-matrix.ts';
import { at, randomFloats, relativeError } from '../../core/testing.ts';
import { testDevice } from './device.ts';
import { attend, exactly, inputsFor, rowsOf, worst, type Inputs, type Results } from './matrix-attention.ts';

const device = await testDevice();
const shapes = usableShapes(device);
const names = ['out', 'dQ', 'dK', 'dV'] as const;
const cases = shapes.flatMap((shape) =>
  (['f16', 'f32-split'] as const).map((precision) => {
    const products = new MatrixProducts(device, shape, precision);
    return [Object.values(shape).join(' x '), precision, products] as const;
  }),
);
const small: AttentionOptions = { heads: 4, keyValueHeads: 2, headDimension: 32, causal: true };

/** Rows of an array that holds so many. */
function rowsFrom(values: Float32Array, rows: number, first: number, count: number): Float32Array {
  const width = values.length / rows;
  return values.slice(first * width, (first + count) * width);
}

// `verify:matrix` says so: there, nothing below is to be left out.
test.runIf(process.env['REASONGEN_MATRICES'] === 'required')('this adapter has matrices', () =>
  expect(shapes).not.toEqual([]),
);

describe.skipIf(cases.length === 0).each(cases)('on matrices of %s, %s', (_shape, precision, products) => {
  const errorsOf = async (
    lengths: readonly number[],
    options: AttentionOptions,
    inputs: Inputs,
  ): Promise<readonly [share: Results<number>, whole: Results<number>]> => {
    const found = await attend({ device, products, lengths, options, inputs });
    const exact = exactly(precision, lengths, options, inputs);
    const whole = (name: keyof Results): number => relativeError(found[name], exact[name].value);
    return [worst(found, exact), { out: whole('out'), dQ: whole('dQ'), dK: whole('dK'), dV: whole('dV') }];
  };
  /** The results whose error is larger than its bound. */
  const beyond = async (lengths: readonly number[], options: AttentionOptions, inputs: Inputs): Promise<string[]> => {
    const [share] = await errorsOf(lengths, options, inputs);
    return names.filter((name) => !(share[name] <= 1));
  };

  // A tile is 32 by 32: lone rows, segments that end inside a tile, at its edge and past it, and several tiles.
  test.each([[[1]], [[32]], [[7, 1, 33, 17]], [[64, 31, 2]], [[1, 1, 1, 1, 100]]])(
    'segments of %j, causal and both ways',
    async (lengths) => {
      for (const causal of [true, false])
        expect(await beyond(lengths, { ...small, causal }, inputsFor(lengths, small))).toEqual([]);
    },
  );

  test.each([
    [3, 1, 12, true],
    [2, 2, 64, true],
    [2, 1, 72, false],
    [1, 1, 96, false],
    [2, 1, 128, true],
  ])('%i heads over %i of %i, causal %s', async (heads, keyValueHeads, headDimension, causal) => {
    const options = { heads, keyValueHeads, headDimension, causal };
    expect(await beyond([35, 9], options, inputsFor([35, 9], options))).toEqual([]);
  });

  test('as a whole, the error is that of as many bits', async () => {
    const [, whole] = await errorsOf([70, 33], small, inputsFor([70, 33], small));
    const [least, most] = precision === 'f16' ? [1e-5, 1e-3] : [1e-9, 4e-7];
    for (const name of names) {
      expect(whole[name], name).toBeGreaterThan(least);
      expect(whole[name], name).toBeLessThan(most);
    }
  });

  test('scores far apart, and a scale of its own', async () => {
    const options = { ...small, scale: 1.7 };
    expect(await beyond([40], options, inputsFor([40], options, 4))).toEqual([]);
  });

  test('values, keys and derivatives of sizes far apart neither vanish nor overflow', async () => {
    const lengths = [40, 21];
    const rows = rowsOf(lengths);
    const inputs = inputsFor(lengths, small);
    /** Rows in the middle are multiplied by powers of two of their own. */
    const lifted = (values: Float32Array, powers: number): Float32Array =>
      values.map((value, index) => value * 2 ** (powers * (Math.floor((index / values.length) * rows) % 5)));
    for (const [powerOfV, powerOfSlope] of [
      [12, -20],
      [-20, 12],
    ] as const)
      expect(
        await beyond(lengths, small, {
          ...inputs,
          v: lifted(inputs.v, powerOfV),
          dOut: lifted(inputs.dOut, powerOfSlope),
        }),
      ).toEqual([]);
    // Of q and k the product is ordinary.
    expect(
      await beyond(lengths, small, {
        ...inputs,
        q: inputs.q.map((value) => value * 2 ** 60),
        k: inputs.k.map((value) => value * 2 ** -60),
        dOut: inputs.dOut.map((value) => value * 2 ** -20),
      }),
    ).toEqual([]);
  });

  test('lines of zeros take nothing from the others', async () => {
    const inputs = inputsFor([40, 21], small);
    for (const values of Object.values(inputs) as Float32Array[])
      values.forEach((_, index) => {
        if (Math.floor(index / 32) % 7 < 3) values[index] = 0;
      });
    const [share, whole] = await errorsOf([40, 21], small, inputs);
    for (const name of names) {
      expect(share[name], name).toBeLessThanOrEqual(1);
      expect(whole[name], name).toBeLessThan(precision === 'f16' ? 1e-3 : 4e-7);
    }
  });

  describe('a sequence has the same bits in every pack', () => {
    const lengths = { a: 33, b: 17, c: 70 };
    const known = {
      a: inputsFor([33], small),
      b: inputsFor([17], small, 1.2),
      c: inputsFor([70], small, 0.9),
      // What belongs to nobody: large, and no numbers.
      x: { ...inputsFor([1], small, 1e4), v: inputsFor([1], small).v.fill(Number.NaN) },
      y: { ...inputsFor([3], small), k: inputsFor([3], small).k.fill(Number.POSITIVE_INFINITY) },
    };
    const packed = async (order: string, options = small): Promise<ReadonlyMap<string, Results>> => {
      const parts = order.split('').map((name) => known[name as keyof typeof known]);
      const own = parts.map(({ q }) => q.length / (small.heads * small.headDimension));
      const joined = (name: keyof Inputs): Float32Array => Float32Array.from(parts.flatMap((part) => [...part[name]]));
      const inputs = { q: joined('q'), k: joined('k'), v: joined('v'), dOut: joined('dOut') };
      const found = await attend({ device, products, lengths: own, options, inputs });
      return new Map(
        order.split('').map((name, index) => {
          const of = (values: Float32Array): Float32Array =>
            rowsFrom(values, rowsOf(own), rowsOf(own.slice(0, index)), at(own, index));
          return [name, { out: of(found.out), dQ: of(found.dQ), dK: of(found.dK), dV: of(found.dV) }];
        }),
      );
    };
    test.each([true, false])('causal %s', async (causal) => {
      const options = { ...small, causal };
      const alone = new Map<string, Results>();
      for (const name of Object.keys(lengths)) alone.set(name, (await packed(name, options)).get(name)!);
      for (const order of ['abc', 'cba', 'xxxxxxxaxbyc', 'ybaxc']) {
        const found = await packed(order, options);
        for (const [name, results] of alone)
          for (const result of names)
            expect(found.get(name)![result], `${result} of ${name} in ${order}`).toEqual(results[result]);
      }
    });

    test('and a causal row does not depend on what follows it', async () => {
      const whole = (await packed('c')).get('c')!;
      for (const rows of [1, 31, 32, 33, 64]) {
        const first = (values: Float32Array): Float32Array => rowsFrom(values, 70, 0, rows);
        const { q, k, v, dOut } = known.c;
        const inputs = { q: first(q), k: first(k), v: first(v), dOut: first(dOut) };
        const found = await attend({ device, products, lengths: [rows], options: small, inputs });
        expect(found.out, `${rows} rows`).toEqual(first(whole.out));
        expect(found.dQ, `${rows} rows`).toEqual(first(whole.dQ));
      }
    });
  });

  test('what is broken shows in what sees it, and nowhere else', async () => {
    const lengths = [40, 12];
    const rows = rowsOf(lengths);
    const options = { heads: 1, keyValueHeads: 1, headDimension: 32, causal: true };
    const [place, end] = [20, 40];
    const range = (first: number, last: number): number[] =>
      Array.from({ length: last - first }, (_, index) => first + index);
    const [itself, seeing, seen] = [[place], range(place, end), range(0, place + 1)];
    const behind = range(0, end);
    for (const broken of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
      for (const [name, rowsOfOut, rowsOfDQ, rowsOfDK, rowsOfDV] of [
        ['q', itself, itself, seen, seen],
        ['k', seeing, seeing, behind, behind],
        ['v', seeing, seeing, behind, []],
        ['dOut', [], itself, seen, seen],
      ] as const) {
        const inputs = inputsFor(lengths, options);
        inputs[name][place * 32 + 5] = broken;
        const found = await attend({ device, products, lengths, options, inputs });
        const brokenRows = (values: Float32Array): number[] =>
          range(0, rows).filter((row) => !values.subarray(row * 32, row * 32 + 32).every(Number.isFinite));
        expect(
          names.map((result) => brokenRows(found[result])),
          `${broken} in ${name}`,
        ).toEqual([rowsOfOut, rowsOfDQ, rowsOfDK, rowsOfDV]);
      }
  });

  test('what is lost of the operands is counted', async () => {
    const lengths = [40, 3];
    const options = { ...small, heads: 2, keyValueHeads: 1 };
    const lowest = precision === 'f16' ? -27 : -38;
    const inputs = inputsFor(lengths, options);
    for (const values of Object.values(inputs) as Float32Array[]) values.fill(1);
    inputs.q[5] = 2 ** (lowest - 1);
    inputs.q[32 + 5] = 2 ** lowest;
    inputs.k[7 * 32 + 31] = -(2 ** (lowest - 3));
    inputs.v[42 * 32] = Number.NaN;
    inputs.v[42 * 32 + 1] = Number.NEGATIVE_INFINITY;
    inputs.dOut[9] = 2 ** (lowest - 1);
    inputs.dOut[10] = 0;
    await products.takeCounts();
    await attend({ device, products, lengths, options, inputs });
    // Forward and backward: q, k and v twice, dOut once.
    const values = 43 * 32;
    expect(await products.takeCounts()).toEqual({ values: values * (2 * (2 + 1 + 1) + 2), lost: 2 * 2 + 1, broken: 4 });
  });

  test('2048 rows without a matrix of scores', () => {
    const rows = 2048;
    const options = { heads: 1, keyValueHeads: 1, headDimension: 8, causal: true };
    const tape = new Tape(new Workspace(device, products));
    const tensors = ['q', 'k', 'v'].map((name) => device.tensor(name, [rows, 8]));
    const [q, k, v] = tensors as [(typeof tensors)[0], (typeof tensors)[0], (typeof tensors)[0]];
    for (const tensor of tensors) tape.watch(tensor, device.tensor('gradient', tensor.shape));
    const words = device.tensor('segments', [rows], 'u32');
    const out = attention(tape, q, k, v, { segmentStart: words, segmentEnd: words }, options);
    tape.seed(out, device.tensor('d out', out.shape));
    tape.backward();
    expect(planMemory(tape.recorded).bytes).toBeLessThan((rows * rows * 4) / 16);
  });

  test('heads wider than 128 stay with the f32 kernels', () => {
    const tape = new Tape(new Workspace(device, products));
    const words = device.tensor('segments', [3], 'u32');
    const x = device.tensor('x', [3, 132], 'f32', randomFloats(3 * 132, 1));
    const options = { heads: 1, keyValueHeads: 1, headDimension: 132, causal: false };
    attention(tape, x, x, x, { segmentStart: words, segmentEnd: words }, options);
    expect(JSON.stringify(tape.recorded.map((step) => ('kernel' in step ? step.kernel : '')))).not.toContain('matrix');
  });
});
