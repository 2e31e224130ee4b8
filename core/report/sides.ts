/** Two runs, evaluations or folders of drawings, matched: what they share is compared picture by picture, and what differs between them is said. */
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Evaluation, EvaluationSample, VerdictRecord } from '../contracts/evaluation.ts';
import { exitCodes, ReasongenError } from '../errors.ts';
import { pairedDifference, type PairedDifference, type ScorePair } from '../evaluation/paired.ts';
import { runsIn } from '../io/chain.ts';
import { readEvaluations } from '../io/evaluation-records.ts';
import { type DrawingLine, readDrawingLines } from '../io/drawing-lines.ts';
import { leadsOutside } from '../io/record-file.ts';
import { readSamplePicture } from '../io/records.ts';
import { evaluationName } from '../io/run-directory.ts';
import { compareTwo, type Comparison } from './summary.ts';

/** One of the two that are compared. */
export interface Side {
  /** As it was named. */
  readonly name: string;
  /** What paths of pictures are relative to. */
  readonly directory: string;
  /** The last of each benchmark and split; one, where a file was named. */
  readonly evaluations: readonly Evaluation[];
  /** Of `generate`. */
  readonly drawings: readonly DrawnLine[];
}

/** A line of drawings.jsonl, as far as it is compared. */
export type DrawnLine = Pick<DrawingLine, 'index' | 'prompt' | 'rationale' | 'file'>;

/** The same picture of the same prompt, judged otherwise. */
export interface Flip {
  readonly before: VerdictRecord;
  readonly after: VerdictRecord;
}

/** An evaluation of each side, of one benchmark and split. */
export interface Match {
  readonly comparison: Comparison;
  /** Of every reward that judged both. */
  readonly rewards: Readonly<Record<string, PairedDifference>>;
  /** What passed and does not, or the other way round, or has another score; the largest changes first. */
  readonly flips: readonly Flip[];
  /** In words, what is otherwise besides the weights: such a difference may be the reason of the result. */
  readonly differences: readonly string[];
}

/** Pictures that pass now and did not, or the other way round. */
export function flipCount(flips: readonly Flip[], isBetter: boolean): number {
  return flips.filter(({ before, after }) => before.pass === !isBetter && after.pass === isBetter).length;
}

/** Reads what a name leads to: the directory of a run or of a chain, a file in `evaluations/`, or a folder of drawings. */
export async function readSide(name: string): Promise<Side> {
  if (!existsSync(name)) throw notThere(name, 'there is nothing at this path');
  if (!statSync(name).isDirectory()) return readFileSide(name);
  // Of a chain the stage that was evaluated last.
  for (const directory of (await runsIn(name)).reverse()) {
    const evaluations = lastOfEach(await readEvaluations(directory));
    if (evaluations.length > 0) return { name, directory, evaluations, drawings: [] };
  }
  const drawings = await readDrawings(name);
  if (drawings.length > 0) return { name, directory: name, evaluations: [], drawings };
  throw notThere(name, 'it holds neither evaluations nor drawings');
}

async function readFileSide(name: string): Promise<Side> {
  const [folder, file] = [dirname(name), basename(name).replace(/\.jsonl?$/, '')];
  const directory = dirname(folder);
  const all = basename(folder) === 'evaluations' ? await readEvaluations(directory) : [];
  const evaluations = all.filter((each) => evaluationName(each) === file);
  if (evaluations.length === 0) throw notThere(name, 'it is no evaluation of a run');
  return { name, directory, evaluations, drawings: [] };
}

function notThere(name: string, message: string): ReasongenError {
  return new ReasongenError({
    code: 'NOTHING_TO_COMPARE',
    message,
    place: name,
    hint: 'name the directory of a run with evaluations, one of its files evaluations/*.json, or a folder that `reasongen generate` has drawn into',
    exitCode: exitCodes.badPreset,
  });
}

/** The last evaluation of each benchmark and split. */
export function lastOfEach(evaluations: readonly Evaluation[]): Evaluation[] {
  return [...new Map(evaluations.map((each) => [`${each.benchmark}\n${each.split}`, each])).values()];
}

async function readDrawings(directory: string): Promise<DrawnLine[]> {
  const lines = await readDrawingLines(join(directory, 'drawings.jsonl'));
  return lines.sort((a, b) => a.index - b.index);
}

/** Evaluations of the same benchmark and split. Throws NOTHING_TO_COMPARE when the sides have none in common. */
export function matchEvaluations(a: Side, b: Side): Match[] {
  const matches = matchesOf(a.evaluations, b.evaluations);
  if (matches.length > 0) return matches;
  const names = ({ evaluations }: Side): string =>
    evaluations.length === 0
      ? 'drawings only'
      : evaluations.map(({ benchmark, split }) => `${benchmark} (${split})`).join(', ');
  throw new ReasongenError({
    code: 'NOTHING_TO_COMPARE',
    message: `they have no evaluation in common: ${a.name} has ${names(a)}, ${b.name} has ${names(b)}`,
    hint: 'evaluate both by one benchmark: npx reasongen evaluate RUN',
    exitCode: exitCodes.badPreset,
  });
}

