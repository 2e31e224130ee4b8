/** A chart of lines over steps or time. The only file that knows uPlot. */
// @ts-ignore: the server sends it from its package under this name.
import uPlot from './uplot.js';
import { lineColor, lineDash } from './curve-cards.js';
import { smooth } from './curves.js';
import { number } from './format.js';

/**
 * @typedef {{ name: string, values: (number | null)[], low?: (number | null)[], high?: (number | null)[], target?: number }} Line
 * @typedef {{ x: number, index: number, text: string, kind: 'warning' | 'checkpoint' }} Mark  at a place of the curves, where hovering tells its text
 * @typedef {{ x: number[], lines: Line[], marks: Mark[], smoothing: number, isLog: boolean, isTime: boolean, range?: readonly [number, number], onHover: (index: number | null) => void }} Drawing
 */

/** @param {HTMLElement} element @param {string} name */
function color(element, name) {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

/** @param {HTMLElement} place @param {Drawing} drawing @returns {{ destroy(): void }} */
export function drawChart(place, { x, lines, marks, smoothing, isLog, isTime, range, onHover }) {
  const positive = (/** @type {(number | null)[]} */ values) =>
    isLog ? values.map((value) => (value !== null && value > 0 ? value : null)) : values;
  const width = Math.max(200, place.clientWidth);
  /** @type {any[]} */
  const series = [{}];
  /** @type {any[]} */
  const data = [x];
  /** @type {any[]} */
  const bands = [];
  for (const [at, { values, low, high }] of lines.entries()) {
    const stroke = color(place, lineColor(at));
    if (low !== undefined && high !== undefined) {
      bands.push({ series: [series.length + 1, series.length], fill: `${stroke}26` });
      series.push({ width: 0, points: { show: false } }, { width: 0, points: { show: false } });
      data.push(positive(low), positive(high));
    }
    if (smoothing > 0) {
      series.push({ stroke: `${stroke}4d`, width: 1, points: { show: false } });
      data.push(positive(values));
    }
    series.push({
      stroke,
      width: 2,
      dash: lines.length > 1 ? lineDash(at) : [],
      spanGaps: true,
      points: { show: values.length < 3 },
    });
    data.push(positive(smooth(values, smoothing)));
  }
  const muted = color(place, '--muted');
  const rule = color(place, '--rule');
  const axis = {
    stroke: muted,
    grid: { stroke: rule, width: 1 },
    ticks: { stroke: rule, width: 1, size: 4 },
    font: '11px system-ui, sans-serif',
    labelGap: 0,
  };
  const plot = new uPlot(
    /** @type {any} */ ({
      width,
      height: 168,
      padding: [8, 10, 0, 0],
      legend: { show: false },
      series,
      bands,
      cursor: { sync: { key: 'steps', setSeries: false }, y: false, points: { size: 6 } },
      scales: {
        x: { time: false },
        y: isLog ? { distr: 3 } : range === undefined ? {} : { range: () => [range[0], range[1]] },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          size: 24,
          space: 60,
          values: (/** @type {unknown} */ _, /** @type {number[]} */ ticks) =>
            ticks.map((tick) => (isTime ? clock(tick) : Number.isInteger(tick) ? String(tick) : '')),
        },
        {
          ...axis,
          size: 60,
          values: (/** @type {unknown} */ _, /** @type {(number | null)[]} */ ticks) =>
            ticks.map((tick) => (tick === null ? '' : number(tick))),
        },
      ],
      hooks: {
        setCursor: [(/** @type {any} */ self) => onHover(self.cursor.idx ?? null)],
        draw: [(/** @type {any} */ self) => drawMarks(self, lines, marks, place)],
      },
    }),
    data,
    place,
  );
  plot.root.setAttribute('aria-hidden', 'true');
  const resize = new ResizeObserver(() => {
    if (place.clientWidth > 0 && Math.abs(place.clientWidth - plot.width) > 1)
      plot.setSize({ width: place.clientWidth, height: 168 });
  });
  resize.observe(place);
  return {
    destroy() {
      resize.disconnect();
      plot.destroy();
    },
  };
}

/** Hours of a run. @param {number} seconds */
function clock(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/**
 * Warnings as lines through the chart, checkpoints as ticks at its foot, targets as lines across it.
 * @param {any} plot @param {Line[]} lines @param {Mark[]} marks @param {HTMLElement} place
 */
function drawMarks(plot, lines, marks, place) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.lineWidth = devicePixelRatio;
  for (const { x, kind } of marks) {
    const at = Math.round(plot.valToPos(x, 'x', true));
    ctx.strokeStyle = color(place, kind === 'warning' ? '--warn' : '--muted');
    ctx.setLineDash(kind === 'warning' ? [3 * devicePixelRatio, 3 * devicePixelRatio] : []);
    ctx.beginPath();
    ctx.moveTo(at, kind === 'warning' ? bbox.top : bbox.top + bbox.height - 7 * devicePixelRatio);
    ctx.lineTo(at, bbox.top + bbox.height);
    ctx.stroke();
  }
  for (const [at, { target }] of lines.entries()) {
    if (target === undefined) continue;
    const y = Math.round(plot.valToPos(target, 'y', true));
    ctx.strokeStyle = color(place, lineColor(at));
    ctx.globalAlpha = 0.7;
    ctx.setLineDash([2 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.globalAlpha = 1;
  }
  ctx.restore();
}
