#!/usr/bin/env node
import { exitWith } from './setup/failure.mjs';
import { reasongen } from './setup/reasongen.mjs';

await exitWith(() => reasongen(process.argv.slice(2)));
