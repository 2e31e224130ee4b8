/**
 * The updates of GRPO on one rollout: passes over its groups, each cut into mini-batches (one optimizer update each), each cut into
 * micro-batches (one forward and backward pass each). Means are taken over a whole mini-batch, however it is cut.
 */
import type { RunContext } from '../../contracts/recipe.ts';
import { tokenKinds, TokenPrograms, type TokenKind, type TokenProgram } from '../../nn/token-program.ts';
import type { PackedShape } from '../../nn/packed-shape.ts';
import type { PackedBatch } from '../../nn/packing.ts';
import { EntropyController, type EntropyControllerState } from '../../rl/entropy-controller.ts';
import type { KlController } from '../../rl/kl-controller.ts';
import { policyColumns } from '../../ops/policy-objective.ts';
import { at } from '../../tensor/at.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import {
  denominators,
  packCompletions,
  scaledEntropyCoefficient,
  sequenceRanges,
  targetTables,
  type Denominators,
  type KnownProbabilities,
  type Completion,
  type TargetTables,
} from './completions.ts';
import { aggregationOf, grpoObjective, writeSettings } from './objective.ts';
import type { GrpoOptions } from './options.ts';
import { scoringOptions } from './scorer.ts';
import { drawingsAtOnce } from './sizes.ts';
import type { Communicator } from '../../contracts/communicator.ts';
import { gatherJson, shareOf, sumOverRanks } from '../../ranks/shares.ts';
import type { Guards } from '../../training/guards.ts';
import { recomputeOf } from '../../training/options.ts';
import type { Training } from '../../training/training.ts';

/** Drawings of a step with what is known of them. */
export interface Batch extends KnownProbabilities {
  /** Group by group. */
  readonly groups: readonly (readonly Completion[])[];
}

/** Sums over counted tokens. */
interface Sums {
  readonly entropy: Record<TokenKind, number>;
  clipped: number;
  difference: number;
  divergence: number;
  /** Largest difference of sampler and scorer before the first update. */
  largestDifference: number;
}

/** Of a step. */
interface Totals extends Sums {
  readonly count: Record<TokenKind, number>;
  norm: number;
}

/** A mini-batch or a micro-batch. */
interface CompletionBatch {
  readonly completions: readonly Completion[];
  readonly known: KnownProbabilities;
}

/** A micro-batch on the device. */
interface Filled {
  readonly program: TokenProgram;
  readonly batch: PackedBatch;
  readonly tables: Readonly<Record<TokenKind, TargetTables>>;
}

export class GrpoUpdate {
  private readonly context: RunContext;
  private readonly choice: GrpoOptions;
  private readonly training: Training;
  private readonly guards: Guards;
  private readonly kl: KlController | undefined;
  private readonly programs: TokenPrograms;
  private readonly settings: Readonly<Record<TokenKind, Tensor>>;
  private readonly controllers: Partial<Record<TokenKind, EntropyController>>;

  /** `kl`: the controller of a divergence in the loss. */
  constructor(
    context: RunContext,
    choice: GrpoOptions,
    training: Training,
    guards: Guards,
    kl: KlController | undefined,
  ) {
    const { device } = context;
    this.context = context;
    this.choice = choice;
    this.training = training;
    this.guards = guards;
    this.kl = kl;
    this.controllers = createControllers(choice);
    this.settings = {
      text: device.tensor('text policy settings', [policyColumns.settings.count]),
      image: device.tensor('image policy settings', [policyColumns.settings.count]),
    };
    const objective = grpoObjective(device, choice, this.settings, drawingsAtOnce(choice, context.communicator));
    this.programs = new TokenPrograms({
      name: 'grpo',
      workspace: training.workspace,
      parameters: training.weights,
      ...scoringOptions(context, choice),
      objective,
      recompute: recomputeOf(choice),
      activations: choice.activations,
    });
  }

