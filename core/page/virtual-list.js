/** A long list of which only what is near the window exists. Rows have their own heights, guessed until they were seen. */
import { h } from './dom.js';

/** Pixels beyond the window in which rows are made, and what a row is thought to take before it was measured. */
const [margin, guess] = [900, 420];

/** @template Item */
export class VirtualList {
  /** @param {HTMLElement} place @param {(item: Item) => HTMLElement} make */
  constructor(place, make) {
    this.make = make;
    /** @type {readonly Item[]} */
    this.items = [];
    /** @type {number[]} */
    this.heights = [];
    /** @type {Map<number, HTMLElement>} */
    this.rows = new Map();
    /** @type {number | undefined} */
    this.frame = undefined;
    this.place = place;
    this.before = h('div', { 'aria-hidden': 'true' });
    this.middle = h('div', { role: 'list' });
    this.after = h('div', { 'aria-hidden': 'true' });
    place.replaceChildren(this.before, this.middle, this.after);
    this.measure = new ResizeObserver((entries) => {
      let isOther = false;
      for (const { target } of entries) {
        const at = Number(/** @type {HTMLElement} */ (target).dataset['at']);
        const height = /** @type {HTMLElement} */ (target).offsetHeight;
        if (height > 0 && this.heights[at] !== height) {
          this.heights[at] = height;
          isOther = true;
        }
      }
      if (isOther) this.draw();
    });
    this.onScroll = () => {
      this.frame ??= requestAnimationFrame(() => {
        this.frame = undefined;
        this.draw();
      });
    };
    addEventListener('scroll', this.onScroll, { passive: true });
    addEventListener('resize', this.onScroll);
  }

  /** @param {readonly Item[]} items */
  show(items) {
    this.items = items;
    this.heights = items.map((_, at) => this.heights[at] ?? guess);
    for (const row of this.rows.values()) this.measure.unobserve(row);
    this.rows.clear();
    this.middle.replaceChildren();
    this.draw();
  }

  draw() {
    const top = this.place.getBoundingClientRect().top;
    const [from, to] = [-top - margin, -top + innerHeight + margin];
    let [first, last, y, above, below] = [-1, -1, 0, 0, 0];
    for (const [at, height] of this.heights.entries()) {
      if (y + height >= from && y <= to) {
        if (first < 0) first = at;
        last = at;
      } else if (first < 0) above += height;
      else below += height;
      y += height;
    }
    if (first < 0) [above, below] = [y, 0];
    for (const [at, row] of this.rows)
      if (first < 0 || at < first || at > last) {
        // Who is in it with the keyboard stays there.
        if (row.contains(document.activeElement)) continue;
        this.measure.unobserve(row);
        row.remove();
        this.rows.delete(at);
      }
    for (let at = Math.max(0, first); at <= last; at++) {
      if (this.rows.has(at)) continue;
      const row = h(
        'div.row',
        {
          role: 'listitem',
          'data-at': String(at),
          'aria-setsize': String(this.items.length),
          'aria-posinset': String(at + 1),
        },
        this.make(/** @type {Item} */ (this.items[at])),
      );
      const next = [...this.rows.keys()].filter((each) => each > at).sort((a, b) => a - b)[0];
      this.middle.insertBefore(row, next === undefined ? null : (this.rows.get(next) ?? null));
      this.rows.set(at, row);
      this.measure.observe(row);
    }
    this.before.style.height = `${above}px`;
    this.after.style.height = `${below}px`;
  }

  leave() {
    removeEventListener('scroll', this.onScroll);
    removeEventListener('resize', this.onScroll);
    this.measure.disconnect();
  }
}
