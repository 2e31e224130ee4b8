/** What a comparison of two evaluations shows: scores by task with intervals, what was measured besides, and pictures side by side. */
import { h, prose, svg } from './dom.js';
import { capital, number, words } from './format.js';
import { heads, partsList, pictureOr, scrolling } from './parts.js';

/** @typedef {import('./answers.ts').ComparisonAnswer} ComparisonAnswer @typedef {import('./answers.ts').RateAnswer} RateAnswer @typedef {import('./answers.ts').PairAnswer} PairAnswer @typedef {import('./answers.ts').PictureAnswer} PictureAnswer @typedef {import('./answers.ts').WatchedSample['scores']} Scores */

/** Everything but the pictures. @param {ComparisonAnswer} answer @param {any} [caption] of the scores */
export function comparisonBody(answer, caption) {
  return [scoresTable(answer, caption), rateCurve(answer), rewardsTable(answer), extraTables(answer)];
}

/** Scores by task, with what they rest on. @param {ComparisonAnswer} answer @param {any} [caption] */
function scoresTable(answer, caption) {
  const { rows, labels, score, notes, warnings, prompts } = answer;
  const isPaired = labels[0] !== '' && rows.some(({ before }) => before !== undefined);
  const [first, last] = labels.map(capital);
  return [
    scrolling(
      `Scores by task, ${prompts}`,
      h(
        'table.scores',
        caption !== undefined && h('caption', caption),
        heads([
          'Task',
          'Pictures',
          ...(isPaired ? [first ?? '', last ?? ''] : [capital(score)]),
          'Interval, 0 to 1',
          ...(isPaired ? ['Change'] : []),
        ]),
        h(
          'tbody',
          rows.map((row, at) =>
            h(
              'tr',
              { className: at === 0 ? 'total' : '' },
              h('th', { scope: 'row' }, capital(row.task)),
              h('td.number', { 'data-label': 'pictures' }, row.after.total === 0 ? '' : row.after.total),
              isPaired && h('td', { 'data-label': first ?? '' }, row.before?.text ?? '–'),
              h('td', { 'data-label': isPaired ? (last ?? '') : '' }, row.after.text),
              h('td.plot-cell', intervals(row.before, row.after)),
              isPaired &&
                h(
                  'td',
                  { 'data-change': row.change ?? 'unclear' },
                  h('span.difference', row.difference ?? '–'),
                  ' ',
                  changeName(row.change ?? 'unclear'),
                  row.chance !== undefined && h('span.sub', ` ${row.rose} ▲ ${row.fell} ▼, p ${row.chance}`),
                ),
            ),
          ),
        ),
      ),
    ),
    isPaired &&
      h(
        'p.key.sub',
        h('span.mark.before', { 'aria-hidden': 'true' }),
        ` ${labels[0]} `,
        h('span.mark.after', { 'aria-hidden': 'true' }),
        ` ${labels[1]}, with 95 % intervals`,
      ),
    warnings.map((warning) => h('p.warns', `${capital(warning)}.`)),
    notes.map((note) => h('p.quiet', `${capital(note)}.`)),
  ];
}

/** @param {string} change */
function changeName(change) {
  return change === 'rose' ? '▲ rose' : change === 'fell' ? '▼ fell' : 'within noise';
}

/** Two intervals on a line from 0 to 1: above before (hollow), below after (filled). @param {RateAnswer | undefined} before @param {RateAnswer} after */
function intervals(before, after) {
  const at = (/** @type {number} */ share) => `${(4 + 92 * share).toFixed(2)}%`;
  /** @param {RateAnswer} rate @param {number} y @param {string} name */
  const row = (rate, y, name) =>
    svg(
      'g',
      { class: name },
      svg('line', { x1: at(rate.low), x2: at(rate.high), y1: y, y2: y }),
      svg('circle', { cx: at(rate.rate), cy: y, r: 4 }),
    );
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) =>
    svg('line', { class: 'grid', x1: at(share), x2: at(share), y1: 0, y2: 26 }),
  );
  return svg(
    'svg',
    {
      class: 'intervals',
      role: 'img',
      'aria-label': `${before === undefined ? '' : `before ${before.text}, `}after ${after.text}`,
    },
    ...grid,
    ...(before === undefined ? [] : [row(before, 8, 'before')]),
    row(after, before === undefined ? 13 : 18, 'after'),
  );
}

