/**
 * Weights & Biases: a folder such as its own client leaves in offline mode, which `wandb sync` uploads. What is written follows the client's
 * file format (LevelDB's log format around `wandb_internal.Record` messages); no upload has been tried here.
 */
import { appendFileSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineExtension, z } from '../../core/plugin.ts';
import type { Entry, Send } from './outbox.ts';
import type { TrackedRun } from './tracked-run.ts';
import { tracker } from './tracker.ts';
import { alertRecord, exitRecord, framed, header, historyRecord, runRecord, summaryRecord } from './wandb-file.ts';

export const wandb = defineExtension({
  name: 'wandb',
  summary: 'writes an offline run of Weights & Biases into the run directory, for `wandb sync RUN/wandb/offline-run-…`',
  options: z.strictObject({
    project: z.string().min(1).default('reasongen').describe('the project that the run is uploaded to'),
    entity: z.string().min(1).optional().describe('user or team of the project; that of the key when absent'),
  }),
  create: ({ project, entity }, { log }) =>
    tracker({ name: 'wandb', log, patience: 60, connect: (run) => new OfflineRun(run, project, entity).send }),
});

/** The offline run of one session. A resumed run writes another folder with the same id. */
class OfflineRun {
  readonly #run: TrackedRun;
  readonly #owner: { readonly project: string; readonly entity: string | undefined };
  #path: string | undefined;
  #number = 0;

  constructor(run: TrackedRun, project: string, entity: string | undefined) {
    this.#run = run;
    this.#owner = { project, entity };
  }

  readonly send: Send = async (entries) => {
    this.#path ??= this.#begin(entries[0]?.at ?? this.#run.startedAt);
    for (const entry of entries) for (const record of this.#recordsOf(entry)) this.#append(this.#path, record);
  };

  #begin(at: number): string {
    const { id, directory } = this.#run;
    const folder = join(directory, 'wandb', `offline-run-${stamp(at)}-${id}`);
    mkdirSync(join(folder, 'files'), { recursive: true });
    mkdirSync(join(folder, 'logs'), { recursive: true });
    const path = join(folder, `run-${id}.wandb`);
    if (!existsSync(path)) {
      writeFileSync(path, header);
      this.#append(path, runRecord({ ...this.#run, ...this.#owner }));
    }
    return path;
  }

  #recordsOf({ metrics, step, at, warning, outcome, message }: Entry): Uint8Array[] {
    if (metrics !== undefined) {
      const values = { ...metrics, _step: step, _timestamp: at, _runtime: at - this.#run.startedAt };
      return [historyRecord(step, values), summaryRecord(values)];
    }
    if (warning !== undefined) return [alertRecord('warning', warning)];
    const ended = outcome === undefined ? [] : [exitRecord(outcome === 'failed' ? 1 : 0, at - this.#run.startedAt)];
    return message === undefined ? ended : [alertRecord(`the run is ${outcome}`, message, 'ERROR'), ...ended];
  }

  #append(path: string, record: Uint8Array): void {
    appendFileSync(path, framed(statSync(path).size, ++this.#number, record));
  }
}

/** UTC, as the names of such folders begin. */
function stamp(seconds: number): string {
  const [date = '', time = ''] = new Date(seconds * 1000).toISOString().split('T');
  return `${date.replaceAll('-', '')}_${time.slice(0, 8).replaceAll(':', '')}`;
}
