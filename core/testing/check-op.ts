/**
 * Judges an op against a float64 oracle: its value, and its hand-written backward against central differences of the
 * oracle along single elements and along random directions, for a random derivative of the loss by the output.
 * The gradient of every input is asked for alone as well as with the others, and nothing may be launched for nobody.
 */
import { Tape } from '../autograd/tape.ts';
import { Workspace } from '../autograd/workspace.ts';
import type { Device } from '../gpu/device.ts';
import type { MatrixProducts } from '../gpu/matrix-products.ts';
import { fromHalves } from '../tensor/float16.ts';
import { sizeOf, type ElementType, type Tensor } from '../tensor/tensor.ts';
import { at, maximumError, randomFloats, randomStream, relativeError } from './arrays.ts';

/** Floats are differentiable; words and halves (f16 as raw 16-bit words) are not. */
export interface OpInput {
  readonly shape: readonly number[];
  readonly data: Float32Array | Uint32Array | Uint16Array;
}

export interface OpCheck<Names extends string> {
  readonly device: Device;
  /** How the op's products with weights, or its attention, are computed; by the f32 kernels unless told. */
  readonly products?: MatrixProducts;
  readonly inputs: Readonly<Record<Names, OpInput>>;
  readonly op: (tape: Tape, inputs: Readonly<Record<Names, Tensor>>) => Tensor;
  /** The same function in float64; words and halves arrive as the numbers they stand for. */
  readonly oracle: (inputs: Readonly<Record<Names, Float64Array>>) => Float64Array;
  /** Float inputs the op does not differentiate by. */
  readonly fixed?: readonly Names[];
  /** Bound on ‖error‖ / ‖value‖ of the output; 1e-6 unless the sums are long. */
  readonly valueTolerance?: number;
  /** The same for gradients; central differences themselves are good to about 1e-8. */
  readonly gradientTolerance?: number;
  readonly seed?: number;
}

/** The largest errors found, relative as the tolerances are. */
export interface OpErrors {
  readonly value: number;
  /** Of the gradient of any input; 0 when there is none. */
  readonly gradient: number;
}

/** @throws Error naming the input and the error found */
export async function checkOp<Names extends string>(check: OpCheck<Names>): Promise<OpErrors> {
  const { inputs, oracle, seed = 1 } = check;
  const names = Object.keys(inputs) as Names[];
  const differentiable = names.filter(
    (name) => inputs[name].data instanceof Float32Array && !check.fixed?.includes(name),
  );
  const exact = mapInputs(inputs, names, ({ data }) =>
    Float64Array.from(data instanceof Uint16Array ? fromHalves(data) : data),
  );
  const expected = oracle(exact);
  const dOut = randomFloats(expected.length, seed + 1);

  const all = await runOp(check, names, differentiable, dOut);
  const errors = { value: relativeError(all.value, expected), gradient: 0 };
  demand(errors.value, check.valueTolerance ?? 1e-6, `value (max ${maximumError(all.value, expected)})`);

  const nobody = await runOp(check, names, [], dOut);
  if (nobody.backwardSteps !== 0)
    throw new Error(`${nobody.backwardSteps} launches go back although no input needs a gradient`);

  const loss = (point: Readonly<Record<Names, Float64Array>>): number => {
    const out = oracle(point);
    return dOut.reduce((sum, weight, index) => sum + weight * at(out, index), 0);
  };
  for (const name of differentiable) {
    const together = all.gradients.get(name);
    const alone = differentiable.length === 1 ? all : await runOp(check, names, [name], dOut);
    const gradient = alone.gradients.get(name);
    if (together === undefined || gradient === undefined) throw new Error(`no gradient for ${name}`);
    if (alone.backwardSteps > all.backwardSteps)
      throw new Error(`the gradient of ${name} alone takes more launches than all of them`);
    demand(maximumError(gradient, together), 0, `gradient of ${name} alone against with the others`);
    errors.gradient = Math.max(errors.gradient, checkGradient(check, name, exact, gradient, loss));
  }
  return errors;
}

interface OpRun {
  readonly value: Float32Array;
  readonly gradients: ReadonlyMap<string, Float32Array>;
  readonly backwardSteps: number;
}

