/** Attention on tensor cores before it is used, beside that of the f32 kernels of the same adapter: a part of the trial of matrices. */
import type { Device } from './gpu/device.ts';
import type { MatrixProducts } from './gpu/matrix-products.ts';
import { attention } from './ops/attention.ts';
import { relativeError } from './tensor/relative-error.ts';
import { tryOp } from './tried-op.ts';

/** A head that is no whole number of matrices and more than one step of columns; a segment past a tile, and others that begin within one. */
const sizes = { heads: 2, keyValueHeads: 1, headDimension: 40, causal: true };
const segments = [
  [0, 37],
  [37, 38],
  [38, 68],
] as const;
const rows = 68;

/** Ten times what the roundings of operands come to as a whole. */
const tolerance = { f16: 5e-3, 'f32-split': 5e-6 } as const;

/** What is wrong with attention on these matrices, forward and all gradients; undefined when nothing is. */
export async function attentionFault(device: Device, products: MatrixProducts): Promise<string | undefined> {
  const expected = await attend(device, undefined);
  const found = await attend(device, products);
  for (const [index, name] of ['attention', 'its d queries', 'its d keys', 'its d values'].entries()) {
    const error = relativeError(found[index] ?? [], expected[index] ?? []);
    if (!(error <= tolerance[products.precision]))
      return `${name} is off by ${error.toExponential(1)} of the whole from that of the f32 kernels`;
  }
  return undefined;
}

function attend(device: Device, products: MatrixProducts | undefined): Promise<Float32Array[]> {
  const { heads, keyValueHeads, headDimension } = sizes;
  const [wide, narrow] = [heads * headDimension, keyValueHeads * headDimension];
  const ofRows = (value: (segment: (typeof segments)[number]) => number): Uint32Array =>
    Uint32Array.from(
      segments.flatMap((segment) => Array.from({ length: segment[1] - segment[0] }, () => value(segment))),
    );
  return tryOp(device, products, {
    inputs: [
      { shape: [rows, wide], data: trialValues(rows * wide, 1, 1.5) },
      { shape: [rows, narrow], data: trialValues(rows * narrow, 2, 1.5) },
      { shape: [rows, narrow], data: trialValues(rows * narrow, 3, 1) },
    ],
    constants: [
      { shape: [rows], data: ofRows(([first]) => first) },
      { shape: [rows], data: ofRows(([, end]) => end) },
    ],
    slopes: { shape: [rows, wide], data: trialValues(rows * wide, 4, 1e-6) },
    record: (tape, [q, k, v], [segmentStart, segmentEnd]) =>
      attention(tape, q, k, v, { segmentStart: segmentStart!, segmentEnd: segmentEnd! }, sizes),
  });
}

function trialValues(count: number, seed: number, scale: number): Float32Array {
  return Float32Array.from({ length: count }, (_, index) => Math.sin(index * 12.9898 + seed) * scale);
}
