/** A folder that plays a machine, new for every test, and programs that are started in it. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { packageRoot } from '../../core/setup/cache.mjs';

/** The folder of the test that runs, after `useMachine()`. */
export let root = '';

export function useMachine(): void {
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'reasongen-setup-test-'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));
}

export function put(path: string, text = ''): string {
  const full = join(root, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, text);
  return full;
}

/** The environment of a user with an empty cache and no wishes. */
export function freshEnvironment(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], HOME: root, REASONGEN_CACHE: join(root, 'cache'), ...extra };
}

export function spawnResult(args: string[], env: NodeJS.ProcessEnv): { code: number; stderr: string } {
  try {
    execFileSync(process.execPath, args, { cwd: packageRoot, env, stdio: 'pipe' });
    return { code: 0, stderr: '' };
  } catch (error) {
    const { status, stderr } = error as { status: number; stderr: Buffer };
    return { code: status, stderr: stderr.toString() };
  }
}

/** The address of a module of the set-up, quoted for a program. */
export function setupModule(name: string): string {
  return JSON.stringify(join(packageRoot, 'core/setup', name));
}
