/** The updates of GRPO on one rollout: the clipped objective over text and image tokens, with entropy held by controllers. */
import type { RunContext } from '../contracts/recipe.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import type { Scalar } from '../gpu/device.ts';
import { packSequences, type PackedBatch, type Sequence } from '../nn/packing.ts';
import { TokenPrograms, type Objective, type TokenKind } from '../nn/token-program.ts';
import { policyObjective } from '../ops/policy-objective.ts';
import { EntropyController, type EntropyControllerState } from '../rl/entropy-controller.ts';
import type { Drawing } from './drawing.ts';
import type { GrpoOptions } from './grpo-options.ts';
import type { Group } from './grpo-rollout.ts';
import type { Training } from './training.ts';

const kinds = ['text', 'image'] as const;

interface Member {
  readonly drawing: Drawing;
  readonly advantage: number;
}

/** What the objective needs per target: old log-probability, advantage, and 1 where the policy chose the token itself. */
interface Terms {
  readonly old: Float32Array;
  readonly advantage: Float32Array;
  readonly mask: Float32Array;
  readonly counted: number;
}

/** Sums over all counted tokens of a step. */
interface Totals {
  entropy: Record<TokenKind, number>;
  count: Record<TokenKind, number>;
  clipped: number;
  difference: number;
  /** Largest difference of sampler and scorer before the first update. */
  largestDifference: number;
  norm: number;
}

export class GrpoUpdate {
  private readonly context: RunContext;
  private readonly choice: GrpoOptions;
  private readonly training: Training;
  private readonly programs: TokenPrograms;
  private readonly coefficients: Record<TokenKind, Scalar>;
  private readonly controllers: Partial<Record<TokenKind, EntropyController>>;

  constructor(context: RunContext, choice: GrpoOptions, training: Training) {
    const { device, backbone } = context;
    this.context = context;
    this.choice = choice;
    this.training = training;
    this.controllers = createControllers(choice);
    this.coefficients = { text: device.scalar('text entropy coefficient', 0), image: device.scalar('image entropy coefficient', 0) };
    // A greedy sampler (temperature 0) has no distribution to score: its tokens are scored at 1.
    const temperature = { text: device.scalar('text temperature', choice.textTemperature || 1), image: device.scalar('image temperature', choice.imageTemperature || 1) };
    this.programs = new TokenPrograms({ name: 'grpo', workspace: training.workspace, backbone, parameters: training.parameters, temperature, objective: this.objective() });
  }

