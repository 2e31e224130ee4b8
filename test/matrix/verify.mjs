#!/usr/bin/env node
// The kernels on a second driver, Mesa 26's lavapipe, which has cooperative matrices: the tests of all ops, the golden fixtures with products on
// matrices, runs in each precision, then `verify-device`. Arguments are passed on to vitest instead of these tests; `--if-available` takes a machine
// that cannot have the driver for a reason to leave this out, and says so.
import { join } from 'node:path';
import { packageRoot } from '../../core/setup/cache.mjs';
import { exitWith, SetupError } from '../../core/setup/failure.mjs';
import { launch } from '../../core/setup/launch.mjs';
import { matrixRoot } from './root.mjs';

const say = (/** @type {string} */ line) => void process.stderr.write(`${line}\n`);

await exitWith(async () => {
  const given = process.argv.slice(2).filter((arg) => arg !== '--if-available');
  let root;
  try {
    root = await matrixRoot({ report: say });
  } catch (error) {
    if (!(error instanceof SetupError) || !process.argv.includes('--if-available')) throw error;
    say(`LEFT OUT: no kernel was run on Mesa 26, and none with subgroup matrices: ${error.message}`);
    return 0;
  }
  const { node, version, env } = root;
  say(`kernels on lavapipe of Mesa ${version}`);
  const vitest = join(packageRoot, 'node_modules', 'vitest', 'vitest.mjs');
  const tests =
    given.length > 0
      ? given
      : [
          'test/ops',
          'test/core/nn/kept-exponents.test.ts',
          'test/golden/matrices.test.ts',
          'test/core/precision.test.ts',
          'test/plugins/vlm-judge.test.ts',
          'test/plugins/vq.test.ts',
        ];
  // With an empty cache this driver compiles for seconds to every kernel on matrices, with other tests beside it.
  const time = '--testTimeout=600000';
  const commands = [
    [vitest, 'run', '--config', 'test/vitest.config.ts', '--root', '.', time, ...tests],
    ...(given.length > 0 ? [] : [['--import', 'tsx', join(packageRoot, 'core', 'cli.ts'), 'verify-device']]),
  ];
  for (const args of commands) {
    // What needs matrices is not to be left out here.
    const code = await launch(node, args, { cwd: packageRoot, env: { ...env, REASONGEN_MATRICES: 'required' } });
    if (code !== 0) return code;
  }
  return 0;
});
