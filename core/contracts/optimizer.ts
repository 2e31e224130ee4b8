import type { Tensor } from '../tensor/tensor.ts';
import type { Tape } from '../autograd/tape.ts';
import type { ParameterSet } from '../weights/parameters.ts';

/** An optimizer opened for one set of parameters. */
export interface OpenOptimizer {
  /**
   * Records one update: clips by global norm, applies the rule to every trained weight, clears the gradients.
   * Nothing is read back; `report` tells afterwards.
   */
  record(tape: Tape): void;
  /** Sets what the next replay uses. `step` counts from 1. */
  prepare(step: number, learningRate: number): void;
  /** f32 [2]: gradient norm before clipping; 1 when the update was applied, 0 when it was skipped for a non-finite norm. */
  readonly report: Tensor;
  /** State to keep in a checkpoint, by name; f32 or words (u32). */
  readonly state: ReadonlyMap<string, Tensor>;
}

export interface Optimizer {
  /** The peak rate; recipes multiply it by their schedule. */
  readonly learningRate: number;
  /** A component of this slot that takes the same options and keeps less state: proposed where memory is short. */
  readonly lighter?: string;
  open(parameters: ParameterSet): OpenOptimizer;
}
