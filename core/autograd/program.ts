/**
 * A program is a recorded list of launches with everything a replay needs already made: pipelines, bind groups, one
 * uniform buffer with all parameters, and memory planned by lifetime. Running it allocates nothing.
 *
 * Memory is planned in whole buffers that are reused over time, not in ranges of a large one: WebGPU rejects a buffer
 * that is read-only and writable in the same dispatch even when the ranges do not touch.
 */
import type { Device, Pipeline } from '../gpu/device.ts';
import { loadKernel, packParams, type KernelConstants } from '../gpu/kernel.ts';
import { byteLength, isPacked, type Tensor } from '../tensor/tensor.ts';
import { ReasongenError } from '../errors.ts';
import { planMemory, type MemoryPlan } from './plan.ts';

export interface Launch {
  /** Path under `kernels/` without the extension. */
  readonly kernel: string;
  readonly constants?: KernelConstants;
  /** Every `var` of the kernel file but the uniform, by name. */
  readonly bindings: Readonly<Record<string, Tensor>>;
  /** Every field of its `struct Params`, by name. */
  readonly params?: Readonly<Record<string, number>>;
  /** Workgroups in x, y, z. */
  readonly groups: readonly [number, number, number];
}

export interface Copy {
  readonly copy: { readonly from: Tensor; readonly to: Tensor };
}

export type Step = Launch | Copy;

interface ReadyLaunch {
  readonly pipeline: Pipeline;
  readonly group: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
}

interface ReadyCopy {
  readonly from: { buffer: GPUBuffer; offset: number };
  readonly to: { buffer: GPUBuffer; offset: number };
  readonly bytes: number;
}

export interface KernelTime {
  readonly label: string;
  readonly milliseconds: number;
}

/** Folds a count of workgroups into x and y (65535 per dimension); kernels index with `group.y * groups.x + group.x`. */
export function grid(count: number): [number, number, number] {
  const limit = 65535;
  return count <= limit ? [count, 1, 1] : [limit, Math.ceil(count / limit), 1];
}

/** Buffers that the programs of one run share: slots hold nothing between two runs of a program. */
export class Workspace {
  readonly device: Device;
  private readonly buffers: GPUBuffer[] = [];

  constructor(device: Device) {
    this.device = device;
  }

  /** One distinct buffer per requested size; reuses what earlier programs got. */
  take(sizes: readonly number[]): GPUBuffer[] {
    const order = sizes.map((_, index) => index).sort((a, b) => (sizes[b] ?? 0) - (sizes[a] ?? 0));
    const free = [...this.buffers].sort((a, b) => a.size - b.size);
    const taken: GPUBuffer[] = new Array(sizes.length);
    for (const index of order) {
      const bytes = sizes[index] ?? 0;
      const position = free.findIndex((buffer) => buffer.size >= bytes);
      const fits = position >= 0 ? free.splice(position, 1)[0] : undefined;
      const buffer = fits ?? this.device.createBuffer(bytes, 'workspace');
      if (fits === undefined) this.buffers.push(buffer);
      taken[index] = buffer;
    }
    return taken;
  }

  close(): void {
    for (const buffer of this.buffers) this.device.destroyBuffer(buffer);
    this.buffers.length = 0;
  }
}

export class Program {
  readonly name: string;
  readonly device: Device;
  readonly plan: MemoryPlan;
  private readonly steps: readonly (ReadyLaunch | ReadyCopy)[];
  private readonly owned: readonly GPUBuffer[];

  private constructor(name: string, device: Device, plan: MemoryPlan, steps: readonly (ReadyLaunch | ReadyCopy)[], owned: readonly GPUBuffer[]) {
    this.name = name;
    this.device = device;
    this.plan = plan;
    this.steps = steps;
    this.owned = owned;
  }

