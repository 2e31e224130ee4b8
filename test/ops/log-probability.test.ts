import { describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { tokenLogProbability } from '../../core/ops/log-probability.ts';
import { at, checkOp, randomFloats, randomWords } from '../../core/testing.ts';
import { testRowDevices } from './device.ts';

function oracle(
  logits: Float64Array,
  targets: Float64Array,
  columns: number,
  temperature: number,
  limit: number,
): Float64Array {
  const out = new Float64Array(targets.length * 2);
  targets.forEach((target, row) => {
    const z = logits
      .subarray(row * columns, (row + 1) * columns)
      .map((logit) => Math.min(Math.max(logit / temperature, -limit), limit));
    const top = Math.max(...z);
    const logSum = top + Math.log(z.reduce((sum, value) => sum + Math.exp(value - top), 0));
    out[row * 2] = at(z, target) - logSum;
    out[row * 2 + 1] = z.reduce((sum, value) => sum - Math.exp(value - logSum) * (value - logSum), 0);
  });
  return out;
}

describe.each(await testRowDevices())('tokenLogProbability, %s', (_name, device) => {
  test.each([
    [1, 1],
    [1, 2],
    [9, 68],
    [31, 67],
    [66, 257],
  ])('%i rows of %i logits', async (rows, columns) => {
    await checkOp({
      device,
      inputs: {
        logits: { shape: [rows, columns], data: randomFloats(rows * columns, 1, 6) },
        targets: { shape: [rows], data: randomWords(rows, 2, columns) },
      },
      op: (tape, { logits, targets }) => tokenLogProbability(tape, logits, targets, { temperature: 0.7 }),
      oracle: ({ logits, targets }) => oracle(logits, targets, columns, 0.7, Infinity),
    });
  });

  test('temperature from a scalar, logits cut at a limit', async () => {
    const temperature = device.scalar('temperature', 1.3);
    await checkOp({
      device,
      inputs: {
        logits: { shape: [17, 61], data: randomFloats(17 * 61, 1, 40) },
        targets: { shape: [17], data: randomWords(17, 2, 61) },
      },
      op: (tape, { logits, targets }) => tokenLogProbability(tape, logits, targets, { temperature, clamp: 20 }),
      oracle: ({ logits, targets }) => oracle(logits, targets, 61, 1.3, 20),
    });
  });

  test('refuses a wrong number of targets', () => {
    const tape = new Tape(new Workspace(device));
    expect(() =>
      tokenLogProbability(tape, tape.empty('logits', [3, 5]), tape.empty('targets', [2], 'u32'), { temperature: 1 }),
    ).toThrow(/2 targets for 3 rows/);
  });
});
