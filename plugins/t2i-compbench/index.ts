/** T2I-CompBench and T2I-CompBench++: eight categories, each with a score and judges of its own. */
import { createHash } from 'node:crypto';
import {
  defineBenchmark,
  definePlugin,
  exitCodes,
  inputFile,
  mean,
  once,
  readTextRows,
  ReasongenError,
  z,
  type DepthMap,
  type Image,
  type Judge,
  type JudgedPicture,
  type JudgeUse,
  type LocatedPicture,
  type PictureLayout,
  type PromptItem,
  type Scope,
  type Summary,
} from '../../core/plugin.ts';
import { frameSide, type CompObject } from './geometry.ts';
import { readCompPrompts } from './prompts.ts';
import {
  categories,
  judgeComp,
  needs,
  type Category,
  type CompEvidence,
  type CompItem,
  type Needed,
} from './verdict.ts';

/** What published scores are made with, as a judge that is the same one names its model. */
const officialModels: Readonly<Record<Needed, string>> = {
  answerProbabilities: 'model_base_vqa_capfilt_large',
  detect: 'UniDet RS200',
  depth: 'dpt_hybrid-midas',
  similarity: 'openai/clip-vit-base-patch32',
};

/** Detections with less are left out. */
const threshold = 0.5;

const options = z.strictObject({
  prompts: inputFile().describe(
    'the folder of prompts of the project: color_val.txt, shape_val.txt, …, new_objects.txt',
  ),
  categories: z.array(z.enum(categories)).min(1).optional().describe('which; absent: those the folder has'),
  samplesPerPrompt: z.number().int().positive().default(10).describe('pictures of each prompt'),
  chunks: inputFile()
    .optional()
    .describe('JSON Lines with `prompt` and `chunks`, its noun chunks as spaCy gives them; absent: found by rules'),
});

type Options = z.output<typeof options>;

export default definePlugin({
  name: 't2i-compbench',
  provides: [
    defineBenchmark({
      name: 't2i-compbench',
      summary:
        'T2I-CompBench: colors, shapes, textures, places, numbers, actions; a score for each that judges can say',
      options,
      create: async (choice, scope) => {
        const { prompts: folder, samplesPerPrompt } = choice;
        const chunks =
          choice.chunks === undefined ? new Map<string, readonly string[]>() : await readChunks(choice.chunks);
        const { items, plurals, counts, ruled } = await readCompPrompts(
          folder,
          choice.categories,
          samplesPerPrompt,
          chunks,
        );
        const judges = once(() => findJudges(scope));
        return {
          tasks: categories.filter((category) => counts[category] !== undefined),
          splits: ['heldout'],
          size: items.length,
          samplesPerPrompt,
          layout: compLayout,
          published: { name: 'T2I-CompBench', departures: departuresOf(choice, counts, ruled) },
          fingerprint: {
            prompts: createHash('sha256')
              .update(JSON.stringify([items, [...plurals]]))
              .digest('hex'),
          },
          prompts: (_split, count) => spread(items, count),
          judges: async () => usesOf(await judges()),
          gather: async ({ image, prompt, specification }, signal) =>
            gather(image, prompt, specification as CompItem, await judges(), signal),
          verdict: ({ prompt, specification }, evidence) =>
            judgeComp(prompt, specification as CompItem, evidence as CompEvidence, plurals),
          aggregate: summarizeCategories,
        };
      },
    }),
  ],
});

function departuresOf(
  { samplesPerPrompt, chunks, categories: chosen }: Readonly<Options>,
  counts: Readonly<Partial<Record<Category, number>>>,
  ruled: number,
): string[] {
  const short = Object.entries(counts).filter(([, count]) => count !== 300);
  return [
    ...(chunks === undefined ? ['nouns and noun chunks are found by rules, not by spaCy'] : []),
    ...(chunks === undefined || ruled === 0
      ? []
      : [`noun chunks of ${ruled} prompts, which are not in the file, are found by rules`]),
    ...(samplesPerPrompt === 10 ? [] : [`${samplesPerPrompt} instead of 10 pictures a prompt`]),
    ...(chosen === undefined ? [] : [`only ${chosen.join(', ')}`]),
    ...(counts['3d_spatial'] === undefined ? [] : ['depth is taken within the boxes, not from a transposed map']),
    ...(short.length === 0
      ? []
      : [short.map(([category, count]) => `${count} of 300 prompts of ${category}`).join(', ')]),
  ];
}

