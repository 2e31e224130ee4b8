/** What came of a run in a sentence, and what the sentence rests on. */
import { groupBy } from '../evaluation/group-by.ts';
import type { RunRecords } from '../io/records.ts';
import { formatSeconds } from '../log.ts';
import { capital, sentenceOf, type Comparison } from './summary.ts';

/** Without an evaluation, how far training came. */
export function runHeadline({ metrics, run }: RunRecords, comparisons: readonly Comparison[]): string {
  const shown = [...groupBy(comparisons, ({ benchmark }) => benchmark).values()].flatMap(shownOf);
  if (shown.length > 0) return shown.map((comparison) => `${sentenceOf(comparison, comparisons)}.`).join(' ');
  const steps = metrics.length;
  if (steps === 0) return `${capital(outcomeOf(run.sessions.at(-1)?.outcome))}, no step was recorded.`;
  const name = metrics.some((line) => 'reward' in line) ? 'reward' : 'loss';
  const values = metrics.map((line) => line[name]).filter((value) => typeof value === 'number');
  const part = Math.max(1, Math.min(10, Math.floor(values.length / 2)));
  const mean = (some: readonly number[]): string =>
    (some.reduce((sum, value) => sum + value, 0) / some.length).toPrecision(3);
  const numbers =
    values.length < 2 ? '' : ` ${capital(name)} ${mean(values.slice(0, part))} → ${mean(values.slice(-part))}.`;
  return `${steps} training step${steps === 1 ? '' : 's'}, no evaluation recorded.${numbers}`;
}

/** Of one benchmark: what was trained on, when that is a pool, and what was not; either alone would mislead. */
function shownOf(comparisons: readonly Comparison[]): Comparison[] {
  const trained = comparisons.find(({ split }) => split === 'pool');
  return [trained, comparisons.find((comparison) => comparison !== trained)].filter(
    (comparison) => comparison !== undefined,
  );
}

/** Empty without evaluations. */
export function basisOf(comparisons: readonly Comparison[]): string {
  const lines = [...groupBy(comparisons, ({ benchmark }) => benchmark).values()].map(([first]) => {
    if (first === undefined) return '';
    const { before, after, benchmark } = first;
    const copies = (after.samplesPerPrompt ?? 1) === 1 ? 'one drawing' : `${after.samplesPerPrompt} drawings`;
    const change = before === undefined ? '' : `${before.label} → ${after.label}, `;
    return `${change}${after.count} prompts of ${benchmark}, ${copies} each`;
  });
  return lines.length === 0 ? '' : `${lines.join('; ')}, 95 % intervals`;
}

export function factsOf(stages: readonly RunRecords[]): [name: string, value: string][] {
  const sessions = stages.flatMap(({ run }) => run.sessions);
  const seconds = sessions.reduce(
    (sum, { startedAt, finishedAt }) =>
      sum + (finishedAt === undefined ? 0 : Math.max(0, Date.parse(finishedAt) - Date.parse(startedAt)) / 1000),
    0,
  );
  const steps = stages.reduce((sum, { metrics }) => sum + metrics.length, 0);
  const isWhole = sessions.every(({ finishedAt }) => finishedAt !== undefined);
  const adapter = stages.findLast(({ run }) => run.adapter['description'] !== undefined)?.run.adapter['description'];
  const last = sessions.at(-1);
  return [
    ['Outcome', outcomeOf(last?.outcome)],
    ...(steps === 0 ? [] : ([['Steps', String(steps)]] as [string, string][])),
    ...(seconds === 0
      ? []
      : ([['Wall time', `${isWhole ? '' : 'more than '}${formatSeconds(seconds)}`]] as [string, string][])),
    ...(adapter === undefined ? [] : ([['Adapter', adapter]] as [string, string][])),
  ];
}

function outcomeOf(outcome: string | undefined): string {
  if (outcome === 'done') return 'finished';
  return outcome ?? 'not finished';
}
