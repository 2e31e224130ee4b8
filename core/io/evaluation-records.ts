/** Evaluations of a run as they are read back: numbers finite, texts bounded, whatever the files hold. */
import { join } from 'node:path';
import type { Atom, JudgeUse } from '../contracts/benchmark.ts';
import type {
  Estimate,
  Evaluation,
  EvaluationCounts,
  EvaluationSample,
  PassCount,
  VerdictRecord,
} from '../contracts/evaluation.ts';
import type { Score } from '../contracts/reward.ts';
import { count, fields, list, map, number, present, text } from './record-fields.ts';
import { badRecord, listWithin, parseRecord, readTextWithin } from './record-file.ts';

/** By step, then label. Throws BAD_RECORD for a file that is no evaluation. */
export async function readEvaluations(directory: string): Promise<Evaluation[]> {
  const names = (await listWithin(directory, 'evaluations')).filter((name) => /^[^.].*\.json$/.test(name));
  const records: Evaluation[] = [];
  for (const name of names) records.push(await readEvaluation(directory, join('evaluations', name)));
  return records.sort((a, b) => a.step - b.step || (a.label < b.label ? -1 : 1));
}

async function readEvaluation(directory: string, name: string): Promise<Evaluation> {
  const path = join(directory, name);
  const record = fields(parseRecord((await readTextWithin(directory, name)) ?? '', path));
  const [label, benchmark, split] = ['label', 'benchmark', 'split'].map((field) => text(record[field], 200));
  const step = count(record['step']);
  if (label === undefined || benchmark === undefined || split === undefined || step === undefined)
    throw badRecord(path, 'it does not describe an evaluation');
  if (!Array.isArray(record['samples'])) throw badRecord(path, 'it does not describe an evaluation');
  const overall = passCount(record['overall']);
  const tasks = map(record['tasks'], passCount);
  if (overall === undefined || Object.keys(tasks).length < Object.keys(fields(record['tasks'])).length)
    throw badRecord(path, 'its passes and totals are not counts');
  return {
    label,
    benchmark,
    split,
    step,
    seed: number(record['seed']) ?? 0,
    count: count(record['count']) ?? overall.total,
    sampling: fields(record['sampling']),
    overall,
    tasks,
    extra: map(record['extra'], number),
    samples: list(record['samples'], checkEvaluationSample),
    ...present({
      samplesPerPrompt: count(record['samplesPerPrompt']),
      model: textsOrNothing(record['model']),
      title: text(record['title'], 500),
      headline: checkHeadline(record['headline']),
      headlineOfJudged: number(record['headlineOfJudged']),
      outOf: number(record['outOf']),
      subScores: record['subScores'] === undefined ? undefined : map(record['subScores'], checkEstimate),
      unavailable: textsOrNothing(record['unavailable']),
      counts: checkCounts(record['counts']),
      judges: Array.isArray(record['judges']) ? list(record['judges'], checkJudge) : undefined,
      fingerprint: textsOrNothing(record['fingerprint']),
      comparable: checkComparable(record['comparable']),
      verdicts: await readVerdicts(directory, name.replace(/\.json$/, '.jsonl')),
    }),
  };
}

/** Undefined where there is no such file, or a line of it is no verdict: half of the pictures would be another evaluation. */
async function readVerdicts(directory: string, name: string): Promise<VerdictRecord[] | undefined> {
  const lines = (await readTextWithin(directory, name))?.split('\n').filter((line) => line !== '');
  if (lines === undefined) return undefined;
  const records = lines.flatMap(
    (line, index) => checkVerdict(parseRecord(line, `${join(directory, name)}:${index + 1}`)) ?? [],
  );
  return records.length === lines.length ? records : undefined;
}

const failures = ['missing', 'unreadable', 'judge'] as const;

