/** Two sides as one HTML document: the difference first, what flipped with both pictures, what else differs. */
import { changeOf } from '../evaluation/paired.ts';
import { pairCard } from './drawings.ts';
import { html, type Markup } from './html.ts';
import { pageDocument } from './page.ts';
import { pictureWithin, shownVerdict, type DrawnLine, type Match, type Side } from './sides.ts';
import { formatDifference, sentenceOf } from './summary.ts';
import { extrasTable, resultTable } from './tables.ts';

/** Flips and drawings shown with their pictures; all of them are counted. */
const mostShown = 48;

/** `style` is the sheet. The labels of both sides are those of the columns. */
export async function comparisonPage(a: Side, b: Side, matches: readonly Match[], style: string): Promise<string> {
  const sections: Markup[] = [];
  for (const match of matches) sections.push(await matchSection(a, b, match));
  const drawings = matches.length === 0 ? await drawingsSection(a, b) : undefined;
  return pageDocument(style, {
    kind: 'comparison',
    title: `${a.name} and ${b.name}`,
    header: html`${matches.map(({ comparison }) => html`<p class="headline">${sentenceOf(comparison)}.</p>`)}
      <p class="basis">A: ${a.name} · B: ${b.name}. 95 % intervals.</p>`,
    main: html`${matches.length > 0 && results(matches)} ${sections} ${drawings}`,
    footer: html`<p>
      Made from the records in both directories alone: <code>npx reasongen compare ${a.name} ${b.name}</code>
    </p>`,
  });
}

/** The columns say A and B instead of the labels, which are often the same. */
function results(matches: readonly Match[]): Markup {
  const comparisons = matches.map(({ comparison }) => labeled(comparison));
  return html`<section>
    <h2>Scores by task</h2>
    <p class="note">“Within noise”: the paired interval of the difference holds 0.</p>
    ${comparisons.map(resultTable)} ${extrasTable(comparisons)} ${matches.map(rewardTable)}
  </section>`;
}

function labeled(comparison: Match['comparison']): Match['comparison'] {
  const { before, after } = comparison;
  return { ...comparison, before: before && { ...before, label: 'A' }, after: { ...after, label: 'B' } };
}

function rewardTable({ rewards, comparison }: Match): Markup | undefined {
  const rows = Object.entries(rewards);
  if (rows.length === 0) return undefined;
  return html`<h3 class="beside">Rewards, ${comparison.benchmark}</h3>
    <div class="card scroll">
      <table class="plain">
        <thead>
          <tr>
            <th scope="col">Reward</th>
            <th scope="col">B − A</th>
            <th scope="col"></th>
          </tr>
        </thead>
        <tbody>
          ${rows.map(
            ([name, paired]) =>
              html`<tr>
                <th scope="row">${name}</th>
                <td>${formatDifference(paired)}</td>
                <td>${changeOf(paired) === 'unclear' ? 'within noise' : changeOf(paired)}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
}

async function matchSection(a: Side, b: Side, { comparison, flips, differences }: Match): Promise<Markup> {
  const { before, after, benchmark, split } = comparison;
  const cards: Markup[] = [];
  for (const flip of flips.slice(0, mostShown)) {
    const pair = {
      before: before && (await shownVerdict(a, before, flip.before)),
      after: await shownVerdict(b, after, flip.after),
    };
    cards.push(pairCard(pair, 'A', 'B'));
  }
  const note = flips.length > cards.length ? ` The ${cards.length} largest changes of ${flips.length} are shown.` : '';
  return html`<section>
    <h2>What flipped: ${benchmark}, ${split}</h2>
    <p class="note">
      ${flipCount(flips, true)} pictures went from fail to pass, ${flipCount(flips, false)} from pass to fail.${note}
      Chosen by their result: they show what changed, not how good either is.
    </p>
    ${
      differences.length > 0 &&
      html`<p class="warning">
        They differ in more than their weights: ${differences.map((each, index) => html`${index > 0 && '; '}${each}`)}.
      </p>`
    }
    <div class="pairs">${cards}</div>
  </section>`;
}

/** Pictures that pass now and did not, or the other way round. */
export function flipCount(flips: Match['flips'], isBetter: boolean): number {
  return flips.filter(({ before, after }) => before.pass === !isBetter && after.pass === isBetter).length;
}

/** Drawings of the same place and prompt in both folders. */
export function pairedDrawings(a: Side, b: Side): { readonly before: DrawnLine; readonly after: DrawnLine }[] {
  return b.drawings.flatMap((after) => {
    const before = a.drawings.find(({ index, prompt }) => index === after.index && prompt === after.prompt);
    return before === undefined ? [] : [{ before, after }];
  });
}

async function drawingsSection(a: Side, b: Side): Promise<Markup> {
  const pairs = pairedDrawings(a, b);
  const cards: Markup[] = [];
  for (const { before, after } of pairs.slice(0, mostShown))
    cards.push(
      html`<article class="card pair">
        <h3>${after.prompt}</h3>
        <div class="sides">${await drawing(a, before, 'A')}${await drawing(b, after, 'B')}</div>
      </article>`,
    );
  return html`<section>
    <h2>The same prompts</h2>
    <p class="note">${cards.length} of ${pairs.length}, in their order. Nobody has judged them.</p>
    <div class="pairs">${cards}</div>
  </section>`;
}

async function drawing({ directory }: Side, { file, prompt, rationale }: DrawnLine, label: string): Promise<Markup> {
  const image = await pictureWithin(directory, file);
  return html`<figure>
    <p class="side-label">${label}</p>
    ${image === '' ? html`<p class="note">not there</p>` : html`<img src="data:image/png;base64,${image}" alt="${prompt}" />`}
    <figcaption><p class="why">${rationale}</p></figcaption>
  </figure>`;
}
