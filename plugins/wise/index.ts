/** WISE: prompts that take knowledge of the world, and a judge that is told what they mean. */
import { createHash } from 'node:crypto';
import {
  defineBenchmark,
  definePlugin,
  exitCodes,
  inputFile,
  judgeFor,
  once,
  readTextRows,
  ReasongenError,
  z,
  type EvidenceBenchmark,
  type PromptItem,
  type TextRow,
} from '../../core/plugin.ts';
import { wiseCategories, categoryOf, judgeAnswer, modes, summarizeWise, type Mode } from './score.ts';

const officialModels: Readonly<Record<Mode, string>> = {
  legacy: 'gpt-4o-2024-05-13',
  verified: 'Qwen/Qwen3.5-35B-A3B',
};
/** Of the published benchmark. */
const publishedPrompts = 1000;

/** In our words; {prompt} and {explanation} stand for those of the prompt. */
const instructions: Readonly<Record<Mode, string>> = {
  legacy: `You see a picture that was drawn for the prompt: "{prompt}".
What the prompt means: {explanation}
Give three marks, each 0, 1 or 2, and be strict:
Consistency: 0 where what the prompt means is not shown, 1 where it is shown in part, 2 where it is shown wholly.
Realism: 0 where the picture could not be, 1 where some of it is off, 2 where everything looks as it does in the world.
Aesthetics: 0 where it is poorly made, 1 where it is fair, 2 where it is beautiful.
Answer with three lines and nothing else: "Consistency: " and the mark, "Realism: " and the mark, "Aesthetics: " and the mark.`,
  verified: `You see a picture that was drawn for the prompt: "{prompt}".
What the prompt means: {explanation}
Does the picture show what the prompt means, without a mistake? Answer with one digit and nothing else: 1 if it does, 0 if it does not.`,
};

interface Demand {
  readonly id: number;
  readonly explanation: string;
}

export default definePlugin({
  name: 'wise',
  provides: [
    defineBenchmark({
      name: 'wise',
      summary: 'WISE: prompts that take knowledge of the world, marked by a judge that is told what they mean',
      options: z.strictObject({
        prompts: inputFile().describe(
          'the published prompts, a JSON list or JSON Lines with `Prompt`, `Explanation` and `prompt_id`: they came without a licence, so none are shipped',
        ),
        mode: z
          .enum(modes)
          .default('legacy')
          .describe('legacy: marks for consistency, realism and aesthetics; verified: right or wrong'),
        judge: z.string().optional().describe('name of the judge that answers; the first of the preset that can'),
      }),
      create: async ({ prompts, mode, judge: name }, scope): Promise<EvidenceBenchmark> => {
        const items = (await readTextRows(prompts, 'Prompt')).map((row) => itemOf(row, mode));
        const judge = once(() => judgeFor(scope, 'answer', name));
        const isWhole = items.length === publishedPrompts;
        return {
          tasks: wiseCategories[mode]
            .map((each) => each.name)
            .filter((each) => items.some(({ task }) => task === each)),
          splits: ['heldout'],
          size: items.length,
          published: {
            name: mode === 'legacy' ? 'WISE' : 'WISE Verified',
            departures: [
              'the judge is asked in other words than the published ones',
              ...(isWhole ? [] : [`${items.length} prompts instead of ${publishedPrompts}`]),
            ],
          },
          fingerprint: {
            mode,
            instruction: createHash('sha256').update(instructions[mode]).digest('hex'),
            prompts: createHash('sha256').update(JSON.stringify(items)).digest('hex'),
          },
          // The published scorer reads one picture a prompt; further ones lie beside it.
          layout: {
            file: ({ specification }, _index, copy) =>
              `${(specification as Demand).id}${copy === 0 ? '' : `_${copy}`}.png`,
          },
          prompts: (_split, count) => items.slice(0, count),
          judges: async () => {
            const { title, fingerprint } = await judge();
            const isOfficial = fingerprint['model'] === officialModels[mode];
            return [{ capability: 'answer', title, fingerprint, isOfficial }];
          },
          gather: async ({ image, prompt, specification }, signal) => {
            const { explanation } = specification as Demand;
            const words: Readonly<Record<string, string>> = { prompt, explanation };
            // At once, so that a prompt with {explanation} in it stays what it is.
            const question = instructions[mode].replaceAll(
              /\{(prompt|explanation)\}/g,
              (_, word: string) => words[word] ?? '',
            );
            return (await judge()).answer(image, question, signal);
          },
          verdict: (_item, evidence) => judgeAnswer(String(evidence), mode),
          aggregate: (pictures) => summarizeWise(pictures, mode),
        };
      },
    }),
  ],
});

const rowSchema = z.object({ prompt_id: z.number().int(), Explanation: z.string().default('') });

function itemOf({ text: prompt, columns, place }: TextRow, mode: Mode): PromptItem {
  const read = rowSchema.safeParse(columns);
  const task = read.data === undefined ? undefined : categoryOf(read.data.prompt_id, mode);
  if (read.data === undefined || task === undefined)
    throw new ReasongenError({
      code: 'BAD_PROMPT_LINE',
      message: 'this is no prompt of WISE: prompt_id is no number from 1 to 1000, or Explanation is no text',
      place,
      hint: 'a row is {"Prompt": ..., "Explanation": ..., "prompt_id": 17}',
      exitCode: exitCodes.badPreset,
    });
  const { prompt_id: id, Explanation: explanation } = read.data;
  return { prompt, task, specification: { id, explanation } satisfies Demand };
}
