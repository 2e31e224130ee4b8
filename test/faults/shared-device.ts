/** Devices of many runs on one: what compiling kernels costs is paid once. What a run leaves of its own, its buffers, goes with it. */
import { Device, openDevice } from '../../core/gpu/device.ts';
import type { Kernel } from '../../core/gpu/kernel.ts';
import type { Pipeline } from '../../core/gpu/pipeline.ts';
import { tuningFor } from '../../core/tune.ts';

class SharedDevice extends Device {
  private readonly first: Device;

  constructor(first: Device) {
    super(first.gpu, first.adapter);
    this.first = first;
  }

  override pipeline(kernel: Kernel): Promise<Pipeline> {
    return this.first.pipeline(kernel);
  }

  override close(): void {
    this.destroyBuffers();
  }
}

let opened: Promise<Device> | undefined;

/** The device of this process, tuned; another one when it is lost. */
export async function openSharedDevice(): Promise<Device> {
  opened ??= openFirst();
  const first = await opened;
  const device = new SharedDevice(first);
  device.tuning = first.tuning;
  return device;
}

async function openFirst(): Promise<Device> {
  const device = await openDevice();
  device.tuning = await tuningFor(device, process.env);
  void device.gpu.lost.then(() => (opened = undefined));
  return device;
}
