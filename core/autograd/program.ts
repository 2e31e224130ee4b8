/**
 * A program is a recorded list of launches with everything a replay needs already made: pipelines, bind groups, one
 * uniform buffer with all parameters, and memory planned by lifetime. Running it allocates nothing.
 *
 * Memory is planned in whole buffers that are reused over time, not in ranges of a large one: WebGPU rejects a buffer
 * that is read-only and writable in the same dispatch even when the ranges do not touch.
 */
import type { Device } from '../gpu/device.ts';
import { byteLength, type Tensor } from '../tensor/tensor.ts';
import { ReasongenError } from '../errors.ts';
import {
  bindLaunch,
  encodeCopy,
  encodeLaunch,
  loadSteps,
  packUniforms,
  type LoadedStep,
  type Allocation,
  type ReadyStep,
  type Uniforms,
} from './bind.ts';
import { keepHalves, type ActivationType, type StepRange } from './kept-halves.ts';
import { findNonFinite, type NonFinite } from './non-finite.ts';
import { planMemory, type MemoryPlan } from './memory-plan.ts';
import { leaveOutRepeated } from './recompute.ts';
import type { Repetition } from './repetition.ts';
import type { Step } from './launch.ts';
import type { Workspace } from './workspace.ts';
import { at } from '../tensor/at.ts';

export interface KernelTime {
  readonly label: string;
  readonly milliseconds: number;
}

/** What a program keeps for its way back, of the blocks of a tape. */
export interface ProgramOptions {
  /** Blocks that were recorded twice. */
  readonly repetitions: readonly Repetition[];
  /** Bytes of their values that may be kept; the others are computed again. */
  readonly keep: number;
  /** How what is kept lies between the way forward and the way back. */
  readonly activations: ActivationType;
  /** The steps of all blocks on the way forward, and how many steps that has. */
  readonly blocks: readonly StepRange[];
  readonly forwardEnd: number;
}

/** What a tape recorded, ready to run as often as one likes. `dispose` gives its own buffers back, those of the workspace stay. */
export class Program {
  readonly name: string;
  readonly device: Device;
  readonly plan: MemoryPlan;
  private readonly workspace: Workspace;
  private readonly loaded: readonly LoadedStep[];
  private readonly uniforms: Uniforms;
  private ready: readonly ReadyStep[] = [];
  /** The workspace's generation that `ready` is bound to. */
  private generation = -1;

  private constructor(name: string, workspace: Workspace, loaded: readonly LoadedStep[]) {
    this.name = name;
    this.device = workspace.device;
    this.workspace = workspace;
    this.loaded = loaded;
    this.plan = planMemory(loaded.map(({ step }) => step));
    this.uniforms = packUniforms(this.device, name, loaded);
    workspace.reserve(this.plan.buffers);
    this.bind();
  }

  static async create(
    name: string,
    workspace: Workspace,
    steps: readonly Step[],
    options?: ProgramOptions,
  ): Promise<Program> {
    const { device } = workspace;
    const loaded = await loadSteps(device, steps);
    if (options === undefined) return new Program(name, workspace, loaded);
    const { repetitions, keep, activations, blocks, forwardEnd } = options;
    const needed = leaveOutRepeated(loaded, repetitions, { bytes: keep, activations });
    if (activations === 'f32') return new Program(name, workspace, needed);
    return new Program(name, workspace, await loadSteps(device, keepHalves(device, needed, blocks, forwardEnd)));
  }

  get launchCount(): number {
    return this.ready.length;
  }

  /** What a run does, in order, for whoever counts it. */
  get steps(): readonly LoadedStep[] {
    return this.loaded;
  }

  /** Submits the whole program: one encoder, one pass (copies split it). Does not wait. */
  run(): void {
    runAll([this]);
  }

  /** Runs the program with a timestamp around every launch; milliseconds by kernel, in order of launch. */
  async profile(): Promise<KernelTime[]> {
    const { gpu } = this.device;
    const steps = this.bound();
    const launches = steps.filter((step) => 'workgroups' in step);
    const querySet = gpu.createQuerySet({ type: 'timestamp', count: 2 });
    const resolved = this.device.createBuffer(16, 'timestamps', GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC);
    const target = this.device.tensor('timestamps', [4], 'u32');
    const times: KernelTime[] = [];
    for (const step of steps) {
      const encoder = gpu.createCommandEncoder();
      if (!('workgroups' in step)) {
        encodeCopy(encoder, step);
        this.device.submit(encoder);
        continue;
      }
      const pass = encoder.beginComputePass({
        timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
      });
      encodeLaunch(pass, step);
      pass.end();
      encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
      if ('buffer' in target.memory) encoder.copyBufferToBuffer(resolved, 0, target.memory.buffer, 0, 16);
      this.device.submit(encoder);
      const words = await this.device.readWords(target);
      const stamps = new BigUint64Array(words.buffer, words.byteOffset, 2);
      times.push({
        label: step.pipeline.kernel.label,
        milliseconds: Number(at(stamps, 1) - at(stamps, 0)) / 1e6,
      });
    }
    querySet.destroy();
    this.device.destroyBuffer(resolved);
    this.device.destroyTensor(target);
    if (times.length !== launches.length) throw new RangeError('a launch was not timed');
    return times;
  }

