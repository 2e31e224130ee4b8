/** A launch between two ops that declares no way back would end a gradient in silence: `backward` refuses it. */
import { afterAll, describe, expect, test } from 'vitest';
import { Tape } from '../../../core/autograd/tape.ts';
import { Workspace } from '../../../core/autograd/workspace.ts';
import { openDevice } from '../../../core/gpu/device.ts';
import { add } from '../../../core/ops/add.ts';
import { gelu } from '../../../core/ops/gelu.ts';
import { linear } from '../../../core/ops/linear.ts';
import { silu } from '../../../core/ops/silu.ts';
import { gatherRows } from '../../../core/ops/rows.ts';
import { randomFloats } from '../../../core/testing.ts';
import type { Tensor } from '../../../core/tensor/tensor.ts';

const device = await openDevice();
afterAll(() => device.close());

const x = device.tensor('x', [2, 4], 'f32', randomFloats(8, 1));
const weight = device.tensor('weight', [4, 4], 'f32', randomFloats(16, 2));
const dOut = device.tensor('dOut', [2, 4], 'f32', randomFloats(8, 3));
const ids = device.tensor('ids', [2], 'u32', Uint32Array.of(1, 0));

function record(recompute = false): { tape: Tape; hidden: Tensor; gradient: Tensor } {
  const gradient = device.tensor('d weight', weight.shape);
  const tape = new Tape(new Workspace(device), { recompute });
  tape.watch(weight, gradient);
  return { tape, hidden: linear(tape, x, weight), gradient };
}

/** Twice `value`, without a way back. */
function doubled(tape: Tape, value: Tensor, name = 'doubled', out = tape.empty(name, value.shape)): Tensor {
  tape.launch({
    kernel: 'pointwise/scale',
    bindings: { x: value, out },
    params: { count: 8, factor: 2 },
    groups: [1, 1, 1],
  });
  return out;
}

type Mistake = (tape: Tape, hidden: Tensor) => Tensor;

const mistakes: Record<string, Mistake> = {
  'a launch between two ops': (tape, hidden) => gelu(tape, doubled(tape, hidden)),
  'a launch at the end': (tape, hidden) => doubled(tape, hidden),
  'two launches in a row': (tape, hidden) => gelu(tape, doubled(tape, doubled(tape, hidden), 'again')),
  'a way around it': (tape, hidden) => add(tape, hidden, doubled(tape, hidden)),
  'several ops later': (tape, hidden) => silu(tape, gelu(tape, silu(tape, doubled(tape, hidden)))),
  'a copy': (tape, hidden) => {
    const out = tape.empty('copied', hidden.shape);
    tape.copy(hidden, out);
    return gelu(tape, out);
  },
  'a tensor that outlives the program': (tape, hidden) =>
    gelu(tape, doubled(tape, hidden, '', device.tensor('kept', hidden.shape))),
  'a weight read by a launch': (tape) => {
    const out = tape.empty('doubled weight', weight.shape);
    tape.launch({
      kernel: 'pointwise/scale',
      bindings: { x: weight, out },
      params: { count: 16, factor: 2 },
      groups: [1, 1, 1],
    });
    return linear(tape, x, out);
  },
  'within a block': (tape, hidden) => tape.block(() => gelu(tape, doubled(tape, hidden))),
  'within a block that has another way': (tape, hidden) => tape.block(() => add(tape, hidden, doubled(tape, hidden))),
};

describe.each(Object.entries(mistakes))('%s', (_name, mistake) => {
  test.each([false, true])('is refused, and the kernel and both values are named (recompute: %s)', (recompute) => {
    const { tape, hidden } = record(recompute);
    tape.seed(mistake(tape, hidden), dOut);
    const error = refusal(() => tape.backward());
    expect(error).toMatchObject({ code: 'GRADIENT_CUT' });
    expect(error.message).toMatch(/(the kernel pointwise\/scale|a copy) reads weight/);
    expect(error.message).toMatch(/writes (doubled|copied|kept)/);
  });

  test('is no mistake where it is said', () => {
    const { tape, hidden } = record();
    const out = tape.detached(() => mistake(tape, hidden));
    tape.seed(add(tape, hidden, out), dOut);
    expect(() => tape.backward()).not.toThrow();
  });

  test('is none where nothing is trained', () => {
    const tape = new Tape(new Workspace(device));
    tape.seed(mistake(tape, linear(tape, x, weight)), dOut);
    expect(() => tape.backward()).not.toThrow();
  });
});

test('a cut within what a backward computes again is refused', () => {
  const { tape, hidden } = record();
  const out = tape.forwardOnly(() => gelu(tape, hidden));
  const again = tape.empty('again', out.shape);
  tape.differentiable([hidden], again, (dAgain) => {
    tape.backwardThrough(() => tape.seed(gelu(tape, doubled(tape, hidden)), dAgain));
    return [];
  });
  tape.seed(again, dOut);
  expect(refusal(() => tape.backward())).toMatchObject({ code: 'GRADIENT_CUT' });
});

test('what a way back launches, indices, and numbers that nobody learns from are no cuts', () => {
  const { tape, hidden } = record();
  doubled(tape, hidden);
  const chosen = gatherRows(tape, hidden, ids);
  const out = tape.empty('twice', chosen.shape);
  doubled(tape, chosen, '', out);
  tape.differentiable([chosen], out, (dTwice) => [gelu(tape, doubled(tape, dTwice, 'd twice'))]);
  tape.seed(out, dOut);
  tape.backward();
  tape.seed(gelu(tape, linear(tape, x, weight)), dOut);
  expect(() => tape.backward()).not.toThrow();
});

test('a detached branch adds nothing to the gradient, the other one all of it', async () => {
  const gradients = await Promise.all(
    [true, false].map(async (isDetached) => {
      const { tape, hidden, gradient } = record();
      const branch = (): Tensor => gelu(tape, hidden);
      tape.seed(isDetached ? add(tape, hidden, tape.detached(branch)) : hidden, dOut);
      tape.backward();
      (await tape.finish('detached')).run();
      return device.readFloats(gradient);
    }),
  );
  const [withBranch, without] = gradients;
  expect(withBranch).toEqual(without);
  expect(without?.some((value) => value !== 0)).toBe(true);
});

function refusal(run: () => void): Error {
  try {
    run();
  } catch (error) {
    return error as Error;
  }
  throw new RangeError('nothing was refused');
}