type Judges = Partial<Readonly<Record<Needed, Judge>>>;

/** The first judge of the preset for each need; those that nobody meets are left out. */
async function findJudges(scope: Scope): Promise<Judges> {
  const all = await scope.getAll('judge');
  const found = Object.keys(officialModels).flatMap((capability) => {
    const judge = all.find((each) => each[capability as Needed] !== undefined);
    return judge === undefined ? [] : [[capability, judge] as const];
  });
  return Object.fromEntries(found);
}

function usesOf(judges: Judges): JudgeUse[] {
  return Object.entries(judges).map(([capability, { title, fingerprint }]) => ({
    capability,
    title,
    fingerprint,
    isOfficial: fingerprint['model'] === officialModels[capability as Needed],
  }));
}

async function gather(
  image: Image,
  prompt: string,
  { category, chunks }: CompItem,
  judges: Judges,
  signal: AbortSignal,
): Promise<CompEvidence> {
  // Half of what a category needs is no score of it.
  if (needs[category].some((capability) => judges[capability] === undefined)) return {};
  const wants = (capability: Needed): boolean => needs[category].includes(capability);
  const evidence: { -readonly [Key in keyof CompEvidence]: CompEvidence[Key] } = {};
  if (wants('answerProbabilities')) {
    const answers = chunks.map(async (chunk) => {
      const [yes = 0, no = 0] =
        (await judges.answerProbabilities?.answerProbabilities?.(image, `${chunk}?`, [['yes'], ['no']], signal)) ?? [];
      return [chunk, Number((yes / Math.max(Number.EPSILON, yes + no)).toFixed(4))] as const;
    });
    evidence.chunks = Object.fromEntries(await Promise.all(answers));
  }
  if (wants('detect')) {
    const found = (await judges.detect?.detect?.(image, signal)) ?? [];
    const depth = wants('depth') ? await judges.depth?.depth?.(image, signal) : undefined;
    const scale = frameSide / Math.max(image.width, image.height);
    evidence.objects = found
      .filter(({ score }) => score > threshold)
      .toSorted((a, b) => b.score - a.score)
      .map(({ label, score, box }): CompObject => {
        const [x1, y1, x2, y2] = box;
        const placed = {
          label: label.toLowerCase(),
          score,
          box: [x1 * scale, y1 * scale, x2 * scale, y2 * scale] as const,
        };
        return depth === undefined ? placed : { ...placed, depth: depthWithin(depth, box, image) };
      });
    evidence.isDeep = depth !== undefined;
  }
  if (wants('similarity')) {
    const [cosine] = (await judges.similarity?.similarity?.(image, [prompt], signal)) ?? [];
    if (cosine !== undefined) evidence.similarity = cosine;
  }
  return evidence;
}

/** Mean of the map within a box of the picture, where its smallest value is 0 and its largest 1. */
export function depthWithin(
  { width, height, values }: DepthMap,
  box: CompObject['box'],
  image: Pick<Image, 'width' | 'height'>,
): number {
  const [least, most] = values.reduce<[number, number]>(
    ([a, b], value) => [Math.min(a, value), Math.max(b, value)],
    [Infinity, -Infinity],
  );
  const [x1, x2] = [box[0], box[2]].map((x) => Math.round((x * width) / image.width)) as [number, number];
  const [y1, y2] = [box[1], box[3]].map((y) => Math.round((y * height) / image.height)) as [number, number];
  let [sum, count] = [0, 0];
  for (let y = Math.max(0, y1); y < Math.min(height, Math.max(y2, y1 + 1)); y++)
    for (let x = Math.max(0, x1); x < Math.min(width, Math.max(x2, x1 + 1)); x++) {
      sum += ((values[y * width + x] ?? least) - least) / Math.max(Number.EPSILON, most - least);
      count += 1;
    }
  return count === 0 ? 0 : sum / count;
}

