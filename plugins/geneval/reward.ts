/** A reward by GenEval's rules: the prompt's own metadata say what must be there, a detector and a color classifier what is. */
import {
  defineReward,
  inputFile,
  judgeFor,
  mean,
  z,
  type Reward,
  type RewardAnswer,
  type Sample,
} from '../../core/plugin.ts';
import { gatherEvidence, type GenevalJudges } from './evidence.ts';
import { coco, readOntology, type Ontology } from './ontology.ts';
import { itemSchema } from './prompt-file.ts';
import type { GenevalItem } from './prompts.ts';
import { countedObjects, judgePicture, type Evidence } from './verdict.ts';

const options = z.strictObject({
  mode: z
    .enum(['official', 'corrected'])
    .default('official')
    .describe('corrected: any object of a class may have the color and stand in the relation, not only the surest'),
  credit: z
    .enum(['verdict', 'atoms', 'counts'])
    .default('verdict')
    .describe(
      'what is given: 1 or 0 for the whole picture; the share of objects, colors and positions that are right (what must not be there counts only where something is that must); or that share, in which the number of objects counts by how near it is',
    ),
  ontology: inputFile()
    .optional()
    .describe('a JSON file with other classes, colors, templates and thresholds than those of COCO'),
  detector: z.string().optional().describe('name of the judge that detects; the first of the preset that can'),
  classifier: z.string().optional().describe('name of the judge that names colors; the first of the preset that can'),
});

type RewardChoice = Readonly<z.output<typeof options>>;

export const detectorReward = defineReward({
  name: 'detector',
  summary: "GenEval's rules on what a detector finds, for prompts that carry GenEval's metadata",
  options,
  create: async (choice, scope): Promise<Reward> => {
    const ontology = choice.ontology === undefined ? coco : await readOntology(choice.ontology);
    const judges: GenevalJudges = {
      detector: await judgeFor(scope, 'detect', choice.detector),
      classifier: await judgeFor(scope, 'classify', choice.classifier),
    };
    return {
      judgesBenchmarks: true,
      score: (samples, signal) =>
        Promise.all(samples.map((sample) => judged(sample, judges, ontology, choice, signal))),
    };
  },
});

/** null for a prompt without metadata of this form: there is nothing to check. */
async function judged(
  { image, prompt, specification }: Sample,
  judges: GenevalJudges,
  ontology: Ontology,
  { mode, credit }: RewardChoice,
  signal: AbortSignal,
): Promise<RewardAnswer> {
  const read = itemSchema.safeParse({ ...(specification as object | null), prompt });
  if (!read.success) return null;
  const item = read.data as GenevalItem;
  const evidence = await gatherEvidence(image, item, judges, { ontology, mode }, signal);
  const verdict = judgePicture(item, evidence, mode, ontology);
  const { atoms = [], why } = verdict;
  const paid = paidAtoms(atoms, item, evidence, ontology);
  const shares = credit === 'counts' ? [...nearness(item, evidence, ontology), ...graded(atoms)] : paid;
  return {
    value: credit === 'verdict' ? Number(verdict.pass) : mean(shares),
    why: `${judges.detector.title}: ${why}`,
    parts: { right: Number(verdict.pass), atoms: mean(paid) },
  };
}

/** That something is not there is right of an empty picture as well: it pays only where something is that should be. */
function paidAtoms(
  atoms: readonly { readonly kind: string; readonly score: number }[],
  { tag, include }: GenevalItem,
  { objects }: Evidence,
  ontology: Ontology,
): number[] {
  const counted = countedObjects(objects, tag, ontology);
  const isEmpty = include.every(({ class: name }) => (counted.get(name)?.length ?? 0) === 0);
  return atoms.map(({ kind, score }) => (kind === 'exclude' && isEmpty ? 0 : score));
}

/** Colors and positions; the number of objects is graded by itself. */
function graded(atoms: readonly { readonly kind: string; readonly score: number }[]): number[] {
  return atoms.filter(({ kind }) => kind !== 'object' && kind !== 'exclude').map(({ score }) => score);
}

/** By clause: 1 for as many objects as are wanted, less by each that is missing or too much, as a share of what is wanted; at least 0. */
function nearness({ tag, include }: GenevalItem, { objects }: Evidence, ontology: Ontology): number[] {
  const counted = countedObjects(objects, tag, ontology);
  return include.map(({ class: name, count }) =>
    Math.max(0, 1 - Math.abs(count - (counted.get(name)?.length ?? 0)) / count),
  );
}
