/** The bench's two outputs: Markdown for people, JSON for comparisons. */
import type { Breakdown, Least } from './breakdown.ts';
import type { Environment } from './machine.ts';
import { summarize, type Result, type Sample, type Summary, type Unit } from './measure.ts';

export interface Row {
  readonly group: string;
  readonly name: string;
  readonly unit: Unit;
  /** Work of one repetition, in `unit`. */
  readonly amount: number;
  /** Of one repetition. */
  readonly milliseconds: Summary;
  /** Median CPU time of this process per repetition. */
  readonly cpuMilliseconds: number;
  /** `unit` per second, at the median. */
  readonly rate: number;
  readonly study?: string;
  /** Median time of the portable kernel over this one's, of the same run. */
  readonly overPortable?: number;
  readonly isDisturbed: boolean;
  readonly samples: readonly Sample[];
}

export interface Report {
  readonly environment: Environment;
  readonly settings: { readonly rounds: number; readonly sampleMilliseconds: number; readonly tolerance: number };
  readonly rows: readonly Row[];
  readonly breakdowns: readonly Breakdown[];
  readonly seconds: number;
}

/** Hidden results become the ratio of the row that names them. */
export function rowsOf(results: readonly Result[]): Row[] {
  return results
    .filter((result) => result.case.isHidden !== true)
    .map((result): Row => {
      const { group, name, work, study, reference } = result.case;
      const slow = results.find((other) => other.case.group === group && other.case.name === reference);
      return {
        group,
        name,
        unit: work.unit,
        amount: work.amount,
        milliseconds: result.summary,
        cpuMilliseconds: summarize(result.samples.map((sample) => sample.cpuMilliseconds)).median,
        rate: (work.amount / result.summary.median) * 1000,
        ...(study === undefined ? {} : { study }),
        ...(slow === undefined ? {} : { overPortable: slow.summary.median / result.summary.median }),
        isDisturbed: result.isDisturbed,
        samples: result.samples,
      };
    });
}

export function toMarkdown({ environment, settings, rows, breakdowns, seconds }: Report): string {
  const blocks = [header(environment)];
  if (rows.length > 0) blocks.push(rowTable(rows));
  for (const each of breakdowns) blocks.push(breakdownText(each));
  const percent = Math.round(settings.tolerance * 100);
  blocks.push(
    `Medians of ${settings.rounds} interleaved samples of at least ${settings.sampleMilliseconds} ms; ± is half the distance of the quartiles. Products are named rows x columns x length of a sum.` +
      `\nThe time of a case includes dispatching it, one submit per sample; cpu ms is the CPU time of this process, shader threads included.` +
      (rows.some(({ isDisturbed }) => isDisturbed)
        ? `\n! = other processes used more than ${percent} % of the cores during most samples: not a measurement of this program.`
        : '') +
      `\nTook ${seconds.toFixed(0)} s.`,
  );
  return `${blocks.join('\n\n')}\n`;
}

function header({
  date,
  adapter,
  driver,
  features,
  subgroups,
  kernels,
  cores,
  shaderThreads,
  polling,
  versions,
  commit,
  load,
  clock,
}: Environment): string {
  return [
    `adapter   ${adapter}; ${features.join(', ')}; subgroups ${subgroups}; ${kernels}`,
    `driver    ${driver}`,
    `machine   ${cores} cores, ${shaderThreads} shader threads, polling ${polling}; at the start load ${load.toFixed(1)}, ${clock.toFixed(2)} dependent additions a nanosecond`,
    `program   ${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}, commit ${commit ?? 'unknown'}, ${date}`,
  ].join('\n');
}

function rowTable(rows: readonly Row[]): string {
  const lines = rows.map(
    ({ group, name, milliseconds, cpuMilliseconds, rate, unit, overPortable, study, isDisturbed, samples }) => {
      const { median, low, high } = milliseconds;
      const others = samples.map((sample) => sample.others).filter((share) => share !== undefined);
      return [
        group,
        name,
        digits(median),
        `${(((high - low) / 2 / median) * 100).toFixed(0)} %`,
        digits(cpuMilliseconds),
        `${digits(rate)} ${unit === 'tokens' ? 'tokens/s' : `${unit}/s`}`,
        study ?? '',
        overPortable === undefined ? '' : `${overPortable.toFixed(1)}x`,
        others.length === 0
          ? '?'
          : `${Math.round((others.reduce((sum, share) => sum + share, 0) / others.length) * 100)} %${isDisturbed ? ' !' : ''}`,
      ];
    },
  );
  return table(['group', 'case', 'ms', '±', 'cpu ms', 'rate', 'study', 'over portable', 'other load'], lines, [
    'group',
    'case',
  ]);
}

function breakdownText({
  name,
  tokens,
  launches,
  wall,
  timedWall,
  stamped,
  launchCost,
  shareOutside,
  tokensPerSecond,
  gigaflops,
  kernels,
  least,
}: Breakdown): string {
  const inside = stamped - launches * launchCost;
  const summary =
    `${name}: ${tokens} tokens, ${wall.toFixed(1)} ms, ${tokensPerSecond.toFixed(0)} tokens/s, ${gigaflops.toFixed(1)} GFLOP/s, ${launches} launches\n` +
    `at most ${(shareOutside * 100).toFixed(1)} % outside kernels = 1 - ${inside.toFixed(1)} / ${timedWall.toFixed(1)} ms, both with timestamps; ` +
    `kernels: ${stamped.toFixed(1)} ms - ${launches} launches x ${(launchCost * 1000).toFixed(1)} us\n` +
    leastText(least, inside);
  const lines = kernels
    .slice(0, 12)
    .map((each) => [
      each.kernel,
      String(each.launches),
      each.milliseconds.toFixed(2),
      `${(each.share * 100).toFixed(1)} %`,
      each.least.toFixed(2),
    ]);
  return `${summary}\n\n${table(['kernel', 'launches', 'ms', 'share', 'at least'], lines, ['kernel'])}`;
}

/** `inside`: milliseconds in kernels. */
function leastText({ launches, bytes, operations, rates, here, cards }: Least, inside: number): string {
  const byCard = Object.entries(cards).map(([name, milliseconds]) => `${name} ${digits(milliseconds)}`);
  return (
    `at least ${here.toFixed(1)} ms in kernels here, of which they take ${(inside / here).toFixed(1)} x: ${(bytes / 1e9).toFixed(2)} GB at ${(rates.bytesPerSecond / 1e9).toFixed(1)} GB/s of a copy, ` +
    `${(operations / 1e9).toFixed(1)} GFLOP at ${(rates.operationsPerSecond / 1e9).toFixed(0)} GFLOP/s of a product of f32; ` +
    `by data sheets, without what ${launches} launches cost: ${byCard.join(', ')} ms`
  );
}

/** A Markdown table that also lines up as plain text; columns named in `left` to the left, the others to the right. */
export function table(head: readonly string[], lines: readonly (readonly string[])[], left: readonly string[]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...lines.map((line) => line[column]?.length ?? 0)));
  const isLeft = head.map((title) => left.includes(title));
  const row = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => (isLeft[column] === true ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join(' | ')} |`;
  const rule = `| ${widths.map((width, column) => (isLeft[column] === true ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [row(head), rule, ...lines.map(row)].join('\n');
}

/** Three significant digits, without an exponent. */
function digits(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(value >= 1 ? 2 : 3);
}
