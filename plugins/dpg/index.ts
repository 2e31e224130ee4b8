/** DPG-Bench: long prompts, four pictures in a grid, questions about each, and a yes only counts where its parents have one. */
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import {
  decodeText,
  defineBenchmark,
  definePlugin,
  diskError,
  exitCodes,
  hasCode,
  inputFile,
  judgeFor,
  once,
  readBounded,
  readTextRows,
  ReasongenError,
  z,
  type EvidenceBenchmark,
  type PictureLayout,
  type PromptItem,
  type Scope,
} from '../../core/plugin.ts';
import { readQuestions, type QuestionedPrompt } from './questions.ts';
import { DpgCategories, judgeTile, summarizeDpg, type Answers } from './verdict.ts';

const officialModel = 'damo/mplug_visual-question-answering_coco_large_en';
/** Of the published benchmark. */
const publishedPrompts = 1065;

const options = z.strictObject({
  questions: inputFile()
    .optional()
    .describe(
      'the question graph, `dpg_bench.csv` of the published benchmark; without it pictures are drawn, not judged',
    ),
  prompts: inputFile()
    .optional()
    .describe(
      'the prompts: a folder with ID.txt each, or JSON Lines with `id` and `prompt`; absent: those in the question graph',
    ),
  mode: z
    .enum(['official', 'corrected'])
    .default('official')
    .describe("official: with the published scorer's mistakes; corrected: every picture and every question counts"),
  tile: z
    .number()
    .int()
    .positive()
    .optional()
    .describe('side of a picture in pixels, 384 for Janus-Pro; others are refused'),
  judge: z.string().optional().describe('name of the judge that answers; the first of the preset that can'),
});

type Options = z.output<typeof options>;

export default definePlugin({
  name: 'dpg',
  provides: [
    defineBenchmark({
      name: 'dpg',
      summary: 'DPG-Bench: long prompts, and a graph of questions that a judge answers about each picture',
      options,
      create: createDpg,
    }),
  ],
});

async function createDpg(choice: Readonly<Options>, scope: Scope): Promise<EvidenceBenchmark> {
  const { mode, tile, prompts, questions } = choice;
  const graph = questions === undefined ? [] : await readQuestions(questions, mode);
  const items = prompts === undefined ? graph : withQuestions(await readPrompts(prompts), graph, prompts, questions);
  if (items.length === 0) throw nothingToAsk();
  const judge = once(() => judgeFor(scope, 'answer', choice.judge));
  const categories = new DpgCategories(mode);
  const isWhole = items.length === publishedPrompts;
  const data = createHash('sha256').update(JSON.stringify(items)).digest('hex');
  return {
    tasks: ['dpg'],
    splits: ['heldout'],
    size: items.length,
    samplesPerPrompt: 4,
    layout: layoutOf(tile),
    published: {
      name: `${isWhole ? 'DPG-Bench' : 'Prompts in the form of DPG-Bench'}${mode === 'corrected' ? ', corrected' : ''}`,
      departures: [
        ...(isWhole ? [] : [`${items.length} prompts instead of ${publishedPrompts}`]),
        ...(mode === 'corrected' ? ["corrected rules, not the published scorer's"] : []),
      ],
    },
    fingerprint: { questions: data, mode },
    prompts: (_split, count) => items.slice(0, count).map(promptOf),
    judges: async () => {
      if (graph.length === 0) throw nothingToAsk();
      const { title, fingerprint } = await judge();
      return [{ capability: 'answer', title, fingerprint, isOfficial: fingerprint['model'] === officialModel }];
    },
    gather: async ({ image, specification }, signal) => {
      const asked = await judge();
      const { questions: all } = specification as QuestionedPrompt;
      const answers = await Promise.all(
        all.map(async ({ id, text }) => [id, await asked.answer(image, text, signal)] as const),
      );
      return Object.fromEntries(answers);
    },
    verdict: ({ specification }, answers) => judgeTile(specification as QuestionedPrompt, answers as Answers, mode),
    aggregate: (pictures) => summarizeDpg(pictures, mode, categories),
  };
}

function promptOf(item: QuestionedPrompt): PromptItem {
  return { prompt: item.prompt, task: 'dpg', specification: item };
}

/** `ID.png`, four pictures row by row. */
function layoutOf(tile: number | undefined): PictureLayout {
  return {
    grid: { rows: 2, columns: 2, ...(tile !== undefined && { tile }) },
    file: ({ specification }) => `${(specification as QuestionedPrompt).id}.png`,
  };
}

type PlainPrompt = Pick<QuestionedPrompt, 'id' | 'prompt'>;

function withQuestions(
  prompts: readonly PlainPrompt[],
  graph: readonly QuestionedPrompt[],
  place: string,
  questions: string | undefined,
): QuestionedPrompt[] {
  const byId = new Map(graph.map((item) => [item.id, item]));
  return prompts.map(({ id, prompt }) => {
    const known = byId.get(id);
    if (known === undefined && questions !== undefined) {
      throw new ReasongenError({
        code: 'BAD_QUESTIONS',
        message: `there are no questions about the prompt "${id}" of ${basename(place)}`,
        place: questions,
        hint: 'give prompts and questions of one benchmark, or leave out `prompts`',
        exitCode: exitCodes.badPreset,
      });
    }
    return { id, prompt, questions: [], ...known };
  });
}

async function readPrompts(path: string): Promise<PlainPrompt[]> {
  const names = await readdir(path).catch((cause: unknown) => {
    if (hasCode(cause, 'ENOTDIR')) return undefined;
    throw diskError(cause, 'reading prompts', path);
  });
  if (names === undefined) {
    const rows = await readTextRows(path, 'prompt');
    return rows.map(({ text, columns, place }) => {
      const id = columns['id'] ?? columns['item_id'];
      if ((typeof id !== 'string' && typeof id !== 'number') || !isFileName(String(id))) throw badId(place, id);
      return { id: String(id), prompt: text };
    });
  }
  const files = names.filter((name) => name.endsWith('.txt')).toSorted();
  const prompts: PlainPrompt[] = [];
  for (const name of files)
    prompts.push({
      id: basename(name, '.txt'),
      prompt: decodeText(await readBounded(join(path, name), 'reading a prompt')).trim(),
    });
  return prompts;
}

/** It names a picture. */
function isFileName(id: string): boolean {
  return /^[\w-][\w .-]*$/.test(id);
}

function badId(place: string, id: unknown): ReasongenError {
  return new ReasongenError({
    code: 'BAD_PROMPT_LINE',
    message: `a prompt of DPG-Bench has an \`id\` that names its picture, and this line has ${JSON.stringify(id) ?? 'none'}`,
    place,
    hint: 'a line is {"id": ..., "prompt": ...}',
    exitCode: exitCodes.badPreset,
  });
}

function nothingToAsk(): ReasongenError {
  return new ReasongenError({
    code: 'NO_QUESTIONS',
    message: 'DPG-Bench judges by its questions, and no file of them is named',
    hint: 'name dpg_bench.csv of the published benchmark: --set benchmarks.dpg.questions=FILE; to draw only, `prompts` is enough',
    exitCode: exitCodes.badPreset,
  });
}
