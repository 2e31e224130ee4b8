/** Loss and gradients of a batch of sequences: weighted by class of target, averaged over the targets of the whole batch. */
import type { ActivationType } from '../../autograd/kept-halves.ts';
import type { Recompute } from '../../autograd/recompute.ts';
import type { Workspace } from '../../autograd/workspace.ts';
import type { RunContext } from '../../contracts/recipe.ts';
import { ParameterSet } from '../../weights/parameters.ts';
import type { PackedShape } from '../../nn/packed-shape.ts';
import { packSequences, type PackedBatch, type Sequence } from '../../nn/packing.ts';
import {
  TokenPrograms,
  eachKind,
  tokenKinds,
  type Objective,
  type TokenKind,
  type TokenProgram,
} from '../../nn/token-program.ts';
import { likelihoodColumns, likelihoodObjective } from '../../ops/likelihood-objective.ts';
import type { Scalar } from '../../gpu/device.ts';
import { classWeights, targetClasses, type SftOptions, type TargetClass } from './options.ts';
import { gatherJson, sumOverRanks } from '../../ranks/shares.ts';
import { recomputeOf } from '../../training/options.ts';
import type { Training } from '../../training/training.ts';
import { openWeights } from '../../models/weights.ts';
import { at } from '../../tensor/at.ts';
import { dimension, sizeOf } from '../../tensor/tensor.ts';

const { scored: scoredColumns, terms: columns } = likelihoodColumns;

interface Sum {
  crossEntropy: number;
  entropy: number;
  count: number;
}

/** Sums of one rank, or of all. */
interface Measured {
  readonly sums: Readonly<Record<TargetClass, Sum>>;
  readonly divergence: number;
  readonly tokens: number;
}

export interface LossReport {
  readonly metrics: Readonly<Record<string, number>> & { readonly loss: number };
  /** Tokens that are not filler. */
  readonly tokens: number;
}

export class SftLoss {
  private readonly context: RunContext;
  private readonly choice: SftOptions;
  private readonly training: Training;
  private readonly programs: TokenPrograms;
  /** Scores without learning, for held-out examples. */
  private readonly measuring: TokenPrograms | undefined;
  private readonly reference: TokenPrograms | undefined;
  private readonly ownReference: ParameterSet | undefined;
  private readonly temperature: Scalar;

  private constructor(
    context: RunContext,
    choice: SftOptions,
    training: Training,
    reference: ParameterSet | undefined,
    ownReference: ParameterSet | undefined,
  ) {
    const { device } = context;
    this.context = context;
    this.choice = choice;
    this.training = training;
    this.temperature = device.scalar('temperature', 1);
    this.ownReference = ownReference;
    const { workspace } = training;
    this.programs = this.open('sft', workspace, training.trainWeights, {
      objective: objective(),
      recompute: recomputeOf(choice),
      activations: choice.activations,
    });
    const evaluated = { get: (name: string) => training.evaluationWeights.get(name) };
    this.measuring =
      choice.validation === undefined ? undefined : this.open('sft validation', workspace, evaluated, {});
    this.reference = reference === undefined ? undefined : this.open('sft reference', workspace, reference, {});
  }

  /** With a divergence also the model the run started with, loaded again; with adapters it is there already. */
  static async open(context: RunContext, choice: SftOptions, training: Training): Promise<SftLoss> {
    if (choice.klWeight === 0) return new SftLoss(context, choice, training, undefined, undefined);
    if (training.hasAdapters) return new SftLoss(context, choice, training, training.parameters, undefined);
    const { device, backbone, seed } = context;
    const own = new ParameterSet(device, backbone.parameters, {
      seed,
      storage: choice.storage,
      initialize: choice.weights === undefined ? 'host' : 'none',
    });
    if (choice.weights !== undefined && !device.isPlanning) await openWeights(context, own, choice.weights);
    return new SftLoss(context, choice, training, own, own);
  }

  /** Makes the programs of a shape now, so that memory does not grow later. */
  async reserve(shape: PackedShape): Promise<void> {
    await this.programs.reserve(shape);
    await this.reference?.reserve(shape);
    await this.measuring?.reserve(shape);
  }

