/** Products with weights: plain, in every storage, with low-rank adapters. */
import type { ParameterSpec } from '../../contracts/backbone.ts';
import type { Device } from '../../gpu/device.ts';
import { linear } from '../../ops/linear.ts';
import { AdaptedWeights, adapterSpecs } from '../../weights/adapters.ts';
import { ParameterSet, type WeightStorage } from '../../weights/parameters.ts';
import { at } from '../arrays.ts';
import { checkOp, type OpErrors } from '../check-op.ts';
import { productOf } from '../oracles.ts';
import { type DeviceCase, floats } from './cases.ts';
import { matrixPrecisions, onMatrices } from './matrices.ts';

/** Rows, columns and length of the sum: one, primes, past the edges of every tile. */
const products = [
  [1, 1, 1],
  [7, 13, 5],
  [3, 96, 64],
  [17, 31, 29],
  [33, 40, 64],
  [129, 130, 132],
  [256, 256, 64],
] as const;

export const productCases = products.map(([rows, columns, inner]): DeviceCase => ({
  op: 'linear',
  form: `${rows} x ${columns} x ${inner}, bias`,
  run: (device) =>
    checkOp({
      device,
      inputs: { x: floats([rows, inner], 1), weight: floats([columns, inner], 2), bias: floats([columns], 3) },
      op: (tape, { x, weight, bias }) => linear(tape, x, weight, bias),
      oracle: ({ x, weight, bias }) => productOf(x, weight, inner, bias),
    }),
}));

/** The weight as the device holds it is the oracle's: rounding by storage is not an error of the product. */
export const storageCases = (['f16', 'bf16', 'int8', 'int4'] as const).flatMap((storage): DeviceCase[] =>
  [1, 21, 150].map((rows) => ({
    op: 'linear, stored weight',
    form: `${storage}, ${rows} x 72 x 128`,
    run: (device) => storedProduct(device, storage, rows, false),
  })),
);

/** One, below the edges of a tile, past them, and, with both gradients, enough that operands are converted beforehand. */
const matrixProducts = [
  [1, 1, 1],
  [17, 31, 29],
  [70, 66, 40],
  [131, 70, 67],
] as const;

export const matrixCases = matrixPrecisions.flatMap((precision) =>
  matrixProducts.map(([rows, columns, inner]): DeviceCase => ({
    op: `linear on matrices, ${precision}`,
    form: `${rows} x ${columns} x ${inner}, bias`,
    ...onMatrices(precision, (device, given) =>
      checkOp({
        ...{ device, ...given },
        inputs: { x: floats([rows, inner], 1), weight: floats([columns, inner], 2), bias: floats([columns], 3) },
        op: (tape, { x, weight, bias }) => linear(tape, x, weight, bias),
        oracle: ({ x, weight, bias }) => productOf(x, weight, inner, bias),
      }),
    ),
  })),
);

export const adapterCases = (['f32', 'bf16', 'int8'] as const).map((storage): DeviceCase => ({
  op: 'linear with adapter',
  form: `${storage}, rank 4, 21 x 72 x 128`,
  run: (device) => storedProduct(device, storage, 21, true),
}));

async function storedProduct(
  device: Device,
  storage: WeightStorage,
  rows: number,
  adapted: boolean,
): Promise<OpErrors> {
  const specs: ParameterSpec[] = [{ name: 'm.weight', shape: [72, 128], init: { normal: 1 } }];
  const base = new ParameterSet(device, specs, { seed: 5, storage });
  const held = Float64Array.from(await base.readTensor('m.weight', 'values'));
  const low = adapterSpecs(specs, { match: () => true, rank: 4 }).map((spec): ParameterSpec => ({
    ...spec,
    init: { normal: 0.5 },
  }));
  const adapters = new ParameterSet(device, low, { seed: 6 });
  const down = await adapters.readTensor('m.lora_A.weight', 'values');
  const up = await adapters.readTensor('m.lora_B.weight', 'values');
  const weights = adapted ? new AdaptedWeights(base, adapters, { match: () => true, rank: 4, alpha: 8 }) : base;
  try {
    return await checkOp({
      device,
      inputs: { x: floats([rows, 128], 7) },
      op: (tape, { x }) => linear(tape, x, weights.get('m.weight')),
      oracle: ({ x }) => {
        const plain = productOf(x, held, 128);
        if (!adapted) return plain;
        const added = productOf(productOf(x, down, 128), up, 4);
        return plain.map((value, index) => value + 2 * at(added, index));
      },
    });
  } finally {
    base.close();
    adapters.close();
  }
}
