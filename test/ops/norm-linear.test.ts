import { describe, expect, test } from 'vitest';
import { Tape } from '../../core/autograd/tape.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import { linear } from '../../core/ops/linear.ts';
import { normLinear } from '../../core/ops/norm-linear.ts';
import { rmsNorm } from '../../core/ops/rms-norm.ts';
import { swigluRows } from '../../core/ops/swiglu-rows.ts';
import type { Tensor } from '../../core/tensor/tensor.ts';
import { at, maximumError, randomFloats } from '../../core/testing.ts';
import { testRowDevices } from './device.ts';
import { storedWeight } from './stored-weight.ts';

const epsilon = 1e-5;
const devices = await testRowDevices();

describe.each(devices)('a norm, a product and its gates, %s', (_name, device) => {
  interface Case {
    readonly rows: number;
    readonly columns: number;
    readonly inner: number;
    readonly isGated: boolean;
    readonly values: Float32Array;
    readonly weight: Tensor;
  }

  const gains = (inner: number): Tensor => device.tensor('gain', [inner], 'f32', randomFloats(inner, 7));

  const run = async (
    { rows, inner, values }: Case,
    record: (tape: Tape, x: Tensor, gain: Tensor) => Tensor,
  ): Promise<{ out: Float32Array; launches: string[] }> => {
    const x = device.tensor('x', [rows, inner], 'f32', values);
    const tape = new Tape(new Workspace(device));
    const out = tape.output(record(tape, x, gains(inner)));
    (await tape.finish('norm, product')).run();
    const launches = tape.recorded.flatMap((step) => ('kernel' in step ? [String(step.kernel)] : []));
    return { out: await device.readFloats(out), launches };
  };
  const fused = (made: Case): ReturnType<typeof run> =>
    run(made, (tape, x, weight) => normLinear(tape, x, { weight, epsilon }, made.weight, made));
  const apart = (made: Case): ReturnType<typeof run> =>
    run(made, (tape, x, gain) => {
      const out = linear(tape, rmsNorm(tape, x, gain, epsilon), made.weight);
      return made.isGated ? swigluRows(tape, out) : out;
    });

  // Columns that end within a tile, of gates as well; rows on both sides of every border between kernels.
  test.each([
    [1, 40, 32, 'f32'],
    [3, 8, 96, 'f32'],
    [8, 72, 64, 'f32'],
    [11, 104, 160, 'f32'],
    [16, 672, 128, 'f32'],
    [32, 40, 288, 'f32'],
    [33, 40, 32, 'f32'],
    [70, 72, 64, 'f32'],
    [131, 672, 128, 'f32'],
    [5, 48, 36, 'f32'],
    [5, 48, 30, 'f32'],
    [9, 72, 128, 'bf16'],
    [9, 72, 128, 'int8'],
    [40, 72, 128, 'f16'],
  ] as const)(
    '%i rows, %i columns, %i inner, weight %s: the bits of launches of their own',
    async (rows, columns, inner, storage) => {
      const { tensor: weight } = await storedWeight(
        device,
        [columns, inner],
        randomFloats(columns * inner, 2),
        storage,
      );
      for (const isGated of [false, true]) {
        const values = randomFloats(rows * inner, rows, 3);
        const made: Case = { rows, columns, inner, isGated, values, weight };
        const [found, expected] = [await fused(made), await apart(made)];
        expect(found.out).toEqual(expected.out);
      }
    },
  );

  test('agrees with float64', async () => {
    const [rows, columns, inner] = [13, 48, 96];
    const weights = randomFloats(columns * inner, 2);
    const weight = device.tensor('weight', [columns, inner], 'f32', weights);
    const values = randomFloats(rows * inner, 5, 3);
    const gain = randomFloats(inner, 7);
    const product = (row: number, column: number): number => {
      let squares = 0;
      for (let k = 0; k < inner; k++) squares += at(values, row * inner + k) ** 2;
      let sum = 0;
      for (let k = 0; k < inner; k++)
        sum += at(values, row * inner + k) * at(gain, k) * at(weights, column * inner + k);
      return sum / Math.sqrt(squares / inner + epsilon);
    };
    const half = columns / 2;
    const expected = Float64Array.from({ length: rows * half }, (_, index) => {
      const [row, column] = [Math.floor(index / half), index % half];
      const gate = product(row, column);
      return (gate / (1 + Math.exp(-gate))) * product(row, half + column);
    });
    const { out } = await fused({ rows, columns, inner, isGated: true, values, weight });
    expect(maximumError(out, expected)).toBeLessThan(1e-4);
  });

  test('a number that is none stays in its row', async () => {
    const [rows, columns, inner] = [11, 48, 64];
    const weight = device.tensor('weight', [columns, inner], 'f32', randomFloats(columns * inner, 2));
    const values = randomFloats(rows * inner, 5);
    const made = { rows, columns, inner, isGated: true, weight };
    const { out: sound } = await fused({ ...made, values });
    const { out: broken } = await fused({ ...made, values: values.with(4 * inner + 3, Number.NaN) });
    for (let index = 0; index < sound.length; index++) {
      if (Math.floor(index / (columns / 2)) === 4) expect(at(broken, index)).toBeNaN();
      else expect(at(broken, index)).toBe(at(sound, index));
    }
  });

  test('one launch where the kernels can', async () => {
    const [columns, inner] = [64, 64];
    const weight = device.tensor('weight', [columns, inner], 'f32', randomFloats(columns * inner, 2));
    const launches = async (rows: number): Promise<number> => {
      const values = randomFloats(rows * inner, 5);
      return (await fused({ rows, columns, inner, isGated: true, values, weight })).launches.length;
    };
    const { isSoftware, subgroupMinSize, subgroupMaxSize } = device.adapter;
    const isOfOneSize = device.has('subgroups') && subgroupMinSize === subgroupMaxSize;
    const few = isSoftware ? (device.hasBroadcastTiles ? 2 : 3) : isOfOneSize ? 1 : 2;
    expect(await launches(8)).toBe(few);
    expect(await launches(40)).toBe(isSoftware ? few : 3);
  });
});

test('what does not fit is refused', () => {
  const [[, device] = []] = devices;
  const tape = new Tape(new Workspace(device!));
  const norm = { weight: tape.empty('gain', [32]), epsilon };
  const weight = (columns: number, inner: number): Tensor => tape.empty('weight', [columns, inner]);
  expect(() => normLinear(tape, tape.empty('x', [2, 32]), norm, weight(8, 36))).toThrow(/do not fit/);
  expect(() => normLinear(tape, tape.empty('x', [2, 36]), norm, weight(8, 36))).toThrow(/do not fit/);
  expect(() => normLinear(tape, tape.empty('x', [2, 32]), norm, weight(12, 32), { isGated: true })).toThrow(
    /do not fit/,
  );
});
