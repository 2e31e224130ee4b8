/**
 * Tensor cores before they are used: drivers are known to multiply wrongly, so each shape that an adapter lists is tried, products and convolutions
 * against float64 and attention against the f32 kernels, the largest first, and the first one that is right is taken. What was found is kept by adapter and driver.
 */
import { attentionFault } from './attention-trial.ts';
import { convolutionFault } from './convolution-trial.ts';
import { type Environment, processEnvironment } from './environment.ts';
import { unknownDescription } from './gpu/adapter-report.ts';
import type { Device } from './gpu/device.ts';
import { type MatrixPrecision, MatrixProducts, type Precision } from './gpu/matrix-products.ts';
import type { MatrixShape } from './gpu/subgroup-matrices.ts';
import type { Log } from './log.ts';
import { matrixErrorBound, usableShapes, whyNoMatrices } from './ops/linear-matrix.ts';
import { linear } from './ops/linear.ts';
import { readJson, writeJson } from './setup/cache.mjs';
import { at } from './tensor/at.ts';
import { tryOp } from './tried-op.ts';
import { adapterFile } from './tune.ts';

/** What multiplies with a precision, to be closed; undefined: the f32 kernels, where nothing else was asked for or nothing else can. `log` is told what is used. */
export async function openProducts(
  device: Device,
  precision: Precision,
  log?: Pick<Log, 'info' | 'warn'>,
): Promise<MatrixProducts | undefined> {
  if (precision === 'f32') return undefined;
  const { shape, why } = await chooseMatrix(device, precision);
  if (shape === undefined) {
    const isKnown = device.adapter.description !== unknownDescription;
    if (isKnown) tellOnce(log, 'warn', `products asked for in ${precision} are computed in f32: ${why}`);
    return undefined;
  }
  if (!device.isPlanning) tellOnce(log, 'info', `products in ${precision}: ${why}`);
  device.matricesUsed.set(precision, nameOf(shape));
  return new MatrixProducts(device, shape, precision);
}

/** What logs were told: a plan and the phases of a run ask alike. */
const told = new WeakMap<object, Set<string>>();

function tellOnce(log: Pick<Log, 'info' | 'warn'> | undefined, kind: 'info' | 'warn', message: string): void {
  if (log === undefined) return;
  const before = told.get(log) ?? new Set();
  told.set(log, before);
  if (before.has(message)) return;
  before.add(message);
  log[kind](message);
}

export interface MatrixChoice {
  /** Undefined where products stay with the f32 kernels. */
  readonly shape?: MatrixShape;
  /** In words: what is used, or why nothing is. */
  readonly why: string;
}

/** Which tensor cores multiply with this precision; none that is wrong. A plan takes the largest that the adapter lists. */
export async function chooseMatrix(
  device: Device,
  precision: MatrixPrecision,
  environment: Environment = processEnvironment,
): Promise<MatrixChoice> {
  const shapes = usableShapes(device);
  const [largest] = shapes;
  if (largest === undefined) return { why: whyNoMatrices(device) };
  if (device.isPlanning) return taken(largest, 'not tried');
  const file = adapterFile(`matrices-${precision}`, device, environment);
  const kept = readJson(file) as Kept | undefined;
  const known = shapes.find(({ M, N, K }) => kept?.tried === tried && kept.M === M && kept.N === N && kept.K === K);
  if (known !== undefined) return taken(known, 'found right before');
  const faults: string[] = [];
  for (const shape of shapes) {
    const fault = await matrixFault(device, shape, precision);
    if (fault === undefined) {
      keep(file, shape);
      return taken(shape, 'found right in a trial');
    }
    faults.push(`${nameOf(shape)}: ${fault}`);
  }
  return { why: `the adapter's matrices are wrong (${faults.join('; ')}): update its driver` };
}

function taken(shape: MatrixShape, how: string): MatrixChoice {
  return { shape, why: `matrices of ${nameOf(shape)}, ${how}` };
}

function nameOf({ M, N, K }: MatrixShape): string {
  return `${M} x ${N} x ${K}`;
}

/** What a trial looks at: one that looked at less is made again. */
const tried = 'products, attention and convolutions';

