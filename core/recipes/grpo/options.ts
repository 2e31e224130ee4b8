/** What a GRPO preset may say. */
import { divergenceEstimators, policyMethods } from '../../ops/policy-objective.ts';
import { type Precision, precisions } from '../../gpu/matrix-products.ts';
import { inputFile, z } from '../../plugin.ts';
import { estimators, scales } from '../../rl/advantages.ts';
import { samplingOptions } from '../../drawing/drawer.ts';
import { guardOptions } from '../../training/guards.ts';
import { trainingOptions } from '../../training/options.ts';

const whole = z.number().int().positive();
const wholeOrNone = z.number().int().nonnegative();

const controller = z.strictObject({
  target: z.number().positive().describe('entropy to hold, in nats per token'),
  rate: z.number().positive().default(2e-3).describe('learning rate of the controller'),
  bound: z.number().positive().default(0.03).describe('largest coefficient, either sign'),
  initial: z.number().default(0).describe('coefficient to start with'),
});

const divergence = z.strictObject({
  coefficient: z
    .number()
    .nonnegative()
    .describe('weight of the divergence; the reference is loaded only where this is not 0'),
  estimator: z
    .enum(divergenceEstimators)
    .default('k3')
    .describe('k1: l - l_ref; k2: its square / 2; k3: exp(-k1) - 1 + k1'),
  place: z
    .enum(['loss', 'reward'])
    .default('loss')
    .describe('a term of the loss, or its sum over a drawing subtracted from the reward'),
  target: z
    .number()
    .positive()
    .optional()
    .describe('divergence to hold, nats per token, by adapting the coefficient; fixed when absent'),
  horizon: z
    .number()
    .positive()
    .default(10000)
    .describe('drawings over which the coefficient may change by its own size'),
  resetEvery: wholeOrNone.default(0).describe('steps after which the reference becomes the current policy; 0: never'),
});

/** Where evaluations draw otherwise than training does. */
const evaluationSampling = z.strictObject({
  textTemperature: z
    .number()
    .nonnegative()
    .optional()
    .describe('temperature of rationale tokens; 0 takes the likeliest'),
  textTopK: wholeOrNone.optional().describe('keep the k likeliest rationale tokens; 0 keeps all'),
  textTopP: z.number().gt(0).max(1).optional().describe('keep the likeliest rationale tokens up to this probability'),
  imageTemperature: z.number().nonnegative().optional().describe('temperature of image codes; 0 takes the likeliest'),
  imageTopK: wholeOrNone.optional().describe('keep the k likeliest image codes; 0 keeps all'),
  imageTopP: z.number().gt(0).max(1).optional().describe('keep the likeliest image codes up to this probability'),
  guidance: z.number().positive().optional().describe('classifier-free guidance weight on image codes; 1 is off'),
});

const promptFile = z.strictObject({
  file: inputFile().describe(
    'text with a prompt a line (.txt), or JSON Lines, a JSON list or a table (.jsonl, .ndjson, .json, .csv, .tsv) with "prompt" and perhaps "task" in every row; all a row holds is the `specification` that judges see',
  ),
  weight: z.number().positive().default(1).describe('share of this file among the prompts'),
  task: z.string().optional().describe('task of its prompts where a line names none; the name of the file by default'),
});

const stage = z.strictObject({
  from: whole.describe('first step of this stage'),
  tasks: z.array(z.string()).min(1).describe('only prompts of these tasks'),
});

