/** GenEval 2: every prompt has questions with known answers; a picture's score is made of the probabilities of these answers (Soft-TIFA). */
import { createHash } from 'node:crypto';
import {
  defineBenchmark,
  definePlugin,
  exitCodes,
  inputFile,
  judgeFor,
  mean,
  once,
  readTextRows,
  ReasongenError,
  z,
  type Atom,
  type JudgedPicture,
  type PromptItem,
  type Summary,
  type TextRow,
  type Verdict,
} from '../../core/plugin.ts';

const officialModel = 'Qwen/Qwen3-VL-8B-Instruct';
/** Of the published benchmark. */
const publishedPrompts = 800;

const rowSchema = z.object({
  atom_count: z.number().int().positive().optional(),
  vqa_list: z.array(z.tuple([z.string().min(1), z.union([z.string(), z.number()]).transform(String)])).min(1),
  skills: z.array(z.string()).optional(),
});

type Demand = z.output<typeof rowSchema>;

export default definePlugin({
  name: 'geneval2',
  provides: [
    defineBenchmark({
      name: 'geneval2',
      summary: 'GenEval 2: the probabilities of the right answers to questions about a picture',
      options: z.strictObject({
        prompts: inputFile().describe(
          'the published prompts, JSON Lines with `prompt`, `vqa_list` and `skills`: their licence does not allow to ship them',
        ),
        judge: z.string().optional().describe('name of the judge that answers; the first of the preset that can'),
      }),
      create: async ({ prompts, judge: name }, scope) => {
        const items = (await readTextRows(prompts, 'prompt')).map(itemOf);
        const judge = once(() => judgeFor(scope, 'answerProbabilities', name));
        const isWhole = items.length === publishedPrompts;
        return {
          tasks: [...new Set(items.map(({ task }) => task))].toSorted(
            (a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10),
          ),
          splits: ['heldout'],
          size: items.length,
          published: {
            name: isWhole ? 'GenEval 2' : 'Prompts in the form of GenEval 2',
            departures: isWhole ? [] : [`${items.length} prompts instead of ${publishedPrompts}`],
          },
          fingerprint: { prompts: createHash('sha256').update(JSON.stringify(items)).digest('hex') },
          prompts: (_split, count) => items.slice(0, count),
          judges: async () => {
            const { title, fingerprint } = await judge();
            const isOfficial = fingerprint['model'] === officialModel;
            return [{ capability: 'answerProbabilities', title, fingerprint, isOfficial }];
          },
          gather: async ({ image, specification }, signal) => {
            const asked = await judge();
            const weighed = (specification as Demand).vqa_list.map(([question, answer]) =>
              asked.answerProbabilities(image, `${question} Answer in one word.`, [spellings(answer)], signal),
            );
            return (await Promise.all(weighed)).map(([probability = 0]) => probability);
          },
          verdict: ({ specification }, evidence) => softTifa(specification as Demand, evidence as readonly number[]),
          aggregate: summarize,
        };
      },
    }),
  ],
});

function itemOf({ text, columns, place }: TextRow): PromptItem {
  const parsed = rowSchema.safeParse(columns);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new ReasongenError({
      code: 'BAD_PROMPT_LINE',
      message: `this line is no prompt of GenEval 2: ${issue?.path.join('.')}: ${issue?.message}`,
      place,
      hint: 'a line is {"prompt": ..., "atom_count": 3, "vqa_list": [[question, answer], ...], "skills": [...]}',
      exitCode: exitCodes.badPreset,
    });
  }
  const count = parsed.data.atom_count ?? parsed.data.vqa_list.length;
  return { prompt: text, task: `${count} atoms`, specification: parsed.data };
}

const digits = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'];

/** As a model may begin the answer: small or capital, behind a space or not, a number as a digit. */
export function spellings(answer: string): string[] {
  const lower = answer.trim().toLowerCase();
  const number = digits.indexOf(lower);
  const words = [lower, lower.charAt(0).toUpperCase() + lower.slice(1), ...(number < 0 ? [] : [String(number)])];
  return [...new Set(words.flatMap((word) => [word, ` ${word}`]))];
}

/** Arithmetic and geometric mean of the probabilities of the right answers; the geometric one is the score. */
export function softTifa({ vqa_list: list, skills }: Demand, probabilities: readonly number[]): Verdict {
  const atoms = list.map(([question, answer], index): Atom => ({
    id: `${index + 1} ${question} ${answer}`,
    kind: skills?.length === list.length ? (skills[index] ?? '') : 'question',
    score: Math.min(1, Math.max(0, probabilities[index] ?? 0)),
  }));
  const am = mean(atoms.map(({ score }) => score));
  const gm = atoms.reduce((product, { score }) => product * score, 1) ** (1 / Math.max(1, atoms.length));
  const doubtful = atoms
    .filter(({ score }) => score < 0.5)
    .map(({ id, score }) => `${id.replace(/^\d+ /, '')} (${score.toFixed(2)})`);
  return {
    pass: doubtful.length === 0,
    score: gm,
    why: doubtful.length === 0 ? 'every answer is likely' : `unlikely: ${doubtful.join('; ')}`,
    parts: { am, gm },
    atoms,
  };
}

function summarize(pictures: readonly JudgedPicture[]): Summary {
  const of = (values: readonly number[]): number => 100 * mean(values);
  const kinds = new Map<string, number[]>();
  const tasks = new Map<string, number[]>();
  for (const { task, verdict } of pictures) {
    add(tasks, task, verdict.score);
    for (const { kind, score } of verdict.atoms ?? []) add(kinds, kind, score);
  }
  return {
    headline: { name: 'Soft-TIFA GM', value: of(pictures.map(({ verdict }) => verdict.score)) },
    outOf: 100,
    scores: {
      ...Object.fromEntries([...tasks].map(([task, values]) => [task, of(values)])),
      'Soft-TIFA AM': of(pictures.map(({ verdict }) => verdict.parts?.['am'] ?? 0)),
      ...Object.fromEntries([...kinds].map(([kind, values]) => [`${kind} (AM)`, of(values)])),
    },
  };
}

function add(lists: Map<string, number[]>, name: string, value: number): void {
  const list = lists.get(name) ?? [];
  list.push(value);
  lists.set(name, list);
}