/** `CATEGORY/samples/PROMPT_000000.png`: counted through the category. */
const compLayout: PictureLayout = {
  file: ({ prompt, specification }, _index, copy) => {
    const { category, number } = specification as CompItem;
    return `${category}/samples/${prompt}_${String(number + copy).padStart(6, '0')}.png`;
  },
  locate: ({ paths }, items) => {
    const indices = new Map<string, number[]>();
    for (const [index, { prompt, task }] of items.entries()) append(indices, `${task}/${prompt}`, index);
    const files = new Map<string, { readonly path: string; readonly number: number }[]>();
    for (const path of paths) {
      const [, category, prompt, number] = /^([^/]+)\/samples\/([^/_]*)_(?:[^/]*_)?(\d+)\.png$/.exec(path) ?? [];
      append(files, `${category}/${prompt}`, { path, number: Number(number) });
    }
    const located = [...indices].flatMap(([key, same]) => {
      const found = (files.get(key) ?? []).toSorted((a, b) => a.number - b.number);
      // A prompt that the list has twice has the first half of its pictures first.
      const each = Math.ceil(found.length / same.length);
      return found.map(({ path }, at): LocatedPicture => {
        const index = same[Math.floor(at / each)] ?? 0;
        return { path, index, copy: at % each };
      });
    });
    return Promise.resolve(located);
  },
};

function append<Item>(lists: Map<string, Item[]>, key: string, item: Item): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}

/** The mean of every category; there is no published total, so the headline says what it is the mean of. */
export function summarizeCategories(pictures: readonly JudgedPicture[]): Summary {
  const scores: Record<string, number> = {};
  const unavailable: Record<string, string> = {};
  for (const category of categories) {
    const own = pictures.filter(({ task }) => task === category);
    if (own.length === 0) continue;
    // A verdict without its parts was made without judges.
    if (own.some(({ verdict, failure }) => failure === undefined && verdict.parts === undefined))
      unavailable[category] =
        `no judge of the run says all of ${needs[category].map((need) => `\`${need}\``).join(', ')}`;
    else scores[category] = own.reduce((sum, { verdict }) => sum + (verdict.parts?.['exact'] ?? 0), 0) / own.length;
  }
  const values = Object.values(scores);
  return {
    headline: {
      name: `mean of ${Object.keys(scores).join(', ') || 'nothing'}`,
      value: mean(values),
    },
    scores,
    ...(Object.keys(unavailable).length > 0 && { unavailable }),
  };
}

/** So many of them, spread evenly over the list, and so over its categories. */
function spread(items: readonly PromptItem[], count: number): PromptItem[] {
  if (count >= items.length) return [...items];
  return Array.from({ length: count }, (_, index) => items[Math.floor(((index + 0.5) * items.length) / count)]).filter(
    (item) => item !== undefined,
  );
}

/** Throws BAD_CHUNKS for a row without them: a prompt of which nothing is asked would score 1. */
export async function readChunks(path: string): Promise<Map<string, readonly string[]>> {
  const rows = await readTextRows(path, 'prompt');
  return new Map(
    rows.map(({ text, place, columns }) => {
      const { chunks } = columns;
      if (isTexts(chunks)) return [text, chunks];
      throw new ReasongenError({
        code: 'BAD_CHUNKS',
        message: 'this row has no `chunks`, a list of texts that are not empty',
        place,
        hint: 'every line is {"prompt": "a red book and a dog", "chunks": ["a red book", "a dog"]}',
        exitCode: exitCodes.badPreset,
      });
    }),
  );
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string' && each.trim() !== '');
}
