/** Charts of a run's numbers as cards: which metrics stand together, and what is said of them. Drawn by curve-board.js. */
import { h, svg } from './dom.js';
import { capital, number, words } from './format.js';

/** @typedef {import('./answers.ts').ChartPlan} ChartPlan @typedef {import('./curves.js').Curves} Curves */
/** @typedef {{ title: string, unit: string, names: string[], range?: readonly [number, number] }} Card */

/** As planned, the rest each by itself. @param {readonly ChartPlan[]} plans @param {Iterable<string>} metrics @returns {{ planned: Card[], single: Card[] }} */
export function cardsOf(plans, metrics) {
  const left = new Set(metrics);
  /** @type {Card[]} */
  const planned = [];
  for (const { title, unit, metrics: all, range } of plans) {
    const names = all.flatMap((wanted) => [...left].filter((name) => isMeant(wanted, name)));
    for (const name of names) left.delete(name);
    // A single reward is the sum itself.
    const shown = names.length === 2 && names[0] === 'reward' ? names.slice(0, 1) : names;
    if (names.length > 0) planned.push({ title, unit, names: shown, ...(range !== undefined && { range }) });
  }
  return { planned, single: [...left].map((name) => ({ title: capital(words(name)), unit: '', names: [name] })) };
}

/** @param {string} wanted @param {string} name */
function isMeant(wanted, name) {
  if (!wanted.endsWith('/')) return name === wanted;
  return name.startsWith(wanted) && !name.slice(wanted.length).includes('/');
}

/** Its newest numbers, and the place where it will be drawn. @param {Card} card @param {Curves} curves @param {Readonly<Record<string, number>>} targets */
export function curveCard(card, curves, targets) {
  const { values, at } = legendOf(card, curves, targets);
  const legend = h('ul.legend', values, at);
  const said = describe(card, curves);
  // Where no script runs, the words stand in for the drawing.
  const plot = h('div.plot', { role: 'img', 'aria-label': said }, h('p.sub', said));
  const element = h(
    'figure.card.chart',
    h('figcaption', h('h3', card.title), card.unit !== '' && h('span.sub', card.unit), legend),
    plot,
  );
  return { element, plot, legend };
}

/**
 * The entries of a legend. `say` tells the numbers of a place in the curves, the last one first.
 * @param {Card} card @param {Curves} curves @param {Readonly<Record<string, number>>} targets
 */
export function legendOf({ names }, curves, targets) {
  const numbers = names.map(() => h('span.value'));
  const values = names.map((name, index) => {
    const target = Object.hasOwn(targets, name) ? targets[name] : undefined;
    const notFinite = curves.metrics.get(name)?.notFinite ?? 0;
    return h(
      'li',
      swatch(index, names.length),
      names.length > 1 && h('span', words(name)),
      numbers[index],
      target !== undefined && h('span.sub', `target ${number(target)}`),
      notFinite > 0 && h('span.warns', `${notFinite} not finite`),
    );
  });
  const at = h('li.sub');
  /** @param {number | null} index @param {string} [more] */
  const say = (index, more = '') => {
    const where = index ?? curves.steps.length - 1;
    for (const [line, name] of names.entries())
      numbers[line].textContent = number(curves.metrics.get(name)?.mean[where]);
    at.textContent = where < 0 ? '' : `step ${curves.steps[where]}${more}`;
  };
  say(null);
  return { values, at, say };
}

/** For those who do not see the drawing. @param {Card} card @param {Curves} curves */
export function describe({ title, names }, { metrics, steps }) {
  const parts = names.map((name) => {
    const values = metrics.get(name)?.mean ?? [];
    const from = values.findIndex((value) => value !== null);
    const to = values.findLastIndex((value) => value !== null);
    return from < 0
      ? words(name)
      : `${words(name)} from ${number(values[from])} at step ${steps[from]} to ${number(values[to])} at step ${steps[to]}`;
  });
  return `${title}: ${parts.join('; ')}`;
}

const dashes = [[], [6, 3], [2, 2], [8, 3, 2, 3], [10, 4], [4, 2, 1, 2]];

/** The name of a variable of the style sheet. @param {number} at */
export function lineColor(at) {
  return `--line-${(at % 6) + 1}`;
}

/** @param {number} at */
export function lineDash(at) {
  return dashes[at % dashes.length] ?? [];
}

/** @param {number} index @param {number} count */
function swatch(index, count) {
  const line = svg('line', {
    x1: 1,
    x2: 19,
    y1: 5,
    y2: 5,
    'stroke-width': 2.5,
    'stroke-dasharray': count === 1 ? '' : lineDash(index).join(' '),
    class: `stroke${lineColor(index)}`,
  });
  return svg('svg', { width: 20, height: 10, class: 'swatch', 'aria-hidden': 'true' }, line);
}
