/**
 * What changes below the folder that is watched, told to any number of pages. Files are asked for their size and time twice a second while a
 * page is open, and read where those have changed; all pages share what was read. A page is told by its position, never through a queue of its
 * own: one that is slow, or sleeps, costs nothing and gets what it has missed at once.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { isHeld } from '../io/lock.ts';
import type { Metrics } from '../io/metrics.ts';
import type { RunSummary } from '../page/answers.ts';
import { runsBelow, summaryOfRun, summaryMark } from './runs-below.ts';
import { runParts, WatchedRun, type RunPart } from './watched-run.ts';

/** Milliseconds between two looks at what pages show, and between two looks for new folders. */
const [lookEvery, searchEvery] = [500, 2000];
/** Runs whose curves stay in memory after their pages were closed. */
const mostIdle = 4;

interface Entry {
  readonly directory: string;
  mark: string;
  summary: RunSummary;
  changedAt: number;
}

/** How much a page knows: all that was true at `clock`, and so many lines of the metrics of its run. */
export interface PagePosition {
  /** Of the server's life: a position of an earlier one says nothing. */
  readonly life: string;
  readonly clock: number;
  readonly generation: number;
  readonly lines: number;
}

/** What a page does not know yet. */
export interface News {
  readonly position: PagePosition;
  /** Changed or new. */
  readonly runs: readonly RunSummary[];
  /** Ids of all runs, where some are new or gone. */
  readonly ids?: readonly string[];
  /** Further lines of metrics; `all` where what the page has is void and it must ask for the whole. */
  readonly steps?: { readonly from: number; readonly lines: readonly Metrics[] } | 'all';
  readonly parts: readonly RunPart[];
}

export class Feed {
  readonly folder: string;
  readonly #life = randomUUID().slice(0, 8);
  #clock = 0;
  readonly #entries = new Map<string, Entry>();
  #idsChangedAt = 0;
  #searchedAt = -Infinity;
  readonly #watched = new Map<string, { readonly run: WatchedRun; pages: number }>();
  readonly #waiting = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;
  #pages = 0;
  #looking: Promise<void> | undefined;

  constructor(folder: string) {
    this.folder = folder;
  }