/** Each of the later ones with the first of the same benchmark and split among the earlier ones; those without one are left out. */
export function matchesOf(earlier: readonly Evaluation[], later: readonly Evaluation[]): Match[] {
  return later.flatMap((after): Match[] => {
    const before = earlier.find(({ benchmark, split }) => benchmark === after.benchmark && split === after.split);
    return before === undefined ? [] : [matchOf(before, after, compareTwo(before, after))];
  });
}

/** An evaluation of a run with the one before it, which may not be there. */
export function matchWithin(comparison: Comparison): Match {
  const { before, after } = comparison;
  return before === undefined
    ? { comparison, rewards: {}, flips: [], differences: [] }
    : matchOf(before, after, comparison);
}

function matchOf(before: Evaluation, after: Evaluation, comparison: Comparison): Match {
  const pairs = pairVerdicts(before, after);
  const change = ({ before: was, after: is }: Flip): number =>
    Math.abs(is.score - was.score) + (is.pass === was.pass ? 0 : 1);
  const flips = pairs
    .filter((pair) => change(pair) > 1e-9)
    .sort((x, y) => change(y) - change(x) || x.after.index - y.after.index);
  return {
    comparison,
    rewards: rewardDifferences(pairs, after.seed),
    flips,
    differences: differencesOf(before, after, pairs.length),
  };
}

function pairVerdicts(before: Evaluation, after: Evaluation): Flip[] {
  const key = ({ index, copy, prompt }: VerdictRecord): string => JSON.stringify([index, copy, prompt]);
  const first = new Map((before.verdicts ?? []).map((verdict) => [key(verdict), verdict]));
  return (after.verdicts ?? []).flatMap((verdict): Flip[] => {
    const other = first.get(key(verdict));
    return other === undefined ? [] : [{ before: other, after: verdict }];
  });
}

function rewardDifferences(pairs: readonly Flip[], seed: number): Record<string, PairedDifference> {
  const names = new Set(pairs.flatMap(({ after }) => Object.keys(after.scores ?? {})));
  const differences: Record<string, PairedDifference> = {};
  for (const name of names) {
    const scores = pairs.flatMap(({ before, after }): ScorePair[] => {
      const [was, is] = [before.scores?.[name]?.value, after.scores?.[name]?.value];
      return was === undefined || is === undefined
        ? []
        : [{ prompt: after.index, task: after.task, before: was, after: is }];
    });
    if (scores.length > 0) differences[name] = pairedDifference(scores, seed);
  }
  return differences;
}

/** Everything recorded about how the two were drawn and judged, but the weights. */
function differencesOf(before: Evaluation, after: Evaluation, pairs: number): string[] {
  const facts = ({
    seed,
    count: prompts,
    samplesPerPrompt = 1,
    sampling,
    judges = [],
    fingerprint = {},
  }: Evaluation): Record<string, string> => ({
    seed: String(seed),
    prompts: String(prompts),
    'pictures of a prompt': String(samplesPerPrompt),
    ...Object.fromEntries(Object.entries(sampling).map(([name, value]) => [name, JSON.stringify(value)])),
    ...Object.fromEntries(
      judges.map(({ capability, title, fingerprint: own }) => [
        `judge (${capability})`,
        `${title} ${JSON.stringify(own)}`,
      ]),
    ),
    ...Object.fromEntries(Object.entries(fingerprint).map(([name, value]) => [`benchmark's ${name}`, value])),
  });
  const [was, is] = [facts(before), facts(after)];
  const differences = [...new Set([...Object.keys(was), ...Object.keys(is)])]
    .filter((name) => was[name] !== is[name])
    .map((name) => `${name}: ${was[name] ?? 'none'} and ${is[name] ?? 'none'}`);
  if (before.seed !== after.seed)
    differences.push('with another seed the random numbers of a picture differ, and so may its prompt');
  if (before.verdicts === undefined || after.verdicts === undefined)
    differences.push('one of the records does not tell of every picture: the intervals are not paired');
  else if (pairs === 0) differences.push('no prompt is the same in both: nothing is paired');
  return differences;
}

/** Kept with its picture in the record itself, where it was not kept as a file; those of one prompt stand in their order. */
export function keptOf({ samples }: Evaluation, { prompt, copy }: VerdictRecord): EvaluationSample | undefined {
  return samples.filter((sample) => sample.prompt === prompt)[copy];
}

/** A drawing as the page shows it; empty where its picture was not kept. */
export async function shownVerdict(
  { directory }: Pick<Side, 'directory'>,
  evaluation: Evaluation,
  verdict: VerdictRecord,
): Promise<EvaluationSample> {
  const { prompt, task, pass, why, rationale = '', scores = {} } = verdict;
  const kept = keptOf(evaluation, verdict);
  const image = verdict.picture === undefined ? (kept?.image ?? '') : await pictureWithin(directory, verdict.picture);
  return { prompt, task, pass, why, scores, image, rationale: rationale === '' ? (kept?.rationale ?? '') : rationale };
}

/** A PNG of a directory in base64; empty where there is none. */
export async function pictureWithin(directory: string, file: string): Promise<string> {
  return leadsOutside(file) ? '' : readSamplePicture(directory, { image: file });
}
