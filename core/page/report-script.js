/** The script of a report: draws its curves by the modules of the live page. All else stands in the file as text. */
// It sets what uPlot asks for when it is imported.
// oxlint-disable-next-line import/no-unassigned-import
import './sharp-canvas.js';
import { CurveBoard } from './curve-board.js';
import { cardsOf } from './curve-cards.js';
import { Curves } from './curves.js';
import { reportSmoothing } from './report-smoothing.js';

/** @type {CurveBoard[]} */
const boards = [];
for (const place of document.querySelectorAll('[data-curves]')) {
  const { answer, charts, beside } = JSON.parse(place.getAttribute('data-curves') ?? '');
  const curves = new Curves(answer);
  const settings = { smoothing: reportSmoothing(curves), isLog: false, isTime: false };
  const board = new CurveBoard(() => ({ curves, beside, settings }));
  const { planned, single } = cardsOf(charts, curves.metrics.keys());
  const figures = place.querySelectorAll('figure.chart');
  for (const [at, card] of [...planned, ...single].entries()) {
    const figure = figures[at];
    const [plot, legend] = [figure?.querySelector('.plot'), figure?.querySelector('.legend')];
    if (plot instanceof HTMLElement && legend instanceof HTMLElement) board.add(plot, legend, card);
  }
  boards.push(board);
}

/** Paper is white, and has everything in sight. @param {boolean} isPrinting */
function setPrinting(isPrinting) {
  document.documentElement.classList.toggle('printing', isPrinting);
  for (const board of boards) board.drawAll();
}
for (const board of boards) board.drawAll();
addEventListener('beforeprint', () => setPrinting(true));
addEventListener('afterprint', () => setPrinting(false));
