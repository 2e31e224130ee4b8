/** What a queue does to a run when it is not as it should be: one message each, and a run that can be resumed. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, expect, onTestFinished, test } from 'vitest';
import { Workplace } from '../../support/runs.ts';
import { queueAddress } from '../../../plugins/bullmq/connection.ts';
import { findQueueLibrary, loadQueueLibrary } from '../../../plugins/bullmq/library.ts';
import { bullmqPackages } from '../../../plugins/bullmq/package.ts';
import { describeWithRedis, RedisServer } from './redis-server.ts';
import packageJson from '../../../package.json' with { type: 'json' };

const place = new Workplace();
let preset = '';
beforeAll(() => {
  preset = place.preset(
    'troubled',
    `rewards: [is-color]
optimizer: { use: adamw, learningRate: 1e-3 }
recipe: { use: grpo, steps: 1, prompts: 2, groupSize: 2, rationaleTokens: 6, evaluations: 0 }
executor: { use: bullmq, patience: 1 }
`,
  );
});
afterEach(() => {
  delete process.env['REASONGEN_QUEUE'];
});

/** What a run says that ends with a failure. */
async function failure(url: string | undefined, ...more: string[]): Promise<string> {
  if (url !== undefined) process.env['REASONGEN_QUEUE'] = url;
  const { code, errors } = await place.command('run', preset, '--run-dir', place.free(), ...more);
  expect(code, errors).toBeGreaterThan(0);
  const [, told = ''] = /^([A-Z_]+(?: {2}.*)?\n {2}.*)\n/m.exec(errors) ?? [];
  // Nothing but the message comes from the failure: no stack, no second report.
  expect(errors).not.toMatch(/^\s+at /m);
  return told;
}

test('without an address, and with one that is none', async () => {
  expect(await failure(undefined)).toMatch(
    /^NO_QUEUE_ADDRESS\n {2}REASONGEN_QUEUE, .* is not set\. Set REASONGEN_QUEUE to/,
  );
  process.env['ELSEWHERE'] = 'localhost:6379';
  onTestFinished(() => void delete process.env['ELSEWHERE']);
  expect(() => queueAddress('ELSEWHERE')).toThrow(
    expect.objectContaining({ code: 'NO_QUEUE_ADDRESS', message: 'ELSEWHERE holds no address of Redis', exitCode: 2 }),
  );
});

test('a percent sign in a password is no escape: that is said, without the password', () => {
  process.env['PERCENT'] = 'redis://user:half-of-100%@localhost:6379';
  onTestFinished(() => void delete process.env['PERCENT']);
  expect(() => queueAddress('PERCENT')).toThrow(
    expect.objectContaining({ code: 'NO_QUEUE_ADDRESS', message: expect.not.stringContaining('half-of'), exitCode: 2 }),
  );
  process.env['PERCENT'] = 'redis://user:half-of-100%25@localhost:6379';
  expect(queueAddress('PERCENT').variable).toBe('PERCENT');
});

test('without a Redis', async () => {
  expect(await failure('redis://127.0.0.1:1')).toMatch(
    /^QUEUE_AWAY {2}REASONGEN_QUEUE\n {2}No redis answers: connect ECONNREFUSED/i,
  );
});

test('where a package is missing, one line says how to install both', () => {
  const [here, elsewhere] = [process.cwd(), mkdtempSync(join(tmpdir(), 'reasongen-'))];
  process.chdir(elsewhere);
  onTestFinished(() => process.chdir(here));
  const install = bullmqPackages[0]?.install;
  expect(() => findQueueLibrary([join(elsewhere, 'package.json')])).toThrow(
    expect.objectContaining({ code: 'BULLMQ_MISSING', hint: install, exitCode: 2 }),
  );
  const { bullmq, ioredis } = packageJson.devDependencies;
  expect(install).toBe(`npm install bullmq@${bullmq} ioredis@${ioredis}`);
});

test('a preset without a queue has no workers', async () => {
  const nothing = await place.command('workers', preset, '--set', 'executor=null');
  expect(nothing.errors).toMatch(/^NO_QUEUE .*\n {2}the preset names no executor/im);
  const inProcess = await place.command('workers', preset, '--set', 'executor=in-process');
  expect(inProcess.errors).toMatch(/^NO_QUEUE .*\n {2}the preset names an executor that has no workers/im);
});

describeWithRedis('with a Redis', () => {
  test('that wants another password', async () => {
    const redis = await RedisServer.start(['--requirepass', 'the-right-one']);
    onTestFinished(() => redis.end());
    const told = await failure(`redis://:the-wrong-one@127.0.0.1:${redis.port}`);
    expect(told).toMatch(/^QUEUE_LOGIN {2}REASONGEN_QUEUE\n {2}Redis does not let this program in: WRONGPASS/);
    expect(told).not.toMatch(/wrong-one/);
    expect(await failure(redis.url)).toMatch(
      /^QUEUE_LOGIN {2}REASONGEN_QUEUE\n {2}Redis does not let this program in: NOAUTH/,
    );
  });

  test('that is full, that nobody serves, and that comes back', async () => {
    const redis = await RedisServer.start();
    onTestFinished(() => redis.end());
    expect(await failure(redis.url)).toMatch(
      /^NO_WORKERS {2}REASONGEN_QUEUE\n {2}No worker serves the queue\. Start one/i,
    );
    const { ioredis } = await loadQueueLibrary(findQueueLibrary());
    const client = new ioredis.Redis(redis.url);
    await client.config('SET', 'maxmemory', '1');
    client.disconnect();
    expect(await failure(redis.url)).toMatch(/^QUEUE_FULL {2}REASONGEN_QUEUE\n {2}Redis is full/);
  });
});
