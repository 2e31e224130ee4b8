/** What all trackers share: the hooks of a run become entries of an outbox, and the outbox is emptied by what is particular to each. */
import { join } from 'node:path';
import {
  type Extension,
  keyVariableName,
  type Log,
  reasonOf,
  ReasongenError,
  serverAddress,
  z,
} from '../../core/plugin.ts';
import { type Entry, Outbox, type Send } from './outbox.ts';
import { beginRun, knownRun, type TrackedRun } from './tracked-run.ts';

/** Options of trackers that are servers. */
export function serverOptions(
  which: string,
  keyVariable: string,
): { readonly url: z.ZodURL; readonly keyVariable: z.ZodDefault<z.ZodString> } {
  return {
    url: serverAddress.describe(`address ${which}`),
    keyVariable: keyVariableName
      .default(keyVariable)
      .describe('environment variable with a key; without a value none is sent'),
  };
}

/** An option of every tracker. */
export const patienceOption = z
  .number()
  .nonnegative()
  .default(10)
  .describe(
    'seconds that the end of a run waits for what has not been taken yet; the rest is kept for `reasongen sync`',
  );

export interface TrackerOptions {
  /** Of the extension, and of its files in `RUN/trackers`. */
  readonly name: string;
  readonly log: Pick<Log, 'warn'>;
  /** Seconds that the end of a run waits for the server. */
  readonly patience: number;
  /** Makes what sends the entries of a run. */
  readonly connect: (run: TrackedRun) => Send;
  /** Whether the metrics of steps and evaluations are told, and not warnings and the end alone. */
  readonly metrics?: boolean;
  /** Entries that are sent at once; 1 where the server does not know what it has been told. */
  readonly atOnce?: number;
}

/** Milliseconds that `reasongen sync` sends. */
const longestSync = 600_000;

/** An extension that tells a tracker of a run, and that never slows or ends it. */
export function tracker({
  name,
  log,
  patience,
  connect,
  metrics: tellsMetrics = true,
  atOnce = 100,
}: TrackerOptions): Extension {
  let outbox: Outbox | undefined;
  let last = 0;
  /** Warnings of the last step so far. */
  let warned = 0;
  const open = (run: TrackedRun): Outbox =>
    new Outbox(join(run.directory, 'trackers', `${name}.ndjson`), {
      name,
      log,
      send: connect(run),
      atOnce,
    });
  const tell = (entry: Omit<Entry, 'at'>): void => outbox?.put({ ...entry, at: Date.now() / 1000 });
  const warn = (warnings: readonly string[] = []): void => {
    for (const warning of warnings) tell({ step: last, warning, nth: (warned += 1) });
  };
  return {
    start: (event) => {
      outbox = open(beginRun(event));
    },
    step: ({ step, metrics, warnings }) => {
      [last, warned] = [step, 0];
      if (tellsMetrics) tell({ series: 'steps', step, metrics });
      warn(warnings);
    },
    evaluation: ({ step, benchmark, split, metrics }) => {
      if (!tellsMetrics) return;
      const place = `${benchmark}/${split}`;
      const named = Object.entries(metrics).map(([metric, value]) => [`${place}/${metric}`, value] as const);
      tell({ series: place, step, metrics: Object.fromEntries(named) });
    },
    finish: async ({ outcome, error, warnings }) => {
      warn(warnings);
      tell({ step: last, outcome, ...(error !== undefined && { message: reasonOf(error) }) });
      await outbox?.close(patience);
      outbox = undefined;
    },
    sync: async ({ directory }) => {
      const run = knownRun(directory);
      if (run === undefined) return;
      await open(run)
        .flush(AbortSignal.timeout(longestSync))
        .catch((cause: unknown) => {
          throw notSent(cause);
        });
    },
  };
}

function notSent(cause: unknown): ReasongenError {
  return new ReasongenError({
    code: 'NOT_SENT',
    message: reasonOf(cause),
    hint: 'nothing is lost: start the server, or mend address or key, then sync again',
    cause,
  });
}