const fields = z.strictObject({
  steps: whole.describe('rollouts; each is followed by `miniBatches` x `epochs` optimizer updates'),
  prompts: whole.default(16).describe('prompts per step'),
  groupSize: z.number().int().min(2).default(8).describe('drawings per prompt: the group'),
  downSample: z
    .number()
    .int()
    .min(2)
    .optional()
    .describe(
      'train on so many drawings of each group only, those whose rewards differ most (PODS); advantages are computed among them. All by default',
    ),
  promptsAtOnce: whole
    .optional()
    .describe(
      'prompts whose samples are drawn at the same time, which changes memory and nothing else; all of a step by default',
    ),
  miniBatches: whole
    .default(2)
    .describe('mini-batches a rollout is cut into, group by group; each is one optimizer update'),
  epochs: whole.default(1).describe('passes over a rollout'),
  microBatch: whole.optional().describe('drawings per forward and backward pass; all of an update by default'),

  pool: wholeOrNone.default(0).describe('train on this many fixed prompts; 0 takes fresh ones at every step'),
  tasks: z.array(z.string()).min(1).optional().describe('only prompts of these tasks'),
  curriculum: z.array(stage).default([]).describe('tasks by step: each stage holds until the next begins'),
  promptFiles: z
    .array(promptFile)
    .default([])
    .describe('files to take prompts from instead of the dataset; a prompt that occurs twice counts once'),
  promptTokens: whole.default(24).describe('longest prompt in tokens, special tokens included'),
  tooLong: z
    .enum(['skip', 'stop'])
    .default('skip')
    .describe('what is done about a longer one; skipped ones are counted'),

  refillRounds: wholeOrNone.default(1).describe('further rollouts a step may use to replace groups without variance'),
  carryOver: z
    .boolean()
    .default(true)
    .describe('groups that a refill brought beyond the need fill gaps of the next step'),
  estimator: z
    .enum(estimators)
    .default('grpo')
    .describe('what advantages are measured against: group, others of the group, batch, greedy answer, nothing'),
  normalize: z
    .enum(scales)
    .optional()
    .describe(
      'whose standard deviation advantages are divided by; none with grpo is Dr. GRPO. By default as the estimator was published',
    ),
  decoupled: z.boolean().default(false).describe('normalize every reward by itself before the weighted sum (GDPO)'),

  method: z
    .enum(policyMethods)
    .default('clip')
    .describe('clip: PPO per token; sequence: GSPO; cispo: clipped weights, no token falls silent'),
  clipLow: z.number().positive().default(0.2).describe('the ratio is clipped at 1 - clipLow'),
  clipHigh: z.number().positive().default(0.2).describe('and at 1 + clipHigh'),
  dualClip: z
    .number()
    .min(1)
    .optional()
    .describe('bound on the ratio where the advantage is negative; none when absent'),
  aggregation: z
    .enum(['token-mean', 'sequence-mean', 'fixed-length'])
    .optional()
    .describe(
      'mean over tokens, mean of the means of drawings, or sum / longest length (Dr. GRPO); token-mean, with `sequence` sequence-mean',
    ),
  textWeight: z.number().nonnegative().default(1).describe('weight of rationale tokens in the policy term'),
  imageWeight: z.number().nonnegative().default(1).describe('weight of image codes in the policy term'),
  kl: divergence.optional().describe('divergence from the weights the run started with; none when absent'),
  textEntropy: controller.optional().describe('adaptive entropy control of text tokens; off when absent'),
  imageEntropy: controller.optional().describe('adaptive entropy control of image codes; off when absent'),
  textEntropyCoefficient: z
    .number()
    .default(0)
    .describe('fixed coefficient of the entropy of text tokens: positive penalizes, negative rewards it'),
  imageEntropyCoefficient: z.number().default(0).describe('fixed coefficient of the entropy of image codes'),
  oldLogProbability: z
    .enum(['sampler', 'scorer'])
    .default('sampler')
    .describe(
      'where log-probabilities at drawing come from: noted by the sampler, or computed again by the scorer, as always with staleness 1',
    ),
  staleness: z
    .union([z.literal(0), z.literal(1)])
    .default(0)
    .describe(
      '1: draws the groups of the next step while this one trains, with the weights before it; their loss is weighted by truncated importance (TIS). Pays with workers that draw',
    ),
  importanceCap: z
    .number()
    .positive()
    .default(2)
    .describe(
      'with staleness 1: most that importance, the ratio of the policy when trained to the one that drew, weighs a token',
    ),
  detachUnconditional: z
    .boolean()
    .default(false)
    .describe('with guidance: no gradient through the unconditional branch'),
  logitClamp: z
    .number()
    .positive()
    .optional()
    .describe('cut logits to +- this in the scorer; the published code uses 30'),

  samplesEvery: wholeOrNone.default(10).describe('steps between saved samples; 0 saves none'),
  samplesShown: whole.default(16).describe('drawings saved each time'),
  evaluations: wholeOrNone
    .default(0)
    .describe('prompts per evaluation, before the first step and after the last; 0 evaluates not at all'),
  evaluateEvery: wholeOrNone.default(0).describe('steps between further evaluations; 0 has none'),
  evaluationSeed: wholeOrNone.default(1000).describe('seed of evaluation prompts and pictures'),
  evaluationPictures: wholeOrNone.default(24).describe('samples kept with their pictures in each evaluation'),
  evaluationSampling: evaluationSampling
    .prefault({})
    .describe(
      'temperatures, guidance, top k and top p where evaluations draw otherwise than training; temperature 0 is greedy',
    ),
  evaluationFiles: z
    .array(promptFile)
    .default([])
    .describe(
      'held-out prompts judged by the rewards, beside the benchmarks; prompts that are trained on are left out',
    ),

  guards: guardOptions,
  guardWindow: whole.default(20).describe('steps in which nothing could be told apart before a guard acts'),
  unparsedShare: z.number().min(0).max(1).default(0.2).describe('share of answers of a judge that may be unusable'),
  ratioTolerance: z
    .number()
    .positive()
    .default(0.02)
    .describe('largest difference of sampler and scorer log-probabilities before the first update'),
  entropyFloor: z.number().nonnegative().default(1e-4).describe('smallest mean entropy, nats per token'),
  driftLimit: z
    .number()
    .positive()
    .default(1)
    .describe('furthest the policy may be from the one that drew, nats per token; ten times this from the reference'),
  ...samplingOptions,
  ...trainingOptions,
  samplingPrecision: z
    .enum(precisions)
    .optional()
    .describe('`precision` while drawing, where it is to be another than in training and scoring'),
  saveEvery: whole.default(50).describe('steps between checkpoints; the last step always saves'),
});

