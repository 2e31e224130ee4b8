/** Builds `report.html` from the records of a run, or of all runs of a chain; nothing else is looked at. */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { diskError, replaceLoneFile } from '../io/disk.ts';
import { readTextWithin } from '../io/record-file.ts';
import { readRunRecords, readSamplePicture, type RunRecords } from '../io/records.ts';
import type { ComparisonAnswer, PairAnswer, ReportAnswer, StageAnswer } from '../page/answers.ts';
import { reportView } from '../page/report-view.js';
import { comparisonAnswer, heldPicture, pictureData, verdictsOf } from './comparisons.ts';
import { CurveStore } from './curve-store.ts';
import { reportDocument } from './document.ts';
import { basisOf, factsOf, runHeadline } from './headline.ts';
import { detailOf, shownOf } from './run-detail.ts';
import { matchWithin } from './sides.ts';
import { choosePairs, compare, pairSamples, type Comparison } from './summary.ts';
import { warningOf } from './warnings.ts';

/** Pairs of a comparison and samples of a step that are shown; the records may hold more. */
const mostShown = 36;
/** Points of a curve, more than a chart of a report has pixels, and metrics: more could not be read. */
const [mostPoints, mostCurves] = [512, 200];

/** A run, or a stage of a chain, with what its evaluations say. */
interface ComparedStage {
  readonly stage: RunRecords;
  readonly comparisons: readonly Comparison[];
}

/** Writes the report into the directory and returns its path. A directory without runs throws NOT_A_RUN. */
export async function writeReport(directory: string): Promise<string> {
  return writeReportOf(directory, (await readStages(directory)).map(comparedStage));
}

/** What came of the run in a directory: the headline of its report in plain text, and how to write the report, which returns its path. */
interface UnwrittenReport {
  readonly headline: string;
  readonly write: () => Promise<string>;
}

/** Undefined where a report would show nothing: no steps, no evaluation, no failure, in no stage. */
export async function resultOf(directory: string): Promise<UnwrittenReport | undefined> {
  if (!existsSync(directory)) return undefined;
  const stages = await readStages(directory, { allowNone: true });
  const isEmpty = stages.every(
    ({ run, metrics, evaluations }) =>
      metrics.length === 0 && evaluations.length === 0 && run.sessions.at(-1)?.error === undefined,
  );
  if (isEmpty) return undefined;
  const compared = stages.map(comparedStage);
  return {
    headline: headlineOf(compared).headline.replaceAll('\u00a0', ' '),
    write: () => writeReportOf(directory, compared),
  };
}

function comparedStage(stage: RunRecords): ComparedStage {
  return { stage, comparisons: compare(stage.evaluations) };
}

async function writeReportOf(directory: string, stages: readonly ComparedStage[]): Promise<string> {
  const answer = await reportAnswer(basename(resolve(directory)), stages);
  const page = await reportDocument(answer.title, reportView(answer));
  const path = join(directory, 'report.html');
  await replaceLoneFile(path, page).catch((cause: unknown) => {
    throw diskError(cause, 'writing the report', path);
  });
  return path;
}

/** Of the last stage that has evaluations. */
function headlineOf(stages: readonly ComparedStage[]): Pick<ReportAnswer, 'headline' | 'basis'> {
  const shown = stages.findLast(({ comparisons }) => comparisons.length > 0) ?? stages.at(-1);
  return {
    headline: shown === undefined ? 'Nothing has run yet.' : runHeadline(shown.stage, shown.comparisons),
    basis: basisOf(shown?.comparisons ?? []),
  };
}

/** The run in a directory, or else the runs directly below it, by their start. */
async function readStages(directory: string, { allowNone = false } = {}): Promise<RunRecords[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((cause: unknown) => {
    throw diskError(cause, 'reading the records of a run', directory);
  });
  if (entries.some(({ name }) => name === 'run.json')) return [await readRunRecords(directory)];
  const stages: RunRecords[] = [];
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (entry.isDirectory() && (await readdir(path)).includes('run.json')) stages.push(await readRunRecords(path));
  }
  // Not a chain either: this throws the error that says so.
  if (stages.length === 0 && !allowNone) await readRunRecords(directory);
  const start = ({ run }: RunRecords): string => run.sessions[0]?.startedAt ?? '';
  return stages.sort((a, b) => (start(a) < start(b) ? -1 : 1));
}

async function reportAnswer(title: string, stages: readonly ComparedStage[]): Promise<ReportAnswer> {
  const answers: StageAnswer[] = [];
  for (const compared of stages) answers.push(await stageAnswer(compared));
  return { title, ...headlineOf(stages), facts: factsOf(stages.map(({ stage }) => stage)), stages: answers };
}

async function stageAnswer({ stage, comparisons }: ComparedStage): Promise<StageAnswer> {
  const { directory, run, metrics, badLines } = stage;
  const curves = new CurveStore(mostPoints, mostCurves);
  for (const line of metrics) curves.add(line);
  curves.badLines = badLines;
  const log = (await readTextWithin(directory, 'log.txt')) ?? '';
  const detail = await detailOf(
    directory,
    run,
    log.split('\n').flatMap((line) => warningOf(line) ?? []),
  );
  return {
    name: basename(directory),
    headline: runHeadline(stage, comparisons),
    ...failureOf(stage),
    detail,
    curves: curves.snapshot(),
    comparisons: comparisons.map((comparison) => comparisonWithin(comparison, comparisons)),
    command: detail.sessions[0]?.command ?? '',
    samples: await samplesOf(stage),
  };
}

function failureOf({ run }: RunRecords): Pick<StageAnswer, 'failure'> {
  const last = run.sessions.at(-1);
  if (last?.outcome !== 'failed') return {};
  return { failure: last.error ?? { code: 'UNEXPECTED', message: last.note ?? 'no reason was recorded' } };
}

/** With the first pairs of every task: nothing is picked by its result. */
function comparisonWithin(comparison: Comparison, all: readonly Comparison[]): ComparisonAnswer {
  const { before, after } = comparison;
  const match = matchWithin(comparison);
  const pairs = choosePairs(pairSamples(comparison), mostShown).map((pair): PairAnswer => ({
    prompt: pair.after.prompt,
    task: pair.after.task,
    isFlipped: pair.before !== undefined && pair.before.pass !== pair.after.pass,
    ...(pair.before !== undefined && { before: heldPicture(pair.before) }),
    after: heldPicture(pair.after),
  }));
  const shown = { pairs, pairCount: Math.max(after.overall.total, verdictsOf(after).length) };
  return comparisonAnswer(match, [before?.label ?? '', before === undefined ? '' : after.label], shown, all);
}

/** With the pictures themselves. */
async function samplesOf({ directory, samples, sampleStep: step = 0 }: RunRecords): Promise<StageAnswer['samples']> {
  const shown: StageAnswer['samples'][number][] = [];
  for (const [index, sample] of samples.slice(0, mostShown).entries()) {
    const picture = pictureData(await readSamplePicture(directory, sample));
    shown.push({ ...shownOf(sample), step, index, ...(picture !== undefined && { picture }) });
  }
  return shown;
}
