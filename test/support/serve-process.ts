/** A server in a process of its own, as the command starts it. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { root } from './runs.ts';

export interface ServeProcess {
  /** Up to the version. */
  readonly url: string;
  readonly pid: number;
  /** What it said on standard error. */
  said(): string;
  /** Bytes of its heap, and of what objects hold outside of it, that a collection of garbage leaves. */
  heldBytes(): Promise<number>;
  /** Sends SIGTERM and resolves with the exit code. */
  stop(): Promise<number | null>;
}

/** Throws with what it said where it ends before it listens. */
export async function startServeProcess(args: readonly string[]): Promise<ServeProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'reasongen-served-'));
  const collected = join(folder, 'collected');
  const loaded = ['--import', 'tsx', '--expose-gc', '--import', join(root, 'test/support/collect-on-signal.mjs')];
  const child = spawn(process.execPath, [...loaded, join(root, 'core/cli.ts'), 'serve', ...args], {
    cwd: root,
    env: { ...process.env, COLLECTED: collected },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk) => (said += String(chunk)));
  const ended = new Promise<number | null>((resolve) =>
    child.once('close', (code) => {
      rmSync(folder, { recursive: true, force: true });
      resolve(code);
    }),
  );
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
    heldBytes: async () => {
      child.kill('SIGUSR2');
      while (!existsSync(collected)) {
        if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${said}`);
        await setTimeout(20);
      }
      const bytes = Number(readFileSync(collected, 'utf8'));
      rmSync(collected);
      return bytes;
    },
    stop: () => {
      child.kill('SIGTERM');
      return ended;
    },
  };
}
