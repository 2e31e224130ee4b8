/** Ranges of rows of a weight as weights of their own, without a copy. */
import { quantizedGroup } from '../tensor/quantized.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, elementBytes, sizeOf, type Tensor } from '../tensor/tensor.ts';

/**
 * weight [V, D] → [count, D]: rows start … start + count - 1, whatever its type, in parts or with an adapter; their gradient is that part of the
 * whole's. `start` rows must fill a multiple of 256 bytes, the alignment of a binding, counted from the part they lie in.
 */
export function weightRows(tape: Tape, weight: Tensor, start: number, count: number): Tensor {
  const rows = dimension(weight, 0);
  if (start < 0 || count < 1 || start + count > rows)
    throw new RangeError(`${weight.name} [${weight.shape}] has no rows ${start} to ${start + count}`);
  const plain =
    weight.shards === undefined
      ? wholeRows(tape, weight, start, count)
      : partRows(tape, weight, weight.shards, start, count);
  const { adapter } = weight;
  return adapter === undefined
    ? plain
    : { ...plain, adapter: { ...adapter, up: weightRows(tape, adapter.up, start, count) } };
}

function wholeRows(tape: Tape, weight: Tensor, start: number, count: number): Tensor {
  const view = rowRange(weight, start, count);
  const gradient = tape.gradientOf(weight);
  // At the start of the weight the tape already finds the gradient, by its bytes.
  if (gradient !== undefined && start > 0) tape.watch(view, rowRange(gradient, start, count));
  return view;
}

function partRows(tape: Tape, weight: Tensor, parts: readonly Tensor[], start: number, count: number): Tensor {
  const found: Tensor[] = [];
  let first = 0;
  for (const part of parts) {
    const rows = dimension(part, 0);
    const begin = Math.max(start, first);
    const end = Math.min(start + count, first + rows);
    if (begin < end) found.push(wholeRows(tape, part, begin - first, end - begin));
    first += rows;
  }
  const [only, ...more] = found;
  if (only === undefined) throw new RangeError(`${weight.name}: its parts do not hold row ${start}`);
  if (more.length === 0) return only;
  return {
    name: `${weight.name} from row ${start}`,
    shape: [count, ...weight.shape.slice(1)],
    type: weight.type,
    memory: only.memory,
    shards: found,
  };
}

function rowRange(tensor: Tensor, start: number, count: number): Tensor {
  if (!('buffer' in tensor.memory)) throw new RangeError(`${tensor.name} is not a weight`);
  const rows = dimension(tensor, 0);
  const rowBytes = (sizeOf(tensor.shape) / rows) * elementBytes(tensor.type);
  if ((start * rowBytes) % 256 !== 0)
    throw new RangeError(`${tensor.name}: row ${start} does not start at a multiple of 256 bytes`);
  const { adapter: _adapter, scales, ...rest } = tensor;
  return {
    ...rest,
    name: `${tensor.name} from row ${start}`,
    shape: [count, ...tensor.shape.slice(1)],
    memory: { buffer: tensor.memory.buffer, offset: tensor.memory.offset + start * rowBytes },
    ...(scales !== undefined && { scales: rowRange(scales, start, count) }),
  };
}

/** What kernels that read packed weights are told of one: bits of an element, the kind of half, and where its scales are. */
export function packing(weight: Tensor): {
  readonly constants: { readonly BITS: number; readonly BRAIN: boolean; readonly GROUP: number };
  readonly scales: Tensor;
} {
  return {
    constants: { BITS: elementBytes(weight.type) * 8, BRAIN: weight.type === 'bf16', GROUP: quantizedGroup },
    scales: weight.scales ?? weight,
  };
}