/** Runs forward and backward twice, so that gradients are seen to accumulate and values to be overwritten. */
async function runOp<Names extends string>(
  check: OpCheck<Names>,
  names: readonly Names[],
  wanted: readonly Names[],
  dOut: Float32Array,
): Promise<OpRun> {
  const { device, products, inputs, op } = check;
  const workspace = new Workspace(device, products);
  const tape = new Tape(workspace);
  const made: Tensor[] = [];
  const keep = (tensor: Tensor): Tensor => {
    made.push(tensor);
    return tensor;
  };
  const tensors = mapInputs(inputs, names, ({ shape, data }, name) =>
    keep(device.tensor(name, shape, elementType(data), data)),
  );
  const gradients = new Map(wanted.map((name) => [name, keep(device.tensor(`d ${name}`, inputs[name].shape))]));
  for (const [name, gradient] of gradients) tape.watch(tensors[name], gradient);
  const out = op(tape, tensors);
  if (sizeOf(out.shape) !== dOut.length)
    throw new Error(`the output is [${out.shape}], the oracle has ${dOut.length} values`);
  const value = keep(tape.output(out));
  const forwardSteps = tape.recorded.length;
  if (wanted.length > 0) tape.seed(out, keep(device.tensor('d out', out.shape, 'f32', dOut)));
  tape.backward();
  const backwardSteps = tape.recorded.length - forwardSteps;
  const program = await tape.finish('check');
  program.run();
  const once = await device.read([...gradients.values()]);
  program.run();
  const [values, ...twice] = await device.read([value, ...gradients.values()]);
  const halves = new Map<string, Float32Array>();
  wanted.forEach((name, index) => {
    const first = once[index];
    const second = twice[index];
    if (!(first instanceof Float32Array) || !(second instanceof Float32Array))
      throw new Error(`the gradient of ${name} is not f32`);
    demand(
      relativeError(
        second,
        first.map((gradient) => 2 * gradient),
      ),
      1e-6,
      `gradient of ${name} after two runs against twice the first`,
    );
    halves.set(name, first);
  });
  program.dispose();
  workspace.close();
  for (const tensor of made) device.destroyTensor(tensor);
  if (!(values instanceof Float32Array)) throw new Error('the output is not f32');
  return { value: values, gradients: halves, backwardSteps };
}

function elementType(data: OpInput['data']): ElementType {
  if (data instanceof Uint16Array) return 'f16';
  return data instanceof Float32Array ? 'f32' : 'u32';
}

const step = 1e-4;
const sampledElements = 24;
const sampledDirections = 3;

function checkGradient<Names extends string>(
  check: OpCheck<Names>,
  name: Names,
  exact: Readonly<Record<Names, Float64Array>>,
  gradient: Float32Array,
  loss: (point: Readonly<Record<Names, Float64Array>>) => number,
): number {
  const tolerance = check.gradientTolerance ?? 1e-5;
  const origin = exact[name];
  const along = (direction: Float64Array): number => {
    const moved = (sign: number): number =>
      loss({ ...exact, [name]: origin.map((value, index) => value + sign * step * at(direction, index)) });
    return (moved(1) - moved(-1)) / (2 * step);
  };
  const random = randomStream((check.seed ?? 1) + 2);
  const count = origin.length;
  const elements =
    count <= sampledElements
      ? [...origin.keys()]
      : Array.from({ length: sampledElements }, () => Math.floor(random() * count));
  const slopes = elements.map((element) =>
    along(Float64Array.from({ length: count }, (_, index) => (index === element ? 1 : 0))),
  );
  let worst = scaledError(
    elements.map((element) => at(gradient, element)),
    slopes,
    gradient,
  );
  demand(worst, tolerance, `gradient of ${name} at single elements`);
  for (let i = 0; i < sampledDirections; i++) {
    const direction = Float64Array.from({ length: count }, () => random() * 2 - 1);
    const given = direction.reduce((sum, value, index) => sum + value * at(gradient, index), 0);
    const norm = Math.sqrt(direction.reduce((sum, value, index) => sum + (value * at(gradient, index)) ** 2, 0));
    const error = Math.abs(given - along(direction)) / Math.max(norm, 1e-3);
    demand(error, tolerance, `gradient of ${name} along a direction`);
    worst = Math.max(worst, error);
  }
  return worst;
}

/** Largest error of the sample, in units of the root mean square of the whole gradient. */
function scaledError(actual: readonly number[], expected: readonly number[], whole: Float32Array): number {
  const meanSquare = whole.reduce((sum, value) => sum + value * value, 0) / whole.length;
  return maximumError(actual, expected) / Math.max(Math.sqrt(meanSquare), 1e-3);
}

function demand(error: number, tolerance: number, what: string): void {
  if (!(error <= tolerance))
    throw new Error(`${what}: error ${error.toExponential(2)}, allowed ${tolerance.toExponential(2)}`);
}

function mapInputs<Names extends string, Result>(
  inputs: Readonly<Record<Names, OpInput>>,
  names: readonly Names[],
  make: (input: OpInput, name: Names) => Result,
): Record<Names, Result> {
  return Object.fromEntries(names.map((name) => [name, make(inputs[name], name)])) as Record<Names, Result>;
}
