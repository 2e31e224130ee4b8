/**
 * Heads of any width for kernels that take four or eight values at once: a head is widened with zeros before and narrowed behind.
 * Zeros change no product of queries and keys, and values of zero add nothing.
 */
import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';

/**
 * x [N, parts · from] → [N, parts · to]: each of the parts cut to its first `to` columns, or filled up with zeros.
 * Backward: the same with the widths exchanged.
 */
export function resizeParts(tape: Tape, x: Tensor, parts: number, to: number): Tensor {
  const from = dimension(x, -1) / parts;
  if (!Number.isInteger(from)) throw new RangeError(`${x.name} [${x.shape}] does not divide into ${parts} parts`);
  if (from === to) return x;
  const out = tape.empty(`${x.name} resized`, [...x.shape.slice(0, -1), parts * to]);
  const count = sizeOf(out.shape);
  tape.launch({
    kernel: 'rows/resize',
    bindings: { x, out },
    params: { count, width_in: from, width_out: to },
    groups: grid(Math.ceil(count / 64)),
  });
  tape.differentiable([x], out, (dOut) => [resizeParts(tape, dOut, parts, from)]);
  return out;
}

/** The next width that attention takes. */
export function attentionWidth(headDimension: number): number {
  return Math.ceil(headDimension / 4) * 4;
}

/** The next width that rotary positions take: whole vectors of four in each half. */
export function rotaryWidth(headDimension: number): number {
  return Math.ceil(headDimension / 8) * 8;
}

/** The base that turns pair j of a head of width `to` as `theta` turns pair j of one of width `from`. */
export function rotaryBase(theta: number, from: number, to: number): number {
  return theta ** (to / from);
}
