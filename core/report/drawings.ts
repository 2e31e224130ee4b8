/** Drawings with prompt, rationale, verdict and scores: the same prompts before and after, and samples of training. */
import type { EvaluationSample } from '../contracts/evaluation.ts';
import type { Score } from '../contracts/reward.ts';
import type { RunRecords, SampleRecord } from '../io/records.ts';
import { words } from './curves.ts';
import { html, trusted, type Markup } from './html.ts';
import { choosePairs, pairSamples, splitName, type Comparison, type SamplePair } from './summary.ts';
import { formatNumber } from './tables.ts';

/** Prompts in sight, and with those behind the fold; the records may hold more. */
const inSight = 12;
export const shown = 36;

/** Pairs of the same prompt. `isFirst`: in sight, not behind a fold. */
export function drawingSection(comparison: Comparison, isFirst: boolean): Markup | undefined {
  const { before, after, split } = comparison;
  const pairs = pairSamples(comparison);
  const chosen = choosePairs(pairs, shown);
  if (chosen.length === 0) return undefined;
  const title = `${before === undefined ? 'Drawings' : 'Before and after'}: ${splitName(split)} prompts`;
  const note = html`<p class="note">
    ${chosen.length} of ${after.overall.total} prompts, the first of each task; none is chosen by its
    result.${before !== undefined && tally(pairs)}
  </p>`;
  const grid = (some: readonly SamplePair[]): Markup =>
    html`<div class="pairs">${some.map((pair) => pairCard(pair, before?.label, after.label))}</div>`;
  if (!isFirst)
    return html`<section class="folded">
      <details>
        <summary>${title}</summary>
        ${note}${grid(chosen)}
      </details>
    </section>`;
  const more = chosen.slice(inSight);
  return html`<section>
    <h2>${title}</h2>
    ${note}${grid(chosen.slice(0, inSight))}
    ${
      more.length > 0 &&
      html`<details class="more">
        <summary>${more.length} more prompts</summary>
        ${grid(more)}
      </details>`
    }
  </section>`;
}

/** How the recorded drawings changed sides. */
function tally(pairs: readonly SamplePair[]): string {
  const count = (was: boolean, is: boolean): number =>
    pairs.filter(({ before, after }) => before?.pass === was && after.pass === is).length;
  return ` Of ${pairs.length} recorded: ${count(false, true)} went from fail to pass, ${count(true, false)} from pass to fail, ${count(true, true)} passed and ${count(false, false)} failed both times.`;
}

/** One prompt with its drawings side by side. */
export function pairCard({ before, after }: SamplePair, beforeLabel: string | undefined, afterLabel: string): Markup {
  return html`<article class="card pair">
    <h3>${after.prompt}</h3>
    <p class="task">${after.task.replaceAll('_', ' ')}</p>
    <div class="sides">
      ${beforeLabel !== undefined && side(before, beforeLabel)}${side(after, beforeLabel === undefined ? '' : afterLabel)}
    </div>
  </article> `;
}

function side(sample: EvaluationSample | undefined, label: string): Markup {
  if (sample === undefined)
    return html`<figure>
      <p class="side-label">${label}</p>
      <p class="note">not recorded</p>
    </figure>`;
  const { prompt, image, pass, why, rationale, scores } = sample;
  return html`<figure>
    ${label !== '' && html`<p class="side-label">${label}</p>`} ${picture(image, prompt)}
    <figcaption>
      <p class="verdict ${pass ? 'pass' : 'fail'}">${pass ? '✓ pass' : '✗ fail'}</p>
      <p class="why">${why}</p>
      ${rationaleOf(rationale)}${scoresOf(scores)}
    </figcaption>
  </figure> `;
}

/** Samples of the last step that saved any; behind a fold when there are evaluations to look at. */
export function samplesSection({ samples, sampleStep }: RunRecords, isOpen: boolean): Markup | undefined {
  if (samples.length === 0 || sampleStep === undefined) return undefined;
  return html`<section class="folded"><details${isOpen && html` open`}><summary>Training samples of step ${sampleStep} (${Math.min(samples.length, shown)})</summary>
<div class="samples">${samples.slice(0, shown).map(sampleCard)}</div></details></section>`;
}

function sampleCard({ prompt, image, rationale, scores, total, advantage }: SampleRecord): Markup {
  return html`<article class="card sample">
    <figure>
      ${picture(image, prompt)}
      <figcaption>
        <h3>${prompt}</h3>
        <p class="why">
          reward ${formatNumber(total)}${advantage !== undefined && ` · advantage ${formatNumber(advantage)}`}
        </p>
        ${rationaleOf(rationale)}${scoresOf(scores)}
      </figcaption>
    </figure>
  </article> `;
}

function picture(base64: string, prompt: string): Markup {
  if (base64 === '') return html`<p class="note">no picture</p>`;
  // The alphabet of base64 only: nothing in a damaged record may leave the attribute's address.
  return html`<img
    src="data:image/png;base64,${trusted(base64.replaceAll(/[^A-Za-z0-9+/=]/g, ''))}"
    alt="Drawing for “${prompt}”"
    loading="lazy"
  />`;
}

function rationaleOf(rationale: string): Markup | undefined {
  return rationale === '' ? undefined : html`<p class="rationale">${rationale}</p>`;
}

/** The values in one line; what they are made of behind a fold. */
function scoresOf(scores: Readonly<Record<string, Score>>): Markup | undefined {
  const entries = Object.entries(scores);
  if (entries.length === 0) return undefined;
  const line = entries.map(([name, { value }]) => `${name} ${formatNumber(value)}`).join(' · ');
  const details = entries.filter(([, { why, parts }]) => why !== undefined || parts !== undefined);
  if (details.length === 0) return html`<p class="scores">${line}</p>`;
  const parts = (score: Score): string =>
    Object.entries(score.parts ?? {})
      .map(([name, value]) => `${words(name)} ${formatNumber(value)}`)
      .join(', ');
  return html`<details class="scores">
    <summary>${line}</summary>
    <dl>
      ${details.map(
        ([name, score]) =>
          html`<div>
            <dt>${name}</dt>
            ${score.why !== undefined && html`<dd>${score.why}</dd>`}${score.parts !== undefined && html`<dd class="parts">${parts(score)}</dd>`}
          </div>`,
      )}
    </dl>
  </details>`;
}