function checkVerdict(value: unknown): VerdictRecord | undefined {
  const verdict = fields(value);
  const [index, copy, score] = [count(verdict['index']), count(verdict['copy']), number(verdict['score'])];
  const prompt = text(verdict['prompt']);
  if (index === undefined || copy === undefined || score === undefined || prompt === undefined) return undefined;
  return {
    index,
    copy,
    prompt,
    task: text(verdict['task']) ?? '',
    pass: verdict['pass'] === true,
    score,
    why: text(verdict['why']) ?? '',
    ...present({
      parts: verdict['parts'] === undefined ? undefined : map(verdict['parts'], number),
      atoms: Array.isArray(verdict['atoms']) ? list(verdict['atoms'], checkAtom) : undefined,
      unparsed: verdict['unparsed'] === true ? (true as const) : undefined,
      failure: failures.find((failure) => failure === verdict['failure']),
      rationale: text(verdict['rationale']),
      picture: text(verdict['picture'], 1000),
      scores: verdict['scores'] === undefined ? undefined : map(verdict['scores'], checkScore),
    }),
  };
}

function checkAtom(value: unknown): Atom | undefined {
  const atom = fields(value);
  const [id, kind, score] = [text(atom['id'], 500), text(atom['kind'], 200), number(atom['score'])];
  if (id === undefined || score === undefined) return undefined;
  return { id, kind: kind ?? '', score, ...present({ raw: number(atom['raw']) }) };
}

function checkEstimate(value: unknown): Estimate | undefined {
  const estimate = fields(value);
  const [middle, low, high] = ['value', 'low', 'high'].map((name) => number(estimate[name]));
  return middle === undefined || low === undefined || high === undefined ? undefined : { value: middle, low, high };
}

function checkHeadline(value: unknown): Evaluation['headline'] {
  const estimate = checkEstimate(value);
  return estimate === undefined ? undefined : { name: text(fields(value)['name'], 200) ?? '', ...estimate };
}

function checkCounts(value: unknown): EvaluationCounts | undefined {
  if (value === undefined) return undefined;
  const counts = fields(value);
  const of = (name: string): number => count(counts[name]) ?? 0;
  return {
    prompts: of('prompts'),
    images: of('images'),
    missing: of('missing'),
    unreadable: of('unreadable'),
    judgeErrors: of('judgeErrors'),
    unparsed: of('unparsed'),
  };
}

function checkJudge(value: unknown): JudgeUse | undefined {
  const judge = fields(value);
  const [capability, title] = [text(judge['capability'], 200), text(judge['title'], 500)];
  if (capability === undefined || title === undefined) return undefined;
  const fingerprint = textsOrNothing(judge['fingerprint']) ?? {};
  return { capability, title, fingerprint, isOfficial: judge['isOfficial'] === true };
}

function checkComparable(value: unknown): Evaluation['comparable'] {
  if (value === undefined) return undefined;
  const because = list(fields(value)['because'], (reason) => text(reason, 1000));
  return { yes: fields(value)['yes'] === true && because.length === 0, because };
}

function textsOrNothing(value: unknown): Readonly<Record<string, string>> | undefined {
  return value === undefined ? undefined : map(value, (item) => text(item));
}

function checkEvaluationSample(value: unknown): EvaluationSample | undefined {
  const sample = fields(value);
  const prompt = text(sample['prompt']);
  if (prompt === undefined) return undefined;
  return {
    prompt,
    task: text(sample['task']) ?? '',
    rationale: text(sample['rationale']) ?? '',
    image: isPicture(sample['image']) ? sample['image'] : '',
    pass: sample['pass'] === true,
    why: text(sample['why']) ?? '',
    scores: map(sample['scores'], checkScore),
  };
}

/** A PNG in base64: its first eight bytes, and nothing outside of the alphabet. */
export function isPicture(value: unknown): value is string {
  return typeof value === 'string' && /^iVBORw0KGg[A-Za-z0-9+/]*={0,2}$/.test(value);
}

/** Parts that are no finite numbers, as earlier versions wrote them, are left out. */
export function checkScore(score: unknown): Score | undefined {
  const { value, why, parts } = fields(score);
  const kept = number(value);
  if (kept === undefined) return undefined;
  const numbers = map(parts, number);
  return {
    value: kept,
    ...present({ why: text(why), parts: Object.keys(numbers).length === 0 ? undefined : numbers }),
  };
}

function passCount(value: unknown): PassCount | undefined {
  const [passes, total] = [count(fields(value)['passes']), count(fields(value)['total'])];
  return passes !== undefined && total !== undefined && passes <= total ? { passes, total } : undefined;
}
