/**
 * Every op on an adapter against float64: values, gradients by differences, odd sizes, weights in every storage, whole decoding steps.
 * `reasongen verify-device` runs it where the program will run; a driver that computes wrongly is found before a run is trained on it.
 */
import { productCases, storageCases, adapterCases, matrixCases } from './device-suite/products.ts';
import { rowCases } from './device-suite/rows.ts';
import { pointwiseCases } from './device-suite/pointwise.ts';
import { attentionCases } from './device-suite/attention.ts';
import { headCases } from './device-suite/heads.ts';
import { pictureCases } from './device-suite/pictures.ts';
import { sameBits } from './device-suite/same-bits.ts';
import type { DeviceCase } from './device-suite/cases.ts';

export type { DeviceCase };

export const deviceSuite: readonly DeviceCase[] = [
  ...productCases,
  ...storageCases,
  ...adapterCases,
  ...matrixCases,
  ...rowCases,
  ...pointwiseCases,
  ...attentionCases,
  ...headCases,
  ...pictureCases,
  ...sameBits,
];
