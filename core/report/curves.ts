/** Which of a run's numbers are drawn together, under which title. Numbers nobody named here are drawn too, each by itself. */
import type { Metrics } from '../io/metrics.ts';
import type { Chart, Series } from './charts.ts';
import { capital, headlineRate, splitName, type Comparison } from './summary.ts';

interface ChartPlan {
  readonly title: string;
  readonly unit: string;
  /** Names of metrics; one that ends in `/` stands for all that begin with it. */
  readonly metrics: readonly string[];
  readonly range?: readonly [number, number];
}

const plans: readonly ChartPlan[] = [
  { title: 'Loss', unit: 'nats per token', metrics: ['loss', 'text/crossEntropy', 'image/crossEntropy'] },
  { title: 'Reward', unit: 'mean of the drawings of a step', metrics: ['reward', 'reward/'] },
  { title: 'Entropy', unit: 'nats per token', metrics: ['text/entropy', 'image/entropy'] },
  { title: 'Kept groups', unit: 'share of groups with variance', metrics: ['keptShare'], range: [0, 1] },
  { title: 'Gradient norm', unit: 'before clipping', metrics: ['gradientNorm'] },
  { title: 'Clipped tokens', unit: 'share of tokens whose ratio is clipped', metrics: ['clipFraction'] },
  { title: 'KL divergence', unit: 'nats per token', metrics: ['kl'] },
  { title: 'Sampler against scorer', unit: 'largest difference of log-probabilities', metrics: ['ratioDifference'] },
];

/** A page with more of them than any run has could not be read, nor drawn in reasonable time. */
const mostCurves = 200;

export interface Curves {
  readonly main: readonly Chart[];
  /** Everything else that was measured. */
  readonly others: readonly Chart[];
}

export function curvesOf(metrics: readonly Metrics[], comparisons: readonly Comparison[]): Curves {
  const left = new Map<string, Series>();
  const names = new Set(metrics.flatMap((line) => Object.keys(line)));
  for (const name of [...names].slice(0, mostCurves)) {
    if (name === 'step' || name === 'unixSeconds') continue;
    const points = metrics.flatMap((line, index) => {
      const value = line[name];
      return typeof value === 'number' ? [{ step: stepOf(line, index), value }] : [];
    });
    if (points.length > 0) left.set(name, { name: words(name), points });
  }
  const main: Chart[] = [];
  for (const { metrics: wanted, ...plan } of plans) {
    const shown = wanted.flatMap((name) =>
      [...left.keys()].filter((each) => (name.endsWith('/') ? each.startsWith(name) : each === name)),
    );
    const series = shown.flatMap((name) => left.get(name) ?? []);
    for (const name of shown) left.delete(name);
    // A single reward is the sum itself.
    if (series.length > 0)
      main.push({ ...plan, series: shown.join() === `reward,${shown[1]}` ? series.slice(0, 1) : series });
    if (plan.title === 'Reward') main.push(...passRateChart(comparisons));
  }
  const others = [...left.values()].map((series) => ({ title: capital(series.name), unit: '', series: [series] }));
  return { main, others };
}

/** The place of the line where it names no step. */
function stepOf(line: Metrics, index: number): number {
  const { step } = line;
  return Number.isSafeInteger(step) ? Number(step) : index + 1;
}

/** Pass rates of all evaluations over the steps, where there is more than one step. */
function passRateChart(comparisons: readonly Comparison[]): Chart[] {
  const series = comparisons
    .filter(({ all }) => new Set(all.map(({ step }) => step)).size > 1)
    .map(({ split, benchmark, all }) => ({
      name:
        new Set(comparisons.map((each) => each.benchmark)).size > 1
          ? `${benchmark}, ${splitName(split)}`
          : splitName(split),
      points: [],
      intervals: all.map((each) => {
        const { rate, low, high } = headlineRate(each);
        return { step: each.step, value: rate, low, high };
      }),
    }));
  return series.length === 0 ? [] : [{ title: 'Pass rate', unit: 'with 95 % intervals', series, range: [0, 1] }];
}

/** `text/crossEntropy` → `text cross entropy`, `plan_picture` → `plan picture`. */
export function words(name: string): string {
  return name
    .replaceAll(/[/_]/g, ' ')
    .replaceAll(/([a-z\d])([A-Z])/g, '$1 $2')
    .toLowerCase();
}
