/** Matrix products at the sizes of the nano model and at those of the study of kernels for software adapters. */
import { Program } from '../../../core/autograd/program.ts';
import { Workspace } from '../../../core/autograd/workspace.ts';
import type { Launch } from '../../../core/autograd/launch.ts';
import { Tape } from '../../../core/autograd/tape.ts';
import type { Device } from '../../../core/gpu/device.ts';
import { linear } from '../../../core/ops/linear.ts';
import type { Tensor } from '../../../core/tensor/tensor.ts';
import { at } from '../../../core/testing.ts';
import type { Case } from '../measure.ts';
import { randomTensor, replay, withoutSubgroups } from './bench-device.ts';

/** x · Wᵀ (forward), dOut · W (input gradient), dOutᵀ · x (weight gradient). */
type Kind = 'NT' | 'NN' | 'TN';

/** Of the product itself: result rows × columns, and the length of a sum. */
type Size = readonly [rows: number, columns: number, inner: number];

const nano: readonly (readonly [Kind, Size])[] = [
  ['NT', [2048, 128, 128]],
  ['NT', [2048, 336, 128]],
  ['NT', [2048, 128, 336]],
  ['NN', [2048, 128, 128]],
  ['NN', [2048, 128, 336]],
  ['NN', [2048, 336, 128]],
  ['TN', [128, 128, 2048]],
  ['TN', [336, 128, 2048]],
  ['TN', [128, 336, 2048]],
  ['NT', [128, 128, 128]],
  ['NT', [128, 336, 128]],
  ['NT', [128, 128, 336]],
];

const studySizes: readonly Size[] = [
  [1024, 1024, 1024],
  [4096, 512, 128],
  [128, 512, 512],
];

/** GFLOP/s of the study, in the order of `studySizes`; measured on two AVX2 cores with lavapipe. */
const study: Readonly<Record<Kind, readonly string[]>> = {
  NT: ['37-40', '37-40', '39-41'],
  NN: ['37-46', '41', '45'],
  TN: ['47', '43', '44-46'],
};

export async function linearCases(device: Device): Promise<Case[]> {
  const sized: readonly (readonly [Kind, Size, string | undefined])[] = [
    ...nano.map(([kind, size]) => [kind, size, undefined] as const),
    ...(['NT', 'NN', 'TN'] as const).flatMap((kind) =>
      studySizes.map((size, index) => [kind, size, study[kind][index]] as const),
    ),
  ];
  const portable = withoutSubgroups(device);
  const cases: Case[] = [];
  for (const [kind, size, figure] of sized) {
    const operands = makeOperands(device, kind, size);
    const name = `${kind} ${size.join(' x ')}`;
    const fast = await linearCase(device, name, kind, size, operands);
    if (!device.hasBroadcastTiles) cases.push({ ...fast, ...(figure === undefined ? {} : { study: figure }) });
    else {
      const slow = await linearCase(portable, `${name} portable`, kind, size, operands);
      cases.push(
        { ...fast, reference: slow.name, ...(figure === undefined ? {} : { study: figure }) },
        { ...slow, isHidden: true },
      );
    }
  }
  return cases;
}

interface Operands {
  /** [tokens, in], [out, in], [tokens, out] of the layer the product belongs to. */
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly dOut: Tensor;
}

function makeOperands(device: Device, kind: Kind, [rows, columns, inner]: Size): Operands {
  const layers = { NT: [rows, inner, columns], NN: [rows, columns, inner], TN: [inner, columns, rows] } as const;
  const [tokens, wide, out] = layers[kind];
  return {
    x: randomTensor(device, 'x', [tokens, wide], 1),
    weight: randomTensor(device, 'weight', [out, wide], 2),
    dOut: randomTensor(device, 'd out', [tokens, out], 3),
  };
}

async function linearCase(device: Device, name: string, kind: Kind, size: Size, operands: Operands): Promise<Case> {
  const [rows, columns, inner] = size;
  const workspace = new Workspace(device);
  // The launch the op records, writing where the check can read.
  const out = device.tensor('product', [rows, columns]);
  const recorded = recordProduct(workspace, kind, operands);
  const program = await Program.create(name, workspace, [{ ...recorded, bindings: { ...recorded.bindings, out } }]);
  return {
    group: 'linear',
    name,
    work: { amount: (2 * rows * columns * inner) / 1e9, unit: 'GFLOP' },
    run: replay(program),
    async check() {
      // The weight gradient is added to what is there: this is the first run, on zeros.
      program.run();
      await compare(device, name, kind, size, operands, out);
    },
  };
}

function recordProduct(workspace: Workspace, kind: Kind, { x, weight, dOut }: Operands): Launch {
  const tape = new Tape(workspace);
  if (kind === 'NN') tape.watch(x, x);
  if (kind === 'TN') tape.watch(weight, weight);
  const out = linear(tape, x, weight);
  if (kind !== 'NT') {
    tape.seed(out, dOut);
    tape.backward();
  }
  // Forward first; then the one gradient that is watched for.
  const step = tape.recorded[kind === 'NT' ? 0 : 1];
  if (step === undefined || 'copy' in step) throw new RangeError(`linear recorded no ${kind} product`);
  return step;
}

/** Some elements against float64. */
async function compare(
  device: Device,
  name: string,
  kind: Kind,
  [rows, columns, inner]: Size,
  operands: Operands,
  out: Tensor,
): Promise<void> {
  const [x, weight, dOut, product] = (await device.read([
    operands.x,
    operands.weight,
    operands.dOut,
    out,
  ])) as Float32Array[];
  if (x === undefined || weight === undefined || dOut === undefined || product === undefined)
    throw new RangeError('unreachable: four tensors were read');
  const term = (row: number, column: number, k: number): number => {
    if (kind === 'NT') return at(x, row * inner + k) * at(weight, column * inner + k);
    return kind === 'NN'
      ? at(dOut, row * inner + k) * at(weight, k * columns + column)
      : at(dOut, k * rows + row) * at(x, k * columns + column);
  };
  for (let probe = 0; probe < 32; probe++) {
    const row = (probe * 7919) % rows;
    const column = (probe * 104729) % columns;
    let expected = 0;
    for (let k = 0; k < inner; k++) expected += term(row, column, k);
    const found = at(product, row * columns + column);
    // Sums of `inner` terms within ±1 in f32, rounded at every step.
    if (!(Math.abs(found - expected) <= 2e-7 * inner + 1e-6))
      throw new RangeError(`${name}: element ${row},${column} is ${found}, not ${expected}`);
  }
}
