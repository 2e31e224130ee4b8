/** The report as one HTML document: what came out first, what it was made from last. */
import { basename } from 'node:path';
import type { RunRecords } from '../io/records.ts';
import { formatSeconds } from '../log.ts';
import { drawingSection, samplesSection } from './drawings.ts';
import { html, trusted, type Markup } from './html.ts';
import { chartsSection } from './figures.ts';
import { provenanceSection } from './provenance.ts';
import { extrasTable, resultTable } from './tables.ts';
import { capital, compare, sentenceOf, type Comparison } from './summary.ts';

/** Nothing may be loaded and nothing may run: the file holds all it shows. */
const policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/** `stages`: one run, or the runs of a chain in their order. `style` is the sheet. */
export async function renderPage(title: string, stages: readonly RunRecords[], style: string): Promise<string> {
  const compared = stages.map((stage) => ({ stage, comparisons: compare(stage.evaluations) }));
  const sections = await Promise.all(
    compared.map(({ stage, comparisons }) => renderStage(stage, comparisons, stages.length > 1)),
  );
  const headline = compared.findLast(({ comparisons }) => comparisons.length > 0) ?? compared.at(-1);
  const sentence = headline === undefined ? 'Nothing has run yet.' : headlineOf(headline.stage, headline.comparisons);
  return pageDocument(style, {
    kind: 'run report',
    title,
    header: html`<p class="headline">${sentence}</p>
      ${headline !== undefined && basis(headline.comparisons)} ${facts(stages)}`,
    main: html`${sections}`,
    footer: html`<p>
      Made from the records in the run’s directory alone. To make it again:
      <code>npx reasongen report runs/${title}</code>
    </p>`,
  });
}

/** The parts of a page that are its own. */
export interface DocumentParts {
  /** What it is: `run report`. */
  readonly kind: string;
  readonly title: string;
  readonly header: Markup;
  readonly main: Markup;
  readonly footer: Markup;
}

