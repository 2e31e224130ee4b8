import { afterAll, beforeAll, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { swigluRows } from '../../core/ops/swiglu-rows.ts';
import { maximumError, randomFloats } from '../../core/testing.ts';

let device: Device;
beforeAll(async () => {
  device = await openDevice();
});
afterAll(() => device.close());

test.each([
  [1, 4],
  [7, 12],
  [33, 336],
])('%i rows of %i and %i agree with float64', async (rows, width) => {
  const x = randomFloats(rows * width * 2, 5, 30);
  const tape = new Tape(new Workspace(device));
  const out = tape.output(swigluRows(tape, device.tensor('x', [rows, 2 * width], 'f32', x)));
  (await tape.finish('swiglu')).run();
  const expected = Float64Array.from({ length: rows * width }, (_, index) => {
    const at = Math.floor(index / width) * 2 * width + (index % width);
    const [gate = 0, up = 0] = [x[at], x[at + width]];
    return (gate / (1 + Math.exp(-gate))) * up;
  });
  expect(maximumError(await device.readFloats(out), expected)).toBeLessThan(1e-3);
});

test('an odd half is refused', () => {
  const tape = new Tape(new Workspace(device));
  expect(() => swigluRows(tape, tape.empty('x', [2, 12]))).toThrow(/two parts/);
});
