/** Draws the charts of a run when they come into sight, and again when something has changed. */
import { drawChart } from './chart.js';
import { describe, legendOf } from './curve-cards.js';
import { fill } from './dom.js';
import { duration } from './format.js';

/**
 * @typedef {import('./curve-cards.js').Card} Card
 * @typedef {import('./curves.js').Curves} Curves
 * @typedef {Pick<import('./answers.ts').RunDetail, 'targets' | 'checkpoints' | 'warnings'>} Beside  what is drawn beside the numbers
 * @typedef {{ smoothing: number, isLog: boolean, isTime: boolean }} Settings
 * @typedef {(number | null)[]} Seconds  where the horizontal axis is time
 * @typedef {{ plot: HTMLElement, legend: HTMLElement, card: Card, chart?: { destroy(): void }, isSeen: boolean, isStale: boolean }} Box
 */

/** Warnings that are drawn. */
const mostMarks = 100;

export class CurveBoard {
  /** @param {() => { curves: Curves, beside: Beside, settings: Settings } | undefined} look undefined while there is nothing yet */
  constructor(look) {
    this.look = look;
    /** @type {Map<Element, Box>} */
    this.boxes = new Map();
    this.seen = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) {
          const box = this.boxes.get(target);
          if (box !== undefined) box.isSeen = isIntersecting;
        }
        this.draw();
      },
      { rootMargin: '300px' },
    );
    this.dark = matchMedia('(prefers-color-scheme: dark)');
    this.redraw = () => {
      for (const box of this.boxes.values()) box.isStale = true;
      this.draw();
    };
    this.dark.addEventListener('change', this.redraw);
  }

  /** @param {HTMLElement} plot @param {HTMLElement} legend @param {Card} card */
  add(plot, legend, card) {
    this.boxes.set(plot, { plot, legend, card, isSeen: false, isStale: true });
    this.seen.observe(plot);
  }

  clear() {
    for (const { chart, plot } of this.boxes.values()) {
      chart?.destroy();
      this.seen.unobserve(plot);
    }
    this.boxes.clear();
  }

  draw() {
    const found = this.look();
    const due = [...this.boxes.values()].filter(({ isSeen, isStale }) => isSeen && isStale);
    if (found === undefined || due.length === 0) return;
    const { curves, beside, settings } = found;
    const seconds = settings.isTime ? curves.seconds() : undefined;
    const marks = marksOf(curves, seconds, beside);
    for (const box of due) {
      box.isStale = false;
      box.chart?.destroy();
      box.chart = drawBox(box, curves, seconds, beside.targets, settings, marks);
    }
  }

  /** Also what is out of sight, but not what is folded. */
  drawAll() {
    for (const box of this.boxes.values()) {
      box.isSeen = box.plot.checkVisibility();
      box.isStale = true;
    }
    this.draw();
  }

  leave() {
    this.clear();
    this.seen.disconnect();
    this.dark.removeEventListener('change', this.redraw);
  }
}

/** Where checkpoints were saved and warnings given, on the horizontal axis. @param {Curves} curves @param {Seconds | undefined} seconds @param {Beside} beside @returns {import('./chart.js').Mark[]} */
function marksOf(curves, seconds, { checkpoints, warnings }) {
  const { steps } = curves;
  if (steps.length === 0) return [];
  /** @param {number} step @param {string} text @param {'warning' | 'checkpoint'} kind */
  const mark = (step, text, kind) => {
    const after = steps.findIndex((each) => each >= step);
    const index = after < 0 ? steps.length - 1 : after;
    return { x: seconds === undefined ? step : (seconds[index] ?? 0), index, text, kind };
  };
  return [
    ...checkpoints.map((step) => mark(step, `checkpoint of step ${step}`, 'checkpoint')),
    ...warnings.slice(-mostMarks).map(({ time, text }) => mark(curves.stepAt(time) ?? 0, text, 'warning')),
  ];
}

/** @param {Box} box @param {Curves} curves @param {Seconds | undefined} seconds @param {Beside['targets']} targets @param {Settings} settings @param {import('./chart.js').Mark[]} marks */
function drawBox({ plot, legend, card }, curves, seconds, targets, settings, marks) {
  const { values, at, say } = legendOf(card, curves, targets);
  fill(legend, values, at);
  const lines = card.names.map((name) => {
    const { mean = [], low, high } = curves.metrics.get(name) ?? {};
    return { name, values: mean, low, high, ...(Object.hasOwn(targets, name) && { target: targets[name] }) };
  });
  plot.setAttribute('aria-label', describe(card, curves));
  plot.replaceChildren();
  return drawChart(plot, {
    x: seconds?.map((each) => each ?? 0) ?? curves.steps,
    lines,
    marks,
    ...settings,
    ...(card.range !== undefined && { range: card.range }),
    onHover: (index) => {
      const time = index === null || seconds === undefined ? '' : `, ${duration(seconds[index] ?? undefined)}`;
      const here = marks.filter((mark) => mark.index === index).map(({ text }) => ` · ${text}`);
      say(index, `${time}${here.join('')}`);
    },
  });
}
