/** What a GRPO preset may say. */
import { inputFile, z } from '../plugin.ts';
import { samplingOptions } from './drawing.ts';
import { scheduleOptions } from './schedule.ts';

const whole = z.number().int().positive();
const wholeOrNone = z.number().int().nonnegative();

const controller = z.strictObject({
  target: z.number().positive().describe('entropy to hold, in nats per token'),
  rate: z.number().positive().default(2e-3).describe('learning rate of the controller'),
  bound: z.number().positive().default(0.03).describe('largest coefficient, either sign'),
});

export const grpoOptions = z.strictObject({
  weights: inputFile().optional().describe('checkpoint, run folder or safetensors file to start from; fresh weights otherwise'),
  steps: whole.describe('rollouts; each is followed by `updates` optimizer updates'),
  prompts: whole.default(16).describe('prompts per step'),
  samples: z.number().int().min(2).default(8).describe('drawings per prompt: the group'),
  updates: whole.default(2).describe('optimizer updates per rollout, each on its share of the groups'),
  pool: wholeOrNone.default(0).describe('train on this many fixed prompts; 0 takes fresh ones at every step'),
  tasks: z.array(z.string()).min(1).optional().describe('only prompts of these tasks'),
  refillRounds: wholeOrNone.default(1).describe('further rollouts a step may use to replace groups without variance'),
  clipLow: z.number().positive().default(0.2).describe('the ratio is clipped at 1 - clipLow'),
  clipHigh: z.number().positive().default(0.2).describe('and at 1 + clipHigh'),
  normalise: z.boolean().default(true).describe('divide advantages by the standard deviation of their group (false: Dr. GRPO)'),
  textEntropy: controller.optional().describe('adaptive entropy control of text tokens; off when absent'),
  imageEntropy: controller.optional().describe('adaptive entropy control of image codes; off when absent'),
  promptTokens: whole.default(24).describe('longest prompt in tokens, special tokens included'),
  saveEvery: whole.default(50).describe('steps between checkpoints; the last step always saves'),
  keep: whole.default(2).describe('checkpoints kept'),
  samplesEvery: wholeOrNone.default(10).describe('steps between saved samples; 0 saves none'),
  samplesShown: whole.default(16).describe('drawings saved each time'),
  evaluations: wholeOrNone.default(0).describe('prompts per evaluation, before the first step and after the last; 0 evaluates not at all'),
  evaluateEvery: wholeOrNone.default(0).describe('steps between further evaluations; 0 has none'),
  evaluationSeed: wholeOrNone.default(1000).describe('seed of evaluation prompts and pictures'),
  evaluationPictures: wholeOrNone.default(24).describe('samples kept with their pictures in each evaluation'),
  constantRewardWindow: whole.default(20).describe('stop when no group has had variance for this many steps'),
  ratioTolerance: z.number().positive().default(0.02).describe('stop when sampler and scorer log-probabilities differ by more before the first update'),
  ...samplingOptions,
  ...scheduleOptions,
});

export type GrpoOptions = z.output<typeof grpoOptions>;
