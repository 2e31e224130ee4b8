/**
 * The time of every launch of a piece of work, within the encoders and submits the work makes by itself: while it runs, each
 * launch gets a compute pass of its own with a timestamp at either end. Nothing is waited for in between, so that the sum can
 * be set against the wall time of the same work without timestamps. What a timestamp pair encloses includes the driver's cost of a launch.
 */
import type { Device } from '../../core/gpu/device.ts';

export interface KernelTime {
  readonly label: string;
  readonly milliseconds: number;
}

/** Launches per query set; two queries each, and WebGPU allows 4096 queries in a set. */
const launchesPerSet = 1024;

interface TimedBlock {
  readonly querySet: GPUQuerySet;
  readonly labels: string[];
}

/** Needs the feature `timestamp-query`. */
export async function timeKernels(device: Device, work: () => Promise<void>): Promise<KernelTime[]> {
  if (!device.has('timestamp-query')) throw new RangeError('this adapter has no timestamp-query');
  const { gpu } = device;
  const make = gpu.createCommandEncoder.bind(gpu);
  const recorders: Recorder[] = [];
  Object.defineProperty(gpu, 'createCommandEncoder', {
    configurable: true,
    value: (descriptor?: GPUCommandEncoderDescriptor) => {
      const recorder = new Recorder(gpu, make(descriptor));
      recorders.push(recorder);
      return recorder.encoder;
    },
  });
  try {
    await work();
  } finally {
    Reflect.deleteProperty(gpu, 'createCommandEncoder');
  }
  const times: KernelTime[] = [];
  for (const recorder of recorders) times.push(...(await recorder.read()));
  return times;
}

/** Stands in for one command encoder. */
class Recorder {
  readonly encoder: GPUCommandEncoder;
  private readonly gpu: GPUDevice;
  private readonly real: GPUCommandEncoder;
  private readonly blocks: TimedBlock[] = [];
  private readonly results: { readonly resolved: GPUBuffer; readonly mapped: GPUBuffer }[] = [];

  constructor(gpu: GPUDevice, real: GPUCommandEncoder) {
    this.gpu = gpu;
    this.real = real;
    this.encoder = withMethods(real, {
      beginComputePass: () => this.pass(),
      finish: () => {
        this.resolve();
        return real.finish();
      },
    });
  }

  async read(): Promise<KernelTime[]> {
    const times: KernelTime[] = [];
    for (const [index, { querySet, labels }] of this.blocks.entries()) {
      const result = this.results[index];
      if (result === undefined) throw new RangeError('a timed encoder was not finished');
      await result.mapped.mapAsync(GPUMapMode.READ);
      const stamps = new BigUint64Array(result.mapped.getMappedRange());
      labels.forEach((label, launch) => {
        times.push({ label, milliseconds: Number((stamps[2 * launch + 1] ?? 0n) - (stamps[2 * launch] ?? 0n)) / 1e6 });
      });
      for (const made of [result.mapped, result.resolved, querySet]) made.destroy();
    }
    return times;
  }

  /** A pass that ends and begins anew at every launch. */
  private pass(): GPUComputePassEncoder {
    let pipeline: GPUComputePipeline | undefined;
    let group: GPUBindGroup | undefined;
    const facade = {
      setPipeline: (next: GPUComputePipeline) => void (pipeline = next),
      setBindGroup: (_index: number, next: GPUBindGroup) => void (group = next),
      dispatchWorkgroups: (x: number, y = 1, z = 1) => {
        if (pipeline === undefined || group === undefined)
          throw new RangeError('a launch without pipeline or bind group');
        const { querySet, labels } = this.block();
        const first = labels.length * 2;
        labels.push(pipeline.label);
        const pass = this.real.beginComputePass({
          timestampWrites: { querySet, beginningOfPassWriteIndex: first, endOfPassWriteIndex: first + 1 },
        });
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(x, y, z);
        pass.end();
      },
      end: () => {},
    };
    return facade as unknown as GPUComputePassEncoder;
  }

  private block(): TimedBlock {
    const last = this.blocks.at(-1);
    if (last !== undefined && last.labels.length < launchesPerSet) return last;
    const made = { querySet: this.gpu.createQuerySet({ type: 'timestamp', count: 2 * launchesPerSet }), labels: [] };
    this.blocks.push(made);
    return made;
  }

  private resolve(): void {
    for (const { querySet, labels } of this.blocks) {
      const size = labels.length * 16;
      const resolved = this.gpu.createBuffer({ size, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
      const mapped = this.gpu.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
      this.real.resolveQuerySet(querySet, 0, labels.length * 2, resolved, 0);
      this.real.copyBufferToBuffer(resolved, 0, mapped, 0, size);
      this.results.push({ resolved, mapped });
    }
  }
}

/** `target` with some methods replaced; the others run on the native object itself, as they must. */
function withMethods<Target extends object>(target: Target, methods: Partial<Target>): Target {
  return new Proxy(target, {
    get(real, key) {
      if (key in methods) return methods[key as keyof Target];
      const value: unknown = Reflect.get(real, key, real);
      return typeof value === 'function' ? (value.bind(real) as unknown) : value;
    },
  });
}
