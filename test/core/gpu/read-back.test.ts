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

test('what is read is what stands there when it is asked for, whatever is submitted next', async () => {
  const device = await openDevice();
  const x = device.tensor('x', [4], 'f32', new Float32Array(4).fill(1));
  const first = device.readFloats(x);
  device.write(x, new Float32Array(4).fill(2));
  expect(await first).toEqual(new Float32Array(4).fill(1));
  // Behind a read that was waited for as well.
  const second = device.readFloats(x);
  device.clear(x);
  expect(await second).toEqual(new Float32Array(4).fill(2));
  device.close();
});

test('room that is reserved while a read is pending leaves that read alone, and is there for the next', async () => {
  const device = await openDevice();
  const values = randomFloats(1000, 1);
  const x = device.tensor('x', [1000], 'f32', values);
  const read = device.readFloats(x);
  device.reserveReadBack(2 ** 20);
  expect(await read).toEqual(values);
  expect(await device.readFloats(x)).toEqual(values);
  const before = device.memory.bytes;
  device.reserveReadBack(2 ** 20);
  expect(await device.readFloats(x)).toEqual(values);
  expect(device.memory.bytes).toBe(before);
  device.close();
});
