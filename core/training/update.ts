/**
 * One update of the trained weights from the gradients that have been accumulated, looked at before and behind (`UpdateWatch`).
 * Over ranks each rank keeps a part of the optimizer's state and moves that part of the weights (ZeRO stage 1, Rajbhandari et al. 2020), where the optimizer can.
 */
import type { Program } from '../autograd/program.ts';
import { Tape } from '../autograd/tape.ts';
import type { Workspace } from '../autograd/workspace.ts';
import type { Communicator } from '../contracts/communicator.ts';
import type { OpenOptimizer, Optimizer } from '../contracts/optimizer.ts';
import { squareSums, squareSumsShape } from '../ops/gradient-norm.ts';
import type { Device, Scalar } from '../gpu/device.ts';
import { at } from '../tensor/at.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { ParameterSet } from '../weights/parameters.ts';
import type { WeightAverage } from './average.ts';
import { gatherParts, ownParts, reduceGradients } from './parts.ts';
import { UpdateWatch } from './update-watch.ts';

export interface UpdateOptions {
  readonly optimizer: Optimizer;
  readonly average: WeightAverage | undefined;
  readonly communicator: Communicator;
  readonly workspace: Workspace;
}

export interface Update {
  readonly optimizer: OpenOptimizer;
  readonly watch: UpdateWatch;
  /** Whether `optimizer.state` is a part of the state, with the others on other ranks. */
  readonly isPart: boolean;
  /** Runs the program that completes the gradients of this rank, if it has one, and adds up those of all ranks. Waits only where there are others. */
  complete(last: Program | undefined): Promise<void>;
  /** The step itself. Waits for the device only where there are other ranks. */
  run(): Promise<void>;
  close(): void;
}

/** Records the programs of an update. Every rank makes the same calls. */
export function openUpdate(trained: ParameterSet, options: UpdateOptions): Promise<Update> {
  const { communicator, optimizer } = options;
  const isShared = communicator.size > 1 && optimizer.openPart !== undefined;
  return isShared ? openParts(trained, options) : openWhole(trained, options);
}

/** Every rank moves all weights: from the sum of the gradients of all ranks, where there are several. */
async function openWhole(
  trained: ParameterSet,
  { optimizer: chosen, average, communicator, workspace }: UpdateOptions,
): Promise<Update> {
  const optimizer = chosen.open(trained);
  const watch = new UpdateWatch(trained, communicator);
  const program = await recorded(workspace, 'optimizer update', (tape) => {
    watch.record(tape, 'before');
    optimizer.record(tape);
    watch.record(tape, 'after');
    average?.record(tape);
  });
  return {
    optimizer,
    watch,
    isPart: false,
    async complete(last) {
      if (communicator.size === 1) return last?.run();
      await reduceGradients(trained, communicator, last);
      await gatherParts(trained.device, flatOf(trained, 'gradients'), communicator);
    },
    run() {
      program.run();
      return Promise.resolve();
    },
    close() {
      program.dispose();
      watch.close();
    },
  };
}

/** Each rank moves its part of the weights. */
async function openParts(
  trained: ParameterSet,
  { optimizer: chosen, average, communicator, workspace }: UpdateOptions,
): Promise<Update> {
  const { device } = trained;
  const squareSum = device.scalar('square sum of all gradients', 0);
  const parts = ownParts(trained, communicator, squareSum.tensor);
  const optimizer = chosen.openPart?.(parts);
  if (optimizer === undefined) throw new RangeError('unreachable: the optimizer can be shared out');
  const watch = new UpdateWatch(trained, communicator);
  const partials = device.tensor('square sums of gradients', squareSumsShape(parts));
  const look = await recorded(workspace, 'a look at the gradients', (tape) => {
    watch.record(tape, 'before');
    squareSums(tape, parts, partials);
  });
  const step = await recorded(workspace, 'optimizer update', (tape) => {
    optimizer.record(tape);
    watch.record(tape, 'after');
  });
  const averaging = average && (await recorded(workspace, 'average', (tape) => average.record(tape)));
  return {
    optimizer,
    watch,
    isPart: true,
    complete: (last) => reduceGradients(trained, communicator, last),
    async run() {
      look.run();
      await agreeOnNorm(device, partials, squareSum, communicator);
      step.run();
      await gatherParts(device, flatOf(trained, 'values'), communicator);
      averaging?.run();
    },
    close() {
      for (const program of [look, step, averaging]) program?.dispose();
      device.destroyTensor(partials);
      device.destroyTensor(squareSum.tensor);
      watch.close();
    },
  };
}

/** Adds up the squares of all ranks, in their order and in f64, so that every rank clips alike. */
async function agreeOnNorm(
  device: Device,
  partials: Tensor,
  squareSum: Scalar,
  communicator: Communicator,
): Promise<void> {
  const own = (await device.readFloats(partials)).reduce((sum, square) => sum + square, 0);
  const all = await communicator.allGather(new Uint8Array(Float64Array.of(own).buffer));
  squareSum.set(all.reduce((sum, bytes) => sum + at(new Float64Array(bytes.slice().buffer), 0), 0));
}

function flatOf({ arenas }: ParameterSet, kind: 'values' | 'gradients'): Tensor[] {
  return arenas.flatMap(({ gradients, [kind]: flat }) => (gradients === undefined || flat === undefined ? [] : [flat]));
}

async function recorded(workspace: Workspace, name: string, record: (tape: Tape) => void): Promise<Program> {
  const tape = new Tape(workspace);
  record(tape);
  return tape.finish(name);
}
