import { expect, test } from 'vitest';
import { growth, steadyGrpo } from './steady-grpo.ts';

test(
  'a GRPO run takes no more of the device and leaves no file open as its steps go on',
  { timeout: 120_000 },
  async () => {
    const { readings } = await steadyGrpo(12, 3);
    const [, first, , last] = readings;
    expect(readings).toHaveLength(4);
    if (first === undefined || last === undefined) return;
    expect(last.device).toBe(first.device);
    expect(last.files).toBeLessThanOrEqual(first.files);
  },
);

test('what grows is said', () => {
  const reading = { step: 100, heap: 1e7, resident: 1e8, device: 1e6, files: 20 };
  expect(growth(reading, { ...reading, step: 300 })).toEqual([]);
  const more = { step: 300, heap: 2e7, resident: 2e8, device: 2e6, files: 21 };
  expect(growth(reading, more)).toEqual([
    'open files: 20 at step 100, 21 at step 300',
    'bytes on the device: 1000000 at step 100, 2000000 at step 300',
    'bytes of the heap: 10000000 at step 100, 20000000 at step 300',
    'bytes of the process: 100000000 at step 100, 200000000 at step 300',
  ]);
});
