/** Any scorer or judge behind an address: JSON in, JSON out. What it is sent and what it may answer is told in plugins/README.md. */
import { encodePng } from '../../core/compute.ts';
import {
  askServer,
  defineJudge,
  definePlugin,
  definePointwiseReward,
  keyFor,
  oneLine,
  parsedAnswer,
  keyVariableOption,
  serverAddress,
  TryAgainError,
  z,
  type Image,
  type Judge,
  type RewardAnswer,
  type Sample,
} from '../../core/plugin.ts';

const version = z
  .string()
  .default('1')
  .describe('of what answers there, in any words: kept answers of another version are not used');

const options = z.strictObject({
  url: serverAddress.describe('address that each drawing is posted to'),
  version,
  keyVariable: keyVariableOption,
});

/** What can be asked and answered in JSON. */
const abilities = ['answer', 'answerProbabilities', 'similarity', 'detect', 'classify', 'read', 'write'] as const;

const judgeOptions = z.strictObject({
  url: serverAddress.describe('address that each question is posted to'),
  can: z.array(z.enum(abilities)).min(1).describe('what it can be asked for'),
  title: z.string().min(1).optional().describe('what results call it; its address unless told'),
  version,
  keyVariable: keyVariableOption,
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
      create: (choice, { calls }) => {
        const { url } = choice;
        const post = poster(choice);
        const ask = async (sample: Sample, signal: AbortSignal): Promise<RewardAnswer> =>
          scoreOf(await post({ ...described(sample), image: await pngOf(sample.image) }, signal), url);
        return {
          judgesBenchmarks: true,
          score: (sample, signal) =>
            calls.run((inner) => ask(sample, inner), signal, {
              image: sample.image,
              fingerprint: { url, version: choice.version },
              asked: described(sample),
            }),
        };
      },
    }),
    defineJudge({
      name: 'http-judge',
      summary:
        'any model behind an address that gives evidence: each question is posted as JSON, the evidence comes back',
      options: judgeOptions,
      create: (choice) => httpJudge(choice),
    }),
  ],
});

function httpJudge(choice: z.output<typeof judgeOptions>): Judge {
  const { url, can, title = url } = choice;
  const post = poster(choice);
  const about = async (image: Image, asked: object, signal: AbortSignal): Promise<unknown> =>
    post({ ...asked, image: await pngOf(image) }, signal);
  // The runtime looks whether what comes back is evidence.
  const all = {
    answer: (image, question, signal) => about(image, { asks: 'answer', question }, signal) as Promise<string>,
    answerProbabilities: (image, question, answers, signal) =>
      about(image, { asks: 'answerProbabilities', question, answers }, signal) as Promise<number[]>,
    similarity: (image, texts, signal) => about(image, { asks: 'similarity', texts }, signal) as Promise<number[]>,
    detect: (image, signal) => about(image, { asks: 'detect' }, signal) as Promise<never[]>,
    classify: (image, { label, score, box }, labels, templates, signal) =>
      about(image, { asks: 'classify', object: { label, score, box }, labels, templates }, signal) as Promise<number[]>,
    read: (image, signal) => about(image, { asks: 'read' }, signal) as Promise<never[]>,
    write: (instruction, signal) => post({ asks: 'write', instruction }, signal) as Promise<string>,
  } satisfies Partial<Judge>;
  const own = Object.fromEntries(can.map((ability) => [ability, all[ability]]));
  return { title, fingerprint: { url, version: choice.version }, ...own };
}

/** Posts JSON and gives the JSON that comes back. */
function poster({
  url,
  keyVariable: named,
}: {
  readonly url: string;
  readonly keyVariable?: string | undefined;
}): (asked: object, signal: AbortSignal) => Promise<unknown> {
  const server = { url, ...keyFor(url, named) };
  const headers = {
    'content-type': 'application/json',
    ...(server.key !== undefined && { authorization: `Bearer ${server.key}` }),
  };
  return async (asked, signal) =>
    parsedAnswer(
      await askServer(url, { method: 'POST', headers, body: JSON.stringify(asked), signal }, server),
      server,
    );
}

function described({ prompt, task, specification, rationale }: Sample): Readonly<Record<string, unknown>> {
  return { prompt, task, specification, rationale };
}

async function pngOf(image: Image): Promise<string> {
  return Buffer.from(await encodePng(image)).toString('base64');
}

function scoreOf(answer: unknown, url: string): RewardAnswer {
  const read = answerSchema.safeParse(answer);
  if (!read.success)
    throw new TryAgainError(`gave an answer that is no score: ${oneLine(JSON.stringify(answer))}`, { place: url });
  if (read.data === null || 'noVerdict' in read.data) return read.data;
  const { value, why, parts } = read.data;
  return { value, ...(why !== undefined && { why }), ...(parts !== undefined && { parts }) };
}
