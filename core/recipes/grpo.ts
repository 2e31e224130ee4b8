/**
 * Group relative policy optimisation of rationale and picture together (ReasonGen-R1 §3.3; GRPO: Shao et al. 2024).
 * A step: draw every prompt group-size times, judge, keep the groups that disagree, turn rewards into advantages within
 * each group, and take a few clipped updates on what was drawn.
 *
 * On purpose different from the published code:
 * 1. Temperatures and guidance are scalars shared by sampler and scorer; the largest difference of their log-probabilities
 *    is measured at every step and stops the run when it is not rounding.
 * 2. A forced image start carries no loss and no entropy; nothing is appended after the picture.
 * 3. Pass rate and reward are logged before groups are filtered, so the curves show the policy, not the filter.
 * 4. When too few groups survive the budget the batch shrinks with a warning; a run is never thrown away.
 * 5. Entropy controllers are one per run and part of the checkpoint.
 * 6. The first update has the learning rate its schedule says, not zero.
 */
import type { PromptItem } from '../contracts/dataset.ts';
import type { Judgement } from '../contracts/hooks.ts';
import type { Plan, PlanContext, Recipe, RunContext } from '../contracts/recipe.ts';
import type { Scalar } from '../gpu/device.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import { packSequences, type PackedBatch, type Sequence } from '../nn/packing.ts';
import { TokenPrograms, type Objective, type TokenKind } from '../nn/token-program.ts';
import { policyObjective } from '../ops/policy-objective.ts';
import { defineRecipe, inputFile, z } from '../plugin.ts';
import { groupAdvantages } from '../rl/advantages.ts';
import { EntropyController } from '../rl/entropy-controller.ts';
import { GroupCollector } from '../rl/groups.ts';
import { scoreSamples } from '../rl/score.ts';
import { Drawer, samplingOptions, type Drawing } from './drawing.ts';
import { evaluate, evaluateItems, summarise } from './evaluate.ts';
import { memoryPlan } from './memory.ts';
import { saveSamples } from './samples.ts';
import { scheduleOptions } from './schedule.ts';
import { Training } from './training.ts';

const controllerOptions = z.strictObject({
  target: z.number().positive().describe('entropy to hold, in nats per token'),
  rate: z.number().positive().default(2e-3).describe('learning rate of the controller'),
  bound: z.number().positive().default(0.03).describe('largest coefficient, either sign'),
});

const options = z.strictObject({
  weights: inputFile().optional().describe('checkpoint, run folder or safetensors file to start from'),
  steps: z.number().int().positive().describe('rollouts; each is followed by `updates` optimizer updates'),
  prompts: z.number().int().positive().default(16).describe('prompts per step'),
  samples: z.number().int().min(2).default(8).describe('drawings per prompt: the group'),
  updates: z.number().int().positive().default(2).describe('optimizer updates per rollout, each on its share of the groups'),
  pool: z.number().int().nonnegative().default(0).describe('train on this many fixed prompts; 0 takes fresh ones at every step'),
  tasks: z.array(z.string()).optional().describe('only prompts of these tasks'),
  refillRounds: z.number().int().nonnegative().default(1).describe('further rollouts a step may use to replace groups without variance'),
  clipLow: z.number().positive().default(0.2).describe('the ratio is clipped at 1 - clipLow'),
  clipHigh: z.number().positive().default(0.2).describe('and at 1 + clipHigh'),
  normalise: z.boolean().default(true).describe('divide advantages by the standard deviation of their group (false: Dr. GRPO)'),
  textEntropy: controllerOptions.optional().describe('adaptive entropy control of text tokens; off when absent'),
  imageEntropy: controllerOptions.optional().describe('adaptive entropy control of image codes; off when absent'),
  promptTokens: z.number().int().positive().default(24).describe('longest prompt in tokens, special tokens included'),
  saveEvery: z.number().int().positive().default(50).describe('steps between checkpoints; the last step always saves'),
  keep: z.number().int().positive().default(2).describe('checkpoints kept'),
  samplesEvery: z.number().int().nonnegative().default(10).describe('steps between saved samples; 0 saves none'),
  samplesShown: z.number().int().positive().default(16).describe('drawings saved each time'),
  evaluations: z.number().int().nonnegative().default(0).describe('prompts per evaluation, before the first step and after the last; 0 evaluates not at all'),
  evaluateEvery: z.number().int().nonnegative().default(0).describe('steps between evaluations in between; 0 has none'),
  evaluationSeed: z.number().int().nonnegative().default(1000).describe('seed of evaluation prompts and pictures'),
  constantRewardWindow: z.number().int().positive().default(20).describe('stop when no group has had variance for this many steps'),
  ratioTolerance: z.number().positive().default(0.02).describe('stop when sampler and scorer log-probabilities differ by more at the first update'),
  ...samplingOptions,
  ...scheduleOptions,
});

