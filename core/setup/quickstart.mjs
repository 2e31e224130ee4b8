#!/usr/bin/env node
// The main job on a fresh checkout: set-up, then the quickstart preset. Arguments are passed on to `reasongen run`.
import { join } from 'node:path';
import { packageRoot } from './cache.mjs';
import { exitWith } from './failure.mjs';
import { reasongen } from './reasongen.mjs';
import { setup } from './setup.mjs';

/** For whoever has seen the first run end well. */
const next = `
what next:
  npx reasongen watch runs                  curves, drawings and verdicts of your runs, on a page of this machine
  npx reasongen init my-judge               a reward of your own with its test, and a preset that trains with it
  npm run quickstart -- --set seed=1        the same with another seed, then what differs beyond chance:
  npx reasongen compare runs/quickstart runs/quickstart-2
`;

await exitWith(async () => {
  await setup();
  const preset = join(packageRoot, 'presets', 'quickstart.yaml');
  const code = await reasongen(['run', preset, ...process.argv.slice(2)], { quiet: true });
  if (code === 0) process.stderr.write(next);
  return code;
});
