/** Workers as programs of their own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
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