export type GrpoOptions = z.output<typeof fields>;

/** Of the products while drawing. */
export function drawnIn({ precision, samplingPrecision = precision }: GrpoOptions): Precision {
  return samplingPrecision;
}

export type PromptFile = z.output<typeof promptFile>;

export const grpoOptions = fields.superRefine((choice, context) => {
  const refuse = (path: string, message: string): void => context.addIssue({ code: 'custom', path: [path], message });
  const cut =
    'the scorer describes the whole distribution, so training draws from all of it; cut tails in evaluationSampling, or lower the temperature';
  for (const name of ['textTopK', 'imageTopK'] as const) if (choice[name] !== 0) refuse(name, cut);
  for (const name of ['textTopP', 'imageTopP'] as const) if (choice[name] !== 1) refuse(name, cut);
  // What is greedy was not chosen, and what has no weight is not trained by a reward.
  const learnsText = choice.rationale && choice.textTemperature > 0 && choice.textWeight > 0;
  const learnsImage = choice.imageTemperature > 0 && choice.imageWeight > 0;
  if (!learnsText && !learnsImage)
    refuse(
      choice.imageWeight === 0 ? 'imageWeight' : 'imageTemperature',
      'no token is left for the reward to teach: give image codes, or the tokens of a rationale, a temperature and a weight above 0',
    );
  if (choice.textEntropy !== undefined && choice.textEntropyCoefficient !== 0)
    refuse('textEntropyCoefficient', 'textEntropy adapts this coefficient: give one of them');
  if (choice.imageEntropy !== undefined && choice.imageEntropyCoefficient !== 0)
    refuse('imageEntropyCoefficient', 'imageEntropy adapts this coefficient: give one of them');
  if ((choice.downSample ?? 0) > choice.groupSize)
    refuse('downSample', `a group has ${choice.groupSize} drawings: take fewer of them, or raise groupSize`);
  if (choice.decoupled && choice.estimator !== 'grpo')
    refuse('decoupled', 'rewards are normalized within their groups: estimator grpo');
  if (choice.decoupled && choice.kl?.place === 'reward')
    refuse('decoupled', 'a divergence in the reward would be normalized away: use kl.place loss');
  if (choice.lora !== undefined && (choice.kl?.resetEvery ?? 0) > 0)
    refuse('kl', 'with lora the reference is the model without its adapters, which cannot be reset');
  if ((choice.lora?.dropout ?? 0) > 0)
    refuse(
      'lora',
      'dropout would make the scorer describe another policy than the one that drew: leave lora.dropout out, it is for recipes that learn from data, as sft',
    );
  if ((choice.kl?.resetEvery ?? 0) > 0 && choice.storage !== 'f32')
    refuse(
      'storage',
      'a reference that is reset is a copy of the policy, f32 like what is trained: use storage f32, or kl.resetEvery 0',
    );
  if (choice.pool > 0 && choice.promptFiles.length > 0)
    refuse('pool', 'a pool is taken from the dataset, not from promptFiles');
  for (const [index, { from }] of choice.curriculum.entries()) {
    if (from <= (choice.curriculum[index - 1]?.from ?? 0))
      refuse('curriculum', `stage ${index + 1} begins at step ${from}, not after the one before it`);
  }
});
