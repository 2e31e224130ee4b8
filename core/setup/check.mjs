#!/usr/bin/env node
// What can be checked without running the program: types, lint and format. All checks run; the exit code is 1 when any of them fails.
import { join } from 'node:path';
import { packageRoot } from './cache.mjs';
import { exitWith } from './failure.mjs';
import { launch } from './launch.mjs';
import { setup } from './setup.mjs';

const checks = [
  {
    name: 'types',
    command: 'tsc',
    args: ['--noEmit', '-p', '.', '--incremental', '--tsBuildInfoFile', 'node_modules/.cache/types.tsbuildinfo'],
  },
  { name: 'types of pages', command: 'tsc', args: ['--noEmit', '-p', 'core/page'] },
  { name: 'lint', command: 'oxlint', args: ['--type-aware'] },
  { name: 'format', command: 'oxfmt', args: ['--check', '.'] },
];

await exitWith(async () => {
  await setup({ driver: false });
  const failed = [];
  for (const { name, command, args } of checks) {
    const started = performance.now();
    const code = await launch(join(packageRoot, 'node_modules', '.bin', command), args, { cwd: packageRoot });
    process.stderr.write(
      `${name}: ${code === 0 ? 'passed' : 'FAILED'} in ${((performance.now() - started) / 1000).toFixed(1)} s\n`,
    );
    if (code !== 0) failed.push(name);
  }
  return failed.length === 0 ? 0 : 1;
});
