#!/usr/bin/env node
// `npm run test:package`: the test of the package under each supported Node and each current compiler. They are fetched from npm into the
// cache, about 400 MB in all, the first time.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { cacheDirectory, packageRoot } from '../../core/setup/cache.mjs';
import { exitWith, SetupError } from '../../core/setup/failure.mjs';
import { launch, launchWithDriver } from '../../core/setup/launch.mjs';

const nodes = ['20', '22', '24'];
const compilers = ['5.9', '6.0', '7.0'];

await exitWith(async () => {
  const folder = join(cacheDirectory(), 'package-test');
  mkdirSync(folder, { recursive: true });
  const fetched = [
    ...nodes.map((version) => `node${version}@npm:node-${process.platform}-${process.arch}@${version}`),
    ...compilers.map((version) => `typescript${version}@npm:typescript@${version}`),
  ];
  const flags = ['--prefix', folder, '--no-save', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
  if ((await launch('npm', ['install', ...flags, ...fetched])) !== 0)
    throw new SetupError({
      code: 'PACKAGES_FAILED',
      message: 'npm could not fetch other versions of Node and TypeScript',
      hint: 'see the lines above; check the network',
    });
  const paths = (/** @type {string[]} */ names, /** @type {string} */ file) =>
    names.map((name) => join(folder, 'node_modules', name, file)).join(':');
  const env = {
    ...process.env,
    REASONGEN_TEST_NODES: paths(
      nodes.map((version) => `node${version}`),
      'bin/node',
    ),
    REASONGEN_TEST_COMPILERS: paths(
      compilers.map((version) => `typescript${version}`),
      'bin/tsc',
    ),
  };
  const vitest = join(packageRoot, 'node_modules', 'vitest', 'vitest.mjs');
  const args = [vitest, 'run', '--config', 'test/vitest.config.ts', '--root', '.', 'test/package'];
  return launchWithDriver(process.execPath, args, { cwd: packageRoot, env, quiet: true });
});