type GrpoOptions = z.output<typeof options>;

export const grpo = defineRecipe({
  name: 'grpo',
  summary: 'group relative policy optimisation of rationale and picture with a judge as reward',
  options,
  needs: ['tokenizer', 'imageTokenizer', 'backbone', 'dataset', 'reward', 'optimizer'],
  create: (choice): Recipe => ({
    plan: (context) => planGrpo(context, choice),
    run: (context) => new GrpoRun(context, choice).run(),
  }),
});

function planGrpo(context: PlanContext, choice: GrpoOptions): Plan {
  const codes = context.imageTokenizer.grid.rows * context.imageTokenizer.grid.columns;
  const rows = choice.prompts * choice.samples;
  const capacity = choice.promptTokens + (choice.rationale ? choice.rationaleTokens : 1) + codes;
  const perUpdate = Math.ceil(choice.prompts / choice.updates) * choice.samples;
  return memoryPlan(context, {
    tokens: perUpdate * capacity,
    trained: true,
    sampler: { rows: rows * (choice.guidance === 1 ? 1 : 2), capacity },
    lines: [
      `${choice.prompts} prompts x ${choice.samples} samples = ${rows} drawings a step, ${choice.steps} steps`,
      `${choice.updates} updates per rollout, each on at most ${perUpdate} drawings of at most ${capacity} tokens (${codes} of them image codes)`,
      choice.pool > 0 ? `a pool of ${choice.pool} fixed prompts` : 'fresh prompts at every step',
    ],
  });
}

/** One group: a prompt's drawings with their judgements and advantages. */
interface Group {
  readonly drawings: readonly Drawing[];
  readonly judgements: readonly Judgement[];
  readonly advantages: readonly number[];
}

interface Rollout {
  readonly groups: readonly Group[];
  readonly kept: readonly Group[];
  readonly rounds: number;
}

/** What a checkpoint keeps beside weights and optimizer. */
type GrpoState = {
  readonly step: number;
  readonly position: number;
  readonly stepsWithoutSignal: number;
  readonly controllers: Readonly<Record<string, { readonly psi: number; readonly firstMoment: number; readonly secondMoment: number; readonly updates: number }>>;
};

interface UpdateNumbers {
  readonly sums: Record<TokenKind, { entropy: number; count: number }>;
  clipped: number;
  kl: number;
  counted: number;
  largestDifference: number;
}

class GrpoRun {
  private readonly context: RunContext;
  private readonly choice: GrpoOptions;
  private readonly controllers: Partial<Record<TokenKind, EntropyController>> = {};
  private readonly pool: PromptItem[] = [];
  /** Prompts taken from the stream so far: the data position of the checkpoint. */
  private position = 0;
  private stepsWithoutSignal = 0;

  constructor(context: RunContext, choice: GrpoOptions) {
    this.context = context;
    this.choice = choice;
    for (const [kind, options] of [['text', choice.textEntropy], ['image', choice.imageEntropy]] as const) {
      if (options !== undefined) this.controllers[kind] = new EntropyController({ target: options.target, learningRate: options.rate, minimum: -options.bound, maximum: options.bound });
    }
  }

