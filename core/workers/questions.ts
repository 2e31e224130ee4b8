/**
 * What runs ask of workers, and what these answer: plain JSON by schema, never code. A question names a method of a component that both have, and
 * holds what that method is given; pictures and maps are packed, exact to the bit.
 */
import type { AnswererIdentity } from '../contracts/executor.ts';
import type { JudgeCapability } from '../contracts/judge.ts';
import type { Sample } from '../contracts/reward.ts';
import { evidenceFromJson, evidenceToJson } from '../judging/evidence-json.ts';
import { z } from '../preset/zod.ts';

const whole = z.int().nonnegative();

const pixels = z
  .strictObject({ width: whole.min(1), height: whole.min(1), data: z.instanceof(Uint8Array) })
  .refine(({ width, height, data }) => data.length === width * height * 3, 'a picture of another size than it says');

const sample = z
  .strictObject({
    id: z.string(),
    group: whole,
    copy: whole,
    step: whole,
    phase: z.enum(['train', 'evaluation']),
    prompt: z.string(),
    task: z.string(),
    specification: z.unknown().optional(),
    rationale: z.string(),
    rationaleEnded: z.boolean(),
    image: pixels,
    codes: z.array(whole),
  })
  .transform((fields): Sample => ({ ...fields, specification: fields.specification }));

const texts = z.array(z.string());

const mask = z
  .strictObject({ width: whole, height: whole, bits: z.instanceof(Uint8Array) })
  .refine(({ width, height, bits }) => bits.length === width * height, 'a mask of another size than it says');

const detection = z.strictObject({
  label: z.string(),
  score: z.number(),
  box: z.tuple([z.number(), z.number(), z.number(), z.number()]),
  mask: mask.optional(),
});

/** What each method of a judge is given, the signal left out. */
const given = {
  detect: z.tuple([pixels]),
  classify: z.tuple([pixels, detection, texts, texts]),
  similarity: z.tuple([pixels, texts]),
  answer: z.tuple([pixels, z.string()]),
  answerProbabilities: z.tuple([pixels, z.string(), z.array(texts)]),
  read: z.tuple([pixels]),
  depth: z.tuple([pixels]),
  write: z.tuple([z.string()]),
} satisfies Record<JudgeCapability, z.ZodType>;

const aboutSamples = <Method extends string>(method: Method) =>
  z.strictObject({ method: z.literal(method), samples: z.array(sample).min(1) });

const aboutEvidence = (Object.keys(given) as JudgeCapability[]).map((method) =>
  z.strictObject({ method: z.literal(method), given: given[method] }),
);

const questions = {
  reward: aboutSamples('score'),
  judge: z.union(aboutEvidence),
  benchmark: z.union([aboutSamples('judge'), aboutSamples('gather')]),
} satisfies Record<AnswererIdentity['slot'], z.ZodType>;

export type WorkerQuestion<Slot extends AnswererIdentity['slot']> = z.output<(typeof questions)[Slot]>;

/** Throws a ZodError for what is no question to such a component, an Error for what is packed and damaged. */
export function readQuestion<Slot extends AnswererIdentity['slot']>(slot: Slot, json: unknown): WorkerQuestion<Slot> {
  return questions[slot].parse(evidenceFromJson(json)) as WorkerQuestion<Slot>;
}

/** A question as JSON. */
export function aboutSamplesJson(method: 'score' | 'judge' | 'gather', samples: readonly Sample[]): unknown {
  return evidenceToJson({ method, samples: samples.map(fieldsOf) });
}

export function aboutEvidenceJson(method: JudgeCapability, values: readonly unknown[]): unknown {
  return evidenceToJson({ method, given: values });
}

/** What a contract has, and nothing that an author put beside it. */
function fieldsOf(from: Sample): Sample {
  const { id, group, copy, step, phase, prompt, task, specification, rationale, rationaleEnded, codes } = from;
  const { width, height, data } = from.image;
  const fields = { id, group, copy, step, phase, prompt, task, specification, rationale, rationaleEnded };
  return { ...fields, image: { width, height, data }, codes: [...codes] };
}

/** As it comes back: a value, a failure that may pass, or one that is told in words. */
export const workerAnswerSchema = z.union([
  z.strictObject({
    value: z.unknown(),
    tally: z.strictObject({ questions: whole, kept: whole, tokens: whole }),
  }),
  z.strictObject({
    again: z.strictObject({
      message: z.string(),
      seconds: z.number().optional(),
      isUnreachable: z.boolean(),
      place: z.string().optional(),
    }),
  }),
  z.strictObject({
    failed: z.strictObject({
      code: z.string().optional(),
      message: z.string(),
      place: z.string().optional(),
      hint: z.string().optional(),
      exitCode: z.int().min(1).max(255).optional(),
    }),
  }),
]);

export type WorkerAnswer = z.output<typeof workerAnswerSchema>;
