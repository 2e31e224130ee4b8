/** Which program this is: versions and commit, for run.json and `doctor`. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { join } from 'node:path';
import { once } from '../once.ts';
import { packageRoot } from '../setup/cache.mjs';

export interface ProgramDescription {
  readonly versions: Readonly<Record<string, string>>;
  /** Full hash, with `+changes` when the working tree was modified; absent outside a git checkout of reasongen. */
  readonly commit?: string;
}

/** As it was when first asked: what is committed or installed later is not what runs in this process. */
export const describeProgram = once(readDescription);

function readDescription(): ProgramDescription {
  const require = createRequire(import.meta.url);
  const commit = readCommit(packageRoot);
  return {
    versions: {
      reasongen: readVersion(join(packageRoot, 'package.json')),
      node: process.versions.node,
      webgpu: readVersion(require.resolve('webgpu/package.json')),
      platform: `${platform()} ${arch()}`,
    },
    ...(commit === undefined ? {} : { commit }),
  };
}

function readVersion(path: string): string {
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
}

function readCommit(root: string): string | undefined {
  if (!existsSync(join(root, '.git'))) return undefined;
  const git = (...words: string[]): string => {
    return execFileSync('git', words, {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 5000,
    }).trim();
  };
  try {
    const isModified = git('status', '--porcelain', '--untracked-files=no') !== '';
    return git('rev-parse', 'HEAD') + (isModified ? '+changes' : '');
  } catch {
    // No git program, or no commit yet: the record then has no commit, which is the truth.
    return undefined;
  }
}