  async run(): Promise<void> {
    const { context, choice } = this;
    const { device, log, stop, hooks, directory } = context;
    const { training, state } = await Training.open(context, context.backbone.parameters, choice);
    this.restore(state);
    const first = (state?.step ?? 0) + 1;
    const drawer = await Drawer.open(context, training.parameters, training.workspace, { sampling: choice, prompts: choice.prompts, samplesPerPrompt: choice.samples, promptTokens: choice.promptTokens });
    const scalars = { text: device.scalar('text entropy coefficient', 0), image: device.scalar('image entropy coefficient', 0) };
    const programs = new TokenPrograms({
      name: 'grpo',
      workspace: training.workspace,
      backbone: context.backbone,
      parameters: training.parameters,
      temperature: { text: device.scalar('text temperature', choice.textTemperature || 1), image: device.scalar('image temperature', choice.imageTemperature || 1) },
      objective: this.objective(scalars),
    });
    if (state === undefined) await this.evaluate(training, 'before', 0);
    const progress = log.progress('GRPO', choice.steps, { done: first - 1 });
    for (let step = first; step <= choice.steps; step++) {
      const started = performance.now();
      const rollout = await this.rollout(drawer, step);
      const sampled = performance.now();
      const numbers = rollout.kept.length > 0 ? await this.update(training, programs, scalars, rollout.kept, step) : undefined;
      const metrics = { ...this.describe(rollout, numbers, step), learningRate: training.learningRate(step), secondsSampling: (sampled - started) / 1000, secondsTraining: (performance.now() - sampled) / 1000 };
      directory.metrics.append({ step, ...metrics });
      await hooks.step({ step, metrics });
      if (choice.samplesEvery > 0 && (step % choice.samplesEvery === 0 || step === 1)) await this.keepSamples(step, rollout);
      progress.advance(1, `reward ${metrics.reward.toFixed(2)}`);
      if (step % choice.saveEvery === 0 || step === choice.steps || stop.requested) await training.save(this.state(step));
      if (stop.requested) break;
      if (choice.evaluateEvery > 0 && step % choice.evaluateEvery === 0 && step < choice.steps) await this.evaluate(training, `step-${String(step).padStart(6, '0')}`, step);
    }
    progress.end();
    if (!stop.requested) await this.evaluate(training, 'after', choice.steps);
    drawer.close();
    await programs.close();
    await training.close();
  }

  /** Draws and judges until enough groups disagree or the budget of rounds is spent. */
  private async rollout(drawer: Drawer, step: number): Promise<Rollout> {
    const { context, choice } = this;
    const collector = new GroupCollector<Group>({
      wanted: choice.prompts,
      rounds: choice.refillRounds + 1,
      hasSignal: ({ advantages }) => advantages.some((value) => value !== 0),
    });
    do {
      const { items } = await context.hooks.batch({ step, items: this.nextPrompts(choice.prompts) });
      const round = collector.rounds;
      const drawings = await drawer.draw(items, seedOf(context.seed, step, round), `step-${step}-${round}`);
      const samples = drawings.map(({ sample }) => sample);
      await context.hooks.rollout({ step, groupSize: choice.samples, samples });
      const scored = await scoreSamples(context.rewards, samples, context.signal);
      const { judgements } = await context.hooks.rewards({ step, groupSize: choice.samples, samples, judgements: scored });
      const rewards = judgements.map(({ total }) => total);
      const computed = groupAdvantages(rewards, choice.samples, { estimator: 'grpo', normalise: choice.normalise });
      const { advantages } = context.hooks.advantages({ step, groupSize: choice.samples, samples, judgements, advantages: computed });
      collector.offer(
        items.map((_, index): Group => {
          const [start, end] = [index * choice.samples, (index + 1) * choice.samples];
          return { drawings: drawings.slice(start, end), judgements: judgements.slice(start, end), advantages: advantages.slice(start, end) };
        }),
      );
    } while (collector.needsMore && !context.stop.requested);
    this.guardSignal(collector, step);
    return { groups: collector.all, kept: collector.kept, rounds: collector.rounds };
  }

