/** Pass rates by task, before and after, as numbers and as a small drawing of the intervals. */
import type { Evaluation } from '../contracts/evaluation.ts';
import { html, type Markup } from './html.ts';
import type { Change, PairedDifference } from '../evaluation/paired.ts';
import { words } from './curves.ts';
import {
  capital,
  formatDifference,
  formatRate,
  formatShare,
  formatSigned,
  scoreName,
  splitName,
  type Comparison,
  type Rate,
  type TaskRow,
} from './summary.ts';

export function resultTable(comparison: Comparison): Markup {
  const { before, after, split, benchmark, overall, tasks } = comparison;
  const isPaired = before !== undefined;
  const single = html`<th scope="col">${capital(scoreName(after))}</th>`;
  const both = html`<th scope="col">${capital(before?.label ?? '')}</th>
    <th scope="col">${capital(after.label)}</th>`;
  const scale = html`<span class="scale" aria-hidden="true"><span>0</span><span>.5</span><span>1</span></span>`;
  return html`<div class="card">
    <table class="results${isPaired ? ' paired' : ''}">
      <caption>
        <strong>${capital(splitName(split))}</strong>
        · ${benchmark}${stepsOf(comparison)}
      </caption>
      <thead>
        <tr>
          <th scope="col">Task</th>
          <th scope="col" class="count">${(after.samplesPerPrompt ?? 1) > 1 ? 'Pictures' : 'Prompts'}</th>
          ${isPaired ? both : single}
          <th scope="col" class="plot">${scale}</th>
          ${isPaired && html`<th scope="col">Change</th>`}
        </tr>
      </thead>
      <tbody>
        ${[overall, ...tasks].map((row) => tableRow(row, row === overall, isPaired))}
      </tbody>
    </table>
    ${standingNotes(after)}
    ${isPaired && html`<p class="key"><span class="mark before"></span> ${before.label} <span class="mark after"></span> ${after.label} <span class="bar"></span> 95 % interval</p>`}
  </div>`;
}

/** What a score of a published benchmark rests on, and what is missing. */
function standingNotes({ title, comparable, counts, unavailable = {}, headlineOfJudged }: Evaluation): Markup {
  const failed = counts === undefined ? 0 : counts.missing + counts.unreadable + counts.judgeErrors;
  const lost =
    failed > 0 &&
    html`<p class="warning">
      ${failed} of ${counts?.images} pictures have no verdict and count as wrong (missing ${counts?.missing}, unreadable
      ${counts?.unreadable}, judge failed
      ${counts?.judgeErrors})${
        headlineOfJudged !== undefined && html`; without them the score is ${formatNumber(headlineOfJudged)}`
      }.
    </p>`;
  const standing =
    comparable !== undefined &&
    html`<p class="note">
      ${title}:
      ${comparable.yes ? 'comparable with published scores' : `not comparable with published scores, because ${comparable.because.join('; ')}`}.
    </p>`;
  const missing = Object.entries(unavailable).map(
    ([name, why]) => html`<p class="note">${capital(words(name))}: not available, ${why}.</p>`,
  );
  return html`${lost} ${standing} ${missing}`;
}

function tableRow({ task, before, after, change, paired }: TaskRow, isTotal: boolean, isPaired: boolean): Markup {
  return html`<tr${isTotal && html` class="total"`}><th scope="row">${capital(task.replaceAll('_', ' '))}</th><td class="count" data-label="pictures">${after.total === 0 ? '' : after.total}</td>
${isPaired && html`<td class="number" data-label="before">${rateCell(before)}</td>`}<td class="number" data-label="${isPaired ? 'after' : 'pass rate'}">${rateCell(after)}</td>
<td class="plot">${intervalDrawing(before, after)}</td>${isPaired && html`<td class="change">${changeCell(change, before, after, paired)}</td>`}</tr>
`;
}

function rateCell(rate: Rate | undefined): Markup {
  if (rate === undefined) return html`–`;
  return html`<span class="rate">${formatShare(rate.rate)}</span>
    <span class="interval-text">[${formatShare(rate.low)}, ${formatShare(rate.high)}]</span>`;
}

const changeSigns: Readonly<Record<Change, readonly [string, string]>> = {
  rose: ['▲', 'rose'],
  fell: ['▼', 'fell'],
  unclear: ['', 'within noise'],
};

function changeCell(
  change: Change | undefined,
  before: Rate | undefined,
  after: Rate,
  paired: PairedDifference | undefined,
): Markup {
  if (change === undefined || before === undefined) return html`–`;
  const [arrow, word] = changeSigns[change];
  const difference = after.rate - before.rate;
  const text = paired === undefined ? formatSigned(difference) : formatDifference(paired);
  return html`<span class="${change}"
      ><span class="difference">${arrow} ${text}</span> <span class="word">${word}</span></span
    >${
      paired?.mcnemar !== undefined &&
      html` <span class="interval-text">${paired.rose} ▲ ${paired.fell} ▼, p ${formatChance(paired.mcnemar)}</span>`
    }`;
}

function formatChance(chance: number): string {
  return chance < 0.001 ? '< .001' : formatShare(chance);
}

/** Two intervals on a line from 0 to 1: above before (hollow), below after (filled). */
function intervalDrawing(before: Rate | undefined, after: Rate): Markup {
  const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;
  const row = (rate: Rate, y: number, name: string): Markup =>
    html`<g class="${name}"
      ><line x1="${percent(rate.low)}" x2="${percent(rate.high)}" y1="${y}" y2="${y}" /><circle
        cx="${percent(rate.rate)}"
        cy="${y}"
        r="4.5"
    /></g>`;
  const label = `${before === undefined ? '' : `before ${formatRate(before)}, `}after ${formatRate(after)}`;
  const grid = [0, 25, 50, 75, 100].map((x) => html`<line class="grid" x1="${x}%" x2="${x}%" y1="0" y2="30" />`);
  return html`<svg class="intervals" role="img" aria-label="${label}">
    ${grid}${before !== undefined && row(before, 9, 'before')}${row(after, before === undefined ? 15 : 21, 'after')}
  </svg>`;
}

/** Measurements beside the pass rate, of all comparisons in one table; none when the evaluations have none. */
export function extrasTable(comparisons: readonly Comparison[]): Markup | undefined {
  const names = [...new Set(comparisons.flatMap(({ after }) => Object.keys(after.extra)))];
  if (names.length === 0) return undefined;
  const columns = comparisons.flatMap(({ before, after, split }) =>
    [before, after].flatMap((each) =>
      each === undefined ? [] : [{ title: `${splitName(split)}, ${each.label}`, extra: each.extra }],
    ),
  );
  const cell = (value: number | undefined): string => (value === undefined ? '–' : formatNumber(value));
  return html`<h3 class="beside">Beside the pass rate</h3>
    <div class="card scroll">
      <table class="plain">
        <thead>
          <tr>
            <th scope="col">Measurement</th>
            ${columns.map(({ title }) => html`<th scope="col">${capital(title)}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${names.map(
            (name) =>
              html`<tr>
                <th scope="row">${capital(words(name))}</th>
                ${columns.map(({ extra }) => html`<td>${cell(extra[name])}</td>`)}
              </tr> `,
          )}
        </tbody>
      </table>
    </div>`;
}

export function formatNumber(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  return Number(value.toPrecision(3)).toString();
}

function stepsOf({ before, after }: Comparison): string {
  if (before === undefined) return after.step > 0 ? ` · step ${after.step}` : '';
  return before.step === after.step ? '' : ` · step ${before.step} → ${after.step}`;
}
