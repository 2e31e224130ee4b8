/** A server in a process of its own, as the command starts it. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { root } from './runs.ts';

export interface ServeProcess {
  /** Up to the version. */
  readonly url: string;
  readonly pid: number;
  /** What it said on standard error. */
  said(): string;
  /** Sends SIGTERM and resolves with the exit code. */
  stop(): Promise<number | null>;
}

/** Throws with what it said where it ends before it listens. */
export async function startServeProcess(args: readonly string[]): Promise<ServeProcess> {
  const child = spawn(process.execPath, ['--import', 'tsx', join(root, 'core/cli.ts'), 'serve', ...args], {
    cwd: root,
    env: process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk) => (said += String(chunk)));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const listening = new Promise<string>((resolve) =>
    child.stdout.once('data', (chunk) => resolve(String(chunk).trim())),
  );
  const url = await Promise.race([
    listening,
    ended.then((code) => {
      throw new Error(`it ended with ${code}: ${said}`);
    }),
  ]);
  return {
    url,
    pid: child.pid ?? 0,
    said: () => said,
    stop: () => {
      child.kill('SIGTERM');
      return ended;
    },
  };
}