  private async update(training: Training, programs: TokenPrograms, coefficients: Record<TokenKind, Scalar>, kept: readonly Group[], step: number): Promise<UpdateNumbers & { norm: number }> {
    const { context, choice } = this;
    const numbers: UpdateNumbers = { sums: { text: { entropy: 0, count: 0 }, image: { entropy: 0, count: 0 } }, clipped: 0, kl: 0, counted: 0, largestDifference: 0 };
    const perUpdate = Math.ceil(kept.length / choice.updates);
    let norm = 0;
    for (let update = 0; update * perUpdate < kept.length; update++) {
      const groups = kept.slice(update * perUpdate, (update + 1) * perUpdate);
      const members = groups.flatMap((group) => group.drawings.map((drawing, index) => ({ drawing, advantage: group.advantages[index] ?? 0 })));
      const batch = packSequences(members.map(({ drawing }) => this.sequence(drawing)));
      const program = await programs.prepare(batch);
      const terms = { text: this.terms(batch, 'text', members), image: this.terms(batch, 'image', members) };
      const counted = terms.text.counted + terms.image.counted;
      for (const kind of ['text', 'image'] as const) {
        const inputs = program.objective[kind]?.inputs;
        if (inputs === undefined) continue;
        const { old, advantage, mask } = terms[kind];
        context.device.write(required(inputs, 'oldLogProbability'), old);
        context.device.write(required(inputs, 'advantage'), advantage);
        context.device.write(required(inputs, 'weight'), mask.map((value) => value / Math.max(1, counted)));
        // The entropy term is a mean over its own kind, the objective a mean over both: rescale the shared weight.
        coefficients[kind].set(((this.controllers[kind]?.coefficient ?? 0) * counted) / Math.max(1, terms[kind].counted));
      }
      program.program.run();
      training.applyUpdate(step);
      for (const kind of ['text', 'image'] as const) {
        const scored = program.scored[kind];
        const stats = program.objective[kind]?.outputs['stats'];
        if (scored === undefined || stats === undefined) continue;
        const [values, tokenStats] = (await context.device.read([scored, stats])) as [Float32Array, Float32Array];
        const { old, mask } = terms[kind];
        let entropy = 0;
        for (let i = 0; i < batch[kind].used; i++) {
          if (mask[i] === 0) continue;
          const difference = (values[2 * i] ?? 0) - (old[i] ?? 0);
          entropy += values[2 * i + 1] ?? 0;
          numbers.kl -= difference;
          numbers.clipped += tokenStats[4 * i + 1] ?? 0;
          if (update === 0) numbers.largestDifference = Math.max(numbers.largestDifference, Math.abs(difference));
        }
        numbers.sums[kind].entropy += entropy;
        numbers.sums[kind].count += terms[kind].counted;
        numbers.counted += terms[kind].counted;
        if (terms[kind].counted > 0) this.controllers[kind]?.update(entropy / terms[kind].counted);
      }
      const [updateNorm = 0, wasApplied = 0] = await context.device.readFloats(training.report);
      training.checkUpdate(step, updateNorm, wasApplied);
      norm = Math.max(norm, updateNorm);
      if (update === 0) this.guardRatio(numbers.largestDifference, step);
    }
    return { ...numbers, norm };
  }

  /** What the objective needs per target: old log-probability, advantage, and 1 where the policy chose the token. */
  private terms(batch: PackedBatch, kind: TokenKind, members: readonly { drawing: Drawing; advantage: number }[]): { old: Float32Array; advantage: Float32Array; mask: Float32Array; counted: number } {
    const targets = batch[kind];
    const old = new Float32Array(targets.count);
    const advantage = new Float32Array(targets.count);
    const mask = new Float32Array(targets.count);
    let counted = 0;
    for (let i = 0; i < targets.used; i++) {
      const member = members[targets.owner[i] ?? -1];
      if (member === undefined) throw new RangeError(`target ${i} belongs to no drawing`);
      const { sequence } = member.drawing;
      const index = (targets.position[i] ?? 0) - sequence.promptIds.length;
      const isForcedStart = kind === 'text' && index === sequence.rationaleIds.length && sequence.imageStartForced;
      old[i] = sequence.logProbability[index] ?? 0;
      advantage[i] = member.advantage;
      mask[i] = isForcedStart ? 0 : 1;
      counted += mask[i] ?? 0;
    }
    return { old, advantage, mask, counted };
  }

