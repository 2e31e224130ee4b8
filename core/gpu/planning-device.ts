/**
 * A device that computes nothing and has no GPU: it counts what the program would make on an adapter with these limits and
 * features. A recipe plans its memory by recording, on such a device, the very programs that its run records on a real one.
 */
import { driverThreads, installGlobals } from './dawn.ts';
import { Device, type AdapterReport, type Pipeline } from './device.ts';
import type { Kernel } from './kernel.ts';

export class PlanningDevice extends Device {
  override readonly isPlanning = true;
  /** Bytes of the largest single buffer, and of the largest range a kernel binds, with their names. */
  largestBuffer: Largest = { bytes: 0, what: '' };
  largestBinding: Largest = { bytes: 0, what: '' };

  /** What programs were made of, by code. */
  readonly kernels = new Map<string, Kernel>();
  /** Parts of each weight that one binding cannot hold, by name. */
  readonly inParts = new Map<string, number>();

  constructor(limits: GPUSupportedLimits, adapter: AdapterReport) {
    installGlobals();
    super(planningGpu(limits), adapter);
  }

  override get divisibleThreads(): number {
    return /llvmpipe/i.test(this.adapter.description) ? driverThreads() : 1;
  }

  /** What is made on devices beside this one is counted with the rest. */
  override beside(count: number): Promise<readonly Device[]> {
    return Promise.resolve(new Array<Device>(count).fill(this));
  }

  override requireBinding(bytes: number, what: string): void {
    if (bytes > this.largestBinding.bytes) this.largestBinding = { bytes, what };
  }

  override pipeline(kernel: Kernel): Promise<Pipeline> {
    this.kernels.set(kernel.code, kernel);
    return super.pipeline(kernel);
  }

  override noteParts(weight: string, parts: number): void {
    this.inParts.set(weight, parts);
  }

  /** Too large is for the reader of the plan to refuse: here it would hide what else is needed. */
  protected override refuseWhatCannotFit(bytes: number, what: string): void {
    if (bytes > this.largestBuffer.bytes) this.largestBuffer = { bytes, what };
  }
}

export interface Largest {
  readonly bytes: number;
  readonly what: string;
}

/** The calls a `Device` and its programs make. Buffers know their size and read as zeros; everything else is nothing. */
function planningGpu(limits: GPUSupportedLimits): GPUDevice {
  const nothing = (): void => {};
  const pass = { setPipeline: nothing, setBindGroup: nothing, dispatchWorkgroups: nothing, end: nothing };
  const encoder = {
    beginComputePass: () => pass,
    copyBufferToBuffer: nothing,
    clearBuffer: nothing,
    resolveQuerySet: nothing,
    finish: () => ({}),
  };
  const gpu = {
    limits,
    lost: new Promise<GPUDeviceLostInfo>(nothing),
    queue: { writeBuffer: nothing, submit: nothing, onSubmittedWorkDone: () => Promise.resolve() },
    addEventListener: nothing,
    destroy: nothing,
    createBuffer: ({ size, label = '' }: GPUBufferDescriptor) => ({
      size,
      label,
      destroy: nothing,
      mapAsync: () => Promise.resolve(),
      getMappedRange: (_offset: number, bytes: number) => new ArrayBuffer(bytes),
      unmap: nothing,
    }),
    createShaderModule: () => ({}),
    createBindGroupLayout: () => ({}),
    createPipelineLayout: () => ({}),
    createBindGroup: () => ({}),
    createComputePipelineAsync: () => Promise.resolve({}),
    createCommandEncoder: () => encoder,
  };
  return gpu as unknown as GPUDevice;
}