  /** Takes `updates` updates, each on its share of the groups, and returns the step's metrics. */
  async apply(groups: readonly Group[], step: number): Promise<Record<string, number>> {
    const totals: Totals = { entropy: { text: 0, image: 0 }, count: { text: 0, image: 0 }, clipped: 0, difference: 0, largestDifference: 0, norm: 0 };
    const share = Math.ceil(groups.length / this.choice.updates);
    for (let start = 0; start < groups.length; start += share) {
      const members = groups.slice(start, start + share).flatMap(({ drawings, advantages }) => drawings.map((drawing, index): Member => ({ drawing, advantage: advantages[index] ?? 0 })));
      await this.applyOne(members, step, totals, start === 0);
    }
    return this.metrics(totals);
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

  close(): Promise<void> {
    return this.programs.close();
  }

  private async applyOne(members: readonly Member[], step: number, totals: Totals, isFirst: boolean): Promise<void> {
    const { device } = this.context;
    const batch = packSequences(members.map(({ drawing }) => this.sequence(drawing)));
    const { program, scored, objective } = await this.programs.prepare(batch);
    const terms = { text: this.terms(batch, 'text', members), image: this.terms(batch, 'image', members) };
    const counted = Math.max(1, terms.text.counted + terms.image.counted);
    for (const kind of kinds) {
      const inputs = objective[kind]?.inputs;
      if (inputs === undefined) continue;
      const { old, advantage, mask } = terms[kind];
      write(device, inputs['oldLogProbability'], old);
      write(device, inputs['advantage'], advantage);
      write(device, inputs['weight'], mask.map((value) => value / counted));
      // The objective is a mean over both kinds of token, the entropy term over its own: rescale the shared weight.
      this.coefficients[kind].set(((this.controllers[kind]?.coefficient ?? 0) * counted) / Math.max(1, terms[kind].counted));
    }
    program.run();
    this.training.applyUpdate(step);
    for (const kind of kinds) {
      const values = scored[kind];
      const stats = objective[kind]?.outputs['stats'];
      if (values === undefined || stats === undefined) continue;
      const [numbers, perToken] = (await device.read([values, stats])) as [Float32Array, Float32Array];
      this.addTotals(totals, kind, batch, terms[kind], numbers, perToken, isFirst);
    }
    const [norm = 0, wasApplied = 0] = await device.readFloats(this.training.report);
    this.training.checkUpdate(step, norm, wasApplied);
    totals.norm = Math.max(totals.norm, norm);
    if (isFirst) this.refuseDisagreement(totals.largestDifference, step);
  }

  private addTotals(totals: Totals, kind: TokenKind, batch: PackedBatch, { old, mask, counted }: Terms, scored: Float32Array, stats: Float32Array, isFirst: boolean): void {
    let entropy = 0;
    for (let i = 0; i < batch[kind].used; i++) {
      if (mask[i] === 0) continue;
      const difference = (scored[2 * i] ?? 0) - (old[i] ?? 0);
      entropy += scored[2 * i + 1] ?? 0;
      totals.difference += difference;
      totals.clipped += stats[4 * i + 1] ?? 0;
      if (isFirst) totals.largestDifference = Math.max(totals.largestDifference, Math.abs(difference));
    }
    totals.entropy[kind] += entropy;
    totals.count[kind] += counted;
    if (counted > 0) this.controllers[kind]?.update(entropy / counted);
  }

  private metrics({ entropy, count, clipped, difference, largestDifference, norm }: Totals): Record<string, number> {
    const counted = Math.max(1, count.text + count.image);
    const metrics: Record<string, number> = { gradientNorm: norm, clipFraction: clipped / counted, kl: -difference / counted, ratioDifference: largestDifference };
    for (const kind of kinds) {
      if (count[kind] > 0) metrics[`${kind}/entropy`] = entropy[kind] / count[kind];
      const controller = this.controllers[kind];
      if (controller !== undefined) metrics[`${kind}/entropyCoefficient`] = controller.coefficient;
    }
    return metrics;
  }

  private terms(batch: PackedBatch, kind: TokenKind, members: readonly Member[]): Terms {
    const targets = batch[kind];
    const old = new Float32Array(targets.count);
    const advantage = new Float32Array(targets.count);
    const mask = new Float32Array(targets.count);
    let counted = 0;
    for (let i = 0; i < targets.used; i++) {
      const member = members[targets.owner[i] ?? -1];
      if (member === undefined) throw new RangeError(`target ${i} belongs to no drawing`);
      const { promptIds, rationaleIds, imageStartForced, logProbability } = member.drawing.sequence;
      const index = (targets.position[i] ?? 0) - promptIds.length;
      const isForced = kind === 'text' && index === rationaleIds.length && imageStartForced;
      old[i] = logProbability[index] ?? 0;
      advantage[i] = member.advantage;
      mask[i] = isForced ? 0 : 1;
      counted += mask[i] ?? 0;
    }
    return { old, advantage, mask, counted };
  }

  private sequence({ sequence: { promptIds, rationaleIds, codes } }: Drawing): Sequence {
    const written = this.choice.rationale ? [...rationaleIds, this.context.tokenizer.special.imageStart] : [];
    return { text: [...promptIds, ...written], firstTarget: promptIds.length, codes, trailing: [] };
  }

  private objective(): Objective {
    const { device } = this.context;
    const clipLow = device.scalar('clip low', this.choice.clipLow);
    const clipHigh = device.scalar('clip high', this.choice.clipHigh);
    return (tape, kind, scored) => {
      const column = (name: string): ReturnType<typeof device.tensor> => device.tensor(`${kind} ${name}`, [scored.shape[0] ?? 0]);
      const inputs = { oldLogProbability: column('old log-probability'), advantage: column('advantage'), weight: column('weight') };
      const { dOut, stats } = policyObjective(tape, scored, inputs, { clipLow, clipHigh, entropyCoefficient: this.coefficients[kind] });
      return { dOut, inputs, outputs: { stats: tape.output(stats) } };
    };
  }

  private refuseDisagreement(difference: number, step: number): void {
    if (difference <= this.choice.ratioTolerance) return;
    throw new ReasongenError({
      code: 'SAMPLER_DISAGREES',
      message: `step ${step}: sampler and scorer log-probabilities of one token differ by ${difference.toExponential(2)} before any update (tolerance ${this.choice.ratioTolerance})`,
      cure: 'they must describe one distribution: train at guidance 1 with topK 0 and topP 1, or raise ratioTolerance knowingly',
      exitCode: exitCodes.guard,
    });
  }
}

function createControllers({ textEntropy, imageEntropy }: GrpoOptions): Partial<Record<TokenKind, EntropyController>> {
  const create = (options: GrpoOptions['textEntropy']): EntropyController | undefined =>
    options && new EntropyController({ target: options.target, learningRate: options.rate, minimum: -options.bound, maximum: options.bound });
  const [text, image] = [create(textEntropy), create(imageEntropy)];
  return { ...(text && { text }), ...(image && { image }) };
}

function write(device: RunContext['device'], tensor: Parameters<RunContext['device']['write']>[0] | undefined, values: Float32Array): void {
  if (tensor === undefined) throw new RangeError('the objective has no such input');
  device.write(tensor, values);
}
