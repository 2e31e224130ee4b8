/** A comparison of two evaluations on the live page: the sentence, what it rests on, and the pictures, filtered. */
import { comparisonBody, pairCard } from './comparison-parts.js';
import { fill, h } from './dom.js';
import { VirtualList } from './virtual-list.js';

/** @typedef {import('./answers.ts').ComparisonAnswer} ComparisonAnswer @typedef {import('./answers.ts').PairAnswer} PairAnswer */

/** One below the other. @param {HTMLElement} place @param {readonly ComparisonAnswer[]} answers @param {string} none what is said where there are none @returns {() => void} ends them */
export function showComparisons(place, answers, none) {
  const places = answers.map(() => h('div'));
  fill(place, answers.length === 0 && h('p.quiet', none), places);
  const ends = answers.map((answer, at) => showComparison(places[at], answer));
  return () => {
    for (const end of ends) end();
  };
}

/** @param {HTMLElement} place @param {ComparisonAnswer} answer @returns {() => void} ends it */
function showComparison(place, answer) {
  const { benchmark, split, sentence, flipped, pairs, pairCount, labels } = answer;
  const isPaired = labels[0] !== '' && pairs.some(({ before }) => before !== undefined);
  let shows = 'all';
  const listPlace = h('div');
  const count = h('p.quiet');
  const filter = h(
    'select',
    {
      'aria-label': 'Which pictures',
      onchange: () => {
        shows = filter.value;
        draw();
      },
    },
    [
      ['all', 'all, flipped ones first'],
      ['better', 'fail → pass'],
      ['worse', 'pass → fail'],
    ].map(([value, text]) => h('option', { value }, text)),
  );
  fill(
    place,
    h(
      'section.comparison',
      { 'aria-label': `${benchmark}, ${split}` },
      h('h2', `${benchmark}, ${split}`),
      h('p.sentence', `${sentence}.`),
      comparisonBody(answer),
      h(
        'div.tools',
        h('h3', isPaired ? `${flipped.better} went from fail to pass, ${flipped.worse} from pass to fail` : 'Pictures'),
        isPaired && filter,
      ),
      count,
      listPlace,
    ),
  );
  const list = new VirtualList(listPlace, (/** @type {PairAnswer[]} */ some) =>
    h(
      'div.pairs',
      some.map((pair) => pairCard(pair, labels)),
    ),
  );
  draw();

  function draw() {
    const kept = pairs.filter(
      ({ isFlipped, after }) => shows === 'all' || (isFlipped && after.pass === (shows === 'better')),
    );
    fill(
      count,
      `${kept.length} of ${pairCount}${pairs.length < pairCount ? `; the first ${pairs.length} can be shown` : ''}`,
    );
    const across = Math.max(1, Math.floor(listPlace.clientWidth / (isPaired ? 320 : 190)));
    list.show(
      Array.from({ length: Math.ceil(kept.length / across) }, (_, row) => kept.slice(row * across, (row + 1) * across)),
    );
  }

  return () => list.leave();
}
