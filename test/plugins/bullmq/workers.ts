/** Workers as programs of their own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { root } from '../../support/runs.ts';

export class WorkerProgram {
  readonly child: ChildProcess;
  /** Standard error. */
  said = '';
  /** Settles when it has ended. */
  readonly closed: Promise<unknown>;
  private readonly listeners = new Set<() => void>();

  constructor(
    preset: string,
    url: string,
    settings: readonly string[] = [],
    environment: Readonly<Record<string, string>> = {},
  ) {
    const sets = settings.flatMap((setting) => ['--set', setting]);
    this.child = spawn(process.execPath, ['--import', 'tsx', join(root, 'core/cli.ts'), 'worker', preset, ...sets], {
      cwd: root,
      env: { ...process.env, ...environment, REASONGEN_QUEUE: url },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const tell = (): void => {
      for (const listener of this.listeners) listener();
    };
    this.child.stderr?.on('data', (chunk) => {
      this.said += String(chunk);
      tell();
    });
    this.child.on('close', tell);
    this.closed = once(this.child, 'close');
  }

  /** Its name, once it serves. */
  async name(): Promise<string> {
    await this.hasSaid(/worker (\S+) serves/);
    return /worker (\S+) serves/.exec(this.said)?.[1] ?? '';
  }

  /** Resolves when it has said so; rejects when it ends before. */
  async hasSaid(words: RegExp): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (words.test(this.said)) resolve();
        else if (this.hasEnded) reject(new Error(`the worker ended with ${this.child.exitCode}: ${this.said}`));
        else return;
        this.listeners.delete(look);
      };
      this.listeners.add(look);
      look();
    });
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Ends it; its exit code, null where the signal has ended it. */
  async end(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<number | null> {
    if (!this.hasEnded) this.child.kill(signal);
    await this.closed;
    return this.child.exitCode;
  }
}

/** So many workers, each of which is started again whenever it ends. */
export class WorkerCrew {
  /** Ended by SIGKILL, whoever sent it, while it served. */
  killed = 0;
  private readonly start: (place: number) => WorkerProgram;
  readonly workers: WorkerProgram[] = [];
  private readonly places: Promise<void>[];
  private isDismissed = false;

  constructor(count: number, start: (place: number) => WorkerProgram) {
    this.start = start;
    this.places = Array.from({ length: count }, (_, place) => this.keep(place));
  }

  /** Resolves when every place has a worker that serves, however long one takes to begin on a machine that is busy; or when nobody waits any more. */
  async isWhole(signal: AbortSignal): Promise<void> {
    const serves = ({ said, hasEnded }: WorkerProgram): boolean => !hasEnded && / serves /.test(said);
    while (!signal.aborted && !this.workers.every(serves)) await wait(50);
  }

  /** Ends all for good. */
  async dismiss(): Promise<void> {
    this.isDismissed = true;
    for (const worker of this.workers) await worker.end('SIGKILL');
    await Promise.all(this.places);
  }

  private async keep(place: number): Promise<void> {
    while (!this.isDismissed) {
      const worker = this.start(place);
      this.workers[place] = worker;
      await worker.closed;
      if (this.isDismissed) return;
      if (worker.child.signalCode !== 'SIGKILL') throw new Error(`a worker ended: ${worker.said}`);
      if (/ serves /.test(worker.said)) this.killed += 1;
    }
  }
}
