/** Weights as arenas: layout, loading, and what a misfit says. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ParameterSet } from '../../../core/weights/parameters.ts';
import { openDevice, type Device } from '../../../core/gpu/device.ts';

let device: Device;
beforeAll(async () => {
  device = await openDevice();
});
afterAll(() => device.close());

const specs = [
  { name: 'a', shape: [3, 5], init: { normal: 1 } },
  { name: 'b', shape: [7], init: { constant: 2 } },
  { name: 'c', shape: [2, 2], init: { values: Float32Array.of(1, 2, 3, 4) } },
] as const;

test('initial values follow seed and name only, and are what was asked for', async () => {
  const all = await new ParameterSet(device, specs, { seed: 1 }).read();
  const alone = await new ParameterSet(device, specs.slice(0, 1), { seed: 1 }).read();
  const other = await new ParameterSet(device, specs, { seed: 2 }).read();
  expect(alone.get('a')).toEqual(all.get('a'));
  expect(other.get('a')).not.toEqual(all.get('a'));
  expect([...(all.get('b')?.data ?? [])]).toEqual(new Array(7).fill(2));
  expect([...(all.get('c')?.data ?? [])]).toEqual([1, 2, 3, 4]);
});

test('normal values have the deviation asked for', async () => {
  const set = new ParameterSet(device, [{ name: 'wide', shape: [200, 200], init: { normal: 0.02 } }], { seed: 5 });
  const values = (await set.read()).get('wide')?.data ?? new Float32Array();
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  expect(Math.abs(mean)).toBeLessThan(0.0005);
  expect(deviation).toBeCloseTo(0.02, 3);
});

test('what is read can be loaded again; every misfit is listed in one error', async () => {
  const set = new ParameterSet(device, specs, { seed: 1 });
  const values = await set.read();
  const other = new ParameterSet(device, specs, { seed: 9 });
  other.load(values, 'here');
  expect([...(await other.read())]).toEqual([...values]);
  const wrong = new Map([
    ['a', { shape: [5, 3], data: new Float32Array(15) }],
    ['d', { shape: [1], data: new Float32Array(1) }],
  ]);
  expect(() => set.load(wrong, 'model.safetensors')).toThrow(
    'model.safetensors does not fit this model:\n  a is [5,3], the model needs [3,5]\n  missing: b [7]\n  missing: c [2,2]\n  unexpected: d',
  );
});

test('frozen weights have no gradient, trained ones do', () => {
  const set = new ParameterSet(device, specs, { seed: 1, trainable: (name) => name !== 'b' });
  expect(set.gradient('a')?.shape).toEqual([3, 5]);
  expect(set.gradient('b')).toBeUndefined();
  expect(new ParameterSet(device, specs, { seed: 1 }).gradient('a')).toBeUndefined();
});

test('a weight the adapter cannot bind is refused with its name', () => {
  const elements = device.limits.maxStorageBufferBindingSize / 4 + 64;
  expect(
    () => new ParameterSet(device, [{ name: 'huge', shape: [elements], init: { constant: 0 } }], { seed: 1 }),
  ).toThrow(/weight huge \[\d+\] has \d+ bytes; this adapter binds at most/);
});
