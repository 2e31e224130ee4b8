/**
 * All numbers of a run in bounded memory: steps are kept singly while they are few; when there is no more room, neighbors are joined and
 * a bucket keeps the mean, the least and the largest of twice as many steps. At most 2048 buckets of at most 300 metrics: some 12 MB, whatever
 * the run's length; a run of 60 metrics takes 2.5 MB.
 */
import type { Metrics } from '../io/metrics.ts';
import type { CurveData, CurvesAnswer } from '../page/answers.ts';

export const mostBuckets = 2048;
const mostMetrics = 300;

interface Column {
  readonly sum: Float64Array;
  readonly count: Uint32Array;
  readonly low: Float32Array;
  readonly high: Float32Array;
  /** Values that were NaN or infinite. */
  notFinite: number;
}

export class CurveStore {
  /** Lines that were no records and are not among the others. */
  badLines = 0;
  readonly #buckets: number;
  readonly #metrics: number;
  #lines = 0;
  #width = 1;
  readonly #steps: Float64Array;
  readonly #times: Float64Array;
  readonly #columns = new Map<string, Column>();

  /** An even number of `buckets`. */
  constructor(buckets = mostBuckets, metrics = mostMetrics) {
    this.#buckets = buckets;
    this.#metrics = metrics;
    this.#steps = new Float64Array(buckets);
    this.#times = new Float64Array(buckets).fill(Number.NaN);
  }

  get lines(): number {
    return this.#lines;
  }

  /** That the numbers take. */
  get bytes(): number {
    const arrays = [...this.#columns.values()].flatMap(({ sum, count, low, high }) => [sum, count, low, high]);
    return [this.#steps, this.#times, ...arrays].reduce((total, { byteLength }) => total + byteLength, 0);
  }

  clear(): void {
    this.#lines = 0;
    this.badLines = 0;
    this.#width = 1;
    this.#times.fill(Number.NaN);
    this.#columns.clear();
  }

  add(line: Metrics): void {
    if (this.#lines === this.#buckets * this.#width) this.#join();
    const bucket = Math.floor(this.#lines / this.#width);
    this.#lines++;
    this.#steps[bucket] = Number.isSafeInteger(line['step']) ? Number(line['step']) : this.#lines;
    this.#times[bucket] = typeof line['unixSeconds'] === 'number' ? line['unixSeconds'] : Number.NaN;
    for (const [name, value] of Object.entries(line)) {
      if (name === 'step' || name === 'unixSeconds' || typeof value !== 'number') continue;
      const column = this.#column(name);
      if (column !== undefined) put(column, bucket, value);
    }
  }

  snapshot(): CurvesAnswer {
    const buckets = Math.ceil(this.#lines / this.#width);
    const metrics = Object.create(null) as Record<string, CurveData>;
    for (const [name, column] of this.#columns) metrics[name] = this.#curve(column, buckets);
    return {
      lines: this.#lines,
      badLines: this.badLines,
      width: this.#width,
      steps: [...this.#steps.subarray(0, buckets)],
      times: Array.from(this.#times.subarray(0, buckets), orNull),
      metrics,
    };
  }

  #curve({ sum, count, low, high, notFinite }: Column, buckets: number): CurveData {
    const mean = Array.from({ length: buckets }, (_, at) => orNull(short((sum[at] ?? 0) / (count[at] ?? 0))));
    const range = (values: Float32Array): (number | null)[] =>
      Array.from(values.subarray(0, buckets), (value) => orNull(short(value)));
    return {
      mean,
      ...(this.#width > 1 && { low: range(low), high: range(high) }),
      ...(notFinite > 0 && { notFinite }),
    };
  }

  #column(name: string): Column | undefined {
    const known = this.#columns.get(name);
    if (known !== undefined || this.#columns.size === this.#metrics) return known;
    const made: Column = {
      sum: new Float64Array(this.#buckets),
      count: new Uint32Array(this.#buckets),
      low: new Float32Array(this.#buckets).fill(Number.NaN),
      high: new Float32Array(this.#buckets).fill(Number.NaN),
      notFinite: 0,
    };
    this.#columns.set(name, made);
    return made;
  }

  #join(): void {
    this.#width *= 2;
    const half = this.#buckets / 2;
    for (let at = 0; at < half; at++) {
      this.#steps[at] = this.#steps[2 * at + 1] ?? 0;
      this.#times[at] = this.#times[2 * at + 1] ?? 0;
      for (const { sum, count, low, high } of this.#columns.values()) {
        sum[at] = (sum[2 * at] ?? 0) + (sum[2 * at + 1] ?? 0);
        count[at] = (count[2 * at] ?? 0) + (count[2 * at + 1] ?? 0);
        low[at] = least(low[2 * at], low[2 * at + 1]);
        high[at] = -least(negative(high[2 * at]), negative(high[2 * at + 1]));
      }
    }
    this.#times.fill(Number.NaN, half);
    for (const { sum, count, low, high } of this.#columns.values()) {
      sum.fill(0, half);
      count.fill(0, half);
      low.fill(Number.NaN, half);
      high.fill(Number.NaN, half);
    }
  }
}

function put(column: Column, bucket: number, value: number): void {
  // Sums and differences of larger values are no longer finite.
  if (!(Math.abs(value) < 1e100)) {
    column.notFinite++;
    return;
  }
  column.sum[bucket] = (column.sum[bucket] ?? 0) + value;
  column.count[bucket] = (column.count[bucket] ?? 0) + 1;
  column.low[bucket] = least(column.low[bucket], value);
  column.high[bucket] = -least(negative(column.high[bucket]), -value);
}

/** Of two, either of which may be NaN for none. */
function least(a = Number.NaN, b = Number.NaN): number {
  return Number.isNaN(a) ? b : Number.isNaN(b) ? a : Math.min(a, b);
}

function negative(value = Number.NaN): number {
  return -value;
}

function orNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

/** Six digits: more than any screen shows. */
function short(value: number): number {
  return Number(value.toPrecision(6));
}
