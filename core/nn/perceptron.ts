/** Linear layers with biases and exact GELU between them: x → W₀x + b₀ → GELU → W₁… */
import type { Tape } from '../autograd/tape.ts';
import type { ParameterSpec, Weights } from '../contracts/backbone.ts';
import { gelu } from '../ops/gelu.ts';
import { linear } from '../ops/linear.ts';
import type { Tensor } from '../tensor/tensor.ts';

export interface Perceptron {
  /** In front of the layers' names. */
  readonly name: string;
  readonly first: string;
  /** Name of the last layer; `hidden_layers.i` for all behind the first when it is absent. */
  readonly last?: string;
  readonly from: number;
  readonly hidden: number;
  readonly to: number;
  /** Linear layers, at least one. */
  readonly depth: number;
}

/** x [M, from] → [M, to]: linear layers with biases and exact GELU between them. Gradients reach x and every weight. */
export function perceptron(tape: Tape, weights: Weights, shape: Perceptron, x: Tensor): Tensor {
  const { states, weight, bias } = lastLayer(tape, weights, shape, x);
  return linear(tape, states, weight, bias);
}

/** All but the last layer's product: for a head that never makes its logits. */
export function lastLayer(
  tape: Tape,
  weights: Weights,
  shape: Perceptron,
  x: Tensor,
): { readonly states: Tensor; readonly weight: Tensor; readonly bias: Tensor } {
  const layers = layersOf(shape).map(({ name }) => ({
    weight: weights.get(`${name}.weight`),
    bias: weights.get(`${name}.bias`),
  }));
  const last = layers.pop();
  if (last === undefined) throw new RangeError(`${shape.name} has no layer`);
  return {
    states: layers.reduce((value, { weight, bias }) => gelu(tape, linear(tape, value, weight, bias)), x),
    ...last,
  };
}

/** Matrices start normal with `std`, 1 / √inputs by default; biases at zero. */
export function perceptronParameters(shape: Perceptron, std?: number): ParameterSpec[] {
  return layersOf(shape).flatMap(({ name, rows, columns }): ParameterSpec[] => [
    { name: `${name}.weight`, shape: [rows, columns], init: { normal: std ?? 1 / Math.sqrt(columns) } },
    { name: `${name}.bias`, shape: [rows], init: { constant: 0 } },
  ]);
}

function layersOf({
  name,
  first,
  last,
  from,
  hidden,
  to,
  depth,
}: Perceptron): { readonly name: string; readonly rows: number; readonly columns: number }[] {
  return Array.from({ length: depth }, (_, layer) => ({
    name: `${name}.${layer === 0 ? first : layer === depth - 1 && last !== undefined ? last : `hidden_layers.${layer - 1}`}`,
    rows: layer === depth - 1 ? to : hidden,
    columns: layer === 0 ? from : hidden,
  }));
}
