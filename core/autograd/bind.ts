/** From a recorded step to one that runs: kernels read, parameters packed, memory found, mistakes of a launch named. */
import type { Device, Pipeline } from '../gpu/device.ts';
import { loadKernel, packParams, type Kernel } from '../gpu/kernel.ts';
import { isPacked, type Tensor } from '../tensor/tensor.ts';
import { ReasongenError } from '../errors.ts';
import type { Copy, Launch, Step } from './launch.ts';

/** A tensor with the bytes it was given. */
export interface Allocation {
  readonly tensor: Tensor;
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly bytes: number;
}

export interface ReadyLaunch {
  readonly pipeline: Pipeline;
  readonly group: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
  /** What the kernel may write, and what it only reads. */
  readonly writes: readonly Allocation[];
  readonly reads: readonly Allocation[];
}

export interface ReadyCopy {
  readonly from: Allocation;
  readonly to: Allocation;
}

export type ReadyStep = ReadyLaunch | ReadyCopy;

export interface LoadedLaunch {
  readonly step: Launch;
  readonly kernel: Kernel;
  readonly pipeline: Pipeline;
}

export type LoadedStep = LoadedLaunch | { readonly step: Copy };

/** Reads each kernel file once, however often it is launched, and waits for the compiler. */
export function loadSteps(device: Device, steps: readonly Step[]): Promise<LoadedStep[]> {
  const kernels = new Map<string, Kernel>();
  return Promise.all(
    steps.map(async (step): Promise<LoadedStep> => {
      if ('copy' in step) return { step };
      const key = `${step.kernel} ${JSON.stringify(step.constants ?? {})}`;
      const kernel = kernels.get(key) ?? loadKernel(step.kernel, step.constants);
      kernels.set(key, kernel);
      return { step, kernel, pipeline: await device.pipeline(kernel) };
    }),
  );
}

/** All parameter blocks of a program in one uniform buffer, 256 bytes apart, equal blocks once. `offsets` are by step. */
export interface Uniforms {
  readonly buffer: GPUBuffer;
  readonly offsets: readonly number[];
}

const blockBytes = 256;

export function packUniforms(device: Device, name: string, steps: readonly LoadedStep[]): Uniforms {
  const blocks: Uint8Array[] = [];
  const known = new Map<string, number>();
  const offsets = steps.map((item) => {
    if (!('kernel' in item)) return 0;
    const bytes = packParams(item.kernel, item.step.params ?? {}, device.isPlanning);
    if (bytes.length > blockBytes)
      throw new RangeError(
        `${item.kernel.label}: a parameter block has ${bytes.length} bytes, at most ${blockBytes} fit`,
      );
    const key = bytes.toString();
    const position = known.get(key) ?? blocks.push(bytes) - 1;
    known.set(key, position);
    return position * blockBytes;
  });
  const all = new Uint8Array(Math.max(1, blocks.length) * blockBytes);
  blocks.forEach((bytes, index) => all.set(bytes, index * blockBytes));
  const buffer = device.createBuffer(
    all.length,
    `${name} parameters`,
    GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
  );
  device.gpu.queue.writeBuffer(buffer, 0, all);
  return { buffer, offsets };
}

export function bindLaunch(
  device: Device,
  { step, kernel, pipeline }: LoadedLaunch,
  uniforms: GPUBuffer,
  parameters: number,
  locate: (tensor: Tensor) => Allocation,
): ReadyLaunch {
  checkBindings(
    step,
    kernel.bindings.filter(({ access }) => access !== 'uniform').map(({ name }) => name),
    kernel.label,
  );
  const reads: Allocation[] = [];
  const writes: Allocation[] = [];
  const entries = kernel.bindings.map(({ index: binding, name, access, type }) => {
    if (access === 'uniform') {
      return {
        binding,
        resource: {
          buffer: uniforms,
          offset: parameters,
          size: Math.max(16, Math.ceil(kernel.fields.length / 4) * 16),
        },
      };
    }
    const tensor = step.bindings[name];
    if (tensor === undefined) throw new RangeError('unreachable: bindings were checked');
    refuseUnreadable(tensor, type, kernel.label);
    const place = locate(tensor);
    (access === 'read' ? reads : writes).push(place);
    device.requireBinding(place.bytes, `${kernel.label}: "${tensor.name}" [${tensor.shape}]`);
    return { binding, resource: { buffer: place.buffer, offset: place.offset, size: place.bytes } };
  });
  if (step.groups.some((count) => count > 65535 || !Number.isInteger(count)))
    throw new RangeError(`${kernel.label}: ${step.groups} workgroups`);
  return {
    pipeline,
    group: device.gpu.createBindGroup({ label: kernel.label, layout: pipeline.layout, entries }),
    workgroups: step.groups,
    reads,
    writes,
  };
}

export function encodeLaunch(pass: GPUComputePassEncoder, step: ReadyLaunch): void {
  pass.setPipeline(step.pipeline.pipeline);
  pass.setBindGroup(0, step.group);
  pass.dispatchWorkgroups(step.workgroups[0], step.workgroups[1], step.workgroups[2]);
}

export function encodeCopy(encoder: GPUCommandEncoder, step: ReadyCopy): void {
  encoder.copyBufferToBuffer(step.from.buffer, step.from.offset, step.to.buffer, step.to.offset, step.to.bytes);
}

function checkBindings(step: Launch, names: readonly string[], label: string): void {
  for (const name of names) {
    if (step.bindings[name] === undefined) {
      throw new ReasongenError({ code: 'KERNEL_BINDINGS', message: `${label}: nothing is bound to "${name}"` });
    }
  }
  for (const name of Object.keys(step.bindings)) {
    if (!names.includes(name))
      throw new ReasongenError({ code: 'KERNEL_BINDINGS', message: `${label} has no binding "${name}"` });
  }
}

/** A kernel that declares floats would read packed weights as nonsense without any error; of a weight in parts it would see the first. */
function refuseUnreadable(tensor: Tensor, declared: string, label: string): void {
  if (tensor.shards !== undefined) {
    throw new ReasongenError({
      code: 'KERNEL_TYPE',
      message: `${label}: "${tensor.name}" [${tensor.shape}] lies in ${tensor.shards.length} parts; only \`linear\` and \`embedding\` read such weights`,
    });
  }
  if (!isPacked(tensor.type) || !/<\s*(f32|vec[234]f|vec[234]<f32>)/.test(declared)) return;
  throw new ReasongenError({
    code: 'KERNEL_TYPE',
    message: `${label}: "${tensor.name}" [${tensor.shape}] is stored as ${tensor.type}, the kernel reads ${declared}`,
    hint: 'store the weights as f32: only `linear` and `embedding` read less',
  });
}
