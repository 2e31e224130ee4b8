#!/usr/bin/env node
// Called by npm around packing: `pack.mjs begin` builds and lets package.json name what was built, `pack.mjs end` takes that back.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from './build.mjs';
import { packageRoot, writeJson } from './cache.mjs';
import { exitWith, SetupError } from './failure.mjs';
import { cloneManifest, publishedManifest } from './manifest.mjs';

const conversions = { begin: publishedManifest, end: cloneManifest };

await exitWith(async () => {
  const convert = conversions[/** @type {keyof typeof conversions} */ (process.argv[2])];
  if (!convert)
    throw new SetupError({ code: 'USAGE', message: 'neither begin nor end', hint: 'npm pack calls this by itself' });
  if (convert === publishedManifest) await build();
  const file = join(packageRoot, 'package.json');
  writeJson(file, convert(JSON.parse(readFileSync(file, 'utf8'))));
  return 0;
});
