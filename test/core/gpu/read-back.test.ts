import { expect, test } from 'vitest';
import { openDevice } from '../../../core/gpu/device.ts';
import { randomFloats } from '../../../core/testing.ts';

test('reads that are asked for at once each get their own bytes', async () => {
  const device = await openDevice();
  const values = Array.from({ length: 5 }, (_, index) => randomFloats(1000 + index, index));
  const tensors = values.map((data, index) => device.tensor(`values ${index}`, [data.length], 'f32', data));
  const read = await Promise.all(tensors.map((tensor) => device.readFloats(tensor)));
  expect(read).toEqual(values);
  device.close();
});

test('a mistake of the program is told as what it is, not as a device that was lost', async () => {
  const device = await openDevice();
  const x = device.tensor('x', [4]);
  const memory = { buffer: {} as unknown as GPUBuffer, offset: 0 };
  await expect(device.readFloats({ ...x, memory })).rejects.toThrow(TypeError);
  // The next read is served.
  expect(await device.readFloats(x)).toEqual(new Float32Array(4));
  device.close();
});
