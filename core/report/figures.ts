/** The curves of a run as figures with captions and legends. */
import type { Metrics } from '../io/metrics.ts';
import { drawChart, meanWindow, seriesStyles, type Chart } from './charts.ts';
import { curvesOf } from './curves.ts';
import { html, type Markup } from './html.ts';
import type { Comparison } from './summary.ts';
import { formatNumber } from './tables.ts';

export async function chartsSection(
  metrics: readonly Metrics[],
  comparisons: readonly Comparison[],
): Promise<Markup | undefined> {
  const { main, others } = curvesOf(metrics, comparisons);
  if (main.length + others.length === 0) return undefined;
  const window = meanWindow(metrics.length);
  const [figures, more] = await Promise.all([Promise.all(main.map(figure)), Promise.all(others.map(figure))]);
  return html`<section>
    <h2>Training</h2>
    ${window > 1 && html`<p class="note">Pale: single steps. Bold: mean over ${window} neighboring points.</p>`}
    <div class="charts">${figures}</div>
    ${
      more.length > 0 &&
      html`<details>
        <summary>All other measurements (${more.length})</summary>
        <div class="charts">${more}</div>
      </details>`
    }
  </section>`;
}

async function figure(chart: Chart): Promise<Markup> {
  const svg = await drawChart(chart);
  const legend =
    chart.series.length > 1 &&
    html`<ul class="legend">
      ${chart.series.map((series, index) => html`<li>${swatch(index)} ${series.name}</li>`)}
    </ul>`;
  return html`<figure class="card chart-card">
    <figcaption>
      <h3>${chart.title}</h3>
      ${chart.unit !== '' && html`<p class="unit">${chart.unit}</p>`}${legend}
    </figcaption>
    <div role="img" aria-label="${describe(chart)}">${svg}</div>
    ${notFinite(chart)}
  </figure> `;
}

function swatch(index: number): Markup {
  const { color, dash } = seriesStyles[Math.min(index, seriesStyles.length - 1)] ?? seriesStyles[0];
  return html`<svg class="swatch" width="22" height="8" aria-hidden="true">
    <line x1="1" x2="21" y1="4" y2="4" stroke="${color}" stroke-width="2.5" stroke-dasharray="${dash.join(' ')}" />
  </svg>`;
}

/** For those who do not see the drawing. */
function describe({ title, series }: Chart): string {
  const parts = series.map(({ name, points, intervals = points }) => {
    const [first, last] = [intervals[0], intervals.at(-1)];
    if (first === undefined || last === undefined) return name;
    return `${name} from ${formatNumber(first.value)} at step ${first.step} to ${formatNumber(last.value)} at step ${last.step}`;
  });
  return `${title}: ${parts.join('; ')}`;
}

function notFinite({ series }: Chart): Markup | undefined {
  const count = series.flatMap(({ points }) => points).filter(({ value }) => !Number.isFinite(value)).length;
  return count === 0
    ? undefined
    : html`<p class="warning">${count} value${count === 1 ? '' : 's'} not finite and not drawn</p>`;
}