/** One HTML document that holds all it shows. */
export function pageDocument(style: string, { kind, title, header, main, footer }: DocumentParts): string {
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta http-equiv="Content-Security-Policy" content="${policy}" />
        <title>${title} – reasongen</title>
        <style>
          ${trusted(style)}
        </style>
      </head>
      <body>
        <header>
          <p class="eyebrow">reasongen · ${kind}</p>
          <h1>${title}</h1>
          ${header}
        </header>
        <main>${main}</main>
        <footer>${footer}</footer>
      </body>
    </html> `;
  return page.markup;
}

async function renderStage(stage: RunRecords, comparisons: readonly Comparison[], isPart: boolean): Promise<Markup> {
  const name = basename(stage.directory);
  const body = html`${failureSection(stage)} ${comparisons.length > 0 && resultSection(comparisons)}
  ${await chartsSection(stage.metrics, comparisons)}
  ${comparisons.map((comparison, index) => drawingSection(comparison, index === 0))}
  ${samplesSection(stage, comparisons.length === 0)} ${provenanceSection(stage)}`;
  if (!isPart) return body;
  return html`<section class="stage">
    <h2 class="stage-name">Stage: ${name}</h2>
    <p class="stage-result">${headlineOf(stage, comparisons)}</p>
    ${body}
  </section>`;
}

/** Why the last session ended early, and from where it can go on. */
function failureSection({ run, checkpointStep }: RunRecords): Markup | undefined {
  const last = run.sessions.at(-1);
  if (last?.outcome !== 'failed') return undefined;
  const { code, message, place, hint } = last.error ?? {
    code: 'UNEXPECTED',
    message: last.note ?? 'no reason was recorded',
  };
  return html`<section>
    <h2>Why it failed</h2>
    <div class="card failure">
      <p><strong>${code}</strong>${place !== undefined && html` <code>${place}</code>`}</p>
      <p class="why">${message}</p>
      ${hint !== undefined && html`<p>What to do: ${hint}</p>`}
      <p>
        ${
          checkpointStep === undefined
            ? 'No checkpoint had been saved.'
            : `The last checkpoint is that of step ${checkpointStep}.`
        }
      </p>
    </div>
  </section>`;
}

function resultSection(comparisons: readonly Comparison[]): Markup {
  return html`<section>
    <h2>Pass rate by task</h2>
    <p class="note">
      Share of drawings that the benchmark judges right, or its own score, with 95 % intervals (Wilson’s for one drawing
      a prompt, else prompts resampled). A change is the mean over pairs of drawings, before and after, of the same
      prompt and random numbers; “within noise”: its interval holds 0. ▲ ▼ count the drawings that went from wrong to
      right and back, p is McNemar’s. Where a record does not tell of every drawing, “within noise” means that both
      intervals overlap.
    </p>
    ${comparisons.map(resultTable)} ${extrasTable(comparisons)}
  </section>`;
}

/** The result in a sentence; without an evaluation, how far training came. */
function headlineOf({ metrics, run }: RunRecords, comparisons: readonly Comparison[]): string {
  // What was trained on, when that is a pool, and what was not: either alone would mislead.
  const trained = comparisons.find(({ split }) => split === 'pool');
  const shown = [trained, comparisons.find((comparison) => comparison !== trained)].filter(
    (comparison) => comparison !== undefined,
  );
  if (shown.length > 0) return shown.map((comparison) => `${sentenceOf(comparison)}.`).join(' ');
  const steps = metrics.length;
  if (steps === 0) return `${capital(outcomeOf(run.sessions.at(-1)?.outcome))}, no step was recorded.`;
  const name = metrics.some((line) => 'reward' in line) ? 'reward' : 'loss';
  const values = metrics.map((line) => line[name]).filter((value) => typeof value === 'number');
  const part = Math.max(1, Math.min(10, Math.floor(values.length / 2)));
  const mean = (some: readonly number[]): string =>
    (some.reduce((sum, value) => sum + value, 0) / some.length).toPrecision(3);
  const numbers =
    values.length < 2 ? '' : ` ${capital(name)} ${mean(values.slice(0, part))} → ${mean(values.slice(-part))}.`;
  return `${steps} training steps, no evaluation recorded.${numbers}`;
}

/** What the headline rests on. */
function basis([first]: readonly Comparison[]): Markup | undefined {
  if (first === undefined) return undefined;
  const { before, after, benchmark } = first;
  const copies = (after.samplesPerPrompt ?? 1) === 1 ? 'one drawing' : `${after.samplesPerPrompt} drawings`;
  const change = before === undefined ? '' : `${before.label} → ${after.label}, `;
  return html`<p class="basis">${change}${after.count} prompts of ${benchmark}, ${copies} each, 95 % intervals</p>`;
}

function facts(stages: readonly RunRecords[]): Markup {
  const sessions = stages.flatMap(({ run }) => run.sessions);
  const seconds = sessions.reduce(
    (sum, { startedAt, finishedAt }) =>
      sum + (finishedAt === undefined ? 0 : (Date.parse(finishedAt) - Date.parse(startedAt)) / 1000),
    0,
  );
  const steps = stages.reduce((sum, { metrics }) => sum + metrics.length, 0);
  const isWhole = sessions.every(({ finishedAt }) => finishedAt !== undefined);
  const adapter = stages.findLast(({ run }) => run.adapter['description'] !== undefined)?.run.adapter['description'];
  const entries: [string, string | undefined][] = [
    ['Outcome', outcomeOf(sessions.at(-1)?.outcome)],
    ['Steps', steps === 0 ? undefined : String(steps)],
    ['Wall time', seconds === 0 ? undefined : `${isWhole ? '' : 'more than '}${formatSeconds(seconds)}`],
    ['Adapter', adapter],
  ];
  return html`<dl class="facts">
    ${entries.map(
      ([name, value]) =>
        value !== undefined &&
        html`<div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`;
}

function outcomeOf(outcome: string | undefined): string {
  if (outcome === 'done') return 'finished';
  return outcome ?? 'not finished';
}
