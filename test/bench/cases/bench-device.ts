/** What every case is made of: a device, its twin without the fast kernels, random tensors, and programs that are replayed. */
import { Program, runAll } from '../../../core/autograd/program.ts';
import type { Workspace } from '../../../core/autograd/workspace.ts';
import type { Step } from '../../../core/autograd/launch.ts';
import { Tape } from '../../../core/autograd/tape.ts';
import { Device } from '../../../core/gpu/device.ts';
import { sizeOf, type Tensor } from '../../../core/tensor/tensor.ts';
import { randomFloats } from '../../../core/testing.ts';
import type { Case, Unit } from '../measure.ts';

/** The same GPU device taken for one without subgroups: ops then record their portable kernels. Tensors serve both. */
export function withoutSubgroups(device: Device): Device {
  return new Device(device.gpu, {
    ...device.adapter,
    features: device.adapter.features.filter((name) => name !== 'subgroups'),
  });
}

export function randomTensor(device: Device, name: string, shape: readonly number[], seed: number): Tensor {
  return device.tensor(name, shape, 'f32', randomFloats(sizeOf(shape), seed));
}

/** Replays a program in one submit and waits. */
export function replay(program: Program): (times: number) => Promise<void> {
  return async (times) => {
    runAll(new Array<Program>(times).fill(program));
    await program.device.settle();
  };
}

/** The launches of an op and of its backward, apart. Gradients of inputs that live in buffers are not accumulated: only the op is timed. */
export interface RecordedOp {
  readonly forward: readonly Step[];
  readonly backward: readonly Step[];
}

/** `watched` inputs get gradients; the gradient of the result is random. */
export function recordOp(workspace: Workspace, watched: readonly Tensor[], op: (tape: Tape) => Tensor): RecordedOp {
  const { device } = workspace;
  const tape = new Tape(workspace);
  for (const tensor of watched) tape.watch(tensor, device.tensor(`d ${tensor.name}`, tensor.shape));
  const out = op(tape);
  const forward = [...tape.recorded];
  tape.seed(out, randomTensor(device, 'd out', out.shape, 99));
  tape.backward();
  const backward = tape.recorded
    .slice(forward.length)
    .filter((step) => 'copy' in step || step.kernel !== 'pointwise/accumulate');
  return { forward, backward };
}

export interface StepsCase {
  readonly group: string;
  readonly name: string;
  readonly amount: number;
  readonly unit: Unit;
}

/**
 * A case that replays launches. Values that come from launches outside the list are whatever the memory holds: no kernel's
 * time depends on them.
 */
export async function caseOf(
  workspace: Workspace,
  { group, name, amount, unit }: StepsCase,
  steps: readonly Step[],
): Promise<Case> {
  const program = await Program.create(name, workspace, steps);
  return { group, name, work: { amount, unit }, run: replay(program) };
}
