/** A device for the tests of a plugin. */
import { prepareDriver } from '../driver.ts';
import { processEnvironment } from '../environment.ts';
import { type Device, openDevice } from '../gpu/device.ts';

/** Opens the best adapter of this machine, a software one where there is no other; fetches a driver where there is none. Close it when the tests are over. */
export async function openTestDevice(): Promise<Device> {
  if (processEnvironment['REASONGEN_DRIVER'] === undefined) await prepareDriver();
  return openDevice();
}
