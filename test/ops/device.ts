import { afterAll } from 'vitest';
import { Device, openDevice, type DeviceOptions } from '../../core/gpu/device.ts';

/** A device for one test file, closed after its last test. */
export async function testDevice(options: DeviceOptions = {}): Promise<Device> {
  const device = await openDevice(options);
  afterAll(() => device.close());
  return device;
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
