/** Any scorer behind an address as a reward: JSON in, JSON out. What it is sent and what it may answer is told in plugins/README.md. */
import { encodePng } from '../../core/compute.ts';
import {
  askServer,
  definePlugin,
  definePointwiseReward,
  oneLine,
  parsedAnswer,
  requireKey,
  TryAgainError,
  z,
  type RewardAnswer,
  type Sample,
} from '../../core/plugin.ts';

const options = z.strictObject({
  url: z
    .url({ protocol: /^https?$/ })
    .refine((url) => !/[@?#]/.test(url), 'an address without user, password, ? and #; a key goes into a variable')
    .describe('address that each drawing is posted to'),
  version: z
    .string()
    .default('1')
    .describe('of the scorer, in any words: kept answers of another version are not used'),
  keyVariable: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'the name of an environment variable, not a key')
    .optional()
    .describe('environment variable with a key, sent as a bearer token to url over https or to this machine only'),
});

const answerSchema = z.union([
  z.null(),
  z.object({ noVerdict: z.string() }),
  z.object({
    value: z.number(),
    why: z.string().optional(),
    parts: z.record(z.string(), z.number()).optional(),
  }),
]);

export default definePlugin({
  name: 'http-judge',
  provides: [
    definePointwiseReward({
      name: 'http-judge',
      summary: 'any scorer behind an address: each drawing is posted as JSON, a score comes back',
      options,
      create: ({ url, version, keyVariable }, { calls }) => {
        const key = keyVariable === undefined ? undefined : requireKey(keyVariable, url);
        const server = { url, key, keyVariable };
        const headers = {
          'content-type': 'application/json',
          ...(key !== undefined && { authorization: `Bearer ${key}` }),
        };
        const ask = async (sample: Sample, signal: AbortSignal): Promise<RewardAnswer> => {
          const body = JSON.stringify(await posted(sample));
          return scoreOf(
            parsedAnswer(await askServer(url, { method: 'POST', headers, body, signal }, server), server),
            url,
          );
        };
        return {
          judgesBenchmarks: true,
          score: (sample, signal) =>
            calls.run((inner) => ask(sample, inner), signal, {
              image: sample.image,
              fingerprint: { url, version },
              asked: described(sample),
            }),
        };
      },
    }),
  ],
});

function described({ prompt, task, specification, rationale }: Sample): Readonly<Record<string, unknown>> {
  return { prompt, task, specification, rationale };
}

async function posted(sample: Sample): Promise<Readonly<Record<string, unknown>>> {
  const image = Buffer.from(await encodePng(sample.image)).toString('base64');
  return { ...described(sample), image };
}

function scoreOf(answer: unknown, url: string): RewardAnswer {
  const read = answerSchema.safeParse(answer);
  if (!read.success)
    throw new TryAgainError(`gave an answer that is no score: ${oneLine(JSON.stringify(answer))}`, { place: url });
  if (read.data === null || 'noVerdict' in read.data) return read.data;
  const { value, why, parts } = read.data;
  return { value, ...(why !== undefined && { why }), ...(parts !== undefined && { parts }) };
}
