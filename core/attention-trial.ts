/** Attention on tensor cores before it is used, beside that of the f32 kernels of the same adapter: a part of the trial of matrices. */
import { Tape } from './autograd/tape.ts';
import { Workspace } from './autograd/workspace.ts';
import type { Device } from './gpu/device.ts';
import type { MatrixProducts } from './gpu/matrix-products.ts';
import { attention } from './ops/attention.ts';
import { at } from './tensor/at.ts';

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

async function attend(device: Device, products: MatrixProducts | undefined): Promise<Float32Array[]> {
  const { heads, keyValueHeads, headDimension } = sizes;
  const [wide, narrow] = [heads * headDimension, keyValueHeads * headDimension];
  const ofRows = (value: (segment: (typeof segments)[number]) => number): Uint32Array =>
    Uint32Array.from(
      segments.flatMap((segment) => Array.from({ length: segment[1] - segment[0] }, () => value(segment))),
    );
  const workspace = new Workspace(device, products);
  const made = [
    device.tensor('q', [rows, wide], 'f32', trialValues(rows * wide, 1, 1.5)),
    device.tensor('k', [rows, narrow], 'f32', trialValues(rows * narrow, 2, 1.5)),
    device.tensor('v', [rows, narrow], 'f32', trialValues(rows * narrow, 3, 1)),
    device.tensor('slopes', [rows, wide], 'f32', trialValues(rows * wide, 4, 1e-6)),
    device.tensor('d q', [rows, wide]),
    device.tensor('d k', [rows, narrow]),
    device.tensor('d v', [rows, narrow]),
    device.tensor(
      'segment starts',
      [rows],
      'u32',
      ofRows(([first]) => first),
    ),
    device.tensor(
      'segment ends',
      [rows],
      'u32',
      ofRows(([, end]) => end),
    ),
  ] as const;
  const [q, k, v, dOut, dQ, dK, dV, segmentStart, segmentEnd] = made;
  try {
    const tape = new Tape(workspace);
    tape.watch(q, dQ);
    tape.watch(k, dK);
    tape.watch(v, dV);
    const out = attention(tape, q, k, v, { segmentStart, segmentEnd }, sizes);
    const kept = tape.output(out);
    tape.seed(out, dOut);
    tape.backward();
    const program = await tape.finish('trial of attention');
    program.run();
    const found = await device.read([kept, dQ, dK, dV]);
    program.dispose();
    device.destroyTensor(kept);
    return found as Float32Array[];
  } finally {
    workspace.close();
    for (const tensor of made) device.destroyTensor(tensor);
  }
}

function trialValues(count: number, seed: number, scale: number): Float32Array {
  return Float32Array.from({ length: count }, (_, index) => Math.sin(index * 12.9898 + seed) * scale);
}

/** ‖found − expected‖ / ‖expected‖. */
function relativeError(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (at(found, i) - at(expected, i)) ** 2;
    norm += at(expected, i) ** 2;
  }
  return Math.sqrt(difference / norm);
}