  encode(encoder: GPUCommandEncoder, open: GPUComputePassEncoder | undefined): GPUComputePassEncoder | undefined {
    return encodeSteps(this.device, encoder, this.bound(), open);
  }

  /** To run the program in so many submits of its own, one at a time, and no other program in the midst of it. */
  inSlices(count: number): ProgramSlices {
    return new ProgramSlices(this.device, this.bound(), count);
  }

  /** Where the first NaN or infinity is born (non-finite.ts); weight gradients accumulated so far are lost. */
  findNonFinite(): Promise<NonFinite | undefined> {
    return findNonFinite(this.device, this.bound());
  }

  dispose(): void {
    this.device.destroyBuffer(this.uniforms.buffer);
  }

  private bound(): readonly ReadyStep[] {
    if (this.generation !== this.workspace.generation) this.bind();
    return this.ready;
  }

  private bind(): void {
    const buffers = this.workspace.take(this.plan.buffers);
    const locate = (tensor: Tensor): Allocation => {
      const bytes = byteLength(tensor.shape, tensor.type);
      if ('buffer' in tensor.memory) return { tensor, ...tensor.memory, bytes };
      const buffer = buffers[this.plan.placement.get(tensor.memory.value.id) ?? -1];
      if (buffer === undefined)
        throw new ReasongenError({ code: 'PROGRAM_SLOT', message: `${this.name}: ${tensor.name} was never written` });
      return { tensor, buffer, offset: 0, bytes };
    };
    const steps = this.loaded.map((item, index): ReadyStep => {
      if (!('kernel' in item)) {
        const { from, to } = item.step.copy;
        return { from: locate(from), to: locate(to) };
      }
      return bindLaunch(this.device, item, this.uniforms.buffer, at(this.uniforms.offsets, index), locate);
    });
    this.ready = steps.filter((step) => !('workgroups' in step) || step.workgroups.every((count) => count > 0));
    this.generation = this.workspace.generation;
  }
}

/** A program that is submitted slice by slice, while other work goes on between them. */
export class ProgramSlices {
  private readonly device: Device;
  private readonly steps: readonly ReadyStep[];
  private readonly size: number;
  private submitted = 0;

  constructor(device: Device, steps: readonly ReadyStep[], count: number) {
    this.device = device;
    this.steps = steps;
    this.size = Math.max(1, Math.ceil(steps.length / count));
  }

  /** Submits the next slice; nothing where there is none left. */
  next(): void {
    this.submitTo(Math.min(this.steps.length, this.submitted + this.size));
  }

  /** Submits as much as it takes until nothing that is left writes into the buffer of this tensor. */
  untilWritten({ name, memory }: Tensor): void {
    if (!('buffer' in memory)) throw new RangeError(`${name} lives in a program`);
    const last = this.steps.findLastIndex((step) =>
      ('workgroups' in step ? step.writes : [step.to]).some(({ buffer }) => buffer === memory.buffer),
    );
    this.submitTo(last + 1);
  }

  /** Submits all that is left. */
  rest(): void {
    this.submitTo(this.steps.length);
  }

  private submitTo(end: number): void {
    if (end <= this.submitted) return;
    this.device.throwFailure();
    const encoder = this.device.gpu.createCommandEncoder();
    encodeSteps(this.device, encoder, this.steps.slice(this.submitted, end), undefined)?.end();
    this.device.submit(encoder);
    this.submitted = end;
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
  device.submit(encoder);
}

/** Returns the pass that is still open. */
function encodeSteps(
  device: Device,
  encoder: GPUCommandEncoder,
  steps: readonly ReadyStep[],
  open: GPUComputePassEncoder | undefined,
): GPUComputePassEncoder | undefined {
  let pass = open;
  for (const step of steps) {
    if ('workgroups' in step) {
      pass ??= device.beginPass(encoder);
      encodeLaunch(pass, step);
    } else {
      pass?.end();
      pass = undefined;
      encodeCopy(encoder, step);
    }
  }
  return pass;
}
