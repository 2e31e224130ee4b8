#!/usr/bin/env node
// The tests on a fresh checkout: set-up, then vitest in the environment of the driver. Arguments are passed on to `vitest run`; where they
// name neither a project nor files, the quick tests run.
import { join } from 'node:path';
import { packageRoot } from './cache.mjs';
import { exitWith } from './failure.mjs';
import { launchWithDriver } from './launch.mjs';
import { setup } from './setup.mjs';

await exitWith(async () => {
  await setup();
  const args = process.argv.slice(2);
  const project = args.every((arg) => arg.startsWith('-') && !arg.startsWith('--project'))
    ? ['--project', 'quick']
    : [];
  const vitest = join(packageRoot, 'node_modules', 'vitest', 'vitest.mjs');
  return launchWithDriver(
    process.execPath,
    [vitest, 'run', '--config', 'test/vitest.config.ts', '--root', '.', ...project, ...args],
    { cwd: packageRoot, quiet: true },
  );
});
