/** Ops whose products are computed on tensor cores. */
import type { Device } from '../../gpu/device.ts';
import { type MatrixPrecision, MatrixProducts } from '../../gpu/matrix-products.ts';
import { usableShapes, whyNoMatrices } from '../../ops/linear-matrix.ts';
import type { OpCheck, OpErrors } from '../check-op.ts';
import type { DeviceCase } from './cases.ts';

export const matrixPrecisions = ['f16', 'f32-split'] as const;

/** Errors as a share of the whole: roundings to 11 and to 22 bits, of which most cancel. */
const tolerance = { f16: 6e-4, 'f32-split': 1e-6 } as const;

type Given = Required<Pick<OpCheck<string>, 'products' | 'valueTolerance' | 'gradientTolerance'>>;

/** A check of an op on every shape of tensor cores that products could be given to. */
export function onMatrices(
  precision: MatrixPrecision,
  check: (device: Device, given: Given) => Promise<OpErrors>,
): Pick<DeviceCase, 'leftOut' | 'run'> {
  const valueTolerance = tolerance[precision];
  const gradientTolerance = Math.max(1e-5, 8 * valueTolerance);
  return {
    leftOut: (device) => (usableShapes(device).length === 0 ? whyNoMatrices(device) : undefined),
    run: async (device) => {
      const errors: OpErrors[] = [];
      for (const shape of usableShapes(device)) {
        const products = new MatrixProducts(device, shape, precision);
        try {
          errors.push(await check(device, { products, valueTolerance, gradientTolerance }));
        } finally {
          products.close();
        }
      }
      return {
        value: Math.max(...errors.map(({ value }) => value)),
        gradient: Math.max(...errors.map(({ gradient }) => gradient)),
      };
    },
  };
}
