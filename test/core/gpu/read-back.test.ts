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
