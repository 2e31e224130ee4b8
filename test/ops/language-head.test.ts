import { describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { planMemory } from '../../core/autograd/memory-plan.ts';
import { languageHead } from '../../core/ops/language-head.ts';
import { linear } from '../../core/ops/linear.ts';
import { tokenLogProbability } from '../../core/ops/log-probability.ts';
import type { Device } from '../../core/gpu/device.ts';
import { toHalves } from '../../core/tensor/float16.ts';
import type { Tensor } from '../../core/tensor/tensor.ts';
import { at, checkOp, randomFloats, randomWords, relativeError } from '../../core/testing.ts';
import { testRowDevices } from './device.ts';

interface Point {
  readonly hidden: Float64Array;
  readonly weight: Float64Array;
  readonly bias?: Float64Array;
  readonly ids: Float64Array;
}

/** tokenLogProbability ∘ linear in float64. */
function oracle({ hidden, weight, bias, ids }: Point, inner: number, temperature: number, limit: number): Float64Array {
  const columns = weight.length / inner;
  const out = new Float64Array(ids.length * 2);
  ids.forEach((target, row) => {
    const z = Float64Array.from({ length: columns }, (_, column) => {
      let sum = bias === undefined ? 0 : at(bias, column);
      for (let k = 0; k < inner; k++) sum += at(hidden, row * inner + k) * at(weight, column * inner + k);
      return Math.min(Math.max(sum / temperature, -limit), limit);
    });
    const top = Math.max(...z);
    const logSum = top + Math.log(z.reduce((sum, value) => sum + Math.exp(value - top), 0));
    out[row * 2] = at(z, target) - logSum;
    out[row * 2 + 1] = z.reduce((sum, value) => sum - Math.exp(value - logSum) * (value - logSum), 0);
  });
  return out;
}

/** Values of a head and of its gradients on a device. */
async function runHead(
  device: Device,
  rows: number,
  inner: number,
  columns: number,
  record: (tape: Tape, tensors: { hidden: Tensor; weight: Tensor; ids: Tensor }) => Tensor,
): Promise<Float32Array[]> {
  const tape = new Tape(new Workspace(device));
  // The rows of a larger batch begin with those of a smaller one.
  const hidden = device.tensor(
    'hidden',
    [rows, inner],
    'f32',
    randomFloats(64 * inner, 1, 2).subarray(0, rows * inner),
  );
  const weight = device.tensor('weight', [columns, inner], 'f32', randomFloats(columns * inner, 2));
  const ids = device.tensor('ids', [rows], 'u32', randomWords(64, 3, columns).subarray(0, rows));
  const gradients = [device.tensor('d hidden', hidden.shape), device.tensor('d weight', weight.shape)] as const;
  tape.watch(hidden, gradients[0]);
  tape.watch(weight, gradients[1]);
  const out = record(tape, { hidden, weight, ids });
  const value = tape.output(out);
  tape.seed(out, device.tensor('d out', [rows, 2], 'f32', randomFloats(128, 4).subarray(0, rows * 2)));
  tape.backward();
  const program = await tape.finish('head');
  program.run();
  return (await device.read([value, ...gradients])) as Float32Array[];
}

describe.each(await testRowDevices())('languageHead, %s', (_name, device) => {
  test.each([
    // One row; a last chunk of one column; an inner size that no tile divides; a chunk that is filled exactly; all in one chunk.
    [1, 8, 129, 128],
    [9, 12, 300, 128],
    [11, 7, 257, 128],
    [10, 8, 384, 128],
    [5, 8, 200, 256],
  ])('%i rows, inner size %i, %i columns in chunks of %i', async (rows, inner, columns, chunk) => {
    await checkOp({
      device,
      inputs: {
        hidden: { shape: [rows, inner], data: randomFloats(rows * inner, 1, 2) },
        weight: { shape: [columns, inner], data: randomFloats(columns * inner, 2, 2) },
        bias: { shape: [columns], data: randomFloats(columns, 3) },
        ids: { shape: [rows], data: randomWords(rows, 4, columns) },
      },
      op: (tape, { hidden, weight, bias, ids }) =>
        languageHead(tape, hidden, weight, bias, ids, { temperature: 0.8, chunk }),
      oracle: (point) => oracle(point, inner, 0.8, Infinity),
      valueTolerance: 2e-6,
    });
  });

  test('no bias, temperature from a scalar, logits cut at a limit', async () => {
    const temperature = device.scalar('temperature', 1.3);
    await checkOp({
      device,
      inputs: {
        hidden: { shape: [6, 8], data: randomFloats(48, 1, 4) },
        weight: { shape: [260, 8], data: randomFloats(2080, 2, 4) },
        ids: { shape: [6], data: randomWords(6, 4, 260) },
      },
      op: (tape, { hidden, weight, ids }) =>
        languageHead(tape, hidden, weight, undefined, ids, { temperature, clamp: 12, chunk: 128 }),
      oracle: (point) => oracle(point, 8, 1.3, 12),
    });
  });

  test('a weight stored as halves', async () => {
    await checkOp({
      device,
      inputs: {
        hidden: { shape: [6, 8], data: randomFloats(48, 1, 2) },
        weight: { shape: [260, 8], data: toHalves(randomFloats(2080, 2, 2)) },
        ids: { shape: [6], data: randomWords(6, 4, 260) },
      },
      op: (tape, { hidden, weight, ids }) =>
        languageHead(tape, hidden, weight, undefined, ids, { temperature: 1, chunk: 128 }),
      oracle: (point) => oracle(point, 8, 1, Infinity),
    });
  });

  test('agrees with the logits kept whole', async () => {
    const whole = await runHead(device, 24, 16, 1000, (tape, { hidden, weight, ids }) =>
      tokenLogProbability(tape, linear(tape, hidden, weight), ids, { temperature: 0.9 }),
    );
    const chunked = await runHead(device, 24, 16, 1000, (tape, { hidden, weight, ids }) =>
      languageHead(tape, hidden, weight, undefined, ids, { temperature: 0.9, chunk: 256 }),
    );
    chunked.forEach((values, index) => expect(relativeError(values, at2(whole, index))).toBeLessThan(2e-6));
  });

  test('a row does not depend on its batch, and a run repeats bit by bit', async () => {
    const head = (tape: Tape, { hidden, weight, ids }: { hidden: Tensor; weight: Tensor; ids: Tensor }): Tensor =>
      languageHead(tape, hidden, weight, undefined, ids, { temperature: 0.9, chunk: 128 });
    const [few = new Float32Array(), dFew = new Float32Array()] = await runHead(device, 3, 16, 500, head);
    const [many = new Float32Array(), dMany = new Float32Array(), dWeight] = await runHead(device, 64, 16, 500, head);
    expect(few).toEqual(many.subarray(0, few.length));
    expect(dFew).toEqual(dMany.subarray(0, dFew.length));
    expect((await runHead(device, 64, 16, 500, head))[2]).toEqual(dWeight);
  });

  test.each([
    // Chunks of 128 and all columns at once; with and without a cut, which would turn NaN into a number.
    [128, undefined],
    [128, 20],
    [512, 20],
  ])('what is not a number shows, in chunks of %i with logits cut at %s', async (chunk, clamp) => {
    const tape = new Tape(new Workspace(device));
    const hidden = device.tensor(
      'hidden',
      [4, 4],
      'f32',
      Float32Array.of(1, 2, 3, 4, 1, Number.NaN, 3, 4, 1, 2, 3, 4, Infinity, 2, 3, 4),
    );
    const dHidden = device.tensor('d hidden', [4, 4]);
    tape.watch(hidden, dHidden);
    const weight = device.tensor('weight', [300, 4], 'f32', randomFloats(1200, 2));
    const head = languageHead(
      tape,
      hidden,
      weight,
      undefined,
      device.tensor('ids', [4], 'u32', Uint32Array.of(1, 2, 3, 4)),
      { temperature: 1, chunk, ...(clamp === undefined ? {} : { clamp }) },
    );
    const out = tape.output(head);
    tape.seed(head, device.tensor('d out', [4, 2], 'f32', new Float32Array(8).fill(1)));
    tape.backward();
    (await tape.finish('not a number')).run();
    const rows = async (tensor: Tensor): Promise<boolean[]> => {
      const values = await device.readFloats(tensor);
      return [0, 1, 2, 3].map((row) =>
        values.subarray((row * values.length) / 4, ((row + 1) * values.length) / 4).every(Number.isFinite),
      );
    };
    expect(await rows(out)).toEqual([true, false, true, false]);
    // The optimizer's guard sees it as well.
    expect(await rows(dHidden)).toEqual([true, false, true, false]);
  });

  test('an id whose logit is −∞ cannot come and carries no gradient', async () => {
    const bias = Float32Array.from({ length: 300 }, (_, column) => (column % 3 === 0 ? -Infinity : 0));
    const tape = new Tape(new Workspace(device));
    const [hidden, weight] = [device.tensor('hidden', [1, 4]), device.tensor('weight', [300, 4])];
    const out = tape.output(
      languageHead(
        tape,
        hidden,
        weight,
        device.tensor('bias', [300], 'f32', bias),
        device.tensor('ids', [1], 'u32', Uint32Array.of(4)),
        { temperature: 1, chunk: 128 },
      ),
    );
    (await tape.finish('impossible ids')).run();
    for (const value of await device.readFloats(out))
      expect(Math.abs(Math.abs(value) - Math.log(200))).toBeLessThan(1e-5);
  });

  test('memory grows with the chunk, not with the vocabulary', () => {
    const needed = (columns: number): { bytes: number; lowerBound: number } => {
      const tape = new Tape(new Workspace(device));
      const hidden = device.tensor('hidden', [64, 16]);
      const weight = device.tensor('weight', [columns, 16]);
      tape.watch(hidden, device.tensor('d hidden', hidden.shape));
      const out = languageHead(tape, hidden, weight, undefined, device.tensor('ids', [64], 'u32'), {
        temperature: 1,
        chunk: 512,
      });
      tape.seed(out, device.tensor('d out', [64, 2]));
      tape.backward();
      const { bytes, lowerBound } = planMemory(tape.recorded);
      return { bytes, lowerBound };
    };
    expect(needed(16384)).toEqual(needed(2048));
    // One chunk of logits, turned into its gradient in place, and little else.
    expect(needed(16384).lowerBound).toBeLessThan(1.1 * 64 * 512 * 4);
  });

  test('refuses a wrong number of targets and a chunk whose views would not be aligned', () => {
    const tape = new Tape(new Workspace(device));
    const [hidden, weight] = [device.tensor('hidden', [3, 8]), device.tensor('weight', [300, 8])];
    const ids = (count: number): Tensor => device.tensor('ids', [count], 'u32');
    expect(() => languageHead(tape, hidden, weight, undefined, ids(2), { temperature: 1 })).toThrow(
      /2 targets for 3 rows/,
    );
    expect(() => languageHead(tape, hidden, weight, undefined, ids(3), { temperature: 1, chunk: 100 })).toThrow(
      /multiple of 128/,
    );
  });
});

function at2(values: readonly Float32Array[], index: number): Float32Array {
  const found = values[index];
  if (found === undefined) throw new RangeError(`${index} of ${values.length}`);
  return found;
}
