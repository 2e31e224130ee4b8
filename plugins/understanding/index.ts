/** Whether a model that learns to draw still sees: questions about pictures that are there, answered by the model that evaluations draw with. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { answererOptions, LookingModel } from '../../core/compute.ts';
import {
  defineBenchmark,
  definePlugin,
  exitCodes,
  inputFile,
  readTextRows,
  ReasongenError,
  yesOrNo,
  z,
  type EvidenceBenchmark,
  type PromptItem,
  type TextRow,
} from '../../core/plugin.ts';
import { grade, ways, type AskedQuestion, type Said } from './grade.ts';

const { model: _model, ...sizes } = answererOptions;

const options = z.strictObject({
  questions: inputFile().describe(
    'JSON Lines, a JSON list or a table: `question`, `picture` (a file beside it), `answer` (or a list of right ones), and perhaps `how` (exact, yes-no, graded), `choices` and `task`',
  ),
  answerTokens: z.number().int().positive().default(32).describe('longest written answer in tokens'),
  ...sizes,
});

export default definePlugin({
  name: 'understanding',
  provides: [
    defineBenchmark({
      name: 'understanding',
      summary: 'questions about pictures that the model answers itself: what it still sees while it learns to draw',
      options,
      needs: ['backbone', 'tokenizer'],
      create: async (choice, scope): Promise<EvidenceBenchmark> => {
        const items = (await readTextRows(choice.questions, 'question')).map((row) => itemOf(row, choice.questions));
        const model = new LookingModel(scope, { ...choice, model: 'evaluated' });
        return {
          tasks: [...new Set(items.map(({ task }) => task))],
          splits: ['heldout'],
          size: items.length,
          fingerprint: {
            questions: createHash('sha256')
              .update(JSON.stringify(items.map(portable)))
              .digest('hex'),
          },
          picture: ({ specification }) => (specification as AskedQuestion).picture,
          reserve: () => model.reserve(),
          prompts: (_split, count) => items.slice(0, count),
          judges: async () => [],
          gather: async ({ image, specification }, signal): Promise<Said> => {
            const { question, how, choices } = specification as AskedQuestion;
            if (how !== 'graded') return model.write({ image, question }, signal);
            const answers = choices.map((each) => [each, each.charAt(0).toUpperCase() + each.slice(1)]);
            return { likely: await model.probabilities({ image, question, answers }, signal) };
          },
          verdict: ({ specification }, said) => grade(specification as AskedQuestion, said as Said),
        };
      },
    }),
  ],
});

const rowSchema = z.object({
  picture: z.string().min(1),
  answer: z.union([
    z.union([z.string().trim().min(1), z.number().transform(String)]).transform((one) => [one]),
    z.array(z.string().trim().min(1)).min(1),
  ]),
  how: z.enum(ways).optional(),
  choices: z.array(z.string().trim().min(1)).min(2).optional(),
  task: z.string().min(1).default('understanding'),
});

function itemOf({ text: question, columns, place }: TextRow, file: string): PromptItem {
  const bad = (message: string): ReasongenError =>
    new ReasongenError({
      code: 'BAD_PROMPT_LINE',
      message,
      place,
      hint: 'a line is {"picture": "dog.png", "question": "How many dogs?", "answer": "two"}; graded ones have yes or no, or `choices` with the answer among them',
      exitCode: exitCodes.badPreset,
    });
  const read = rowSchema.safeParse(columns);
  if (!read.success) {
    const [issue] = read.error.issues;
    throw bad(`this line is no question about a picture: ${issue?.path.join('.')}: ${issue?.message}`);
  }
  const { answer: answers, task, choices: given } = read.data;
  const isYesNo = answers.every(
    (answer) => /^(yes|no)$/i.test(answer) && yesOrNo(answer) === yesOrNo(answers[0] ?? ''),
  );
  const { how = given !== undefined ? 'graded' : isYesNo ? 'yes-no' : 'exact' } = read.data;
  const choices = given ?? (isYesNo ? ['yes', 'no'] : []);
  if (how === 'yes-no' && !isYesNo)
    throw bad(`it is answered by yes or no, and its answer is "${answers.join('", "')}"`);
  if (
    how === 'graded' &&
    !answers.every((answer) => choices.includes(answer.toLowerCase()) || choices.includes(answer))
  )
    throw bad(`its answer "${answers.join('", "')}" is none of its choices`);
  const picture = resolve(dirname(file), read.data.picture);
  if (!existsSync(picture)) throw bad(`there is no picture ${read.data.picture} beside the file`);
  return {
    prompt: question,
    task,
    specification: { picture, question, answers, how, choices } satisfies AskedQuestion,
  };
}

/** Without where the file lies; what a picture is, each answer is kept with. */
function portable({ specification, ...item }: PromptItem): unknown {
  const { picture: _picture, ...asked } = specification as AskedQuestion;
  return { ...item, asked };
}
