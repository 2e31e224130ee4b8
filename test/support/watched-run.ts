/** Run directories as a run leaves them, written file by file: what the live page reads. */
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { request, type IncomingHttpHeaders } from 'node:http';
import { join } from 'node:path';

/** One pixel. */
export const onePixel =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

export interface WrittenRun {
  readonly name?: string;
  readonly steps?: number;
  readonly outcome?: 'done' | 'stopped' | 'failed';
  readonly prompt?: string;
  readonly record?: object;
  readonly sessions?: readonly object[];
}

/** A run with as many steps, a checkpoint, drawings of its last step, and an evaluation before and after. */
export function writeWatchedRun(directory: string, options: WrittenRun = {}): void {
  const { name = 'tiny', steps = 3, outcome, prompt = 'a photo of a cat' } = options;
  for (const folder of ['samples', 'evaluations', 'checkpoints/step-000002'])
    mkdirSync(join(directory, folder), { recursive: true });
  writeRecord(directory, {
    name,
    sessions: options.sessions ?? [
      {
        command: ['npx', 'reasongen', 'run', 'tiny.yaml'],
        startedAt: '2026-01-01T00:00:00.000Z',
        ...(outcome !== undefined && { outcome, finishedAt: '2026-01-01T00:01:00.000Z' }),
      },
    ],
    ...options.record,
  });
  writeFileSync(
    join(directory, 'preset.yaml'),
    'name: tiny\nseed: 0\nrecipe:\n  use: grpo\n  steps: 20\n  textEntropy:\n    target: 0.25\n    rate: 0.002\n',
  );
  writeFileSync(
    join(directory, 'origins.yaml'),
    'name: tiny # tiny.yaml:1:7\nseed: 0    # default\nrecipe:\n  use: grpo\n  steps: 10  # --set steps=10\n',
  );
  writeFileSync(
    join(directory, 'log.txt'),
    '2026-01-01T00:00:01.000Z all is well\n2026-01-01T00:00:02.500Z warning: the entropy falls\n',
  );
  writeFileSync(join(directory, 'metrics.ndjson'), '');
  for (let step = 1; step <= steps; step++) appendStep(directory, step);
  writeDrawings(directory, steps, prompt);
  for (const [label, pass] of [
    ['before', false],
    ['after', true],
  ] as const)
    writeWatchedEvaluation(directory, label, label === 'before' ? 0 : steps, pass, prompt);
}

export function writeRecord(directory: string, fields: object): void {
  const empty = {
    versions: { node: '20' },
    adapter: { description: 'a device' },
    seeds: { run: 0 },
    hashes: {},
    memory: { plannedBytes: 2 ** 20, peakBytes: 2 ** 19 },
  };
  writeFileSync(
    join(directory, 'run.json'),
    JSON.stringify({ format: 'reasongen-run', version: 1, preset: 'tiny.yaml', ...empty, ...fields }),
  );
}

export function appendStep(directory: string, step: number, more: object = {}): void {
  const metrics = {
    step,
    reward: step / 10,
    passRate: 0.5,
    'reward/verdict': step / 10,
    'text/entropy': 0.3,
    secondsSampling: 1,
    unixSeconds: Date.UTC(2026, 0, 1) / 1000 + step,
    ...more,
  };
  appendFileSync(join(directory, 'metrics.ndjson'), `${JSON.stringify(metrics)}\n`);
}

export function writeDrawings(
  directory: string,
  step: number,
  prompt: string,
  count = 4,
  place = `samples/step-${String(step).padStart(6, '0')}`,
): void {
  const folder = join(directory, place);
  mkdirSync(folder, { recursive: true });
  const lines = Array.from({ length: count }, (_, index) => {
    writeFileSync(join(folder, `${index}.png`), Buffer.from(onePixel, 'base64'));
    const total = index % 2;
    return JSON.stringify({
      ...{
        prompt,
        task: 'single_object',
        rationale: 'a cat in the middle',
        image: `${index}.png`,
        total,
        advantage: total - 0.5,
        codes: [1, 2],
      },
      scores: { verdict: { value: total, why: `found ${total} cats`, parts: { strict: total, clean: 1 } } },
      tokens: { text: ['a', ' cat'], logProbability: [-0.1, -1.2, -0.3], entropy: [0.2, 0.4, 0.6] },
    });
  });
  writeFileSync(join(folder, 'samples.jsonl'), `${lines.join('\n')}\n`);
}

export function writeWatchedEvaluation(
  directory: string,
  label: string,
  step: number,
  pass: boolean,
  prompt: string,
): void {
  const why = pass ? 'found 1 cat' : 'found nothing';
  const picture = { prompt, task: 'single_object', rationale: 'a cat', pass, why, scores: {} };
  const counts = { passes: Number(pass), total: 1 };
  const evaluation = {
    label,
    benchmark: 'tiny',
    split: 'heldout',
    step,
    seed: 1,
    count: 1,
    sampling: {},
    overall: counts,
    tasks: { single_object: counts },
    extra: {},
    samples: [{ ...picture, image: onePixel }],
  };
  const name = join(directory, 'evaluations', `tiny.heldout.${label}`);
  writeFileSync(`${name}.jsonl`, `${JSON.stringify({ index: 0, copy: 0, score: Number(pass), ...picture })}\n`);
  writeFileSync(`${name}.json`, JSON.stringify(evaluation));
}

export interface Answered {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A request whose every header, `host` as well, is the caller's. */
export function askServer(
  port: number,
  path: string,
  {
    method = 'GET',
    headers = {},
    body,
  }: { readonly method?: string; readonly headers?: Record<string, string>; readonly body?: string } = {},
): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** An answer as whoever reads it knows it to be. */
// oxlint-disable-next-line typescript/no-explicit-any
export type Json = any;

export interface OpenPage {
  readonly news: { readonly id: string; readonly data: Json }[];
  /** Waits for news that `fits`, however much came before; throws after 20 s. */
  until(fits: (data: Json) => boolean): Promise<Json>;
  close(): void;
}

/** Listens as a page does. */
export function openEvents(port: number, query: string, lastId?: string): OpenPage {
  const news: { id: string; data: Json }[] = [];
  const waiting = new Set<() => void>();
  let begun = '';
  const sent = request(
    {
      host: '127.0.0.1',
      port,
      path: `/api/events?${query}`,
      agent: false,
      ...(lastId !== undefined && { headers: { 'last-event-id': lastId } }),
    },
    (response) => {
      response.setEncoding('utf8').on('data', (part: string) => {
        begun += part;
        const events = begun.split('\n\n');
        begun = events.pop() ?? '';
        for (const event of events) {
          const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(event)?.[1] ?? '';
          if (field('event') === 'news') news.push({ id: field('id'), data: JSON.parse(field('data')) });
        }
        for (const look of [...waiting]) look();
      });
    },
  );
  sent.on('error', () => undefined);
  sent.end();
  return {
    news,
    until: (fits) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = news.find(({ data }) => fits(data));
          if (found === undefined) return;
          waiting.delete(look);
          clearTimeout(limit);
          resolve(found.data);
        };
        const limit = setTimeout(() => {
          waiting.delete(look);
          reject(new Error(`no such news in 20 s, but ${JSON.stringify(news).slice(0, 2000)}`));
        }, 20_000);
        waiting.add(look);
        look();
      }),
    close: () => sent.destroy(),
  };
}
