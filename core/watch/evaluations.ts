/** Evaluations as the live page asks for them: comparisons with the flipped pictures first, and one prompt through all of them. */
import type { Evaluation, VerdictRecord } from '../contracts/evaluation.ts';
import { evaluationName } from '../io/run-directory.ts';
import type { ComparisonAnswer, Frame, PairAnswer, PictureAnswer } from '../page/answers.ts';
import { comparisonAnswer, hasPicture, judgedPicture, verdictsOf, type ShownPairs } from '../report/comparisons.ts';
import { keptOf, lastOfEach, matchesOf, matchWithin, shownVerdict, type Flip, type Match } from '../report/sides.ts';
import { compare } from '../report/summary.ts';

/** Pairs of pictures that are sent; all are counted. */
const mostPairs = 600;

/** One side of a comparison: a run with the evaluations that count. */
interface EvaluatedRun {
  readonly id: string;
  readonly evaluations: readonly Evaluation[];
}

/** Before and after, of every benchmark and split of a run. */
export function comparisonsWithin({ id, evaluations }: EvaluatedRun): ComparisonAnswer[] {
  return compare(evaluations).map((comparison) => {
    const { before, after } = comparison;
    const match = matchWithin(comparison);
    return comparisonAnswer(match, [before?.label ?? '', after.label], pairsOf(match, [id, id]));
  });
}

/** The last evaluation of each benchmark and split that both runs have. */
export function comparisonsBetween(a: EvaluatedRun, b: EvaluatedRun): ComparisonAnswer[] {
  const matches = matchesOf(lastOfEach(a.evaluations), lastOfEach(b.evaluations));
  return matches.map((match) => comparisonAnswer(match, ['A', 'B'], pairsOf(match, [a.id, b.id])));
}

/** Pictures of the later evaluation beside those of the earlier one, flips first. */
function pairsOf(
  { comparison: { before, after }, flips }: Match,
  [idBefore, idAfter]: readonly [string, string],
): ShownPairs {
  const key = ({ index, copy }: Pick<VerdictRecord, 'index' | 'copy'>): string => `${index}.${copy}`;
  const flipped = new Map(flips.map((flip: Flip, place) => [key(flip.after), place]));
  const first = new Map((before?.verdicts ?? []).map((verdict) => [key(verdict), verdict]));
  const verdicts = verdictsOf(after);
  const placeOf = ({ index, copy }: VerdictRecord): number => flipped.get(key({ index, copy })) ?? flipped.size;
  const ordered = verdicts.toSorted((x, y) => placeOf(x) - placeOf(y));
  const pairs = ordered.slice(0, mostPairs).map((verdict): PairAnswer => {
    const other = first.get(key(verdict));
    const isSame = other !== undefined && other.prompt === verdict.prompt;
    return {
      prompt: verdict.prompt,
      task: verdict.task,
      isFlipped: isSame && other.pass !== verdict.pass,
      ...(before !== undefined && isSame && { before: judged(idBefore, before, other) }),
      after: judged(idAfter, after, verdict),
    };
  });
  return { pairs, pairCount: verdicts.length };
}

function judged(id: string, evaluation: Evaluation, verdict: VerdictRecord): PictureAnswer {
  const rationale = verdict.rationale ?? keptOf(evaluation, verdict)?.rationale ?? '';
  const picture = hasPicture(evaluation, verdict) ? evaluationPicture(id, evaluation, verdict) : undefined;
  return judgedPicture({ ...verdict, rationale }, verdict.score, picture);
}

/** The address of a picture of an evaluation. */
function evaluationPicture(
  id: string,
  evaluation: Evaluation,
  { index, copy }: Pick<VerdictRecord, 'index' | 'copy'>,
): string {
  const query = new URLSearchParams({
    run: id,
    evaluation: evaluationName(evaluation),
    index: `${index}`,
    copy: `${copy}`,
  });
  return `picture/evaluation?${query}`;
}

/** A picture of an evaluation as base64; empty where none was kept. */
export async function evaluationPng(
  directory: string,
  evaluations: readonly Evaluation[],
  wanted: { readonly name: string; readonly index: number; readonly copy: number },
): Promise<string> {
  const evaluation = evaluations.find((each) => evaluationName(each) === wanted.name);
  if (evaluation === undefined) return '';
  const verdict = verdictsOf(evaluation).find(({ index, copy }) => index === wanted.index && copy === wanted.copy);
  return verdict === undefined ? '' : (await shownVerdict({ directory }, evaluation, verdict)).image;
}

/** The same prompt at all times it was evaluated with its picture kept, by step. */
export function framesOf(id: string, evaluations: readonly Evaluation[], prompt: string): Frame[] {
  return evaluations.flatMap((evaluation): Frame[] => {
    const verdict = verdictsOf(evaluation).find((each) => each.prompt === prompt && each.copy === 0);
    if (verdict === undefined) return [];
    const { picture, rationale, pass, why } = judged(id, evaluation, verdict);
    if (picture === undefined) return [];
    return [
      {
        label: `${evaluation.label.replace(/^step-0*(\d+)$/, 'step $1')}${evaluation.split === 'heldout' ? '' : `, ${evaluation.split}`}`,
        step: evaluation.step,
        ...{ picture, rationale, pass, why },
      },
    ];
  });
}

/** Prompts whose pictures were kept in more than one evaluation. */
export function stripPrompts(evaluations: readonly Evaluation[]): string[] {
  const counts = new Map<string, number>();
  for (const evaluation of evaluations) {
    const prompts = verdictsOf(evaluation)
      .filter((verdict) => verdict.copy === 0 && hasPicture(evaluation, verdict))
      .map(({ prompt }) => prompt);
    for (const prompt of new Set(prompts)) counts.set(prompt, (counts.get(prompt) ?? 0) + 1);
  }
  return [...counts].filter(([, count]) => count > 1).map(([prompt]) => prompt);
}