/** Every evaluation by step, with its interval; nothing where the table says all. @param {ComparisonAnswer} answer */
function rateCurve({ curve, prompts, score }) {
  if (new Set(curve.map(({ step }) => step)).size < 3) return false;
  const [width, height, foot] = [460, 150, 18];
  const last = Math.max(1, ...curve.map(({ step }) => step));
  const x = (/** @type {number} */ step) => 34 + (width - 50) * (step / last);
  const y = (/** @type {number} */ rate) => 8 + (height - foot - 16) * (1 - rate);
  const parts = [0, 0.5, 1].flatMap((share) => {
    const label = svg('text', { x: 28, y: y(share) + 4, 'text-anchor': 'end' });
    label.textContent = String(share);
    return [svg('line', { class: 'grid', x1: 34, x2: width - 8, y1: y(share), y2: y(share) }), label];
  });
  // As many labels as have room.
  const every = Math.ceil(curve.length / 9);
  for (const { step } of curve.filter((_, at) => (curve.length - 1 - at) % every === 0)) {
    const label = svg('text', { x: x(step), y: height - 4, 'text-anchor': 'middle' });
    label.textContent = String(step);
    parts.push(label);
  }
  const line = svg('polyline', {
    class: 'after-line',
    points: curve.map(({ step, rate }) => `${x(step).toFixed(1)},${y(rate).toFixed(1)}`).join(' '),
  });
  const marks = curve.map(({ step, rate, low, high }) =>
    svg(
      'g',
      { class: 'after' },
      svg('line', { x1: x(step), x2: x(step), y1: y(low), y2: y(high) }),
      svg('circle', { cx: x(step), cy: y(rate), r: 4 }),
    ),
  );
  return h(
    'figure.card',
    h('figcaption', h('h3', `${capital(score)} by step, ${prompts}`), ' ', h('span.sub', '95 % intervals')),
    svg(
      'svg',
      {
        class: 'rates intervals',
        viewBox: `0 0 ${width} ${height}`,
        role: 'img',
        'aria-label': curve.map(({ label, text }) => `${label} ${text}`).join('; '),
      },
      ...parts,
      line,
      ...marks,
    ),
  );
}

/** Of the rewards that judged both. @param {ComparisonAnswer} answer */
function rewardsTable({ rewards, labels, prompts }) {
  return (
    rewards.length > 0 &&
    scrolling(
      `Rewards, ${prompts}`,
      h(
        'table',
        h('caption', 'Rewards, picture by picture'),
        heads(['Reward', `${labels[1]} − ${labels[0]}`, 'Change']),
        h(
          'tbody',
          rewards.map(({ name, difference, change }) =>
            h('tr', h('th', { scope: 'row' }, name), h('td', difference), h('td', changeName(change))),
          ),
        ),
      ),
    )
  );
}

/** Measurements beside the score; those of the rewards a fold deeper. @param {ComparisonAnswer} answer */
function extraTables({ extra, labels, score, prompts }) {
  const isOfReward = (/** @type {{ name: string }} */ { name }) => name.startsWith('reward/');
  /** @param {ComparisonAnswer['extra']} some */
  const table = (some) =>
    scrolling(
      `Measurements, ${prompts}`,
      h(
        'table.measured',
        heads(['Measurement', ...(labels[0] === '' ? ['Value'] : labels.map((label) => `${prompts}, ${label}`))]),
        h(
          'tbody',
          some.map(({ name, before, after }) =>
            h(
              'tr',
              h('th', { scope: 'row' }, capital(words(name))),
              labels[0] !== '' && h('td', number(before)),
              h('td', number(after)),
            ),
          ),
        ),
      ),
    );
  const [own, ofRewards] = [extra.filter((each) => !isOfReward(each)), extra.filter(isOfReward)];
  return [
    own.length > 0 && h('details', { open: true }, h('summary', `Beside the ${score}: ${prompts}`), table(own)),
    ofRewards.length > 0 &&
      h(
        'details',
        h('summary', `What the rewards measured on the same pictures (${ofRewards.length}): ${prompts}`),
        table(ofRewards),
      ),
  ];
}

/** @param {PairAnswer} pair @param {readonly [string, string]} labels */
export function pairCard({ prompt, task, isFlipped, before, after }, labels) {
  return h(
    'article.card.pair',
    { 'data-flipped': String(isFlipped) },
    h('h3', prompt),
    task !== '' && h('p.sub', task.replaceAll('_', ' ')),
    h('div.sides', before !== undefined && side(before, labels[0], prompt), side(after, labels[1], prompt)),
  );
}

/** @param {PictureAnswer} judged @param {string} label @param {string} prompt */
function side({ pass, why, rationale, score, picture, scores }, label, prompt) {
  return h(
    'figure',
    { 'data-pass': String(pass) },
    pictureOr(picture, label === '' ? prompt : `${prompt}, ${label}`, 'not kept'),
    h(
      'figcaption',
      h(
        'p.verdict',
        h('strong', pass ? '✓ pass' : '✗ fail'),
        label !== '' && h('span', label),
        score !== Number(pass) && h('span', number(score)),
      ),
      why !== '' && prose('p.why', why),
      rationale !== '' && prose('p.rationale', rationale),
      scoreDetails(scores),
    ),
  );
}

/** The values in one line; what they are made of behind a fold. @param {Scores} scores */
function scoreDetails(scores) {
  const entries = Object.entries(scores);
  if (entries.length === 0) return false;
  return h(
    'details',
    h('summary', entries.map(([name, { value }]) => `${name} ${number(value)}`).join(' · ')),
    entries.map(([, { why, parts }]) => [why !== undefined && prose('p.why', why), partsList(parts)]),
  );
}
