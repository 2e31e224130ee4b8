import type { Tensor } from '../tensor/tensor.ts';
import type { Tape } from '../autograd/tape.ts';
import type { Device } from '../gpu/device.ts';
import type { Arena, ParameterSet } from '../weights/parameters.ts';

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

/** Trained weights as flat ranges: the arenas of a model, or the part of each that a rank moves. */
export interface FlatParameters {
  readonly device: Device;
  /** Where no part of an arena is this rank's, its `elements` are 0, and it is nothing to launch over. `first`: elements of the arena before this part. */
  readonly arenas: readonly (Arena & { readonly first?: number })[];
  /** f32 [1]: the sum of the squares of all gradients, where these arenas are not all of them. */
  readonly squareSum?: Tensor;
}

export interface Optimizer {
  /** The peak rate; recipes multiply it by their schedule. */
  readonly learningRate: number;
  /** A component of this slot that takes the same options and keeps less state: proposed where memory is short. */
  readonly lighter?: string;
  open(parameters: ParameterSet): OpenOptimizer;
  /**
   * The same for parts of the arenas, each a multiple of 64 elements long, so that ranks keep a part of the state each (ZeRO stage 1, Rajbhandari et al. 2020). The states of the
   * ranks, one behind the other, are the state of the whole. Without it every rank keeps all of the state: a rule that looks at whole matrices has no other way.
   */
  openPart?(parameters: FlatParameters): OpenOptimizer;
}
