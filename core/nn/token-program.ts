/**
 * The one place where a backbone is run over packed sequences for training and scoring: hidden states, a head per kind
 * of token, (log-probability, entropy) per target, an objective that turns them into gradients, and the way back.
 * Programs are recorded once per batch shape and kept.
 */
import type { ActivationType } from '../autograd/kept-halves.ts';
import type { Program } from '../autograd/program.ts';
import type { Recompute } from '../autograd/recompute.ts';
import type { Workspace } from '../autograd/workspace.ts';
import { Tape } from '../autograd/tape.ts';
import type { Backbone, Head, Weights } from '../contracts/backbone.ts';
import type { Scalar } from '../gpu/device.ts';
import { guide, type GuideOptions } from '../ops/guide.ts';
import { languageHead } from '../ops/language-head.ts';
import { tokenLogProbability } from '../ops/log-probability.ts';
import { gatherRows } from '../ops/rows.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { PackedBatch } from './packing.ts';
import { createPackedInputs, shapeKey, type PackedInputs } from './packed-inputs.ts';
import type { PackedShape } from './packed-shape.ts';

export const tokenKinds = ['text', 'image'] as const;
export type TokenKind = (typeof tokenKinds)[number];

/** Something for each kind of token; undefined for a kind of which a batch has no targets. */
export type ByKind<Value> = Readonly<Record<TokenKind, Value | undefined>>;

/** Where an objective says how the loss depends on each target. */
export interface ObjectivePart {
  /** f32 [M, 2]: derivative of the loss by log-probability and by entropy of each target. */
  readonly dOut: Tensor;
  /** Tensors the host fills before each run, by name. */
  readonly inputs: Readonly<Record<string, Tensor>>;
  /** Tensors the host reads after each run, by name; must be kept (`tape.output`). */
  readonly outputs: Readonly<Record<string, Tensor>>;
}

/** Records the derivative of the loss. `scored` is f32 [M, 2] (log-probability, entropy) per kind of token. */
export type Objective = (tape: Tape, scored: ByKind<Tensor>) => ByKind<ObjectivePart>;

/** An objective that treats each kind of token by itself. */
export function eachKind(part: (tape: Tape, kind: TokenKind, scored: Tensor) => ObjectivePart): Objective {
  return (tape, scored) => {
    const of = (kind: TokenKind): ObjectivePart | undefined => {
      const values = scored[kind];
      return values === undefined ? undefined : part(tape, kind, values);
    };
    return { text: of('text'), image: of('image') };
  };
}

export interface TokenProgram {
  readonly inputs: PackedInputs;
  readonly program: Program;
  /** f32 [M, 2] (log-probability, entropy) per target; filler at the end. */
  readonly scored: ByKind<Tensor>;
  readonly objective: ByKind<ObjectivePart>;
}

export interface TokenProgramOptions {
  readonly name: string;
  readonly workspace: Workspace;
  readonly backbone: Backbone;
  /** What the backbone reads; with an objective also what is trained. */
  readonly parameters: Weights & { watch?(tape: Tape): void };
  /** The temperature each kind of token is scored at: the sampler's. */
  readonly temperature: Readonly<Record<TokenKind, Scalar>>;
  /** Logits divided by the temperature are cut to ± this. No cut by default. */
  readonly clamp?: number | undefined;
  /** Guidance on image logits, for batches whose sequences have an unconditional branch: the sampler's. */
  readonly guidance?: GuideOptions | undefined;
  /** Without one the program only scores. */
  readonly objective?: Objective;
  /** What of each block of the backbone is computed again on the way back instead of being kept: less memory, up to a third more time. */
  readonly recompute?: Recompute;
  /** How what blocks keep for the way back lies meanwhile; f32 unless told. */
  readonly activations?: ActivationType;
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

  /** Makes the program of a shape, the largest there will be say, so that memory does not grow in the middle of a run. */
  async reserve(shape: PackedShape): Promise<void> {
    const key = shapeKey(shape);
    const pending = this.byShape.get(key) ?? this.record(shape, key);
    this.byShape.set(key, pending);
    await pending;
  }

