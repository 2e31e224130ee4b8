/**
 * The policy a run must not leave: the weights it started with, or those of some steps ago. Made only where a coefficient is not
 * zero. With adapters it is the model without them and takes no memory.
 */
import { ParameterSet } from '../../weights/parameters.ts';
import type { Program } from '../../autograd/program.ts';
import { Tape } from '../../autograd/tape.ts';
import type { RunContext } from '../../contracts/recipe.ts';
import type { PackedShape } from '../../nn/packed-shape.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { Completion } from './completions.ts';
import type { GrpoOptions } from './options.ts';
import { GrpoScorer } from './scorer.ts';
import type { Training } from '../../training/training.ts';
import { openBase } from '../../models/weights.ts';

export class Reference {
  private readonly choice: GrpoOptions;
  private readonly scorer: GrpoScorer;
  private readonly own: ParameterSet | undefined;
  private readonly copy: Program | undefined;

  private constructor(
    choice: GrpoOptions,
    scorer: GrpoScorer,
    own: ParameterSet | undefined,
    copy: Program | undefined,
  ) {
    this.choice = choice;
    this.scorer = scorer;
    this.own = own;
    this.copy = copy;
  }

  /** Undefined where nothing asks for one. To be called before the first update of a session. */
  static async open(context: RunContext, choice: GrpoOptions, training: Training): Promise<Reference | undefined> {
    const { kl, lora, weights, storage } = choice;
    if (kl === undefined || kl.coefficient === 0) return undefined;
    const specs = context.backbone.parameters;
    if (lora !== undefined)
      return new Reference(
        choice,
        new GrpoScorer(context, choice, training.workspace, training.parameters, 'reference'),
        undefined,
        undefined,
      );
    if (kl.resetEvery === 0) {
      // What the run started with can be had again: a checkpoint need not hold it.
      const { parameters: own } = await openBase(context, specs, { weights, storage });
      const scorer = new GrpoScorer(context, choice, training.workspace, own, 'reference');
      return new Reference(choice, scorer, own, undefined);
    }
    // Copied from the policy before the first step: it needs no values of its own.
    const own = new ParameterSet(context.device, specs, { seed: context.seed, initialize: 'none' });
    const scorer = new GrpoScorer(context, choice, training.workspace, own, 'reference');
    const tape = new Tape(training.workspace);
    const pieces = pairs(training.parameters, own);
    for (const [from, to] of pieces) tape.copy(from, to);
    const copy = await tape.finish('reset of the reference');
    const isRestored = await training.attach('reference', new Map(own.names.map((name) => [name, own.get(name)])));
    if (!isRestored) copy.run();
    return new Reference(choice, scorer, own, copy);
  }

  /** Log-probabilities of the tokens of drawings under the reference. */
  score(completions: readonly Completion[]): Promise<Float32Array[]> {
    return this.scorer.score(completions);
  }

  /** Makes the program of a shape now. */
  reserve(shape: PackedShape): Promise<void> {
    return this.scorer.reserve(shape);
  }

  /** The reference becomes the policy as it is, when a step is one of those. */
  resetAfter(step: number): void {
    const every = this.choice.kl?.resetEvery ?? 0;
    if (every > 0 && step % every === 0) this.copy?.run();
  }

  async close(): Promise<void> {
    await this.scorer.close();
    this.copy?.dispose();
    this.own?.close();
  }
}

/** Tensors of two sets that hold the same thing, parts of large ones apart. */
function pairs(from: ParameterSet, to: ParameterSet): [Tensor, Tensor][] {
  return to.names.flatMap((name) => {
    const [source, target] = [from.get(name), to.get(name)];
    const [sources, targets] = [source.shards ?? [source], target.shards ?? [target]];
    if (sources.length !== targets.length)
      throw new RangeError(`${name} lies in ${sources.length} parts here and in ${targets.length} there`);
    return sources.map((part, index): [Tensor, Tensor] => [part, targets[index] ?? part]);
  });
}
