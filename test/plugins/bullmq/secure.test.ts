/** A Redis that speaks TLS only, with a certificate that nobody has signed, and a password that must stand nowhere. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Workplace } from '../../support/runs.ts';
import { describeWithRedis, RedisServer, selfSigned, type SelfSigned } from './redis-server.ts';
import { WorkerProgram } from './workers.ts';

const place = new Workplace();
const password = 'a-password-that-nobody-shall-see';
const queue = ['executor=bullmq', 'executor.patience=60', 'executor.spotCheck=1', 'rewards.is-color.byWorkers=true'];
const sets = queue.flatMap((each) => ['--set', each]);

describeWithRedis('rediss://', () => {
  let redis: RedisServer | undefined;
  let signed: SelfSigned | undefined;
  let preset: string;
  const url = (): string => `rediss://user-of-the-queue:${password}@127.0.0.1:${redis?.port}`;
  beforeAll(async () => {
    signed = selfSigned(place.folder);
    if (signed === undefined) {
      process.stderr.write('no openssl was found, so TLS was left out\n');
      return;
    }
    redis = await RedisServer.startTls(signed, [
      ...['--user', 'user-of-the-queue', 'on', `>${password}`, '~*', '&*', '+@all'],
    ]);
    preset = place.preset(
      'secure',
      `rewards: [is-color]
optimizer: { use: adamw, learningRate: 2e-3 }
recipe: { use: grpo, steps: 1, prompts: 2, promptsAtOnce: 1, groupSize: 4, rationaleTokens: 6, evaluations: 2 }
`,
    );
  });
  afterAll(() => redis?.end());

  test('is refused without trust, in words', { timeout: 120_000 }, async ({ skip }) => {
    if (signed === undefined) return skip('no openssl');
    const environment = { REASONGEN_QUEUE: url(), NODE_EXTRA_CA_CERTS: '' };
    const { code, errors } = await place.program(['run', preset, '--run-dir', place.free(), ...sets], environment);
    expect(errors).toMatch(
      /QUEUE_CERTIFICATE {2}REASONGEN_QUEUE\n {2}The certificate of Redis is not trusted: self-signed certificate/i,
    );
    expect(errors).not.toMatch(/^\s+at /m);
    expect(code).toBe(1);
    return undefined;
  });

  test('works with it, and neither address nor password stands anywhere', { timeout: 300_000 }, async ({ skip }) => {
    if (signed === undefined) return skip('no openssl');
    const trust = { NODE_EXTRA_CA_CERTS: signed.certificate };
    const worker = new WorkerProgram(preset, url(), queue, trust);
    await worker.name();
    const directory = place.free();
    const environment = { REASONGEN_QUEUE: url(), ...trust };
    const ended = await place.program(['run', preset, '--run-dir', directory, '--debug', ...sets], environment);
    expect(ended.code, ended.errors).toBe(0);
    expect(ended.errors).toMatch(/worker \S+ has drawn \d+ sequences/);
    const listed = await place.program(['workers', preset, ...sets], environment);
    expect(listed.output).toMatch(/draws, reward is-color/);
    expect(await worker.end()).toBe(0);
    const written = readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    for (const name of ['preset.yaml', 'run.json', 'report.html', 'log.txt'])
      expect(
        written.some((file) => file.endsWith(name)),
        name,
      ).toBe(true);
    const texts = new Map(written.map((file) => [file, readFileSync(file, 'latin1')]));
    for (const [name, { output, errors }] of Object.entries({ ended, listed })) texts.set(name, output + errors);
    texts.set('worker', worker.said);
    for (const secret of [password, 'user-of-the-queue', `:${redis?.port}`])
      for (const [name, text] of texts) expect(text.includes(secret), `${secret} in ${name}`).toBe(false);
    return undefined;
  });
});
