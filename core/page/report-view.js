/** A report from the parts of the live page, put together where there is no browser: what came out first, what it was made from last. */
import { comparisonBody, pairCard } from './comparison-parts.js';
import { cardsOf, curveCard } from './curve-cards.js';
import { badLinesNote, Curves } from './curves.js';
import { h, prose } from './dom.js';
import { capital } from './format.js';
import { failureBox, pictureOr, scrolling, warningList } from './parts.js';
import { reportSmoothing } from './report-smoothing.js';
import { groupCard, groupsOf } from './sample-card.js';
import { factBlocks, presetRows, sessionsTable } from './settings-parts.js';

/** @typedef {import('./answers.ts').ReportAnswer} ReportAnswer @typedef {import('./answers.ts').StageAnswer} StageAnswer @typedef {import('./answers.ts').ComparisonAnswer} ComparisonAnswer @typedef {import('./answers.ts').SidesAnswer} SidesAnswer */

/** Pairs in sight; those behind them are folded. */
const inSight = 12;

/** @param {ReportAnswer} report */
export function reportView({ title, headline, basis, facts, stages }) {
  return [
    h(
      'header',
      h('p.sub', 'reasongen · run report'),
      h('h1', title),
      h('p.headline', headline),
      basis !== '' && h('p.quiet', basis),
      h(
        'dl.facts',
        facts.map(([name, value]) => h('div', h('dt', name), h('dd', value))),
      ),
    ),
    h(
      'main',
      stages.length === 1
        ? stages.map(stageParts)
        : stages.map((stage) =>
            h('section.stage', h('h2', `Stage: ${stage.name}`), h('p.sentence', stage.headline), stageParts(stage)),
          ),
    ),
    h(
      'footer.quiet',
      h(
        'p',
        'Made from the records in the run’s directory alone. To make it again: ',
        h('code', `npx reasongen report runs/${title}`),
      ),
    ),
  ];
}

/** @param {StageAnswer} stage */
function stageParts(stage) {
  const { comparisons } = stage;
  return [
    failureSection(stage),
    comparisons.length > 0 && resultSection(comparisons),
    curvesSection(stage),
    comparisons.map((comparison) => pairsSection(comparison, comparison !== comparisons[0])),
    samplesSection(stage),
    madeFrom(stage),
  ];
}

/** Why the last session ended early, and from where it can go on. @param {StageAnswer} stage */
function failureSection({ failure, detail }) {
  if (failure === undefined) return false;
  const last = detail.checkpoints.at(-1);
  return h(
    'section',
    h('h2', 'Why it failed'),
    failureBox(
      failure,
      h('p', last === undefined ? 'No checkpoint had been saved.' : `The last checkpoint is that of step ${last}.`),
    ),
  );
}

/** @param {readonly ComparisonAnswer[]} comparisons */
function resultSection(comparisons) {
  return h(
    'section',
    h('h2', 'Pass rate by task'),
    h(
      'p.quiet',
      'Share of drawings that the benchmark judges right, or its own score, with 95 % intervals (Wilson’s for one drawing a prompt, else prompts resampled). A change is the mean over pairs of drawings, before and after, of the same prompt and random numbers; “within noise”: its interval holds 0. ▲ ▼ count the drawings that went from wrong to right and back, p is McNemar’s. Where a record does not tell of every drawing, “within noise” means that both intervals overlap.',
    ),
    comparisons.map(resultCard),
  );
}

/** @param {ComparisonAnswer} comparison */
function resultCard(comparison) {
  const { benchmark, split, steps } = comparison;
  const more = [benchmark, steps].filter(Boolean).join(' · ');
  return h('div.card', comparisonBody(comparison, [h('strong', capital(split)), ` · ${more}`]));
}

/** @param {StageAnswer} stage */
function curvesSection({ curves: answer, detail: { charts, targets, checkpoints, warnings } }) {
  const curves = new Curves(answer);
  const { planned, single } = cardsOf(charts, curves.metrics.keys());
  if (planned.length + single.length === 0)
    return curves.badLines > 0 && h('section', h('h2', 'Training'), h('p.quiet', badLinesNote(curves)));
  const cards = (/** @type {import('./curve-cards.js').Card[]} */ some) =>
    h(
      'div.charts',
      some.map((card) => curveCard(card, curves, targets).element),
    );
  return h(
    'section',
    { 'data-curves': JSON.stringify({ answer, charts, beside: { targets, checkpoints, warnings } }) },
    h('h2', 'Training'),
    h('p.quiet', curvesNote(curves)),
    warnings.length > 0 &&
      h(
        'details.warnings',
        { open: warnings.length < 6 },
        warningList(warnings.length, warnings, curves, (date) => date.toISOString().slice(0, 19).replace('T', ' ')),
      ),
    cards(planned),
    single.length > 0 && h('details', h('summary', `All other measurements (${single.length})`), cards(single)),
  );
}

/** @param {Curves} curves */
function curvesNote(curves) {
  return [
    curves.width > 1 && `${curves.lines} steps; every point is the mean of ${curves.width}. `,
    reportSmoothing(curves) > 0 && 'Pale: single points. Bold: their exponential mean. ',
    badLinesNote(curves),
    'Ticks at the foot are checkpoints, broken lines warnings.',
  ];
}

