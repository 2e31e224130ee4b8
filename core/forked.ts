/** A module of the program in a process of its own. */
import { fork, type ChildProcess, type ForkOptions } from 'node:child_process';

/** It reads its sources as this process does, and is not tied to this one's supervisor. */
export function forked(module: URL, options: ForkOptions = {}): ChildProcess {
  return fork(module, { ...options, execArgv: loaders(module, process.execArgv) });
}

function loaders(module: URL, execArgv: readonly string[]): string[] {
  const kept = execArgv.filter(
    (each, at) => !each.endsWith('supervised.mjs') && !(execArgv[at + 1] ?? '').endsWith('supervised.mjs'),
  );
  // A program that embeds this one may read the sources of a clone by other means than a flag.
  const readsThem = !module.pathname.endsWith('.ts') || kept.some((each) => /tsx|register\.mjs/.test(each));
  return readsThem ? kept : [...kept, '--import', new URL('register.mjs', import.meta.url).href];
}
