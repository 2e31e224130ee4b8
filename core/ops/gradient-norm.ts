/** The global norm of all trained gradients, left on the device for the optimizer kernels: no read-back. */
import type { ParameterSet } from '../weights/parameters.ts';
import type { Tape } from '../autograd/tape.ts';
import type { Tensor } from '../tensor/tensor.ts';

const parts = 1024;

/** Writes (norm, 1 if finite else 0) into `report` f32 [2]. */
export function gradientNorm(tape: Tape, parameters: ParameterSet, report: Tensor): void {
  const trained = parameters.arenas.filter((arena) => arena.gradients !== undefined);
  const partials = tape.empty('gradient square sums', [Math.max(1, trained.length) * parts]);
  trained.forEach(({ gradients, flags, elements }, index) => {
    if (gradients === undefined) return;
    tape.launch({
      kernel: 'optimizer/square-sum',
      bindings: { gradients, flags, partials },
      params: { elements, parts, offset: index * parts },
      groups: [parts / 64, 1, 1],
    });
  });
  tape.launch({
    kernel: 'optimizer/norm',
    bindings: { partials, report },
    params: { count: trained.length * parts },
    groups: [1, 1, 1],
  });
}