  static async create(name: string, workspace: Workspace, steps: readonly Step[]): Promise<Program> {
    const { device } = workspace;
    const launches = steps.map((step) => ('copy' in step ? step : { step, kernel: loadKernel(step.kernel, step.constants) }));
    const pipelines = await Promise.all(launches.map(async (item) => ('copy' in item ? undefined : device.pipeline(item.kernel))));
    const plan = planMemory(steps);
    const buffers = workspace.take(plan.buffers);
    const locate = (tensor: Tensor): { buffer: GPUBuffer; offset: number } => {
      if ('buffer' in tensor.memory) return tensor.memory;
      const buffer = buffers[plan.placement.get(tensor.memory.slot.id) ?? -1];
      if (buffer === undefined) throw new ReasongenError({ code: 'PROGRAM_SLOT', message: `${name}: ${tensor.name} was never written` });
      return { buffer, offset: 0 };
    };
    const { uniforms, offsets } = packUniforms(device, name, launches);
    const ready = launches.map((item, index): ReadyLaunch | ReadyCopy => {
      if ('copy' in item) {
        return { from: locate(item.copy.from), to: locate(item.copy.to), bytes: byteLength(item.copy.to.shape, item.copy.to.type) };
      }
      const pipeline = pipelines[index];
      if (pipeline === undefined) throw new RangeError('unreachable: a launch without a pipeline');
      const { step, kernel } = item;
      checkBindings(step, kernel.bindings.filter(({ access }) => access !== 'uniform').map((binding) => binding.name), kernel.label);
      const group = device.gpu.createBindGroup({
        label: kernel.label,
        layout: pipeline.layout,
        entries: kernel.bindings.map(({ index: binding, name: variable, access, type }) => {
          if (access === 'uniform') {
            return { binding, resource: { buffer: uniforms, offset: offsets[index] ?? 0, size: Math.max(16, Math.ceil(kernel.fields.length / 4) * 16) } };
          }
          const tensor = step.bindings[variable];
          if (tensor === undefined) throw new RangeError('unreachable: bindings were checked');
          refuseUnreadable(tensor, type, kernel.label);
          const { buffer, offset } = locate(tensor);
          const size = byteLength(tensor.shape, tensor.type);
          refuseLargeBinding(device, tensor, size, kernel.label);
          return { binding, resource: { buffer, offset, size } };
        }),
      });
      if (step.groups.some((count) => count > 65535 || !Number.isInteger(count))) {
        throw new RangeError(`${kernel.label}: ${step.groups} workgroups`);
      }
      return { pipeline, group, workgroups: step.groups };
    });
    return new Program(name, device, plan, ready.filter((item) => !('workgroups' in item) || item.workgroups.every((n) => n > 0)), [uniforms]);
  }

  get launchCount(): number {
    return this.steps.length;
  }

  /** Submits the whole program: one encoder, one pass (copies split it). Does not wait. */
  run(): void {
    runAll([this]);
  }

  /** Runs the program with a timestamp around every launch; milliseconds by kernel, in order of launch. */
  async profile(): Promise<KernelTime[]> {
    const { gpu } = this.device;
    const launches = this.steps.filter((step) => 'workgroups' in step);
    const querySet = gpu.createQuerySet({ type: 'timestamp', count: 2 });
    const resolved = this.device.createBuffer(16, 'timestamps', GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC);
    const target = this.device.tensor('timestamps', [4], 'u32');
    const times: KernelTime[] = [];
    for (const step of this.steps) {
      const encoder = gpu.createCommandEncoder();
      if (!('workgroups' in step)) {
        encodeCopy(encoder, step);
        gpu.queue.submit([encoder.finish()]);
        continue;
      }
      const pass = encoder.beginComputePass({ timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 } });
      encodeLaunch(pass, step);
      pass.end();
      encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
      if ('buffer' in target.memory) encoder.copyBufferToBuffer(resolved, 0, target.memory.buffer, 0, 16);
      gpu.queue.submit([encoder.finish()]);
      const words = await this.device.readWords(target);
      const stamps = new BigUint64Array(words.buffer, words.byteOffset, 2);
      times.push({ label: step.pipeline.kernel.label, milliseconds: Number((stamps[1] ?? 0n) - (stamps[0] ?? 0n)) / 1e6 });
    }
    querySet.destroy();
    this.device.destroyBuffer(resolved);
    this.device.destroyTensor(target);
    if (times.length !== launches.length) throw new RangeError('a launch was not timed');
    return times;
  }

  encode(encoder: GPUCommandEncoder, open: GPUComputePassEncoder | undefined): GPUComputePassEncoder | undefined {
    let pass = open;
    for (const step of this.steps) {
      if ('workgroups' in step) {
        pass ??= encoder.beginComputePass();
        encodeLaunch(pass, step);
      } else {
        pass?.end();
        pass = undefined;
        encodeCopy(encoder, step);
      }
    }
    return pass;
  }

  dispose(): void {
    for (const buffer of this.owned) this.device.destroyBuffer(buffer);
  }
}

