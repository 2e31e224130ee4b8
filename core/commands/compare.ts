import { resolve } from 'node:path';
import { exitCodes, ReasongenError } from '../errors.ts';
import { changeOf, type PairedDifference } from '../evaluation/paired.ts';
import { comparisonPage, pairedDrawings } from '../report/compare-page.ts';
import { flipCount, matchEvaluations, readSide, type Match, type Side } from '../report/sides.ts';
import { formatChance, formatDifference, formatRate, scoreName, splitName, type TaskRow } from '../report/summary.ts';
import type { CommandContext } from './context.ts';
import { writeResult } from './result-file.ts';
import { textTable } from './text-table.ts';

export interface CompareCommandOptions {
  readonly json?: boolean;
  /** Where the page goes. */
  readonly html?: string;
}

/** Prompts that flipped, named in the text. */
const mostNamed = 10;

/** `compare A B`: what B does better or worse than A, paired picture by picture. */
export async function compareSides(
  first: string,
  second: string,
  { json = false, html }: CompareCommandOptions,
  { write, log }: CommandContext,
): Promise<number> {
  const [a, b] = [await readSide(first), await readSide(second)];
  const areDrawings = a.evaluations.length === 0 && b.evaluations.length === 0;
  const matches = areDrawings ? [] : matchEvaluations(a, b);
  if (areDrawings && pairedDrawings(a, b).length === 0) throw noCommonPrompt(a, b);
  if (json) write(`${JSON.stringify(asData(a, b, matches), undefined, 2)}\n`);
  else
    write(
      areDrawings
        ? drawingsText(a, b)
        : `${[`A: ${describe(a)}`, `B: ${describe(b)}`].join('\n')}\n\n${matches.map(matchText).join('\n\n')}\n`,
    );
  if (html !== undefined) {
    await writeResult(html, await comparisonPage(a, b, matches), 'writing the comparison');
    log.info(`page: ${html}`);
  }
  return exitCodes.done;
}

function noCommonPrompt(a: Side, b: Side): ReasongenError {
  return new ReasongenError({
    code: 'NOTHING_TO_COMPARE',
    message: `${a.name} and ${b.name} have no drawing of the same prompt at the same place`,
    hint: 'draw the same prompts in the same order, with the same seed: npx reasongen generate --seed N',
    exitCode: exitCodes.badPreset,
  });
}

function describe({ name, evaluations }: Side): string {
  const labels = [...new Set(evaluations.map(({ label, step }) => (step > 0 ? `${label}, step ${step}` : label)))];
  return `${name} (${labels.join('; ')})`;
}

function drawingsText(a: Side, b: Side): string {
  const pairs = pairedDrawings(a, b);
  return `${pairs.length} drawings of the same prompts; nobody has judged them, so there is nothing to count. --html FILE shows them side by side\n`;
}

function matchText({ comparison, rewards, flips, differences }: Match): string {
  const { benchmark, split, overall, tasks, after } = comparison;
  const head = `${benchmark}, ${splitName(split)}, ${scoreName(after)}, ${after.overall.total} pictures`;
  const rows = [overall, ...tasks].map((row) => [row.task.replaceAll('_', ' '), ...cells(row)]);
  const rewardRows = Object.entries(rewards).map(([name, paired]) => [
    `reward ${name}`,
    '',
    '',
    formatDifference(paired),
    verdict(paired),
  ]);
  const [better, worse] = [flipCount(flips, true), flipCount(flips, false)];
  const named = flips.filter(({ before, after: now }) => before.pass !== now.pass).slice(0, mostNamed);
  return [
    head,
    ...textTable([['', 'A', 'B', 'B − A', ''], ...rows, ...rewardRows]).map((line) => `  ${line}`),
    `flipped: ${better} from fail to pass, ${worse} from pass to fail`,
    ...named.map(({ before, after: now }) => `  ${now.pass ? '+' : '-'} ${now.prompt}: ${before.why} → ${now.why}`),
    ...(better + worse > named.length
      ? [`  … ${better + worse - named.length} more: --html FILE shows them, --json lists them`]
      : []),
    ...differences.map((each) => `they differ in more than their weights: ${each}`),
  ].join('\n');
}

function cells({ before, after, paired }: TaskRow): string[] {
  return [
    before === undefined ? '–' : formatRate(before),
    formatRate(after),
    paired === undefined ? '–' : formatDifference(paired),
    paired === undefined ? 'not paired' : verdict(paired),
  ];
}

function verdict(paired: PairedDifference): string {
  const change = changeOf(paired);
  const chance = paired.mcnemar === undefined ? '' : `, McNemar p ${formatChance(paired.mcnemar)}`;
  return `${change === 'unclear' ? 'within noise' : change}${chance}`;
}

function asData(a: Side, b: Side, matches: readonly Match[]): object {
  const side = ({ name, directory, evaluations }: Side): object => ({
    name,
    directory: resolve(directory),
    evaluations: evaluations.map(({ benchmark, split, label, step }) => ({ benchmark, split, label, step })),
  });
  const row = ({ before, after, paired, change }: TaskRow): object => ({ before, after, paired, change });
  return {
    a: side(a),
    b: side(b),
    ...(matches.length === 0 && { pairedDrawings: pairedDrawings(a, b).length }),
    comparisons: matches.map(({ comparison, rewards, flips, differences }) => ({
      benchmark: comparison.benchmark,
      split: comparison.split,
      score: scoreName(comparison.after),
      overall: row(comparison.overall),
      tasks: Object.fromEntries(comparison.tasks.map((task) => [task.task, row(task)])),
      rewards,
      flips: flips.map(({ before, after }) => ({
        index: after.index,
        copy: after.copy,
        prompt: after.prompt,
        task: after.task,
        before: { pass: before.pass, score: before.score, why: before.why },
        after: { pass: after.pass, score: after.score, why: after.why },
      })),
      differences,
    })),
  };
}
