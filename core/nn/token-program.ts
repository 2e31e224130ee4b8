/**
 * The one place where a backbone is run over packed sequences for training and scoring: hidden states, a head per kind
 * of token, (log-probability, entropy) per target, an objective that turns them into gradients, and the way back.
 * Programs are recorded once per batch shape and kept.
 */
import type { ParameterSet } from '../autograd/parameters.ts';
import type { Program, Workspace } from '../autograd/program.ts';
import { Tape } from '../autograd/tape.ts';
import type { Backbone } from '../contracts/backbone.ts';
import { tokenLogProbability } from '../ops/log-probability.ts';
import { gatherRows } from '../ops/rows.ts';
import type { Scalar } from '../gpu/device.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { createPackedInputs, shapeKey, type PackedBatch, type PackedInputs, type Targets } from './packing.ts';

export type TokenKind = 'text' | 'image';

/** Where an objective says how the loss depends on each target. */
export interface ObjectivePart {
  /** f32 [M, 2]: derivative of the loss by log-probability and by entropy of each target. */
  readonly dOut: Tensor;
  /** Tensors the host fills before each run, by name. */
  readonly inputs: Readonly<Record<string, Tensor>>;
  /** Tensors the host reads after each run, by name; must be kept (`tape.output`). */
  readonly outputs: Readonly<Record<string, Tensor>>;
}

/** Records, for one kind of token, the derivative of the loss. `scored` is f32 [M, 2] (log-probability, entropy). */
export type Objective = (tape: Tape, kind: TokenKind, scored: Tensor) => ObjectivePart;

export interface TokenProgram {
  readonly inputs: PackedInputs;
  readonly program: Program;
  /** f32 [M, 2] (log-probability, entropy) per target; filler at the end. */
  readonly scored: Readonly<Record<TokenKind, Tensor | undefined>>;
  readonly objective: Readonly<Record<TokenKind, ObjectivePart | undefined>>;
}

export interface TokenProgramOptions {
  readonly name: string;
  readonly workspace: Workspace;
  readonly backbone: Backbone;
  readonly parameters: ParameterSet;
  /** The temperature each kind of token is scored at: the sampler's. */
  readonly temperature: Readonly<Record<TokenKind, Scalar>>;
  /** Without one the program only scores. */
  readonly objective?: Objective;
  /** Keep only what enters each block of the backbone and compute the rest again for the way back: less memory, same bits. */
  readonly recompute?: boolean;
}

export class TokenPrograms {
  private readonly options: TokenProgramOptions;
  private readonly byShape = new Map<string, Promise<TokenProgram>>();

  constructor(options: TokenProgramOptions) {
    this.options = options;
  }

  /** The program for this batch's shape, its inputs filled with the batch. */
  async prepare(batch: PackedBatch): Promise<TokenProgram> {
    const key = shapeKey(batch);
    let pending = this.byShape.get(key);
    if (pending === undefined) {
      pending = this.record(batch, key);
      this.byShape.set(key, pending);
    }
    const program = await pending;
    program.inputs.fill(batch);
    return program;
  }

  async close(): Promise<void> {
    for (const pending of this.byShape.values()) {
      const { inputs, program } = await pending;
      inputs.close();
      program.dispose();
    }
    this.byShape.clear();
  }

  private async record(shape: PackedBatch, key: string): Promise<TokenProgram> {
    const { name, workspace, backbone, parameters, temperature, objective, recompute = false } = this.options;
    const tape = new Tape(workspace, { recompute });
    if (objective !== undefined) parameters.watch(tape);
    const inputs = createPackedInputs(workspace.device, shape);
    const hidden = backbone.hidden(tape, parameters, inputs.tokens);
    const score = (kind: TokenKind, targets: Targets): Tensor | undefined => {
      if (targets.count === 0) return undefined;
      const { rows, ids } = kind === 'text' ? inputs.textTargets : inputs.imageTargets;
      const states = gatherRows(tape, hidden, rows);
      const logits = kind === 'text' ? backbone.textLogits(tape, parameters, states) : backbone.imageLogits(tape, parameters, states);
      return tokenLogProbability(tape, logits, ids, { temperature: temperature[kind] });
    };
    const scored = { text: score('text', shape.text), image: score('image', shape.image) };
    const part = (kind: TokenKind): ObjectivePart | undefined => {
      const values = scored[kind];
      return values === undefined ? undefined : objective?.(tape, kind, values);
    };
    const parts = { text: part('text'), image: part('image') };
    const keep = (tensor: Tensor | undefined): Tensor | undefined => (tensor === undefined ? undefined : tape.output(tensor));
    const kept = { text: keep(scored.text), image: keep(scored.image) };
    for (const kind of ['text', 'image'] as const) {
      const values = scored[kind];
      const dOut = parts[kind]?.dOut;
      if (values !== undefined && dOut !== undefined) tape.seed(values, dOut);
    }
    tape.backward();
    return { inputs, program: await tape.finish(`${name} ${key}`), scored: kept, objective: parts };
  }
}