  async close(): Promise<void> {
    for (const pending of this.byShape.values()) {
      const { inputs, program } = await pending;
      inputs.close();
      program.dispose();
    }
    this.byShape.clear();
  }

  private async record(shape: PackedShape, key: string): Promise<TokenProgram> {
    const { name, workspace, backbone, parameters, objective, recompute = false, activations = 'f32' } = this.options;
    const tape = new Tape(workspace, { recompute, activations });
    if (objective !== undefined && parameters.watch === undefined)
      throw new RangeError(`${name}: an objective needs weights that are trained`);
    if (objective !== undefined) parameters.watch?.(tape);
    const inputs = createPackedInputs(workspace.device, shape, backbone);
    const hidden = backbone.hidden(tape, parameters, inputs.tokens);
    const scored: ByKind<Tensor> = {
      text: shape.text.count === 0 ? undefined : this.scoreText(tape, hidden, inputs),
      image: shape.image.count === 0 ? undefined : this.scoreImage(tape, hidden, inputs),
    };
    const parts = objective?.(tape, scored) ?? { text: undefined, image: undefined };
    const keep = (tensor: Tensor | undefined): Tensor | undefined =>
      tensor === undefined ? undefined : tape.output(tensor);
    const kept = { text: keep(scored.text), image: keep(scored.image) };
    for (const kind of tokenKinds) {
      const values = scored[kind];
      const dOut = parts[kind]?.dOut;
      if (values !== undefined && dOut !== undefined) tape.seed(values, dOut);
    }
    tape.backward();
    return { inputs, program: await tape.finish(`${name} ${key}`), scored: kept, objective: parts };
  }

  private scoreText(tape: Tape, hidden: Tensor, { textTargets: { rows, ids } }: PackedInputs): Tensor {
    const { backbone, parameters } = this.options;
    const states = gatherRows(tape, hidden, rows);
    const head = backbone.textHead?.(tape, parameters, states);
    return head === undefined
      ? this.scoreLogits(tape, 'text', backbone.textLogits(tape, parameters, states), ids)
      : this.scoreHead(tape, 'text', head, ids);
  }

  private scoreImage(
    tape: Tape,
    hidden: Tensor,
    { imageTargets: { rows, ids, unconditionalRows } }: PackedInputs,
  ): Tensor {
    const { backbone, parameters, guidance } = this.options;
    const states = gatherRows(tape, hidden, rows);
    if (unconditionalRows === undefined) {
      const head = backbone.imageHead?.(tape, parameters, states);
      return head === undefined
        ? this.scoreLogits(tape, 'image', backbone.imageLogits(tape, parameters, states), ids)
        : this.scoreHead(tape, 'image', head, ids);
    }
    if (guidance === undefined) throw new RangeError('a batch has unconditional branches and there is no guidance');
    const others = gatherRows(tape, hidden, unconditionalRows);
    // The last matrix is linear and the weights of the branches add up to one: to guide what it multiplies is to guide the logits, bias and
    // all. Only its own gradient would differ where a branch is held constant.
    const head = guidance.detach ? undefined : backbone.imageHead?.(tape, parameters, states);
    const other = head === undefined ? undefined : backbone.imageHead?.(tape, parameters, others);
    if (head !== undefined && other !== undefined)
      return this.scoreHead(tape, 'image', { ...head, states: guide(tape, head.states, other.states, guidance) }, ids);
    const conditional = backbone.imageLogits(tape, parameters, states);
    const unconditional = backbone.imageLogits(tape, parameters, others);
    return this.scoreLogits(tape, 'image', guide(tape, conditional, unconditional, guidance), ids);
  }

  private scoreLogits(tape: Tape, kind: TokenKind, logits: Tensor, ids: Tensor): Tensor {
    return tokenLogProbability(tape, logits, ids, this.scoring(kind));
  }

  private scoreHead(tape: Tape, kind: TokenKind, { states, weight, bias }: Head, ids: Tensor): Tensor {
    return languageHead(tape, states, weight, bias, ids, this.scoring(kind));
  }

  private scoring(kind: TokenKind): { readonly temperature: Scalar; readonly clamp?: number } {
    const { temperature, clamp } = this.options;
    return { temperature: temperature[kind], ...(clamp !== undefined && { clamp }) };
  }
}