  private sequence({ sequence }: Drawing): Sequence {
    const { promptIds, rationaleIds, codes } = sequence;
    if (!this.choice.rationale) return { text: promptIds, firstTarget: promptIds.length, codes, trailing: [] };
    const text = [...promptIds, ...rationaleIds, this.context.tokenizer.special.imageStart];
    return { text, firstTarget: promptIds.length, codes, trailing: [] };
  }

  private objective(coefficients: Record<TokenKind, Scalar>): Objective {
    const { device } = this.context;
    const clipLow = device.scalar('clip low', this.choice.clipLow);
    const clipHigh = device.scalar('clip high', this.choice.clipHigh);
    return (tape, kind, scored) => {
      const count = scored.shape[0] ?? 0;
      const inputs = {
        oldLogProbability: device.tensor(`${kind} old log-probability`, [count]),
        advantage: device.tensor(`${kind} advantage`, [count]),
        weight: device.tensor(`${kind} weight`, [count]),
      };
      const { dOut, stats } = policyObjective(tape, scored, inputs, { clipLow, clipHigh, entropyCoefficient: coefficients[kind] });
      return { dOut, inputs, outputs: { stats: tape.output(stats) } };
    };
  }

  /** A pool is the head of the stream, visited in turn; otherwise every prompt is new. */
  private nextPrompts(count: number): PromptItem[] {
    const items: PromptItem[] = [];
    while (items.length < count) {
      const [item, next] = this.choice.pool > 0 ? [this.poolItem(this.position), this.position + 1] : this.promptFrom(this.position);
      items.push(item);
      this.position = next;
    }
    return items;
  }

  private poolItem(index: number): PromptItem {
    for (let next = 0; this.pool.length < this.choice.pool; ) {
      const [item, after] = this.promptFrom(next);
      if (!this.pool.some(({ prompt }) => prompt === item.prompt)) this.pool.push(item);
      next = after;
    }
    const item = this.pool[index % this.choice.pool];
    if (item === undefined) throw new RangeError('the pool is empty');
    return item;
  }

  /** The first prompt of the stream at or after `position` that belongs to a wanted task, and the position behind it. */
  private promptFrom(position: number): [PromptItem, number] {
    const { context, choice } = this;
    for (let index = position; index < position + 10_000; index++) {
      const item = context.dataset.prompt(index, context.seed, 'seen');
      if (choice.tasks === undefined || choice.tasks.includes(item.task)) return [item, index + 1];
    }
    throw new ReasongenError({
      code: 'NO_PROMPTS',
      message: `none of 10000 prompts belongs to the tasks ${choice.tasks?.join(', ')}`,
      cure: `the dataset has: ${context.dataset.tasks.join(', ')}`,
      exitCode: exitCodes.badPreset,
    });
  }

  private async evaluate(training: Training, label: string, step: number): Promise<void> {
    const { context, choice } = this;
    if (choice.evaluations === 0) return;
    const sampling = { ...choice };
    const drawer = await Drawer.open(context, training.parameters, training.workspace, { sampling, prompts: choice.prompts * choice.samples, samplesPerPrompt: 1, promptTokens: choice.promptTokens });
    for (const named of context.benchmarks) {
      const plan = { label, step, seed: choice.evaluationSeed, pictures: 24 };
      if (choice.pool > 0) {
        const items = Array.from({ length: choice.evaluations }, (_, index) => this.poolItem(index));
        context.log.info(summarise(await evaluateItems(context, drawer, named, sampling, { ...plan, split: 'pool' }, items)));
      }
      context.log.info(summarise(await evaluate(context, drawer, named, sampling, { ...plan, split: 'heldout', count: choice.evaluations })));
    }
    drawer.close();
  }

