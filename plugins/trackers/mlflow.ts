/** MLflow over its REST API (https://mlflow.org/docs/latest/rest-api.html): one run in an experiment, with metrics, params and status. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineExtension, readKey, TryAgainError, z } from '../../core/plugin.ts';
import type { Entry, Send } from './outbox.ts';
import { post } from './server.ts';
import type { TrackedRun } from './tracked-run.ts';
import { patienceOption, serverOptions, tracker } from './tracker.ts';

/** The most that one request of `runs/log-batch` may hold. */
const [metricsAtOnce, paramsAtOnce] = [1000, 100];

/** The longest name of a param, and of a metric, that all stores take. */
const longestName = 250;

/** The longest value of a param that all stores take. */
const longestParam = 500;

/** The tag that tells runs of this program apart. */
const runTag = 'reasongen.run';

const experimentSchema = z.object({ experiment_id: z.string() });
const runSchema = z.object({ info: z.object({ run_id: z.string() }) });

export const mlflow = defineExtension({
  name: 'mlflow',
  summary: 'tells an MLflow tracking server of the run: options, metrics, warnings, how it ended',
  options: z.strictObject({
    ...serverOptions('of the tracking server, such as http://localhost:5000', 'MLFLOW_TRACKING_TOKEN'),
    experiment: z
      .string()
      .regex(/^[^'"`]+$/, 'a name without quotes')
      .default('reasongen')
      .describe('the experiment that the run belongs to; made if missing'),
    patience: patienceOption,
  }),
  create: ({ url, keyVariable, experiment, patience: seconds }, { log }) =>
    tracker({
      name: 'mlflow',
      log,
      patience: seconds,
      connect: (run) => new MlflowRun(url, readKey(keyVariable, url), keyVariable, experiment, run).send,
    }),
});

class MlflowRun {
  readonly #ask: (method: string, body: object, signal: AbortSignal) => Promise<Readonly<Record<string, unknown>>>;
  readonly #experiment: string;
  readonly #run: TrackedRun;
  #id: string | undefined;

  constructor(url: string, key: string | undefined, keyVariable: string, experiment: string, run: TrackedRun) {
    const server = { url, key, keyVariable };
    this.#ask = (method, body, signal) =>
      post(
        server,
        `api/2.0/mlflow/${method}`,
        body,
        key === undefined ? {} : { authorization: `Bearer ${key}` },
        signal,
      );
    this.#experiment = experiment;
    this.#run = run;
    this.#id = readId(run.directory);
  }

  readonly send: Send = async (entries, signal) => {
    this.#id ??= await this.#begin(signal);
    const run_id = this.#id;
    const metrics = entries.flatMap(metricsOf);
    for (let at = 0; at < metrics.length; at += metricsAtOnce)
      await this.#ask('runs/log-batch', { run_id, metrics: metrics.slice(at, at + metricsAtOnce) }, signal);
    for (const entry of entries) {
      if (entry.warning !== undefined)
        await this.#ask('runs/set-tag', { run_id, key: warningKey(entry), value: entry.warning }, signal);
      const status = statusOf(entry);
      if (status === undefined) continue;
      if (entry.message !== undefined)
        await this.#ask('runs/set-tag', { run_id, key: 'error', value: entry.message }, signal);
      await this.#ask('runs/update', { run_id, status, end_time: milliseconds(entry.at) }, signal);
    }
  };

  /** Finds or makes the run, in its experiment, and keeps its id when its params are told: later sessions go on with it. */
  async #begin(signal: AbortSignal): Promise<string> {
    const { settings, directory } = this.#run;
    const experiment = await this.#experimentId(signal);
    const run_id = (await this.#begun(experiment, signal)) ?? (await this.#create(experiment, signal));
    const params = Object.entries(settings).map(([key, value]) => ({
      key: plainName(key),
      value: String(value).slice(0, longestParam),
    }));
    for (let at = 0; at < params.length; at += paramsAtOnce)
      await this.#ask('runs/log-batch', { run_id, params: params.slice(at, at + paramsAtOnce) }, signal);
    writeFileSync(`${idPath(directory)}.tmp`, run_id);
    renameSync(`${idPath(directory)}.tmp`, idPath(directory));
    return run_id;
  }

  /** What was made before the server went away, or this program ended. */
  async #begun(experiment: string, signal: AbortSignal): Promise<string | undefined> {
    const filter = `tags.\`${runTag}\` = '${this.#run.id}'`;
    const body = { experiment_ids: [experiment], filter, max_results: 1 };
    const found = z.object({ runs: z.array(runSchema).default([]) });
    return (await this.#answer(found, 'runs/search', body, signal)).runs[0]?.info.run_id;
  }

  async #create(experiment_id: string, signal: AbortSignal): Promise<string> {
    const { name, id, startedAt } = this.#run;
    const tags = [
      { key: 'mlflow.runName', value: name },
      { key: 'mlflow.source.name', value: 'reasongen' },
      { key: runTag, value: id },
    ];
    const start_time = milliseconds(startedAt);
    const body = { experiment_id, run_name: name, start_time, tags };
    return (await this.#answer(z.object({ run: runSchema }), 'runs/create', body, signal)).run.info.run_id;
  }

  async #experimentId(signal: AbortSignal): Promise<string> {
    const filter = `name = '${this.#experiment}'`;
    const known = z.object({ experiments: z.array(experimentSchema).default([]) });
    const found = (await this.#answer(known, 'experiments/search', { max_results: 1, filter }, signal)).experiments[0];
    if (found !== undefined) return found.experiment_id;
    const body = { name: this.#experiment };
    return (await this.#answer(experimentSchema, 'experiments/create', body, signal)).experiment_id;
  }

  /** Throws TryAgainError for an answer of another form: it comes from something else that listens there. */
  async #answer<Answer>(schema: z.ZodType<Answer>, method: string, body: object, signal: AbortSignal): Promise<Answer> {
    const parsed = schema.safeParse(await this.#ask(method, body, signal));
    if (parsed.success) return parsed.data;
    const what = parsed.error.issues[0]?.path.join('.');
    throw new TryAgainError(
      `what listens there is no MLflow server, or of another version: its answer to ${method} has no ${what}`,
    );
  }
}

function metricsOf({ metrics = {}, step, at }: Entry): object[] {
  return Object.entries(metrics).map(([name, value]) => ({
    key: plainName(name),
    // As JSON of protocol buffers writes what JSON has no number for.
    value: Number.isFinite(value) ? value : String(value),
    timestamp: milliseconds(at),
    step,
  }));
}

/** A tag has one value: each warning of a step has a tag of its own. */
function warningKey({ step, nth = 1 }: Entry): string {
  return nth === 1 ? `warning.step-${step}` : `warning.step-${step}.${nth}`;
}

function statusOf({ outcome }: Entry): string | undefined {
  if (outcome === undefined) return undefined;
  return outcome === 'done' ? 'FINISHED' : outcome === 'stopped' ? 'KILLED' : 'FAILED';
}

/** Names may hold letters of any script, digits, `_ - . /` and spaces, are paths without empty parts, `.` and `..`, and have a longest length. */
function plainName(name: string): string {
  return name
    .replaceAll(/[^\p{L}\p{N}_\-./ ]/gu, '_')
    .split('/')
    .map((part) => (/^\.{0,2}$/.test(part) ? '_' : part))
    .join('/')
    .slice(0, longestName)
    .replace(/\/$/, '');
}

function milliseconds(seconds: number): number {
  return Math.round(seconds * 1000);
}

function idPath(directory: string): string {
  return join(directory, 'trackers', 'mlflow.run-id');
}

function readId(directory: string): string | undefined {
  return existsSync(idPath(directory)) ? readFileSync(idPath(directory), 'utf8') : undefined;
}
