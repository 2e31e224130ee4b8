#!/usr/bin/env node
// In a clone the sources run as they are; the package holds what was built from them instead.
import { existsSync } from 'node:fs';

const folder = existsSync(new URL('cli.ts', import.meta.url)) ? '.' : '../dist/core';
const { exitWith } = await import(`${folder}/setup/failure.mjs`);
const { reasongen } = await import(`${folder}/setup/reasongen.mjs`);

// Not awaited: when the event loop runs dry, `beforeExit` must still be heard.
void exitWith(() => reasongen(process.argv.slice(2)));