  private describe({ groups, kept, rounds }: Rollout, numbers: (UpdateNumbers & { norm: number }) | undefined, step: number): Record<string, number> & { reward: number } {
    const judgements = groups.flatMap((group) => group.judgements);
    const drawings = groups.flatMap((group) => group.drawings);
    const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
    const metrics: Record<string, number> & { reward: number } = {
      reward: mean(judgements.map(({ total }) => total)),
      keptShare: kept.length / groups.length,
      rounds,
      rationaleTokens: mean(drawings.map(({ sequence }) => sequence.rationaleIds.length)),
      forcedShare: mean(drawings.map(({ sequence }) => (sequence.imageStartForced ? 1 : 0))),
    };
    for (const { name } of this.context.rewards) metrics[`reward/${name}`] = mean(judgements.map(({ scores }) => scores[name]?.value ?? 0));
    if (numbers !== undefined) {
      const { sums, clipped, kl, counted, largestDifference, norm } = numbers;
      Object.assign(metrics, { gradientNorm: norm, clipFraction: clipped / Math.max(1, counted), kl: kl / Math.max(1, counted), ratioDifference: largestDifference });
      for (const kind of ['text', 'image'] as const) {
        if (sums[kind].count === 0) continue;
        metrics[`${kind}/entropy`] = sums[kind].entropy / sums[kind].count;
        const controller = this.controllers[kind];
        if (controller !== undefined) metrics[`${kind}/entropyCoefficient`] = controller.coefficient;
      }
    }
    this.context.log.debug(`step ${step}: ${kept.length} of ${groups.length} groups kept in ${rounds} round(s)`);
    return metrics;
  }

  private async keepSamples(step: number, { groups }: Rollout): Promise<void> {
    const all = groups.flatMap((group) => group.drawings.map((drawing, index) => ({ drawing, judgement: group.judgements[index], advantage: group.advantages[index] ?? 0 })));
    await saveSamples(this.context, step, all.slice(0, this.choice.samplesShown));
  }

  /** A step without signal is warned about; a window of them stops the run. */
  private guardSignal(collector: GroupCollector<Group>, step: number): void {
    const { context, choice } = this;
    this.stepsWithoutSignal = collector.kept.length === 0 ? this.stepsWithoutSignal + 1 : 0;
    if (collector.kept.length < 2 && collector.warning !== undefined) context.log.warn(`step ${step}: ${collector.warning}`);
    if (this.stepsWithoutSignal < choice.constantRewardWindow) return;
    const reward = collector.all[0]?.judgements[0]?.total ?? 0;
    throw new ReasongenError({
      code: 'CONSTANT_REWARD',
      message: `for ${this.stepsWithoutSignal} steps no group has had variance in its rewards (the last were ${reward}): nothing can be learnt`,
      cure: 'check the reward on saved samples; use graded rewards, easier prompts, a higher temperature or a larger group',
      exitCode: exitCodes.guard,
    });
  }

  private guardRatio(difference: number, step: number): void {
    if (difference <= this.choice.ratioTolerance) return;
    throw new ReasongenError({
      code: 'SAMPLER_DISAGREES',
      message: `step ${step}: sampler and scorer log-probabilities of one token differ by ${difference.toExponential(2)} before any update (tolerance ${this.choice.ratioTolerance})`,
      cure: 'they must describe one distribution: train at guidance 1 with topK 0 and topP 1, or raise ratioTolerance knowingly',
      exitCode: exitCodes.guard,
    });
  }

  private state(step: number): GrpoState {
    const controllers = Object.fromEntries(Object.entries(this.controllers).map(([kind, controller]) => [kind, { ...controller.state() }]));
    return { step, position: this.position, stepsWithoutSignal: this.stepsWithoutSignal, controllers };
  }

  private restore(state: Awaited<ReturnType<typeof Training.open>>['state']): void {
    if (state === undefined) return;
    const saved = state as unknown as GrpoState;
    this.position = saved.position;
    this.stepsWithoutSignal = saved.stepsWithoutSignal;
    for (const [kind, controller] of Object.entries(this.controllers)) {
      const controllerState = saved.controllers[kind];
      if (controllerState !== undefined) controller.restore(controllerState);
    }
  }
}

/** A seed for every rollout of a run, different by step and round. */
function seedOf(seed: number, step: number, round: number): number {
  return (Math.imul(seed, 0x9e3779b1) ^ Math.imul(step * 64 + round + 1, 0x85ebca6b)) >>> 0;
}

function required<Value>(record: Readonly<Record<string, Value>>, name: string): Value {
  const value = record[name];
  if (value === undefined) throw new RangeError(`no ${name}`);
  return value;
}
