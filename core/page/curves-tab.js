/** Every number of a run over steps or time, with what happened beside it. */
import { CurveBoard } from './curve-board.js';
import { cardsOf, curveCard } from './curve-cards.js';
import { badLinesNote, Curves } from './curves.js';
import { choice, fill, h, labeled } from './dom.js';
import { Questions } from './live.js';
import { warningList } from './parts.js';
import { newestDrawings } from './samples-tab.js';

/** @typedef {import('./run-view.js').TabContext} TabContext @typedef {import('./run-view.js').RunDetail} RunDetail @typedef {import('../watch/feed.ts').News} News */
/** @typedef {import('./curve-cards.js').Card} Card */

const settings = { smoothing: 0.6, isLog: false, isTime: false, filter: '' };

/** @param {TabContext} context */
export function curvesTab({ id, detail: first, place }) {
  let detail = first;
  /** @type {Curves | undefined} */
  let curves;
  const board = new CurveBoard(() => curves && { curves, beside: detail, settings });
  const questions = new Questions();

  const latest = h('section.latest', { 'aria-label': 'Newest drawings' });
  const warnings = h('details.warnings', { hidden: true });
  const main = h('div.charts');
  const others = h('div.charts');
  const fold = h('details', h('summary'), others);
  const note = h('p.quiet');
  const smoothing = h('input', {
    type: 'range',
    min: '0',
    max: '0.98',
    step: '0.02',
    value: String(settings.smoothing),
    oninput: () => {
      settings.smoothing = Number(smoothing.value);
      board.redraw();
    },
  });
  const filter = h('input', {
    type: 'search',
    value: settings.filter,
    placeholder: 'name of a metric',
    oninput: () => {
      settings.filter = filter.value.toLowerCase();
      layOut();
    },
  });
  fill(
    place,
    latest,
    h(
      'div.tools',
      labeled('Metrics', filter),
      labeled('Smoothing', smoothing),
      choice(
        'Horizontal axis',
        [
          ['steps', 'Steps'],
          ['time', 'Wall time'],
        ],
        settings.isTime ? 'time' : 'steps',
        (value) => {
          settings.isTime = value === 'time';
          board.redraw();
        },
      ),
      choice(
        'Vertical axis',
        [
          ['linear', 'Linear'],
          ['log', 'Log'],
        ],
        settings.isLog ? 'log' : 'linear',
        (value) => {
          settings.isLog = value === 'log';
          board.redraw();
        },
      ),
    ),
    h('h2.unseen', 'Curves'),
    warnings,
    note,
    main,
    fold,
  );

  async function read() {
    const answer = await questions.ask('metrics', { run: id });
    curves = new Curves(answer);
    layOut();
  }

  function layOut() {
    const all = cardsOf(detail.charts, curves?.metrics.keys() ?? []);
    const fits = (/** @type {Card} */ { title, names }) =>
      [title, ...names].some((each) => each.toLowerCase().includes(settings.filter));
    const [planned, single] = [all.planned.filter(fits), all.single.filter(fits)];
    board.clear();
    fill(main, planned.map(cardOf));
    fill(others, single.map(cardOf));
    fill(fold.firstElementChild, `All other measurements (${single.length})`);
    fold.hidden = single.length === 0;
    if (settings.filter !== '' && single.length > 0) fold.open = true;
    drawNotes();
  }

  /** @param {Card} card */
  function cardOf(card) {
    if (curves === undefined) return false;
    const { element, plot, legend } = curveCard(card, curves, detail.targets);
    board.add(plot, legend, card);
    return element;
  }

  function drawNotes() {
    const isEmpty = curves === undefined || curves.lines === 0;
    note.hidden = !isEmpty && (curves?.width ?? 1) === 1 && (curves?.badLines ?? 0) === 0;
    fill(
      note,
      isEmpty
        ? 'No step was recorded yet.'
        : [
            (curves?.width ?? 1) > 1 &&
              `${curves?.lines} steps; every point is the mean of ${curves?.width}, the band behind it their range. `,
            curves !== undefined && badLinesNote(curves),
          ],
    );
    warnings.hidden = detail.warnings.length === 0;
    fill(
      warnings,
      warningList(detail.warnings.length, detail.warnings.slice(-100).reverse(), curves, (date) =>
        date.toLocaleString(),
      ),
    );
    void newestDrawings(latest, id, detail);
  }

  void read().catch((error) => fill(note, String(error)));
  return {
    /** @param {News} news @param {RunDetail} fresh */
    update(news, fresh) {
      detail = fresh;
      if (news.steps === 'all' || curves === undefined) void read();
      else if (news.steps !== undefined) {
        const known = curves.metrics.size;
        if (!curves.append(news.steps.from, news.steps.lines)) void read();
        else if (curves.metrics.size > known) layOut();
        else board.redraw();
      } else if (news.parts.length > 0) board.redraw();
      if (news.parts.length > 0) drawNotes();
    },
    leave() {
      questions.leave();
      board.leave();
    },
  };
}
