/** What an SFT preset may say. */
import { z } from '../../plugin.ts';
import { guardOptions } from '../../training/guards.ts';
import { operandMetrics } from '../../training/operands.ts';
import { trainingOptions } from '../../training/options.ts';

const whole = z.number().int().positive();
const share = z.number().min(0).max(1);
const weight = z.number().nonnegative();

/** Kinds of target, by the token that is predicted. */
export const targetClasses = ['text', 'imageStart', 'image'] as const;
export type TargetClass = (typeof targetClasses)[number];

const ramp = z
  .strictObject({
    classes: z.array(z.enum(targetClasses)).min(1).describe('whose weights grow'),
    from: share.default(0).describe('share of the steps before which the weights are 0'),
    to: share.default(0.5).describe('share of the steps from which on they are full'),
  })
  .refine(({ from, to }) => from <= to, {
    path: ['from'],
    error: 'weights grow from `from` to `to`, so it must not be more than `to` (0.5 unless told)',
  });

const validation = z.strictObject({
  every: whole.default(100).describe('steps between two measurements; the last step always measures'),
  examples: whole.default(64).describe('held-out examples, the same every time'),
});

const fields = z.strictObject({
  steps: whole.describe('optimizer updates'),
  batch: whole.default(32).describe('sequences per update'),
  microBatch: whole.optional().describe('sequences per forward and backward pass; the batch by default'),
  examples: whole
    .default(24000)
    .describe('distinct examples before the stream starts over; a dataset of files has its own number'),
  rationale: z.boolean().default(true).describe('write a rationale before the picture; false trains prompt to picture'),
  promptDropout: share
    .default(0.1)
    .describe('share of sequences trained as the unconditional branch: prompt and rationale are dropped'),
  promptOnlyDropout: share.default(0).describe('share of sequences trained without the prompt'),
  rationaleOnlyDropout: share.default(0).describe('share of sequences trained without the rationale'),
  longest: whole
    .optional()
    .describe(
      'longest sequence in tokens, picture included; longer ones are passed over and counted; by default rows of files may have 1280 tokens of text',
    ),
  badRows: z
    .number()
    .int()
    .nonnegative()
    .default(100)
    .describe('rows of files that may be unusable before the run stops; each is named'),
  keepCodes: z.boolean().default(true).describe('keep image codes of files on disk for the next run'),
  textWeight: weight.default(2).describe('loss weight of text targets, the end token among them'),
  imageWeight: weight.default(1).describe('loss weight of image codes'),
  imageStartWeight: weight.optional().describe('loss weight of the image start; that of text unless told'),
  ramp: ramp
    .optional()
    .describe('weights that grow linearly in the course of the run: one kind of token is learnt first'),
  klWeight: weight.default(0).describe('weight of the divergence (k3) from the model the run started with, per target'),
  validation: validation.optional().describe('measure the loss on examples that training never sees'),
  guards: guardOptions,
  ...trainingOptions,
});

export const sftOptions = fields.refine(
  ({ promptDropout, promptOnlyDropout, rationaleOnlyDropout }) =>
    promptDropout + promptOnlyDropout + rationaleOnlyDropout <= 1 + 1e-9,
  {
    path: ['promptDropout'],
    error:
      'a sequence is of one kind: promptDropout, promptOnlyDropout and rationaleOnlyDropout are together at most 1',
  },
);

export type SftOptions = z.output<typeof sftOptions>;

/** The numbers a step may have. */
export function sftMetrics({ klWeight, precision, validation: measured }: SftOptions): string[] {
  const losses = ['loss', ...targetClasses.flatMap((name) => [`${name}/crossEntropy`, `${name}/entropy`])];
  return [
    ...losses,
    ...(klWeight > 0 ? ['kl'] : []),
    ...(precision === 'f32' ? [] : operandMetrics('training')),
    ...(measured === undefined ? [] : losses.map((name) => `validation/${name}`)),
    ...['gradientNorm', 'learningRate', 'badRows', 'tooLong', 'tokensPerSecond', 'seconds'],
  ];
}

/** Loss weights at a step. */
export function classWeights(choice: SftOptions, step: number): Readonly<Record<TargetClass, number>> {
  const { textWeight, imageWeight, imageStartWeight = textWeight, ramp: growing } = choice;
  const full = { text: textWeight, imageStart: imageStartWeight, image: imageWeight };
  if (growing === undefined) return full;
  const { classes, from, to } = growing;
  const done = (step - 1) / choice.steps;
  const factor = done >= to ? 1 : Math.max(0, (done - from) / (to - from));
  return Object.fromEntries(
    targetClasses.map((name) => [name, classes.includes(name) ? full[name] * factor : full[name]]),
  ) as Record<TargetClass, number>;
}
