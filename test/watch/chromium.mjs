#!/usr/bin/env node
// Chromium for the tests of the live page: the one of the machine, or Debian's, which `node test/watch/chromium.mjs` installs where it may.
import { pathToFileURL } from 'node:url';
import { findProgram, installProgram } from '../support/debian-program.mjs';

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** The path of a browser; undefined where there is none. REASONGEN_CHROMIUM names one. @returns {string | undefined} */
export function findChromium(env = process.env) {
  return env.REASONGEN_CHROMIUM || findProgram(names, env.PATH);
}

/** What to do where there is none. */
export const chromiumHint =
  'no browser was found, so the tests of the live page were left out; to have them: node test/watch/chromium.mjs (Debian, as root), or REASONGEN_CHROMIUM=/path/to/chromium';

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href)
  installProgram({
    title: 'chromium',
    packages: ['chromium', 'fonts-dejavu-core'],
    find: findChromium,
    hint: chromiumHint,
  });
