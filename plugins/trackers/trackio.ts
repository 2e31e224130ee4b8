/** trackio over the HTTP API of its server (version 1): the functions `bulk_log` and `bulk_alert`, which know what they have been told by ids. */
import { defineExtension, readKey, z } from '../../core/plugin.ts';
import type { Entry, Send } from './outbox.ts';
import { post } from './server.ts';
import type { TrackedRun } from './tracked-run.ts';
import { patienceOption, serverOptions, tracker } from './tracker.ts';

export const trackio = defineExtension({
  name: 'trackio',
  summary: 'tells a trackio server or Space of the run: options, metrics, warnings and how it ended as alerts',
  options: z.strictObject({
    ...serverOptions(
      'of the server or the Space, such as http://localhost:7860 or https://OWNER-NAME.hf.space',
      'TRACKIO_WRITE_TOKEN',
    ),
    project: z.string().min(1).default('reasongen').describe('the project that the run belongs to'),
    patience: patienceOption,
  }),
  create: ({ url, keyVariable, project, patience: seconds }, { log }) =>
    tracker({
      name: 'trackio',
      log,
      patience: seconds,
      connect: (run) => sending({ url, key: readKey(keyVariable, url), keyVariable }, project, run),
    }),
});

function sending(
  server: { readonly url: string; readonly key: string | undefined; readonly keyVariable: string },
  project: string,
  run: TrackedRun,
): Send {
  const { key } = server;
  // A Space is asked with a token of the Hub, a server of one's own with the token that it has printed.
  const isSpace = /\.hf\.space$/i.test(new URL(server.url).hostname);
  const headers: Record<string, string> =
    key === undefined ? {} : isSpace ? { authorization: `Bearer ${key}` } : { 'x-trackio-write-token': key };
  const hfToken = isSpace ? (key ?? null) : null;
  const of = { project, run: run.name, run_id: run.id };
  const call = async (name: string, body: object, signal: AbortSignal): Promise<void> => {
    const { error } = await post(server, `api/${name}`, { ...body, hf_token: hfToken }, headers, signal);
    if (typeof error === 'string') throw new Error(`the server says: ${error}`);
  };
  return async (entries, signal) => {
    const logs = entries.flatMap((entry) => logOf(entry).map((log) => ({ ...of, ...log, config: run.settings })));
    if (logs.length > 0) await call('bulk_log', { logs }, signal);
    const alerts = entries.flatMap((entry) => alertOf(entry, run).map((alert) => ({ ...of, ...alert })));
    if (alerts.length > 0) await call('bulk_alert', { alerts }, signal);
  };

  function logOf({ series, step, at, metrics }: Entry): object[] {
    if (metrics === undefined) return [];
    const finite = Object.entries(metrics).map(
      ([name, value]) => [name, Number.isFinite(value) ? value : String(value)] as const,
    );
    return [
      {
        step,
        timestamp: time(at),
        metrics: Object.fromEntries(finite),
        log_id: `${run.id}-${series ?? 'steps'}-${step}`,
      },
    ];
  }
}

function alertOf({ step, at, warning, nth = 1, outcome, message }: Entry, run: TrackedRun): object[] {
  const timestamp = time(at);
  const alert_id = `${run.id}-${timestamp}`;
  // Those of a step may come within the same millisecond.
  if (warning !== undefined)
    return [
      { title: 'warning', text: warning, level: 'warn', step, timestamp, alert_id: `${alert_id}-warning-${nth}` },
    ];
  if (outcome === undefined) return [];
  const level = outcome === 'failed' ? 'error' : 'info';
  return [
    { title: `the run is ${outcome}`, text: message ?? null, level, step, timestamp, alert_id: `${alert_id}-end` },
  ];
}

function time(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
