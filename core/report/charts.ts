/** Line charts as inline SVG. The only file that knows vega. Colors are CSS variables, so one drawing serves light and dark. */
import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import { trusted, type Markup } from './html.ts';

export interface Point {
  readonly step: number;
  readonly value: number;
}

/** A measured share with its interval. */
export interface IntervalPoint extends Point {
  readonly low: number;
  readonly high: number;
}

export interface Series {
  readonly name: string;
  /** One per step, by step. */
  readonly points: readonly Point[];
  /** Drawn as marks with error bars joined by a line; `points` are then unused. */
  readonly intervals?: readonly IntervalPoint[];
}

export interface Chart {
  readonly title: string;
  /** E.g. `nats per token`. */
  readonly unit: string;
  readonly series: readonly Series[];
  /** Fixed range of the vertical axis; the data decide without it. */
  readonly range?: readonly [number, number];
}

/** Series beyond these share the last color; the legend shows color and dash. */
export const seriesStyles = [
  { color: 'var(--series-1)', dash: [] },
  { color: 'var(--series-2)', dash: [6, 3] },
  { color: 'var(--series-3)', dash: [2, 2] },
  { color: 'var(--series-4)', dash: [8, 3, 2, 3] },
] as const;

/** Plain numbers, and powers of ten for what would be all zeros. */
const tickLabel =
  "abs(datum.value) < 0.001 && datum.value != 0 ? format(datum.value, '.2~e') : format(datum.value, '~g')";

const size = { width: 348, height: 170 };

/** Sums and differences of larger values are no longer finite. */
const largest = 1e100;

/** Draws a chart. The running mean is bold and the single steps pale where there are enough of them. */
export async function drawChart(chart: Chart): Promise<Markup> {
  const layer = chart.series.flatMap(({ points, intervals }, index) => {
    const style = seriesStyles[Math.min(index, seriesStyles.length - 1)] ?? seriesStyles[0];
    if (intervals !== undefined) return intervalLayers(intervals, style);
    const drawn = thin(
      points.filter(({ value }) => Math.abs(value) < largest),
      400,
    );
    const smooth = runningMean(drawn, meanWindow(drawn.length));
    if (smooth === drawn) return [line(drawn, style, 1)];
    return [line(drawn, style, 0.3), line(smooth, style, 1)];
  });
  const y = {
    field: 'value',
    type: 'quantitative',
    title: null,
    axis: { tickCount: 4, labelExpr: tickLabel },
    scale: chart.range === undefined ? { zero: false, nice: true } : { domain: [...chart.range] },
  };
  const x = {
    field: 'step',
    type: 'quantitative',
    title: 'step',
    axis: { tickCount: 5, format: '~d', grid: false },
    scale: { zero: false, nice: false },
  };
  const specification = {
    ...size,
    autosize: { type: 'fit', contains: 'padding' },
    padding: { left: 2, right: 8, top: 6, bottom: 2 },
    background: 'transparent',
    config,
    encoding: { x, y },
    layer,
  };
  const view = new View(parse(compile(specification as TopLevelSpec).spec), { renderer: 'none' });
  const svg = await view.toSVG();
  view.finalize();
  // Inline SVG needs no namespaces, and its size comes from the page.
  const inline = svg
    .replaceAll(/ xmlns(:xlink)?="[^"]*"/g, '')
    .replace(/<svg [^>]*(viewBox="[^"]*")[^>]*>/, '<svg class="chart" aria-hidden="true" $1>');
  return trusted(inline);
}

/** Steps over which the bold line averages; 1 when every step is shown as it is. */
export function meanWindow(count: number): number {
  return count < 30 ? 1 : Math.max(3, Math.round(count / 12) | 1);
}

/** Centered mean over `window` points, fewer at the ends. Returns its argument for a window of 1. */
export function runningMean(points: readonly Point[], window: number): readonly Point[] {
  if (window <= 1) return points;
  const half = window >> 1;
  return points.map(({ step }, index) => {
    const near = points.slice(Math.max(0, index - half), index + half + 1);
    return { step, value: near.reduce((sum, { value }) => sum + value, 0) / near.length };
  });
}

/** At most `limit` points: means of neighbors when there are more. */
function thin(points: readonly Point[], limit: number): readonly Point[] {
  if (points.length <= limit) return points;
  const width = Math.ceil(points.length / limit);
  const bins = Array.from({ length: Math.ceil(points.length / width) }, (_, bin) =>
    points.slice(bin * width, (bin + 1) * width),
  );
  return bins.map((bin) => ({
    step: bin[bin.length >> 1]?.step ?? 0,
    value: bin.reduce((sum, { value }) => sum + value, 0) / bin.length,
  }));
}

type Style = (typeof seriesStyles)[number];

function line(points: readonly Point[], { color, dash }: Style, opacity: number): object {
  if (points.length === 1) return { data: { values: points }, mark: { type: 'point', filled: true, color, size: 40 } };
  const width = opacity < 1 ? 1 : 2;
  return {
    data: { values: points },
    mark: {
      type: 'line',
      color,
      opacity,
      strokeWidth: width,
      strokeDash: opacity < 1 ? [] : [...dash],
      strokeJoin: 'round',
    },
  };
}

function intervalLayers(points: readonly IntervalPoint[], style: Style): object[] {
  const data = { values: points };
  const bars = {
    data,
    mark: { type: 'rule', color: style.color, opacity: 0.45, strokeWidth: 5, strokeCap: 'round' },
    encoding: { y: { field: 'low', type: 'quantitative' }, y2: { field: 'high' } },
  };
  const marks = { data, mark: { type: 'point', filled: true, color: style.color, size: 60, opacity: 1 } };
  return points.length > 1 ? [bars, line(points, style, 1), marks] : [bars, marks];
}

const config = {
  aria: false,
  font: 'inherit',
  view: { stroke: null },
  axis: {
    labelColor: 'var(--muted)',
    titleColor: 'var(--muted)',
    labelFontSize: 11,
    titleFontSize: 11,
    titleFontWeight: 'normal',
    gridColor: 'var(--rule)',
    domainColor: 'var(--rule)',
    tickColor: 'var(--rule)',
    labelPadding: 5,
    titlePadding: 4,
  },
  axisY: { domain: false, ticks: false },
};
