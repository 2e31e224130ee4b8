#!/usr/bin/env node
// The main job on a fresh checkout: set-up, then the quickstart preset. Arguments are passed on to `reasongen run`.
import { join } from 'node:path';
import { packageRoot } from './cache.mjs';
import { exitWith } from './failure.mjs';
import { reasongen } from './reasongen.mjs';
import { setup } from './setup.mjs';

await exitWith(async () => {
  await setup();
  return reasongen(['run', join(packageRoot, 'presets', 'quickstart.yaml'), ...process.argv.slice(2)], { quiet: true });
});