interface Kept extends MatrixShape {
  readonly tried: string;
}

function keep(file: string, { M, N, K }: MatrixShape): void {
  try {
    writeJson(file, { M, N, K, tried } satisfies Kept);
  } catch {
    // A cache that cannot be written costs another trial at the next start.
  }
}

/** What is wrong with products, convolutions or attention on matrices of a shape, forward and all gradients; undefined when nothing is. */
export async function matrixFault(
  device: Device,
  shape: MatrixShape,
  precision: MatrixPrecision,
): Promise<string | undefined> {
  const products = new MatrixProducts(device, shape, precision);
  const { tuning } = device;
  try {
    return (
      (await productFault(device, products)) ??
      (await attentionFault(device, products)) ??
      (await convolutionFault(device, products))
    );
  } catch (cause) {
    return cause instanceof Error ? (cause.message.split('\n')[0] ?? cause.message) : String(cause);
  } finally {
    device.tuning = tuning;
    products.close();
  }
}

async function productFault(device: Device, products: MatrixProducts): Promise<string | undefined> {
  // Past the edges of a tile, and more than one step of k; operands that are converted beforehand, in small tiles and in large ones, and as they are read.
  for (const [rows, columns, inner, largeTilesFrom] of [
    [70, 65, 67, Number.MAX_SAFE_INTEGER],
    [70, 65, 67, 0],
    [33, 130, 7, 0],
  ] as const) {
    device.tuning = { ...device.tuning, largeTilesFrom };
    const x = trialValues(rows, inner, 1);
    const weight = trialValues(columns, inner, 2);
    const slopes = trialValues(rows, columns, 3);
    const found = await tryOp(device, products, {
      inputs: [
        { shape: [rows, inner], data: x },
        { shape: [columns, inner], data: weight },
      ],
      slopes: { shape: [rows, columns], data: slopes },
      record: (tape, [input, matrix]) => linear(tape, input, matrix),
    });
    const forms = [
      ['x · weightᵀ', x, [inner, 1], weight, [inner, 1], rows, columns, inner],
      ['slopes · weight', slopes, [columns, 1], weight, [1, inner], rows, inner, columns],
      ['slopesᵀ · x', slopes, [1, columns], x, [1, inner], columns, inner, rows],
    ] as const;
    for (const [index, form] of forms.entries()) {
      const fault = compare(products.precision, found[index]!, form);
      if (fault !== undefined) return fault;
    }
  }
  return undefined;
}

type Form = readonly [
  name: string,
  a: Float32Array,
  aStrides: readonly [number, number],
  b: Float32Array,
  bStrides: readonly [number, number],
  rows: number,
  columns: number,
  inner: number,
];

/** The first output that is further from float64 than the bound allows, in words. */
function compare(
  precision: MatrixPrecision,
  found: Float32Array,
  [name, a, [aRow, aInner], b, [bColumn, bInner], rows, columns, inner]: Form,
): string | undefined {
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      let exact = 0;
      const sums = { products: 0, a: 0, b: 0, A: 0, B: 0, K: inner };
      for (let k = 0; k < inner; k++) {
        const [left, right] = [at(a, row * aRow + k * aInner), at(b, column * bColumn + k * bInner)];
        exact += left * right;
        sums.products += Math.abs(left * right);
        sums.a += Math.abs(left);
        sums.b += Math.abs(right);
        sums.A = Math.max(sums.A, Math.abs(left));
        sums.B = Math.max(sums.B, Math.abs(right));
      }
      const value = at(found, row * columns + column);
      if (!(Math.abs(value - exact) <= matrixErrorBound(precision, sums)))
        return `${name} is ${value} instead of ${exact} in row ${row}, column ${column}`;
    }
  return undefined;
}

/** Of both signs and many sizes within a row, rows of sizes far apart. */
function trialValues(rows: number, inner: number, seed: number): Float32Array {
  return Float32Array.from({ length: rows * inner }, (_, index) => {
    const size = ((Math.floor(index / inner) * 7 + seed) % 41) - 20;
    return Math.sin(index * 12.9898 + seed) * 2 ** (size - (index % 5) * 3);
  });
}