  /** Takes the updates of a step and returns its metrics. */
  async apply(batch: Batch, step: number): Promise<Record<string, number>> {
    const totals: Totals = { ...emptySums(), count: { text: 0, image: 0 }, norm: 0 };
    for (let epoch = 0; epoch < this.choice.epochs; epoch++) {
      for (const [index, miniBatch] of miniBatches(batch, this.choice.miniBatches).entries())
        await this.applyOne(miniBatch, step, totals, epoch === 0 && index === 0);
    }
    const counted = Math.max(1, totals.count.text + totals.count.image);
    const drawings = batch.groups.reduce((sum, group) => sum + group.length, 0);
    this.kl?.update(totals.divergence / counted, drawings);
    return { ...this.metrics(totals, counted), ...this.training.operands.take(step) };
  }

  /** Makes the program of a shape now. */
  reserve(shape: PackedShape): Promise<void> {
    return this.programs.reserve(shape);
  }

  get state(): Record<string, EntropyControllerState> {
    return Object.fromEntries(Object.entries(this.controllers).map(([kind, controller]) => [kind, controller.state()]));
  }

  restore(state: Readonly<Record<string, EntropyControllerState>>): void {
    for (const [kind, controller] of Object.entries(this.controllers)) {
      const saved = state[kind];
      if (saved !== undefined) controller.restore(saved);
    }
  }

  async close(): Promise<void> {
    await this.programs.close();
    for (const tensor of Object.values(this.settings)) this.context.device.destroyTensor(tensor);
  }

  private async applyOne(miniBatch: CompletionBatch, step: number, totals: Totals, isFirst: boolean): Promise<void> {
    const by = denominators(miniBatch.completions, this.choice);
    for (const kind of tokenKinds) this.writeSettings(kind, by);
    const { communicator } = this.context;
    const parts = microBatches(shareOfBatch(miniBatch, communicator), drawingsAtOnce(this.choice, communicator));
    const own = emptySums();
    for (const [index, part] of parts.entries())
      await this.accumulate(part, by, own, isFirst ? step : undefined, index === parts.length - 1);
    if (parts.length === 0) await this.training.completeGradients(undefined);
    const { entropy, largestDifference, ...sums } = await overRanks(own, communicator);
    for (const name of ['clipped', 'difference', 'divergence'] as const) totals[name] += sums[name];
    totals.largestDifference = Math.max(totals.largestDifference, largestDifference);
    if (isFirst) this.compareWithSampler(totals.largestDifference, step);
    await this.training.applyUpdate(step);
    const [norm = 0, wasApplied = 0] = await this.context.device.readFloats(this.training.report);
    await this.training.checkUpdate(step, norm, wasApplied, () => this.findNonFinite(parts, by));
    totals.norm = Math.max(totals.norm, norm);
    for (const kind of tokenKinds) {
      const count = by.counted[kind];
      totals.entropy[kind] += entropy[kind];
      totals.count[kind] += count;
      // Once per update with the mean of all its micro-batches: the published controllers move at every micro-batch of every rank.
      if (count > 0) this.controllers[kind]?.update(entropy[kind] / count);
    }
  }

  /** Adds the gradients of one micro-batch, those of the update if it is the last, and its numbers. `freshStep`: before the first update, the step whose drawings the policy has just made. */
  private async accumulate(
    part: CompletionBatch,
    by: Denominators,
    own: Sums,
    freshStep: number | undefined,
    isLast: boolean,
  ): Promise<void> {
    const { program, batch, tables } = await this.fill(part, by);
    if (isLast) await this.training.completeGradients(program.program);
    else program.program.run();
    const present = tokenKinds.flatMap((kind) => {
      const values = program.scored[kind];
      const stats = program.objective[kind]?.outputs['stats'];
      return values === undefined || stats === undefined ? [] : [{ kind, values, stats }];
    });
    const read = await this.context.device.read(present.flatMap(({ values, stats }) => [values, stats]));
    for (const [index, { kind }] of present.entries()) {
      const [scored, perToken] = [at(read, 2 * index), at(read, 2 * index + 1)];
      const { terms, weights } = tables[kind];
      const { scored: score, terms: term, weights: weight, stats: stat } = policyColumns;
      for (let i = 0; i < batch[kind].used; i++) {
        if (at(weights, weight.count * i + weight.counted) === 0) continue;
        const difference = at(scored, score.count * i + score.logProbability) - at(terms, term.count * i + term.old);
        own.entropy[kind] += at(scored, score.count * i + score.entropy);
        own.difference += difference;
        own.clipped += at(perToken, stat.count * i + stat.clipped);
        own.divergence += at(perToken, stat.count * i + stat.divergence);
        // What an earlier step drew was drawn by another policy.
        const isFresh = at(part.completions, at(batch[kind].owner, i)).step === freshStep;
        if (isFresh) own.largestDifference = Math.max(own.largestDifference, Math.abs(difference));
      }
    }
  }