  async runs(): Promise<RunSummary[]> {
    await this.look();
    return [...this.#entries.values()].map(({ summary }) => summary);
  }

  /** The directory of a run; undefined for an id that is not in the list. */
  async directoryOf(id: string): Promise<string | undefined> {
    if (!this.#entries.has(id)) {
      // One that is being looked at already may have begun before the run was there.
      await this.#looking;
      await this.look(true);
    }
    return this.#entries.get(id)?.directory;
  }

  /** Whether the run is in the list, as far as that is known. */
  has(id: string): boolean {
    return this.#entries.has(id);
  }

  async summaryOf(id: string): Promise<RunSummary | undefined> {
    await this.look();
    return this.#entries.get(id)?.summary;
  }

  /** The run with all that is in its files by now. */
  async watched(id: string): Promise<WatchedRun | undefined> {
    const directory = await this.directoryOf(id);
    if (directory === undefined) return undefined;
    const { run } = this.#watch(id, directory);
    await run.poll(this.#tick);
    this.#forgetIdle();
    return run;
  }

  /** Where a page begins that has just asked for everything. */
  positionOf(run: WatchedRun | undefined): PagePosition {
    return { life: this.#life, clock: this.#clock, generation: run?.generation ?? 0, lines: run?.curves.lines ?? 0 };
  }

  /** Counts a page as open until `close`; while there is one, files are looked at. */
  async openPage(id: string | undefined): Promise<{ close(): void; run: WatchedRun | undefined }> {
    const directory = id === undefined ? undefined : await this.directoryOf(id);
    const watched = id === undefined || directory === undefined ? undefined : this.#watch(id, directory);
    await watched?.run.poll(this.#tick);
    if (watched !== undefined) watched.pages++;
    this.#pages++;
    // Of a folder that cannot be read just now, whoever asks for it is told; the pages go on, and the next look may be better.
    const wake = (): void => this.#wake();
    this.#timer ??= setInterval(() => void this.look().then(wake, wake), lookEvery);
    this.#timer.unref();
    let isOpen = true;
    return {
      run: watched?.run,
      close: () => {
        if (!isOpen) return;
        isOpen = false;
        if (watched !== undefined) watched.pages--;
        if (--this.#pages > 0) return;
        clearInterval(this.#timer);
        this.#timer = undefined;
        this.#forgetIdle();
      },
    };
  }

  /** What has changed since `position`; undefined when nothing has. */
  newsSince(position: PagePosition | undefined, run: WatchedRun | undefined): News | undefined {
    const known = position?.life === this.#life ? position : undefined;
    const since = known?.clock ?? -1;
    const runs = [...this.#entries.values()].filter(({ changedAt }) => changedAt > since).map(({ summary }) => summary);
    const ids = this.#idsChangedAt > since ? [...this.#entries.keys()] : undefined;
    const parts = run === undefined ? [] : runParts.filter((part) => run.changedAt[part] > since);
    const steps = run === undefined ? undefined : stepsSince(known, run);
    if (known !== undefined && runs.length + parts.length === 0 && ids === undefined && steps === undefined)
      return undefined;
    return {
      position: this.positionOf(run),
      runs,
      ...(ids !== undefined && { ids }),
      ...(steps !== undefined && { steps }),
      parts,
    };
  }

  /** Until files have been looked at again, or `signal` is aborted. */
  async nextLook(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#waiting.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#waiting.add(done);
      signal.addEventListener('abort', done);
      if (signal.aborted) done();
    });
  }

  close(): void {
    clearInterval(this.#timer);
    this.#wake();
  }

  /** Looks at the files unless somebody does already. `again`: for new folders, too. */
  async look(again = false): Promise<void> {
    if (again) this.#searchedAt = -Infinity;
    this.#looking ??= this.#lookNow().finally(() => {
      this.#looking = undefined;
    });
    await this.#looking;
  }

  async #lookNow(): Promise<void> {
    if (performance.now() - this.#searchedAt > searchEvery) await this.#search();
    for (const [id, entry] of this.#entries) {
      const mark = await summaryMark(entry.directory);
      // A run that is killed changes no file: it only falls silent.
      const isSilent = entry.summary.state === 'running' && !isHeld(join(entry.directory, 'lock'));
      if (mark === entry.mark && !isSilent) continue;
      const summary = await summaryOfRun(id, entry.directory);
      entry.mark = mark;
      if (JSON.stringify(summary) === JSON.stringify(entry.summary)) continue;
      entry.summary = summary;
      entry.changedAt = this.#tick();
    }
    for (const { run, pages } of this.#watched.values()) if (pages > 0) await run.poll(this.#tick);
  }

  /** The time of a change: later than all that any page has been told. */
  readonly #tick = (): number => ++this.#clock;

  async #search(): Promise<void> {
    this.#searchedAt = performance.now();
    const found = await runsBelow(this.folder);
    for (const id of this.#entries.keys())
      if (!found.has(id)) {
        this.#entries.delete(id);
        this.#idsChangedAt = this.#tick();
      }
    for (const [id, directory] of found) {
      if (this.#entries.has(id)) continue;
      const [mark, summary] = [await summaryMark(directory), await summaryOfRun(id, directory)];
      this.#entries.set(id, { directory, mark, summary, changedAt: this.#tick() });
      this.#idsChangedAt = this.#tick();
    }
  }

  #watch(id: string, directory: string): { readonly run: WatchedRun; pages: number } {
    const watched = this.#watched.get(id) ?? { run: new WatchedRun(directory), pages: 0 };
    // The one that was asked for last stands last.
    this.#watched.delete(id);
    this.#watched.set(id, watched);
    return watched;
  }

  #forgetIdle(): void {
    const idle = [...this.#watched].filter(([, { pages }]) => pages === 0).map(([id]) => id);
    for (const id of idle.slice(0, Math.max(0, idle.length - mostIdle))) this.#watched.delete(id);
  }

  #wake(): void {
    for (const done of [...this.#waiting]) done();
  }
}

function stepsSince(known: PagePosition | undefined, run: WatchedRun): News['steps'] {
  const { generation, curves, recent } = run;
  if (known === undefined || known.generation !== generation)
    return known === undefined && curves.lines === 0 ? undefined : 'all';
  const missed = curves.lines - known.lines;
  if (missed === 0) return undefined;
  if (missed > recent.length) return 'all';
  return { from: known.lines, lines: recent.slice(-missed) };
}

/** As the id of an event, which a page sends back when it connects again. */
export function writePosition({ life, clock, generation, lines }: PagePosition): string {
  return [life, clock, generation, lines].join('.');
}

export function readPosition(id: string | undefined): PagePosition | undefined {
  const [, life = '', clock, generation, lines] =
    /^([\da-f]{8})\.(\d{1,15})\.(\d{1,15})\.(\d{1,15})$/.exec(id ?? '') ?? [];
  return life === '' ? undefined : { life, clock: Number(clock), generation: Number(generation), lines: Number(lines) };
}
