#!/usr/bin/env node
/** What `npm create reasongen` runs: `reasongen init` of the package beside this one, with the same arguments. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(import.meta.url);
const manifest = require.resolve('reasongen/package.json');
process.argv.splice(2, 0, 'init');
await import(pathToFileURL(join(dirname(manifest), require(manifest).bin.reasongen)).href);
