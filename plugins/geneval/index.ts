/** GenEval: 553 prompts, four pictures each, objects and their colors as a detector and a classifier see them. */
import { createHash } from 'node:crypto';
import {
  defineBenchmark,
  definePlugin,
  inputFile,
  judgeFor,
  mean,
  once,
  z,
  type EvidenceBenchmark,
  type Judge,
  type JudgedPicture,
  type JudgeUse,
  type JudgeWith,
  type PromptItem,
  type Scope,
  type Summary,
} from '../../core/plugin.ts';
import { gatherEvidence } from './evidence.ts';
import { genevalLayout } from './layout.ts';
import { coco, readOntology } from './ontology.ts';
import { readGenevalFile } from './prompt-file.ts';
import { generatePrompts, lineOf, publishedSeed, tags, type GenevalItem } from './prompts.ts';
import { detectorReward } from './reward.ts';
import { judgePicture, type Evidence } from './verdict.ts';

/** What published scores are made with, as a judge that is the same one names its model. */
const officialModels = {
  detect: 'mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco',
  classify: 'openai/clip-vit-large-patch14',
};

const options = z.strictObject({
  mode: z
    .enum(['official', 'corrected'])
    .default('official')
    .describe('corrected: any object of a class may have the color and stand in the relation, not only the surest'),
  seed: z
    .number()
    .int()
    .nonnegative()
    .max(2 ** 32 - 1)
    .default(publishedSeed)
    .describe('of the prompts; 43 gives the 553 published ones, any other a suite of the same rules'),
  draws: z
    .number()
    .int()
    .positive()
    .max(100_000)
    .default(100)
    .describe('drawings of every kind of prompt but single objects, of which each object has one'),
  prompts: inputFile().optional().describe("instead of generated prompts: a file in the form of GenEval's"),
  ontology: inputFile()
    .optional()
    .describe(
      'a JSON file with other classes, colors, templates and thresholds than those of COCO, or text with a class a line',
    ),
  detector: z.string().optional().describe('name of the judge that detects; the first of the preset that can'),
  classifier: z.string().optional().describe('name of the judge that names colors; the first of the preset that can'),
  samplesPerPrompt: z.number().int().positive().default(4).describe('pictures of each prompt'),
});

type Options = z.output<typeof options>;

export default definePlugin({
  name: 'geneval',
  provides: [
    defineBenchmark({
      name: 'geneval',
      summary: 'GenEval: objects, counts, colors and positions, from a detector and a color classifier',
      options,
      create: createGeneval,
    }),
    detectorReward,
  ],
});

async function createGeneval(choice: Readonly<Options>, scope: Scope): Promise<EvidenceBenchmark> {
  const { mode, seed, draws, samplesPerPrompt } = choice;
  const ontology = choice.ontology === undefined ? coco : await readOntology(choice.ontology);
  const items =
    choice.prompts === undefined
      ? generatePrompts(ontology, seed, draws)
      : await readGenevalFile(choice.prompts, ontology);
  const judges = once(() => findJudges(choice, scope));
  const sha256 = createHash('sha256')
    .update(items.map((item) => `${lineOf(item)}\n`).join(''))
    .digest('hex');
  return {
    tasks: [
      ...new Set([...tags.filter((tag) => items.some((item) => item.tag === tag)), ...items.map(({ tag }) => tag)]),
    ],
    splits: ['heldout'],
    size: items.length,
    samplesPerPrompt,
    layout: genevalLayout,
    published: publishedName(choice, sha256),
    fingerprint: {
      prompts: sha256,
      mode,
      ontology: createHash('sha256').update(JSON.stringify(ontology)).digest('hex'),
    },
    prompts: (_split, count) => spread(items, count).map(promptOf),
    judges: async () => {
      const { detector, classifier } = await judges();
      return [use('detect', detector), use('classify', classifier)];
    },
    gather: async ({ image, specification }, signal) =>
      gatherEvidence(image, specification as GenevalItem, await judges(), { ontology, mode }, signal),
    verdict: ({ specification }, evidence) =>
      judgePicture(specification as GenevalItem, evidence as Evidence, mode, ontology),
    aggregate: overall,
  };
}

const publishedHash = '5c48e0813e812e3c373fa5c8ed07a8f0a483be30272b4427b0559c8048e67c13';

function publishedName(
  { mode, ontology, samplesPerPrompt }: Readonly<Options>,
  sha256: string,
): NonNullable<EvidenceBenchmark['published']> {
  const isOwn = sha256 !== publishedHash;
  const departures = [
    ...(isOwn ? ['other prompts than the published ones'] : []),
    ...(ontology === undefined ? [] : ['another ontology than that of COCO']),
    ...(samplesPerPrompt === 4 ? [] : [`${samplesPerPrompt} instead of 4 pictures a prompt`]),
    ...(mode === 'corrected' ? ['the corrected rules, not those of published scores'] : []),
  ];
  return {
    name: `${isOwn ? 'Prompts in the form of GenEval' : 'GenEval'}${mode === 'corrected' ? ', corrected' : ''}`,
    departures,
  };
}

async function findJudges(
  { detector, classifier }: Readonly<Options>,
  scope: Scope,
): Promise<{ readonly detector: JudgeWith<'detect'>; readonly classifier: JudgeWith<'classify'> }> {
  return {
    detector: await judgeFor(scope, 'detect', detector),
    classifier: await judgeFor(scope, 'classify', classifier),
  };
}

function use(
  capability: keyof typeof officialModels,
  { title, fingerprint }: Pick<Judge, 'title' | 'fingerprint'>,
): JudgeUse {
  return { capability, title, fingerprint, isOfficial: fingerprint['model'] === officialModels[capability] };
}

function promptOf(item: GenevalItem): PromptItem {
  return { prompt: item.prompt, task: item.tag, specification: item };
}

/** So many of them, spread evenly over the list, and so over its tags. */
function spread(items: readonly GenevalItem[], count: number): GenevalItem[] {
  if (count >= items.length) return [...items];
  return Array.from({ length: count }, (_, index) => items[Math.floor(((index + 0.5) * items.length) / count)]).filter(
    (item) => item !== undefined,
  );
}

/** The mean of the tags' shares of right pictures, whatever the number of their prompts. */
export function overall(pictures: readonly JudgedPicture[]): Summary {
  const byTag = new Map<string, number[]>();
  const solved = new Map<number, boolean>();
  for (const { task, index, verdict } of pictures) {
    const list = byTag.get(task) ?? [];
    list.push(verdict.score);
    byTag.set(task, list);
    solved.set(index, solved.get(index) === true || verdict.pass);
  }
  const shares = [...byTag].map(([tag, values]) => [tag, mean(values)] as const);
  return {
    headline: { name: 'overall', value: mean(shares.map(([, value]) => value)) },
    scores: {
      ...Object.fromEntries(shares),
      'right pictures': mean(pictures.map(({ verdict }) => verdict.score)),
      'prompts with a right picture': mean([...solved.values()].map(Number)),
    },
  };
}
