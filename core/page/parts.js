/** Parts that more than one view shows: tables, pictures, what a score is made of, why a run failed, what it warned of. */
import { h } from './dom.js';
import { number, words } from './format.js';

/** A table that scrolls by itself where it is wider than the window. @param {string} label @param {any} table */
export function scrolling(label, table) {
  return h('div.scroll', { tabIndex: 0, role: 'region', 'aria-label': label }, table);
}

/** @param {readonly string[]} titles */
export function heads(titles) {
  return h(
    'thead',
    h(
      'tr',
      titles.map((title) => h('th', { scope: 'col' }, title)),
    ),
  );
}

/** @param {Readonly<Record<string, number>> | undefined} parts */
export function partsList(parts = {}) {
  const entries = Object.entries(parts);
  return (
    entries.length > 0 &&
    h(
      'dl.parts',
      entries.map(([part, value]) => h('div', h('dt', words(part)), h('dd', number(value)))),
    )
  );
}

/**
 * A picture, or in its place why there is none. One that stands in its address is there already, on paper, too.
 * @param {string | undefined} address @param {string} alt @param {string} missing @param {import('./dom.js').Properties} [more]
 */
export function pictureOr(address, alt, missing, more = {}) {
  if (address === undefined) return h('p.no-picture', missing);
  return h('img', { src: address, alt, loading: address.startsWith('data:') ? 'eager' : 'lazy', ...more });
}

/** Why a run failed. @param {import('../io/records.ts').RunFailure} failure @param {import('./dom.js').Child[]} more */
export function failureBox({ code, message, place, hint }, ...more) {
  return h(
    'div.problem',
    h('p', h('strong', code), place !== undefined && [' ', h('code', place)]),
    h('p', message),
    hint !== undefined && h('p', `What to do: ${hint}`),
    more,
  );
}

/**
 * How many warnings there are, and some of them, each at the step that was being taken.
 * @param {number} count @param {readonly import('./answers.ts').Warning[]} shown @param {import('./curves.js').Curves | undefined} curves
 * @param {(date: Date) => string} clock where no line of the metrics says when it was written
 */
export function warningList(count, shown, curves, clock) {
  const hasTimes = curves?.times.some((each) => each !== null) ?? false;
  return [
    h('summary', `${count} ${count === 1 ? 'warning' : 'warnings'}`),
    h(
      'ul',
      shown.map(({ time, text }) =>
        h('li', h('span.when', hasTimes ? `step ${curves?.stepAt(time)}` : clock(new Date(time * 1000))), text),
      ),
    ),
  ];
}
