/** Finds the launch that made the first NaN or infinity: for a run whose loss or gradient norm is not finite, and for nobody else. */
import type { Device } from '../gpu/device.ts';
import { fromBrainFloats, fromHalves } from '../tensor/float16.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { encodeCopy, encodeLaunch, type Allocation, type ReadyStep } from './bind.ts';

export interface NonFinite {
  /** File and constants of the kernel that made it; undefined when the program was handed it: a weight or an input. */
  readonly kernel: string | undefined;
  /** Name of the tensor it is in. */
  readonly tensor: string;
  /** Index of the launch in the program; -1 for what was handed in. */
  readonly launch: number;
  /** Where in the tensor, and what. */
  readonly element: number;
  readonly value: number;
}

/**
 * Runs the steps one by one and looks at all they write. Tensors that live longer than the program and are not finite before it
 * starts are zeroed when the program writes them (accumulated gradients, which the failed run spoilt), and blamed when it only
 * reads them. Undefined: all is finite.
 */
export async function findNonFinite(device: Device, steps: readonly ReadyStep[]): Promise<NonFinite | undefined> {
  const given = await findGiven(device, steps);
  if (given !== undefined) return given;
  for (const [launch, step] of steps.entries()) {
    const encoder = device.gpu.createCommandEncoder();
    if (!('workgroups' in step)) encodeCopy(encoder, step);
    else {
      const pass = device.beginPass(encoder);
      encodeLaunch(pass, step);
      pass.end();
    }
    device.submit(encoder);
    for (const place of 'workgroups' in step ? step.writes : [step.to]) {
      const found = await look(device, place);
      if (found !== undefined)
        return { kernel: 'workgroups' in step ? step.pipeline.kernel.label : 'copy', launch, ...found };
    }
  }
  return undefined;
}

async function findGiven(device: Device, steps: readonly ReadyStep[]): Promise<NonFinite | undefined> {
  const isKept = ({ tensor }: Allocation): boolean => 'buffer' in tensor.memory;
  const written = new Set<GPUBuffer>();
  for (const place of steps.flatMap((step) => ('workgroups' in step ? step.writes : [step.to]))) {
    if (!isKept(place) || (await look(device, place)) === undefined) continue;
    written.add(place.buffer);
    const encoder = device.gpu.createCommandEncoder();
    encoder.clearBuffer(place.buffer, place.offset, place.bytes);
    device.submit(encoder);
  }
  const seen = new Set<Tensor>();
  for (const place of steps.flatMap((step) => ('workgroups' in step ? step.reads : [step.from]))) {
    if (!isKept(place) || seen.has(place.tensor) || written.has(place.buffer)) continue;
    seen.add(place.tensor);
    const found = await look(device, place);
    if (found !== undefined) return { kernel: undefined, launch: -1, ...found };
  }
  return undefined;
}

/** The first element that is not finite. Integers, and the codes of weights in few bits, always are. */
async function look(
  device: Device,
  { tensor, buffer, offset }: Allocation,
): Promise<Pick<NonFinite, 'tensor' | 'element' | 'value'> | undefined> {
  const { type } = tensor;
  if (type !== 'f32' && type !== 'f16' && type !== 'bf16') return undefined;
  const [read] = await device.read([{ ...tensor, memory: { buffer, offset } }]);
  const values =
    read instanceof Uint16Array
      ? type === 'f16'
        ? fromHalves(read)
        : fromBrainFloats(read)
      : (read ?? new Float32Array());
  const element = values.findIndex((value) => !Number.isFinite(value));
  return element < 0 ? undefined : { tensor: tensor.name, element, value: values[element] ?? Number.NaN };
}
