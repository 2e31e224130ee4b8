#!/usr/bin/env node
// Redis for the tests of the queue: the one of the machine, or Debian's, which `node test/plugins/bullmq/redis.mjs` installs where it may.
import { pathToFileURL } from 'node:url';
import { findProgram, installProgram } from '../../support/debian-program.mjs';

/** The path of redis-server; undefined where there is none. REASONGEN_REDIS_SERVER names one. @returns {string | undefined} */
export function findRedis(env = process.env) {
  return env.REASONGEN_REDIS_SERVER || findProgram(['redis-server'], env.PATH);
}

/** What to do where there is none. */
export const redisHint =
  'no redis-server was found, so the tests of the queue were left out; to have them: node test/plugins/bullmq/redis.mjs (Debian, as root), or REASONGEN_REDIS_SERVER=/path/to/redis-server';

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href)
  installProgram({ title: 'redis-server', packages: ['redis-server'], find: findRedis, hint: redisHint });
