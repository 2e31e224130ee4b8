/** Attention and positions. */
import { attention } from '../../ops/attention.ts';
import { rotary } from '../../ops/rotary.ts';
import { checkOp, type OpCheck, type OpErrors } from '../check-op.ts';
import { attended, turned, turnedAlong } from '../oracles.ts';
import { type DeviceCase, floats, randomIds } from './cases.ts';
import { matrixPrecisions, onMatrices } from './matrices.ts';

const attentionSizes = [
  { heads: 4, keyValueHeads: 4, headDimension: 32, causal: true, segments: [1, 17, 8, 30] },
  { heads: 4, keyValueHeads: 2, headDimension: 64, causal: true, segments: [33, 5] },
  { heads: 2, keyValueHeads: 2, headDimension: 72, causal: false, segments: [25, 9] },
  { heads: 1, keyValueHeads: 1, headDimension: 128, causal: true, segments: [40] },
];

type AttentionCase = (typeof attentionSizes)[number];

function formOf({ heads, keyValueHeads, headDimension, causal, segments }: AttentionCase): string {
  return `${heads}/${keyValueHeads} heads of ${headDimension}, ${causal ? 'causal' : 'both ways'}, segments ${segments.join(' ')}`;
}

function checkAttention(
  sizes: AttentionCase,
  how: Pick<OpCheck<string>, 'device' | 'products' | 'valueTolerance' | 'gradientTolerance'>,
): Promise<OpErrors> {
  const { heads, keyValueHeads, headDimension, causal, segments } = sizes;
  const rows = segments.reduce((sum, length) => sum + length, 0);
  const starts = segments.flatMap((length, index) =>
    Array.from({ length }, () => segments.slice(0, index).reduce((sum, each) => sum + each, 0)),
  );
  const ends = segments.flatMap((length, index) =>
    Array.from({ length }, () => segments.slice(0, index + 1).reduce((sum, each) => sum + each, 0)),
  );
  return checkOp({
    ...how,
    inputs: {
      q: floats([rows, heads * headDimension], 1),
      k: floats([rows, keyValueHeads * headDimension], 2),
      v: floats([rows, keyValueHeads * headDimension], 3),
      segmentStart: { shape: [rows], data: Uint32Array.from(starts) },
      segmentEnd: { shape: [rows], data: Uint32Array.from(ends) },
    },
    op: (tape, { q, k, v, segmentStart, segmentEnd }) =>
      attention(tape, q, k, v, { segmentStart, segmentEnd }, { heads, keyValueHeads, headDimension, causal }),
    oracle: ({ q, k, v }) => attended(q, k, v, sizes),
  });
}

/** Errors as a share of the whole, and of gradients at single elements of it: roundings to 11 and to 22 bits. */
const matrixTolerance = {
  f16: { valueTolerance: 1e-3, gradientTolerance: 1e-2 },
  'f32-split': { valueTolerance: 3e-6, gradientTolerance: 2e-5 },
} as const;

export const attentionCases: readonly DeviceCase[] = [
  ...attentionSizes.map((sizes): DeviceCase => ({
    op: 'attention',
    form: formOf(sizes),
    run: (device) => checkAttention(sizes, { device, valueTolerance: 3e-6 }),
  })),
  ...matrixPrecisions.flatMap((precision) =>
    attentionSizes.map((sizes): DeviceCase => ({
      op: `attention on matrices, ${precision}`,
      form: formOf(sizes),
      ...onMatrices(precision, (device, { products }) =>
        checkAttention(sizes, { device, products, ...matrixTolerance[precision] }),
      ),
    })),
  ),
  {
    op: 'rotary positions',
    form: '29 rows, 3 heads of 16',
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([29, 48], 1), positions: randomIds(29, 2, 600) },
        op: (tape, { x, positions }) => rotary(tape, x, positions, { heads: 3, headDimension: 16, theta: 10000 }),
        oracle: ({ x, positions }) => turned(x, positions, 3, 16, 10000),
        // sin and cos of an angle of hundreds, reduced in f32.
        valueTolerance: 1e-4,
        gradientTolerance: 1e-4,
      }),
  },
  {
    op: 'rotary positions',
    form: '29 rows, 2 heads of 24, three axes',
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([29, 48], 1), positions: { ...randomIds(87, 2, 600), shape: [29, 3] } },
        op: (tape, { x, positions }) =>
          rotary(tape, x, positions, {
            heads: 2,
            headDimension: 24,
            theta: 10000,
            axes: { sections: [4, 5, 3], order: 'contiguous' },
          }),
        oracle: ({ x, positions }) =>
          turnedAlong(
            x,
            positions,
            2,
            24,
            3,
            Array.from({ length: 12 }, (_, j) => [j < 4 ? 0 : j < 9 ? 1 : 2, 10000 ** (-j / 12)] as const),
          ),
        valueTolerance: 1e-4,
        gradientTolerance: 1e-4,
      }),
  },
];