  /** Loss and entropies of sequences, which are this rank's share, under the weights that evaluations use; nothing is learnt from them. */
  async measure(sequences: readonly Sequence[]): Promise<Record<string, number>> {
    if (this.measuring === undefined) throw new RangeError('this run measures nothing');
    const own: Record<TargetClass, Sum> = { text: emptySum(), imageStart: emptySum(), image: emptySum() };
    for (const batch of this.cut(sequences)) {
      const { program, scored } = await this.measuring.prepare(batch);
      program.run();
      for (const kind of tokenKinds)
        if (scored[kind] !== undefined)
          this.addScores(await this.context.device.readFloats(scored[kind]), batch, kind, own);
    }
    const { sums } = await this.overRanks({ sums: own, divergence: 0, tokens: 0 });
    const targets = Object.values(sums).reduce((sum, { count }) => sum + count, 0);
    return { loss: weightedLoss(sums, classWeights({ ...this.choice, ramp: undefined }, 1), targets), ...means(sums) };
  }

  /** Adds the gradients of this rank's share of a batch, micro-batch by micro-batch. What is reported is of the whole batch. */
  async accumulate(sequences: readonly Sequence[], step: number): Promise<LossReport> {
    const batches = this.cut(sequences);
    const { communicator } = this.context;
    const counted = batches.reduce((sum, batch) => sum + batch.text.used + batch.image.used, 0);
    const all = await gatherJson(communicator, { targets: counted, batches: batches.length });
    const targets = all.reduce((sum, each) => sum + each.targets, 0);
    // Passes of a step are numbered through, rank by rank.
    const passes = all.reduce((sum, each) => sum + each.batches, 0);
    const earlier = all.slice(0, communicator.rank).reduce((sum, each) => sum + each.batches, 0);
    const weights = classWeights(this.choice, step);
    const own: Record<TargetClass, Sum> = { text: emptySum(), imageStart: emptySum(), image: emptySum() };
    let ownDivergence = 0;
    for (const [index, batch] of batches.entries()) {
      const program = await this.fill(batch, weights, targets);
      this.training.prepareDropout((step - 1) * passes + earlier + index);
      if (index < batches.length - 1) program.program.run();
      else await this.training.completeGradients(program.program);
      for (const kind of tokenKinds) ownDivergence += await this.addUp(program, batch, kind, own);
    }
    if (batches.length === 0) await this.training.completeGradients(undefined);
    const { sums, divergence, tokens } = await this.overRanks({
      sums: own,
      divergence: ownDivergence,
      tokens: batches.reduce((sum, batch) => sum + batch.usedTokens, 0),
    });
    const loss = weightedLoss(sums, weights, targets);
    const kl = divergence / targets;
    return {
      tokens,
      metrics: { loss: loss + this.choice.klWeight * kl, ...means(sums), ...(this.reference !== undefined && { kl }) },
    };
  }

  /** What made the first number that is none, in words: every micro-batch of the step is looked at again, launch by launch. */
  async findNonFinite(sequences: readonly Sequence[], step: number): Promise<string | undefined> {
    for (const batch of this.cut(sequences)) {
      const { program } = await this.fill(batch, classWeights(this.choice, step), 1);
      const found = await program.findNonFinite();
      if (found !== undefined) return `${found.kernel ?? 'an input'}, ${found.tensor}`;
    }
    return undefined;
  }

  /** What all ranks have measured, added up. */
  private async overRanks(own: Measured): Promise<Measured> {
    const flat = { divergence: own.divergence, tokens: own.tokens };
    const numbers = targetClasses.map((name) =>
      Object.entries(own.sums[name]).map(([key, value]): [string, number] => [`${name}/${key}`, value as number]),
    );
    const total = await sumOverRanks(this.context.communicator, { ...flat, ...Object.fromEntries(numbers.flat()) });
    const of = (name: string): number => total[name] ?? 0;
    const sum = (name: TargetClass): Sum => ({
      crossEntropy: of(`${name}/crossEntropy`),
      entropy: of(`${name}/entropy`),
      count: of(`${name}/count`),
    });
    return {
      sums: { text: sum('text'), imageStart: sum('imageStart'), image: sum('image') },
      divergence: of('divergence'),
      tokens: of('tokens'),
    };
  }

  async close(): Promise<void> {
    await this.programs.close();
    await this.reference?.close();
    await this.measuring?.close();
    this.ownReference?.close();
    this.context.device.destroyTensor(this.temperature.tensor);
  }

  private open(
    name: string,
    workspace: Workspace,
    parameters: ConstructorParameters<typeof TokenPrograms>[0]['parameters'],
    more: { readonly objective?: Objective; readonly recompute?: Recompute; readonly activations?: ActivationType },
  ): TokenPrograms {
    return new TokenPrograms({
      name,
      workspace,
      backbone: this.context.backbone,
      parameters,
      temperature: { text: this.temperature, image: this.temperature },
      ...more,
    });
  }

