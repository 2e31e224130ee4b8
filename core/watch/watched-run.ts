/** A run that a page looks at: its curves and warnings as far as they have been read, and which other parts have changed since when. */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseMetrics, type Metrics } from '../io/metrics.ts';
import { sampleListOf, sampleSteps } from '../io/records.ts';
import type { Warning } from '../page/answers.ts';
import { CurveStore } from '../report/curve-store.ts';
import { warningOf } from '../report/warnings.ts';
import { LineTail } from './tail.ts';

/** Lines that are kept for pages that have all before them, and warnings that are kept. */
const [mostRecent, mostWarnings] = [256, 500];

/** What a page asks for again when it has changed. */
export const runParts = ['samples', 'evaluations', 'checkpoints', 'record', 'warnings'] as const;
export type RunPart = (typeof runParts)[number];

export class WatchedRun {
  readonly directory: string;
  readonly curves = new CurveStore();
  readonly warnings: Warning[] = [];
  /** Another one whenever what was read of the metrics became void. */
  generation = 1;
  /** The newest lines; the last of them is line `curves.lines`. */
  readonly recent: Metrics[] = [];
  /** When each part changed last, by the clock that `poll` is handed: each call of it is later. */
  readonly changedAt: Record<RunPart, number> = { samples: 0, evaluations: 0, checkpoints: 0, record: 0, warnings: 0 };
  readonly #marks = new Map<RunPart, string>();
  readonly #metrics: LineTail;
  readonly #log: LineTail;
  #polling: Promise<void> | undefined;

  constructor(directory: string) {
    this.directory = directory;
    this.#metrics = new LineTail(directory, 'metrics.ndjson');
    this.#log = new LineTail(directory, 'log.txt');
  }

  /** Reads what is new. Calls at the same time share one read. */
  async poll(tick: () => number): Promise<void> {
    this.#polling ??= this.#read(tick).finally(() => {
      this.#polling = undefined;
    });
    await this.#polling;
  }

  async #read(tick: () => number): Promise<void> {
    await this.#metrics.read(
      (line) => this.#add(line),
      () => {
        this.curves.clear();
        this.recent.length = 0;
        this.generation++;
      },
    );
    await this.#log.read(
      (line) => {
        const warning = warningOf(line);
        if (warning === undefined) return;
        this.warnings.push(warning);
        if (this.warnings.length > mostWarnings) this.warnings.shift();
        this.changedAt.warnings = tick();
      },
      () => {
        this.warnings.length = 0;
      },
    );
    for (const part of ['samples', 'evaluations', 'checkpoints', 'record'] as const) {
      const mark = await this.#mark(part);
      if (this.#marks.get(part) === mark) continue;
      this.#marks.set(part, mark);
      this.changedAt[part] = tick();
    }
  }

  #add(line: string): void {
    const metrics = parseMetrics(line);
    if (metrics === undefined) {
      this.curves.badLines++;
      return;
    }
    this.curves.add(metrics);
    this.recent.push(metrics);
    if (this.recent.length > mostRecent) this.recent.shift();
  }

  /** Changes with what lies in the folder, or the file, of a part. */
  async #mark(part: 'samples' | 'evaluations' | 'checkpoints' | 'record'): Promise<string> {
    const at = async (...names: string[]): Promise<string> => {
      const status = await lstat(join(this.directory, ...names)).catch(() => undefined);
      return status === undefined ? '' : `${status.ino}:${status.mtimeMs}:${status.size}`;
    };
    if (part === 'record')
      return `${await at('run.json')} ${await at('preset.yaml')} ${(await at('lock')) === '' ? '' : 'locked'}`;
    if (part !== 'samples') return at(part);
    // The list of a step's drawings comes last into its folder.
    const last = (await sampleSteps(this.directory).catch(() => [])).at(-1);
    return `${await at('samples')} ${last === undefined ? '' : await at(sampleListOf(last))}`;
  }
}