/** The first pairs of every task. @param {ComparisonAnswer} comparison @param {boolean} isFolded */
function pairsSection({ prompts, labels, pairs, pairCount }, isFolded) {
  if (pairs.length === 0) return false;
  const isPaired = labels[0] !== '';
  const title = `${isPaired ? 'Before and after' : 'Drawings'}: ${prompts} prompts`;
  const note = h(
    'p.quiet',
    `${pairs.length} of ${pairCount} prompts, the first of each task; none is chosen by its result.`,
    isPaired && tally(pairs),
  );
  const grid = (/** @type {typeof pairs} */ some) =>
    h(
      'div.pairs',
      some.map((pair) => pairCard(pair, labels)),
    );
  if (isFolded) return h('section', h('details', h('summary', title), note, grid(pairs)));
  const more = pairs.slice(inSight);
  return h(
    'section',
    h('h2', title),
    note,
    grid(pairs.slice(0, inSight)),
    more.length > 0 && h('details', h('summary', `${more.length} more prompts`), grid(more)),
  );
}

/** How the shown drawings changed sides. @param {ComparisonAnswer['pairs']} pairs */
function tally(pairs) {
  const count = (/** @type {boolean} */ was, /** @type {boolean} */ is) =>
    pairs.filter(({ before, after }) => before?.pass === was && after.pass === is).length;
  return ` Of those ${count(false, true)} went from fail to pass, ${count(true, false)} from pass to fail, ${count(true, true)} passed and ${count(false, false)} failed both times.`;
}

/** Behind a fold where there are evaluations to look at. @param {StageAnswer} stage */
function samplesSection({ samples, comparisons }) {
  const [first] = samples;
  if (first === undefined) return false;
  return h(
    'section',
    h(
      'details',
      { open: comparisons.length === 0 },
      h('summary', `Training samples of step ${first.step} (${samples.length})`),
      groupsOf(samples).map((group) => groupCard(group, ({ picture }) => picture, false)),
    ),
  );
}

/** @param {StageAnswer} stage */
function madeFrom({ detail, command }) {
  return h(
    'section',
    h('h2', 'What ran'),
    h('div.blocks', factBlocks(detail)),
    command !== '' && [
      h('h3', 'To repeat it'),
      h('p.card.command', h('code', command)),
      h(
        'p.quiet',
        'Same preset, seed and adapter give the same tokens and the same metrics. The resolved preset below is also in the run’s directory, as ',
        h('code', 'preset.yaml'),
        '.',
      ),
    ],
    detail.preset.length > 0 &&
      h(
        'details',
        h('summary', 'Resolved preset, with the origin of every value'),
        scrolling('Preset', h('table.preset', h('tbody', presetRows(detail.preset)))),
      ),
    detail.sessions.length > 0 &&
      h('details', h('summary', `Sessions (${detail.sessions.length})`), sessionsTable(detail)),
  );
}

/** Two sides: the difference first, what flipped with both pictures, what else differs. @param {SidesAnswer} sides */
export function sidesView({ names: [a, b], comparisons, differences, drawings, drawingCount, command }) {
  return [
    h(
      'header',
      h('p.sub', 'reasongen · comparison'),
      h('h1', `${a} and ${b}`),
      comparisons.map(({ sentence }) => h('p.headline', `${sentence}.`)),
      h('p.quiet', `A: ${a} · B: ${b}. 95 % intervals.`),
      // What may be the reason of a result stands beside it.
      comparisons.map(
        ({ benchmark }, at) =>
          (differences[at]?.length ?? 0) > 0 &&
          h('p.warns', `${benchmark}: they differ in more than their weights: ${differences[at]?.join('; ')}.`),
      ),
    ),
    h(
      'main',
      comparisons.length > 0 &&
        h(
          'section',
          h('h2', 'Scores by task'),
          h('p.quiet', '“Within noise”: the paired interval of the difference holds 0.'),
          comparisons.map(resultCard),
        ),
      comparisons.map(flipsSection),
      drawings.length > 0 && drawingsSection(drawings, drawingCount),
    ),
    h('footer.quiet', h('p', 'Made from the records in both directories alone: ', h('code', command))),
  ];
}

/** @param {ComparisonAnswer} comparison */
function flipsSection({ benchmark, split, flipped, pairs, pairCount, labels }) {
  return h(
    'section',
    h('h2', `What flipped: ${benchmark}, ${split}`),
    h(
      'p.quiet',
      `${flipped.better} pictures went from fail to pass, ${flipped.worse} from pass to fail.`,
      pairCount > pairs.length && ` The ${pairs.length} largest changes of ${pairCount} are shown.`,
      ' Chosen by their result: they show what changed, not how good either is.',
    ),
    h(
      'div.pairs',
      pairs.map((pair) => pairCard(pair, labels)),
    ),
  );
}

/** @param {SidesAnswer['drawings']} drawings @param {number} count */
function drawingsSection(drawings, count) {
  return h(
    'section',
    h('h2', 'The same prompts'),
    h('p.quiet', `${drawings.length} of ${count}, in their order. Nobody has judged them.`),
    h(
      'div.pairs',
      drawings.map(({ prompt, sides }) =>
        h(
          'article.card.pair',
          h('h3', prompt),
          h(
            'div.sides',
            sides.map(({ rationale, picture }, at) =>
              h(
                'figure',
                pictureOr(picture, `${prompt}, ${'AB'[at]}`, 'not there'),
                h(
                  'figcaption',
                  h('p.verdict', h('span', 'AB'[at])),
                  rationale !== '' && prose('p.rationale', rationale),
                ),
              ),
            ),
          ),
        ),
      ),
    ),
  );
}
