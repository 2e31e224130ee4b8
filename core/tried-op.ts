/** An op run once, forward and back, for a trial of kernels before they are used. */
import { Tape } from './autograd/tape.ts';
import { Workspace } from './autograd/workspace.ts';
import type { Device } from './gpu/device.ts';
import type { MatrixProducts } from './gpu/matrix-products.ts';
import type { Tensor } from './tensor/tensor.ts';

interface Values<Data> {
  readonly shape: readonly number[];
  readonly data: Data;
}

export interface TriedOp<Inputs extends readonly Values<Float32Array>[]> {
  /** Their gradients are asked for. */
  readonly inputs: Inputs;
  readonly constants?: readonly Values<Uint32Array>[];
  /** The derivative of the loss by what the op makes. */
  readonly slopes: Values<Float32Array>;
  readonly record: (
    tape: Tape,
    inputs: { readonly [Index in keyof Inputs]: Tensor },
    constants: readonly Tensor[],
  ) => Tensor;
}

/** What the op makes, and the gradients of its inputs in their order. `products`: as in a workspace. */
export async function tryOp<const Inputs extends readonly Values<Float32Array>[]>(
  device: Device,
  products: MatrixProducts | undefined,
  { inputs, constants = [], slopes, record }: TriedOp<Inputs>,
): Promise<Float32Array[]> {
  const workspace = new Workspace(device, products);
  const made: Tensor[] = [];
  const tensor = (...args: Parameters<Device['tensor']>): Tensor => {
    const one = device.tensor(...args);
    made.push(one);
    return one;
  };
  try {
    const tape = new Tape(workspace);
    const given = inputs.map(({ shape, data }, index) => tensor(`trial input ${index}`, shape, 'f32', data));
    const gradients = given.map(({ name, shape }) => tensor(`d ${name}`, shape));
    for (const [index, input] of given.entries()) tape.watch(input, gradients[index]!);
    const out = record(
      tape,
      given as { readonly [Index in keyof Inputs]: Tensor },
      constants.map(({ shape, data }, index) => tensor(`trial constant ${index}`, shape, 'u32', data)),
    );
    const kept = tape.output(out);
    made.push(kept);
    tape.seed(out, tensor('slopes', slopes.shape, 'f32', slopes.data));
    tape.backward();
    const program = await tape.finish('trial');
    program.run();
    const found = await device.read([kept, ...gradients]);
    program.dispose();
    return found as Float32Array[];
  } finally {
    workspace.close();
    for (const one of made) device.destroyTensor(one);
  }
}
