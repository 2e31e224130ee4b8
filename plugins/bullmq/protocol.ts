/**
 * What trainer and workers say to each other: plain JSON by schema, never code. A job names its prompts by token ids, its weights by hash and
 * its randomness by seed and row keys, so that whoever does it, and however often, comes to the same result.
 */
import { createHash } from 'node:crypto';
import {
  oneLine,
  precisions,
  z,
  type AnswererIdentity,
  type DrawIdentity,
  type DrawRequest,
  type DrawSizes,
} from '../../core/plugin.ts';

/** Part of the name of every queue: machines with another one do not meet. */
const protocolVersion = 3;

const id = z
  .number()
  .int()
  .min(0)
  .max(2 ** 24);
const ids = z.array(id).max(2 ** 17);
const count = z
  .number()
  .int()
  .min(0)
  .max(2 ** 17);
const hash = z.string().regex(/^[0-9a-f]{64}$/);
const rule = z.strictObject({
  temperature: z.number().nonnegative(),
  topK: z.number().int().nonnegative(),
  topP: z.number().gt(0).max(1),
  guidance: z.number().positive().optional(),
});

const sizesSchema = z.strictObject({
  rows: count.min(1),
  prompts: count.min(1),
  promptTokens: count.min(1),
  textTokens: count,
  codes: count.min(1),
  isGuided: z.boolean(),
  cache: z.enum(['f32', 'f16']),
  precision: z.enum(precisions),
});

const requestSchema = z.strictObject({
  prompts: z.array(ids.min(1)).min(1),
  samplesPerPrompt: count.min(1),
  seed: z
    .number()
    .int()
    .min(0)
    .max(2 ** 32 - 1),
  rowKeys: z.array(
    z
      .number()
      .int()
      .min(0)
      .max(2 ** 32 - 1),
  ),
  text: rule,
  image: rule,
  rationale: z.union([z.literal('skip'), z.array(z.union([z.literal('write'), ids]))]),
});

/** How weights come to workers. */
export type WeightRoute = 'redis' | 'directory';

export const drawJobSchema = z
  .strictObject({
    run: z.string().regex(/^[0-9a-f]{16}$/),
    /** Of the list of weights. */
    weights: hash,
    route: z.enum(['redis', 'directory']),
    sizes: sizesSchema,
    request: requestSchema,
  })
  .refine(
    ({ sizes, request: { prompts, samplesPerPrompt, rowKeys, rationale } }) =>
      prompts.length <= sizes.prompts &&
      rowKeys.length === prompts.length * samplesPerPrompt &&
      rowKeys.length <= sizes.rows &&
      (rationale === 'skip' || rationale.length === prompts.length),
    'counts that do not agree',
  );

export type DrawJob = Readonly<{
  run: string;
  weights: string;
  route: WeightRoute;
  sizes: DrawSizes;
  request: DrawRequest;
}>;

/** Little-endian f32 in base64: the bits arrive as they were. */
const floats = z.base64().transform((text, context) => {
  const bytes = new Uint8Array(Buffer.from(text, 'base64'));
  if (bytes.byteLength % 4 === 0) return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  context.addIssue('no whole numbers');
  return z.NEVER;
});

const sequenceSchema = z.strictObject({
  rationaleIds: ids,
  imageStartForced: z.boolean(),
  rationaleEnded: z.boolean(),
  codes: ids,
  logProbability: floats,
  entropy: floats,
  steps: count,
});

/** What a worker returns: sequences; the code of an error that is the same everywhere; or that weights are not where they should be. */
export const drawResultSchema = z.union([
  z.strictObject({ worker: z.string(), adapter: z.string(), sequences: z.array(sequenceSchema) }),
  z.strictObject({ worker: z.string(), fails: z.string() }),
  z.strictObject({ worker: z.string(), missingWeights: z.string() }),
]);

/** As a worker writes it. */
export type SentResult = z.input<typeof drawResultSchema>;

/** As the run reads it. */
export type DrawResult =
  | z.output<typeof drawResultSchema>
  /** What a worker returned is no result: why. */
  | { readonly worker: string; readonly malformed: string };

/** A result that is none is one, too: who returned it is not to be trusted. */
export function readDrawResult(value: unknown): DrawResult {
  const parsed = drawResultSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const worker =
    typeof value === 'object' && value !== null && 'worker' in value && typeof value.worker === 'string'
      ? oneLine(value.worker, 80)
      : 'unknown';
  return { worker, malformed: oneLine(parsed.error.issues[0]?.message ?? 'of another form', 120) };
}

/** A sequence as a result carries it. */
export function sentSequence(sequence: {
  readonly rationaleIds: readonly number[];
  readonly imageStartForced: boolean;
  readonly rationaleEnded: boolean;
  readonly codes: readonly number[];
  readonly logProbability: Float32Array;
  readonly entropy: Float32Array;
  readonly steps: number;
}): z.input<typeof sequenceSchema> {
  const { rationaleIds, imageStartForced, rationaleEnded, codes, logProbability, entropy, steps } = sequence;
  return {
    rationaleIds: [...rationaleIds],
    imageStartForced,
    rationaleEnded,
    codes: [...codes],
    logProbability: base64Of(logProbability),
    entropy: base64Of(entropy),
    steps,
  };
}

export const answererSchema = z.strictObject({
  kind: z.enum(['judge', 'evaluate']),
  slot: z.enum(['reward', 'judge', 'benchmark']),
  name: z.string(),
  program: z.string(),
  component: z.string(),
});

/** The question is read by whoever answers it, by a schema of its own. */
export const answerJobSchema = z.strictObject({ identity: answererSchema, question: z.unknown() });

export type AnswerJob = z.output<typeof answerJobSchema>;

export const answerResultSchema = z.strictObject({ worker: z.string(), answer: z.unknown() });

export type AnswerResult = z.output<typeof answerResultSchema>;

/** The weights of a model as a list of hashes; itself kept under its own hash. */
export const weightListSchema = z.strictObject({
  layout: z.strictObject({
    tensors: z.array(z.strictObject({ name: z.string(), storage: z.enum(['f32', 'f16', 'bf16', 'int8', 'int4']) })),
    adapters: z.array(z.strictObject({ weight: z.string(), rank: count.min(1), scale: z.number() })),
  }),
  hashes: z.record(z.string(), hash),
});

export type WeightList = z.output<typeof weightListSchema>;

/** Of a run that takes workers of other adapters as well. */
export function ofAnyAdapter(identity: DrawIdentity): DrawIdentity {
  return { ...identity, adapter: 'any' };
}

/** Machines whose drawings are equal bit for bit share a queue, and no others; all that differ in the adapter share another. */
export function drawQueueName(identity: DrawIdentity): string {
  return `reasongen-draw-${sha256(JSON.stringify([protocolVersion, identity])).slice(0, 16)}`;
}

export function answerQueueName(identity: AnswererIdentity): string {
  const { kind, slot, name, program, component } = identity;
  return `reasongen-${kind}-${sha256(JSON.stringify([protocolVersion, slot, name, program, component])).slice(0, 16)}`;
}

/** The same for the same work; BullMQ takes no colon in it. */
export function drawJobId(job: DrawJob, attempt: number): string {
  return `${job.run}-${sha256(JSON.stringify(job)).slice(0, 24)}-${attempt}`;
}

export function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

function base64Of(values: Float32Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');
}