  private cut(sequences: readonly Sequence[]): PackedBatch[] {
    const micro = this.choice.microBatch ?? this.choice.batch;
    return Array.from({ length: Math.ceil(sequences.length / micro) }, (_, index) =>
      packSequences(sequences.slice(index * micro, (index + 1) * micro)),
    );
  }

  /** The program of a batch with everything in it that the host knows: weights, and what the reference thinks of each target. */
  private async fill(
    batch: PackedBatch,
    weights: Readonly<Record<TargetClass, number>>,
    targets: number,
  ): Promise<TokenProgram> {
    const { device } = this.context;
    const reference = await this.referenceOf(batch);
    const program = await this.programs.prepare(batch);
    for (const kind of tokenKinds) {
      const terms = program.objective[kind]?.inputs['terms'];
      if (terms === undefined) continue;
      const values = new Float32Array(sizeOf(terms.shape));
      const known = reference[kind];
      for (let i = 0; i < batch[kind].used; i++) {
        const row = i * columns.count;
        values[row + columns.weight] = weights[this.classOf(batch, kind, i)] / targets;
        if (known === undefined) continue;
        values[row + columns.reference] = at(known, i * scoredColumns.count + scoredColumns.logProbability);
        values[row + columns.divergence] = this.choice.klWeight / targets;
      }
      device.write(terms, values);
    }
    return program;
  }

  private async referenceOf(batch: PackedBatch): Promise<Partial<Record<TokenKind, Float32Array>>> {
    if (this.reference === undefined) return {};
    const { program, scored } = await this.reference.prepare(batch);
    program.run();
    const values: Partial<Record<TokenKind, Float32Array>> = {};
    for (const kind of tokenKinds)
      if (scored[kind] !== undefined) values[kind] = await this.context.device.readFloats(scored[kind]);
    return values;
  }

  /** Adds what a pass measured to the sums of its classes; returns the sum of its divergences. */
  private async addUp(
    { scored, objective: parts }: TokenProgram,
    batch: PackedBatch,
    kind: TokenKind,
    sums: Record<TargetClass, Sum>,
  ): Promise<number> {
    const values = scored[kind];
    const divergences = parts[kind]?.outputs['divergences'];
    if (values === undefined || divergences === undefined) return 0;
    const [numbers, apart] = (await this.context.device.read([values, divergences])) as [Float32Array, Float32Array];
    this.addScores(numbers, batch, kind, sums);
    return apart.subarray(0, batch[kind].used).reduce((sum, value) => sum + value, 0);
  }

  private addScores(numbers: Float32Array, batch: PackedBatch, kind: TokenKind, sums: Record<TargetClass, Sum>): void {
    for (let i = 0; i < batch[kind].used; i++) {
      const sum = sums[this.classOf(batch, kind, i)];
      const row = i * scoredColumns.count;
      sum.crossEntropy -= at(numbers, row + scoredColumns.logProbability);
      sum.entropy += at(numbers, row + scoredColumns.entropy);
      sum.count += 1;
    }
  }

  private classOf(batch: PackedBatch, kind: TokenKind, index: number): TargetClass {
    if (kind === 'image') return 'image';
    return batch.text.ids[index] === this.context.tokenizer.special.imageStart ? 'imageStart' : 'text';
  }
}

function objective(): Objective {
  return eachKind((tape, kind, scored) => {
    const terms = tape.device.tensor(`sft ${kind} terms`, [dimension(scored, 0), columns.count]);
    const { dOut, divergences } = likelihoodObjective(tape, scored, terms);
    return { dOut, inputs: { terms }, outputs: { divergences: tape.output(divergences) } };
  });
}

function weightedLoss(
  sums: Readonly<Record<TargetClass, Sum>>,
  weights: Readonly<Record<TargetClass, number>>,
  targets: number,
): number {
  return Object.entries(sums).reduce(
    (sum, [name, { crossEntropy }]) => sum + (weights[name as TargetClass] * crossEntropy) / targets,
    0,
  );
}

function emptySum(): Sum {
  return { crossEntropy: 0, entropy: 0, count: 0 };
}

/** By class, of those that occurred. */
function means(sums: Readonly<Record<TargetClass, Sum>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(sums).flatMap(([name, { crossEntropy, entropy, count }]) =>
      count === 0
        ? []
        : [
            [`${name}/crossEntropy`, crossEntropy / count],
            [`${name}/entropy`, entropy / count],
          ],
    ),
  );
}
