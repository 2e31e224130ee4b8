/** Products with weights: plain, in every storage, with low-rank adapters. */
import type { ParameterSpec } from '../../contracts/backbone.ts';
import type { Device } from '../../gpu/device.ts';
import { MatrixProducts } from '../../gpu/matrix-products.ts';
import { usableShapes, whyNoMatrices } from '../../ops/linear-matrix.ts';
import { linear } from '../../ops/linear.ts';
import { AdaptedWeights, adapterSpecs } from '../../weights/adapters.ts';
import { ParameterSet, type WeightStorage } from '../../weights/parameters.ts';
import { at } from '../arrays.ts';
import { checkOp, type OpErrors } from '../check-op.ts';
import { productOf } from '../oracles.ts';
import { type DeviceCase, floats } from './cases.ts';

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

/** Errors as a share of the whole: roundings to 11 and to 22 bits, of which most cancel. */
const matrixTolerance = { f16: 6e-4, 'f32-split': 1e-6 } as const;

/** On every shape of tensor cores that products could be given to. */
export const matrixCases = (['f16', 'f32-split'] as const).flatMap((precision) =>
  matrixProducts.map(([rows, columns, inner]): DeviceCase => ({
    op: `linear on matrices, ${precision}`,
    form: `${rows} x ${columns} x ${inner}, bias`,
    leftOut: (device) => (usableShapes(device).length === 0 ? whyNoMatrices(device) : undefined),
    run: async (device) => {
      const errors: OpErrors[] = [];
      for (const shape of usableShapes(device)) {
        const onMatrices = new MatrixProducts(device, shape, precision);
        try {
          errors.push(
            await checkOp({
              device,
              products: onMatrices,
              inputs: { x: floats([rows, inner], 1), weight: floats([columns, inner], 2), bias: floats([columns], 3) },
              op: (tape, { x, weight, bias }) => linear(tape, x, weight, bias),
              oracle: ({ x, weight, bias }) => productOf(x, weight, inner, bias),
              valueTolerance: matrixTolerance[precision],
              gradientTolerance: Math.max(1e-5, 8 * matrixTolerance[precision]),
            }),
          );
        } finally {
          onMatrices.close();
        }
      }
      return {
        value: Math.max(...errors.map(({ value }) => value)),
        gradient: Math.max(...errors.map(({ gradient }) => gradient)),
      };
    },
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
