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
  /** How it ends, by itself or stopped: an exit code or a signal. */
  readonly ended: Promise<number | string | null>;
  /** Sends SIGTERM and resolves with how it ended. */
  stop(): Promise<number | string | null>;
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
  const ended = new Promise<number | string | null>((resolve) =>
    child.once('close', (code, signal) => {
      rmSync(folder, { recursive: true, force: true });
      resolve(code ?? signal);
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
      child.kill('SIGWINCH');
      while (!existsSync(collected)) {
        const end = child.exitCode ?? child.signalCode;
        if (end !== null) throw new Error(`it ended with ${end}: ${said}`);
        await setTimeout(20);
      }
      const bytes = Number(readFileSync(collected, 'utf8'));
      rmSync(collected);
      return bytes;
    },
    ended,
    stop: () => {
      child.kill('SIGTERM');
      return ended;
    },
  };
}
