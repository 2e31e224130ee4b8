/** What a server has done and is doing, in the text format of Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/). */

type Labels = Readonly<Record<string, string | number>>;

/** Upper bounds of a histogram, in seconds. */
const seconds = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

interface Histogram {
  readonly buckets: number[];
  sum: number;
  count: number;
}

/** A number that is asked for when somebody looks. */
interface Gauge {
  readonly name: string;
  readonly help: string;
  readonly read: () => readonly { readonly labels?: Labels; readonly value: number }[];
}

export class ServerMetrics {
  private readonly requests = new Map<string, number>();
  private readonly durations = new Map<string, Histogram>();
  private readonly tokens = new Map<string, number>();
  private readonly gauges: Gauge[] = [];

  /** A request that has been answered; status 499: whoever asked was gone before. */
  request(route: string, status: number, took: number): void {
    add(this.requests, textOf({ route, status }), 1);
    const key = textOf({ route });
    const histogram = this.durations.get(key) ?? { buckets: seconds.map(() => 0), sum: 0, count: 0 };
    this.durations.set(key, histogram);
    seconds.forEach((bound, index) => {
      if (took <= bound) histogram.buckets[index] = (histogram.buckets[index] ?? 0) + 1;
    });
    histogram.sum += took;
    histogram.count += 1;
  }

  /** Tokens that were read, written or drawn. */
  count(kind: 'prompt' | 'completion' | 'picture', tokens: number): void {
    add(this.tokens, textOf({ kind }), tokens);
  }

  gauge(name: string, help: string, read: Gauge['read']): void {
    this.gauges.push({ name, help, read });
  }

  text(): string {
    const lines = [
      ...metric('reasongen_requests_total', 'counter', 'Requests that have been answered, by status.', this.requests),
      ...metric('reasongen_tokens_total', 'counter', 'Tokens of prompts, of answers and of drawings.', this.tokens),
      ...this.histogram(),
      ...this.gauges.flatMap(({ name, help, read }) =>
        metric(name, 'gauge', help, new Map(read().map(({ labels = {}, value }) => [textOf(labels), value]))),
      ),
    ];
    return `${lines.join('\n')}\n`;
  }

  private histogram(): string[] {
    const name = 'reasongen_request_seconds';
    const lines = head(name, 'histogram', 'Seconds from the arrival of a request to the end of its answer.');
    for (const [labels, { buckets, sum, count }] of this.durations) {
      const within = labels.slice(1, -1);
      seconds.forEach((bound, index) => lines.push(`${name}_bucket{${within},le="${bound}"} ${buckets[index] ?? 0}`));
      lines.push(
        `${name}_bucket{${within},le="+Inf"} ${count}`,
        `${name}_sum${labels} ${sum}`,
        `${name}_count${labels} ${count}`,
      );
    }
    return lines;
  }
}

function metric(name: string, type: string, help: string, values: ReadonlyMap<string, number>): string[] {
  return [...head(name, type, help), ...[...values].map(([labels, value]) => `${name}${labels} ${value}`)];
}

function head(name: string, type: string, help: string): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
}

function add(values: Map<string, number>, key: string, value: number): void {
  values.set(key, (values.get(key) ?? 0) + value);
}

/** `{route="chat",status="200"}`; labels are words of this program's own. */
function textOf(labels: Labels): string {
  const all = Object.entries(labels).map(([name, value]) => `${name}="${value}"`);
  return all.length === 0 ? '' : `{${all.join(',')}}`;
}