  private async fill(part: CompletionBatch, by: Denominators): Promise<Filled> {
    const { device, tokenizer } = this.context;
    const batch = packCompletions(part.completions, tokenizer, this.choice);
    const program = await this.programs.prepare(batch);
    const tables = { text: this.tables(batch, 'text', part, by), image: this.tables(batch, 'image', part, by) };
    for (const kind of tokenKinds) {
      const inputs = program.objective[kind]?.inputs;
      if (inputs === undefined) continue;
      const { terms, weights } = tables[kind];
      write(device, inputs['terms'], terms);
      write(device, inputs['weights'], weights);
      if (inputs['ranges'] !== undefined)
        device.write(
          inputs['ranges'],
          sequenceRanges(batch, part.completions.length, drawingsAtOnce(this.choice, this.context.communicator)),
        );
    }
    return { program, batch, tables };
  }

  private tables(batch: PackedBatch, kind: TokenKind, part: CompletionBatch, by: Denominators): TargetTables {
    return targetTables(batch, kind, part.completions, part.known, by, aggregationOf(this.choice), this.choice);
  }

  private writeSettings(kind: TokenKind, by: Denominators): void {
    const { clipLow, clipHigh, dualClip = 0, textEntropyCoefficient, imageEntropyCoefficient } = this.choice;
    const fixed = kind === 'text' ? textEntropyCoefficient : imageEntropyCoefficient;
    const entropyCoefficient = scaledEntropyCoefficient(this.controllers[kind]?.coefficient ?? fixed, kind, by);
    writeSettings(this.context.device, this.settings[kind], {
      clipLow,
      clipHigh,
      dualClip,
      entropyCoefficient,
      klCoefficient: this.kl?.coefficient ?? 0,
    });
  }

  private metrics(
    { entropy, count, clipped, difference, divergence, largestDifference, norm }: Totals,
    counted: number,
  ): Record<string, number> {
    const metrics: Record<string, number> = {
      gradientNorm: norm,
      clipFraction: clipped / counted,
      kl: -difference / counted,
      ratioDifference: largestDifference,
    };
    for (const kind of tokenKinds) {
      if (count[kind] > 0) metrics[`${kind}/entropy`] = entropy[kind] / count[kind];
      const controller = this.controllers[kind];
      if (controller !== undefined) metrics[`${kind}/entropyCoefficient`] = controller.coefficient;
    }
    if (this.kl !== undefined)
      Object.assign(metrics, { referenceKl: divergence / counted, klCoefficient: this.kl.coefficient });
    return metrics;
  }

  /** The kernel that made the first number that is none, in words; looks at the micro-batches of an update again, one after the other. */
  private async findNonFinite(parts: readonly CompletionBatch[], by: Denominators): Promise<string | undefined> {
    for (const part of parts) {
      const { program } = await this.fill(part, by);
      const found = await program.program.findNonFinite();
      if (found !== undefined) return `${found.kernel ?? 'an input'}, ${found.tensor}`;
    }
    return undefined;
  }