/** Runs programs one after the other in a single submit. */
export function runAll(programs: readonly Program[]): void {
  const device = programs[0]?.device;
  if (device === undefined) return;
  device.throwFailure();
  const encoder = device.gpu.createCommandEncoder();
  let pass: GPUComputePassEncoder | undefined;
  for (const program of programs) pass = program.encode(encoder, pass);
  pass?.end();
  device.gpu.queue.submit([encoder.finish()]);
}

function encodeLaunch(pass: GPUComputePassEncoder, step: ReadyLaunch): void {
  pass.setPipeline(step.pipeline.pipeline);
  pass.setBindGroup(0, step.group);
  pass.dispatchWorkgroups(step.workgroups[0], step.workgroups[1], step.workgroups[2]);
}

function encodeCopy(encoder: GPUCommandEncoder, step: ReadyCopy): void {
  encoder.copyBufferToBuffer(step.from.buffer, step.from.offset, step.to.buffer, step.to.offset, step.bytes);
}

type Loaded = Copy | { readonly step: Launch; readonly kernel: ReturnType<typeof loadKernel> };

/** All parameter blocks in one uniform buffer, 256 bytes apart, equal blocks once. */
function packUniforms(device: Device, name: string, launches: readonly Loaded[]): { uniforms: GPUBuffer; offsets: number[] } {
  const blocks: Uint8Array[] = [];
  const known = new Map<string, number>();
  const offsets = launches.map((item) => {
    if ('copy' in item) return 0;
    const bytes = packParams(item.kernel, item.step.params ?? {});
    const key = bytes.toString();
    let position = known.get(key);
    if (position === undefined) {
      position = blocks.length;
      blocks.push(bytes);
      known.set(key, position);
    }
    return position * 256;
  });
  const all = new Uint8Array(Math.max(1, blocks.length) * 256);
  blocks.forEach((bytes, index) => {
    if (bytes.length > 256) throw new RangeError(`${name}: a parameter block has ${bytes.length} bytes, at most 256 fit`);
    all.set(bytes, index * 256);
  });
  const uniforms = device.createBuffer(all.length, `${name} parameters`, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
  device.gpu.queue.writeBuffer(uniforms, 0, all);
  return { uniforms, offsets };
}

function checkBindings(step: Launch, names: readonly string[], label: string): void {
  for (const name of names) {
    if (step.bindings[name] === undefined) {
      throw new ReasongenError({ code: 'KERNEL_BINDINGS', message: `${label}: nothing is bound to "${name}"` });
    }
  }
  for (const name of Object.keys(step.bindings)) {
    if (!names.includes(name)) throw new ReasongenError({ code: 'KERNEL_BINDINGS', message: `${label} has no binding "${name}"` });
  }
}

/** A kernel that declares floats would read packed weights as nonsense without any error; of a weight in parts it would see the first. */
function refuseUnreadable(tensor: Tensor, declared: string, label: string): void {
  if (tensor.parts !== undefined) {
    throw new ReasongenError({ code: 'KERNEL_TYPE', message: `${label}: "${tensor.name}" [${tensor.shape}] lies in ${tensor.parts.length} parts; only \`linear\` and \`embedding\` read such weights` });
  }
  if (!isPacked(tensor.type) || !/<\s*(f32|vec[234]f|vec[234]<f32>)/.test(declared)) return;
  throw new ReasongenError({
    code: 'KERNEL_TYPE',
    message: `${label}: "${tensor.name}" [${tensor.shape}] is stored as ${tensor.type}, the kernel reads ${declared}`,
    cure: 'store the weights as f32: only `linear` and `embedding` read less',
  });
}

function refuseLargeBinding(device: Device, tensor: Tensor, bytes: number, label: string): void {
  const limit = device.limits.maxStorageBufferBindingSize;
  if (bytes <= limit) return;
  throw new ReasongenError({
    code: 'BINDING_TOO_LARGE',
    message: `${label}: "${tensor.name}" [${tensor.shape}] has ${bytes} bytes; this adapter binds at most ${limit}`,
    cure: 'use a smaller micro-batch',
    exitCode: 4,
  });
}
