import { describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import type { Launch } from '../../core/autograd/launch.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { linear } from '../../core/ops/linear.ts';
import { at, checkOp, randomFloats } from '../../core/testing.ts';
import { sizeOf, type Tensor } from '../../core/tensor/tensor.ts';
import { testDevices } from './device.ts';

// Batches past the border to the tallest tile of 32 rows, with whole and cut last tiles; columns that end within a tile.
const sizes = [
  [128, 32, 8],
  [131, 36, 12],
  [129, 33, 20],
] as const;

const devices = await testDevices();

describe.each(devices)('linear with many rows, %s', (_name, device) => {
  test.each(sizes)('%i rows, %i columns, %i inner', async (rows, columns, inner) => {
    await checkOp({
      device,
      inputs: {
        x: { shape: [rows, inner], data: randomFloats(rows * inner, 1) },
        weight: { shape: [columns, inner], data: randomFloats(columns * inner, 2) },
        bias: { shape: [columns], data: randomFloats(columns, 3) },
      },
      op: (tape, { x, weight, bias }) => linear(tape, x, weight, bias),
      oracle: ({ x, weight, bias }) =>
        Float64Array.from({ length: rows * columns }, (_, index) => {
          const row = Math.floor(index / columns);
          const column = index % columns;
          let sum = at(bias, column);
          for (let k = 0; k < inner; k++) sum += at(x, row * inner + k) * at(weight, column * inner + k);
          return sum;
        }),
    });
  });

  // Batches of 1, 8, 9, 16 and 128 rows take tiles of 8, 16 and 32 rows where those apply.
  test('a row has the same bits in every batch, forward and backward', async () => {
    const [columns, inner, most] = [68, 44, 131];
    const weight = device.tensor('weight', [columns, inner], 'f32', randomFloats(columns * inner, 2));
    const bias = device.tensor('bias', [columns], 'f32', randomFloats(columns, 3));
    const values = randomFloats(most * inner, 1);
    const seeds = randomFloats(most * columns, 4);
    const runBatch = async (rows: number): Promise<{ out: Float32Array; dX: Float32Array; kernels: string[] }> => {
      const x = device.tensor('x', [rows, inner], 'f32', values.slice(0, rows * inner));
      const dX = device.tensor('d x', x.shape);
      const dOut = device.tensor('d out', [rows, columns], 'f32', seeds.slice(0, rows * columns));
      const tape = new Tape(new Workspace(device));
      tape.watch(x, dX);
      const out = linear(tape, x, weight, bias);
      const kept = tape.output(out);
      tape.seed(out, dOut);
      tape.backward();
      (await tape.finish(`linear ${rows}`)).run();
      const kernels = tape.recorded
        .filter((step): step is Launch => 'kernel' in step)
        .map(({ kernel }) => String(kernel));
      return { out: await device.readFloats(kept), dX: await device.readFloats(dX), kernels };
    };
    const whole = await runBatch(most);
    const used = new Set(whole.kernels);
    for (const rows of [1, 8, 9, 16, 127, 128]) {
      const part = await runBatch(rows);
      for (const kernel of part.kernels) used.add(kernel);
      expect([...part.out]).toEqual([...whole.out.slice(0, part.out.length)]);
      expect([...part.dX]).toEqual([...whole.dX.slice(0, part.dX.length)]);
    }
    if (device.hasBroadcastTiles) {
      expect([...used]).toEqual(
        expect.arrayContaining(
          ['nt', 'nn'].flatMap((kind) => [8, 16, 32].map((tile) => `linear/${kind}-broadcast-${tile}`)),
        ),
      );
    }
  });
});

// A GPU has a kernel for few rows and tiles of 64 and of 128 rows; all split k into the same eight segments.
test.each(devices.filter(([, device]) => !device.adapter.isSoftware))(
  'few rows, small tiles and large tiles give the same bits, %s',
  { timeout: 60_000 },
  async (_name, device) => {
    const [columns, inner, most] = [1025, 96, 1537];
    const weights = randomFloats(columns * inner, 2);
    const weight = device.tensor('weight', [columns, inner], 'f32', weights);
    const values = randomFloats(most * inner, 1);
    const seeds = randomFloats(most * columns, 4);
    const run = async (rows: number): Promise<{ out: Float32Array; dX: Float32Array; kernels: string[] }> => {
      const x = device.tensor('x', [rows, inner], 'f32', values.slice(0, rows * inner));
      const dX = device.tensor('d x', x.shape);
      const tape = new Tape(new Workspace(device));
      tape.watch(x, dX);
      const out = linear(tape, x, weight);
      const kept = tape.output(out);
      tape.seed(out, device.tensor('d out', [rows, columns], 'f32', seeds.slice(0, rows * columns)));
      tape.backward();
      (await tape.finish(`linear ${rows}`)).run();
      return {
        out: await device.readFloats(kept),
        dX: await device.readFloats(dX),
        kernels: tape.recorded.flatMap((step) => ('kernel' in step ? [String(step.kernel)] : [])),
      };
    };
    const whole = await run(most);
    expect(whole.kernels.slice(0, 1)).toEqual(['linear/workgroup-128']);
    for (const [rows, kernel] of [
      [1, 'linear/few-rows'],
      [11, 'linear/few-rows'],
      [65, 'linear/workgroup-64'],
    ] as const) {
      const part = await run(rows);
      expect(part.kernels[0]).toBe(kernel);
      expect(part.out).toEqual(whole.out.slice(0, part.out.length));
      expect(part.dX).toEqual(whole.dX.slice(0, part.dX.length));
    }
    // One output in float64, in case all of them are wrong alike.
    let sum = 0;
    for (let k = 0; k < inner; k++) sum += at(values, 1500 * inner + k) * at(weights, 1024 * inner + k);
    expect(at(whole.out, 1500 * columns + 1024)).toBeCloseTo(sum, 4);
  },
);

const broadcasting = devices.map(([, device]) => device).filter((device) => device.hasBroadcastTiles);

test.each(broadcasting)('the two tiles of the weight gradient give the same bits', async (device) => {
  // 160 rows of the result take the tall tile; its first 64, as a layer of their own, the other one. An odd number of tokens.
  const [tokens, inner, tall, low] = [37, 12, 160, 64];
  const x = device.tensor('x', [tokens, inner], 'f32', randomFloats(tokens * inner, 1));
  const dOut = randomFloats(tokens * tall, 2);
  const gradient = async (columns: number): Promise<Float32Array> => {
    const weight: Tensor = device.tensor('weight', [columns, inner]);
    const dWeight = device.tensor('d weight', weight.shape, 'f32', randomFloats(sizeOf(weight.shape), 3));
    const part = Float32Array.from({ length: tokens * columns }, (_, index) =>
      at(dOut, Math.floor(index / columns) * tall + (index % columns)),
    );
    const tape = new Tape(new Workspace(device));
    tape.watch(weight, dWeight);
    const out = linear(tape, x, weight);
    tape.seed(out, device.tensor('d out', [tokens, columns], 'f32', part));
    tape.backward();
    (await tape.finish('weight gradient')).run();
    return device.readFloats(dWeight);
  };
  const whole = await gradient(tall);
  expect([...(await gradient(low))]).toEqual([...whole.slice(0, low * inner)]);
});

// Tiles are at most 32 rows high: so many rows need more of them than one dimension of workgroups holds.
test.each(devices.slice(0, 2))(
  'rows past 65535 tiles, forward and backward, %s',
  { timeout: 60_000 },
  async (_name, device) => {
    const rows = 65536 * 32 + 5;
    const values = new Float32Array(rows * 4);
    for (let row = 0; row < rows; row++) values[row * 4] = row % 65521;
    const x = device.tensor('x', [rows, 4], 'f32', values);
    const dX = device.tensor('d x', x.shape);
    const weight = device.tensor(
      'weight',
      [4, 4],
      'f32',
      Float32Array.from({ length: 16 }, (_, index) => (index % 4 === 0 ? 2 : 0)),
    );
    const tape = new Tape(new Workspace(device));
    tape.watch(x, dX);
    const out = linear(tape, x, weight);
    const kept = tape.output(out);
    tape.seed(out, out);
    tape.backward();
    (await tape.finish('many rows')).run();
    const [found, gradient] = [await device.readFloats(kept), await device.readFloats(dX)];
    let wrong = 0;
    for (let row = 0; row < rows; row++)
      if (found[row * 4 + 3] !== 2 * (row % 65521) || gradient[row * 4] !== 16 * (row % 65521)) wrong++;
    expect(wrong).toBe(0);
    for (const tensor of [x, dX, kept]) device.destroyTensor(tensor);
  },
);
