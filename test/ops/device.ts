import { afterAll } from 'vitest';
import { Device, openDevice, type DeviceOptions } from '../../core/gpu/device.ts';

/** A device for one test file, closed after its last test. */
export async function testDevice(options: DeviceOptions = {}): Promise<Device> {
  const device = await openDevice(options);
  afterAll(() => device.close());
  return device;
}

/** Those, and a GPU whose subgroups have no known size, where whole workgroups share a row (kernels/lib/rows). */
export async function testRowDevices(): Promise<readonly (readonly [string, Device])[]> {
  const real = await testDevice();
  const unknown = { ...real.adapter, isSoftware: false, subgroupMinSize: 8, subgroupMaxSize: 64 };
  return [...(await testDevices()), ['as on a GPU with subgroups of no one size', new Device(real.gpu, unknown)]];
}

/** The device as it is, without subgroups, and taken for a GPU: every op must work on all three paths. */
export async function testDevices(): Promise<readonly (readonly [string, Device])[]> {
  const real = await testDevice();
  return [
    ['all features', real],
    ['no subgroups', await testDevice({ without: ['subgroups'] })],
    ['as on a GPU', new Device((await testDevice()).gpu, { ...real.adapter, isSoftware: false })],
  ];
}