  private compareWithSampler(difference: number, step: number): void {
    const { ratioTolerance } = this.choice;
    if (difference <= ratioTolerance) return;
    this.guards.trip('ratio', samplerDisagrees(difference, ratioTolerance, step));
  }
}

/** What to say when sampler and scorer describe different distributions. */
export function samplerDisagrees(
  difference: number,
  tolerance: number,
  step: number,
): { code: string; message: string; hint: string } {
  return {
    code: 'SAMPLER_DISAGREES',
    message: `step ${step}: sampler and scorer log-probabilities of one token differ by ${difference.toExponential(2)} before any update (tolerance ${tolerance})`,
    hint: 'they must describe one distribution: look at logitClamp and at what the backbone does while it draws, or raise ratioTolerance knowingly',
  };
}

/** The groups cut into `count` mini-batches, the last ones smaller or missing when there are few groups. */
function miniBatches({ groups, old, reference, importance }: Batch, count: number): CompletionBatch[] {
  const size = Math.ceil(groups.length / count);
  const result: CompletionBatch[] = [];
  let first = 0;
  for (let start = 0; start < groups.length; start += size) {
    const completions = groups.slice(start, start + size).flat();
    result.push({
      completions,
      known: {
        old: old.slice(first, first + completions.length),
        reference: reference?.slice(first, first + completions.length),
        importance: importance?.slice(first, first + completions.length),
      },
    });
    first += completions.length;
  }
  return result;
}

/** What of a mini-batch a rank learns from. */
function shareOfBatch({ completions, known }: CompletionBatch, communicator: Communicator): CompletionBatch {
  const share = <Value>(list: readonly Value[]): readonly Value[] => shareOf(list, communicator);
  return {
    completions: share(completions),
    known: {
      old: share(known.old),
      reference: known.reference && share(known.reference),
      importance: known.importance && share(known.importance),
    },
  };
}

function emptySums(): Sums {
  return { entropy: { text: 0, image: 0 }, clipped: 0, difference: 0, divergence: 0, largestDifference: 0 };
}

/** What all ranks have summed up, added in their order. */
async function overRanks({ entropy, largestDifference, ...own }: Sums, communicator: Communicator): Promise<Sums> {
  if (communicator.size === 1) return { entropy, largestDifference, ...own };
  const { text = 0, image = 0, ...sums } = await sumOverRanks(communicator, { ...entropy, ...own });
  const largest = await gatherJson(communicator, String(largestDifference));
  return {
    entropy: { text, image },
    clipped: sums['clipped'] ?? 0,
    difference: sums['difference'] ?? 0,
    divergence: sums['divergence'] ?? 0,
    largestDifference: Math.max(...largest.map(Number)),
  };
}

/** A mini-batch cut into what one forward and backward pass takes. */
function microBatches(
  { completions, known: { old, reference, importance } }: CompletionBatch,
  size: number,
): CompletionBatch[] {
  return Array.from({ length: Math.ceil(completions.length / size) }, (_, index): CompletionBatch => {
    const [start, end] = [index * size, (index + 1) * size];
    return {
      completions: completions.slice(start, end),
      known: {
        old: old.slice(start, end),
        reference: reference?.slice(start, end),
        importance: importance?.slice(start, end),
      },
    };
  });
}

function createControllers({ textEntropy, imageEntropy }: GrpoOptions): Partial<Record<TokenKind, EntropyController>> {
  const create = (options: GrpoOptions['textEntropy']): EntropyController | undefined =>
    options &&
    new EntropyController({
      target: options.target,
      learningRate: options.rate,
      minimum: -options.bound,
      maximum: options.bound,
      initial: options.initial,
    });
  const [text, image] = [create(textEntropy), create(imageEntropy)];
  return { ...(text && { text }), ...(image && { image }) };
}

function write(device: RunContext['device'], tensor: Tensor | undefined, values: Float32Array): void {
  if (tensor === undefined) throw new RangeError('the objective has no such input');
  device.write(tensor, values);
}
