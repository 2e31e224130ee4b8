/** The global norm of all trained gradients, left on the device for the optimizer kernels: no read-back. */
import type { FlatParameters } from '../contracts/optimizer.ts';
import type { Tape } from '../autograd/tape.ts';
import { sizeOf, type Tensor } from '../tensor/tensor.ts';

/** Sums that each arena is cut into. */
const parts = 1024;

/** Writes (norm, 1 if finite else 0) into `report` f32 [2]. */
export function gradientNorm(tape: Tape, parameters: FlatParameters, report: Tensor): void {
  const partials = parameters.squareSum ?? tape.empty('gradient square sums', squareSumsShape(parameters));
  if (parameters.squareSum === undefined) squareSums(tape, parameters, partials);
  tape.launch({
    kernel: 'optimizer/norm',
    bindings: { partials, report },
    params: { count: sizeOf(partials.shape) },
    groups: [1, 1, 1],
  });
}

/** Of what `squareSums` fills. */
export function squareSumsShape({ arenas }: FlatParameters): [number] {
  return [Math.max(1, trainedOf(arenas).length) * parts];
}

/** Sums of the squares of gradients, by runs of each arena; those of an arena without elements stay as they are. */
export function squareSums(tape: Tape, { arenas }: FlatParameters, partials: Tensor): void {
  trainedOf(arenas).forEach(({ gradients, flags, elements }, index) => {
    if (elements === 0) return;
    tape.launch({
      kernel: 'optimizer/square-sum',
      bindings: { gradients, flags, partials },
      params: { elements, parts, offset: index * parts },
      groups: [parts / 64, 1, 1],
    });
  });
}

function trainedOf(arenas: FlatParameters['arenas']): { gradients: Tensor; flags: Tensor; elements: number }[] {
  return arenas.flatMap(({ gradients, flags, elements }) =>
    gradients === undefined ? [] : [{ gradients, flags, elements }],
  );
}
