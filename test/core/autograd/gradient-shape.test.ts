import { expect, test } from 'vitest';
import { Tape } from '../../../core/autograd/tape.ts';
import { Workspace } from '../../../core/autograd/workspace.ts';
import { scale } from '../../../core/ops/pointwise.ts';
import { reshape, type Tensor } from '../../../core/tensor/tensor.ts';
import { testDevice } from '../../ops/device.ts';

const device = await testDevice();

// An op that counts rows by the shape of its gradient would count pictures where pixels follow it: attention in a codec.
test.each([
  ['handed to a backward', (_tape: Tape, dOut: Tensor) => dOut],
  ['taken by an op that adds to it', (tape: Tape, _dOut: Tensor, input: Tensor) => tape.takeGradient(input)],
])('a gradient that came through a view has the shape of what it is of: %s', (_how, look) => {
  const tape = new Tape(new Workspace(device));
  const x = device.tensor('x', [6, 4]);
  tape.watch(x, device.tensor('d x', x.shape));
  const middle = scale(tape, x, 2);
  const out = tape.empty('out', [6, 4]);
  tape.launch({
    kernel: 'pointwise/scale',
    bindings: { x: middle, out },
    params: { count: 24, factor: 1 },
    groups: [1, 1, 1],
  });
  let seen: readonly number[] | undefined;
  tape.differentiable([middle], out, (dOut) => {
    seen = look(tape, dOut, middle)?.shape;
    return [dOut];
  });
  // Read by another op before, so that there is something to take: the last one recorded goes back first.
  const beside = scale(tape, reshape(middle, [3, 2, 4]), 3);
  const behind = scale(tape, reshape(out, [3, 2, 4]), 3);
  for (const end of [beside, behind]) tape.seed(end, device.tensor('slopes', end.shape));
  tape.backward();
  expect(seen).toEqual([6, 4]);
});
