import { afterAll } from 'vitest';
import { openDevice, type Device, type DeviceOptions } from '../../core/gpu/device.ts';

/** A device for one test file, closed after its last test. */
export async function testDevice(options: DeviceOptions = {}): Promise<Device> {
  const device = await openDevice(options);
  afterAll(() => device.close());
  return device;
}

/** The device as it is, and without subgroups: every op must work on both. */
export async function testDevices(): Promise<readonly (readonly [string, Device])[]> {
  return [['all features', await testDevice()], ['no subgroups', await testDevice({ without: ['subgroups'] })]];
}
