/** The scores of T2I-CompBench's categories, each 0 to 1, from what judges say of a picture. Pure. */
import { mean, type JudgeCapability, type Verdict } from '../../core/plugin.ts';
import { deepPhrases, deepPosition, flatPhrases, flatPosition, merged, type CompObject } from './geometry.ts';
import { deepScene, flatScene, namesOf, numbersOf } from './language.ts';

export const categories = [
  'color',
  'shape',
  'texture',
  'spatial',
  '3d_spatial',
  'numeracy',
  'non_spatial',
  'complex',
] as const;
export type Category = (typeof categories)[number];

/** What each category needs of its judges. */
export const needs: Readonly<Record<Category, readonly Needed[]>> = {
  color: ['answerProbabilities'],
  shape: ['answerProbabilities'],
  texture: ['answerProbabilities'],
  spatial: ['detect'],
  '3d_spatial': ['detect', 'depth'],
  numeracy: ['detect'],
  non_spatial: ['similarity'],
  complex: ['answerProbabilities', 'detect', 'similarity'],
};

export type Needed = Extract<JudgeCapability, 'answerProbabilities' | 'detect' | 'depth' | 'similarity'>;

/** Which of the three scores of a complex prompt count. */
export type ComplexKind = 'spatial' | 'action' | 'both';

/** What was gathered about one picture; absent: no judge can say it. */
export interface CompEvidence {
  /** P(yes) / (P(yes) + P(no)) for every noun chunk of the prompt. */
  readonly chunks?: Readonly<Record<string, number>>;
  readonly objects?: readonly CompObject[];
  /** Whether the objects have depths. */
  readonly isDeep?: boolean;
  /** Cosine of picture and prompt. */
  readonly similarity?: number;
}

/** The product over the chunks of a prompt, one that stands there twice twice; 1 where there is none, as in the published scorer. */
export function chunkScore(chunks: readonly string[], values: Readonly<Record<string, number>>): number {
  return chunks.reduce((product, chunk) => product * (values[chunk] ?? 1), 1);
}

/** Surest object of one of these names; `part`: the name may be part of the label. */
function find(objects: readonly CompObject[], thing: string, part = false): CompObject | undefined {
  const names = namesOf(thing);
  return objects.find(({ label }) => names.some((name) => label === name || (part && label.includes(name))));
}

/** Both surest and well placed; under one half it counts as nothing, so one object alone never counts. */
export function spatialScore(prompt: string, objects: readonly CompObject[], hasCut = true): number {
  const scene = flatScene(prompt);
  if (scene === undefined) return 0;
  const [first, second] = [find(objects, scene.first), find(objects, scene.second)];
  const position =
    first === undefined || second === undefined
      ? 0
      : flatPosition(flatPhrases[scene.phrase] ?? 'none', first.box, second.box);
  const score = presence(first, second) + 0.5 * position;
  return hasCut && score < 0.5 ? 0 : score;
}

export function deepScore(prompt: string, objects: readonly CompObject[]): number {
  const scene = deepScene(prompt);
  const wanted = scene && deepPhrases[scene.phrase];
  if (scene === undefined || wanted === undefined) return 0;
  const [first, second] = [find(objects, scene.first, true), find(objects, scene.second, true)];
  const position = first === undefined || second === undefined ? 0 : deepPosition(wanted, first, second);
  return presence(first, second) + 0.5 * position;
}

function presence(first: CompObject | undefined, second: CompObject | undefined): number {
  return 0.25 * ((first?.score ?? 0) + (second?.score ?? 0));
}

/** Every asked noun counts alike: half for being there, half for being there as often. */
export function numeracyScore(
  prompt: string,
  objects: readonly CompObject[],
  plurals: ReadonlyMap<string, string>,
): number {
  const asked = numbersOf(prompt, plurals);
  const found = merged(objects);
  const scores = asked.map(({ noun, count }) => {
    const names = namesOf(noun);
    const exact = found.filter(({ label }) => names.includes(label));
    const some = exact.length > 0 ? exact : found.filter(({ label }) => names.some((name) => label.includes(name)));
    return 0.5 * Number(some.length > 0) + 0.5 * Number(some.length === count);
  });
  return mean(scores);
}

/** Three in one: which scores count is a matter of the prompt. */
export function complexScore(kind: ComplexKind, blip: number, spatial: number, clip: number): number {
  if (kind === 'spatial') return (spatial + blip) / 2;
  return kind === 'action' ? (clip + blip) / 2 : (spatial + clip + blip) / 3;
}

export interface CompItem {
  readonly category: Category;
  readonly kind?: ComplexKind;
  /** The number of its first picture within the category. */
  readonly number: number;
  readonly chunks: readonly string[];
}

/** Undefined where what it needs was not gathered. */
export function categoryScore(
  prompt: string,
  { category, kind = 'both', chunks }: CompItem,
  { chunks: values, objects, similarity, isDeep = false }: CompEvidence,
  plurals: ReadonlyMap<string, string>,
): number | undefined {
  switch (category) {
    case 'color':
    case 'shape':
    case 'texture':
      return values && chunkScore(chunks, values);
    case 'spatial':
      return objects && spatialScore(prompt, objects);
    case '3d_spatial':
      return objects !== undefined && isDeep ? deepScore(prompt, objects) : undefined;
    case 'numeracy':
      return objects && numeracyScore(prompt, objects, plurals);
    case 'non_spatial':
      return similarity;
    case 'complex':
      return values === undefined || objects === undefined || similarity === undefined
        ? undefined
        : complexScore(kind, chunkScore(chunks, values), spatialScore(prompt, objects), similarity);
  }
}

export function judgeComp(
  prompt: string,
  item: CompItem,
  evidence: CompEvidence,
  plurals: ReadonlyMap<string, string>,
): Verdict {
  const exact = categoryScore(prompt, item, evidence, plurals);
  if (exact === undefined)
    return { pass: false, score: 0, why: 'not available: no judge of the run says what this category needs' };
  const score = Math.min(1, Math.max(0, exact));
  const said = [
    ...Object.entries(evidence.chunks ?? {}).map(([chunk, value]) => `${chunk} ${value.toFixed(2)}`),
    ...(evidence.objects ?? []).slice(0, 8).map(({ label, score: sureness }) => `${label} ${sureness.toFixed(2)}`),
    ...(evidence.similarity === undefined ? [] : [`cosine ${evidence.similarity.toFixed(3)}`]),
  ];
  return {
    pass: score >= 1 - 1e-9,
    score,
    why: said.length === 0 ? 'nothing was found' : said.join(', '),
    parts: { exact },
  };
}
