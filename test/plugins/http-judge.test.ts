/** A scorer behind an address: the server of the page of plugins, and one that answers badly. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, expect, test } from 'vitest';
import type { Reward, RewardAnswer, Sample } from '../../core/contracts/reward.ts';
import { encodePng } from '../../core/io/image.ts';
import { PolicedCalls } from '../../core/judging/calls.ts';
import { silentLog } from '../../core/log.ts';
import plugin from '../../plugins/http-judge/index.ts';
import { root } from '../support/runs.ts';

const { signal } = new AbortController();
const servers: Server[] = [];
const children: ChildProcess[] = [];
afterEach(() => {
  servers.splice(0).forEach((server) => server.close());
  children.splice(0).forEach((child) => child.kill());
});

async function open(options: Record<string, unknown>): Promise<Reward> {
  const [component] = plugin.provides;
  if (component === undefined) throw new Error('no component');
  const log = silentLog();
  const calls = new PolicedCalls({
    settings: { retries: 0 },
    who: 'reward "http-judge"',
    component: 'http-judge',
    log,
    folder: undefined,
  });
  return component.create(component.options.parse(options), { log, calls } as never) as Promise<Reward>;
}

const image = { width: 2, height: 1, data: Uint8Array.from([1, 2, 3, 4, 5, 6]) };
const sample = {
  id: 's',
  prompt: 'a frog',
  task: 'one',
  specification: { n: 1 },
  rationale: 'green',
  image,
} as unknown as Sample;

async function serve(status: number, body: string, headers: Record<string, string> = {}): Promise<string> {
  const server = createServer((_, response) => response.writeHead(status, headers).end(body));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/score`;
}

test('the server of the page scores a drawing', async () => {
  const page = readFileSync(join(root, 'plugins/README.md'), 'utf8');
  const [, script = ''] = /^```python\n# mine\/scorer\.py\n([^]*?)^```$/m.exec(page) ?? [];
  expect(script.trim().split('\n').length).toBeLessThanOrEqual(22);
  const folder = mkdtempSync(join(tmpdir(), 'reasongen-scorer-'));
  writeFileSync(join(folder, 'scorer.py'), script);
  const child = spawn('python3', [join(folder, 'scorer.py'), '0'], { stdio: ['ignore', 'pipe', 'ignore'] });
  children.push(child);
  const [port] = (await once(child.stdout, 'data')) as [Buffer];
  const reward = await open({ url: `http://127.0.0.1:${String(port).trim()}/` });
  const png = Buffer.from(await encodePng(image));
  expect(await reward.score([sample], signal)).toEqual([
    { value: (crc32(png) % 101) / 100, why: `${png.length} bytes for a frog` },
  ]);
  rmSync(folder, { recursive: true });
});

test.each<[string, RewardAnswer]>([
  ['{"value": 0.5, "parts": {"color": 1}, "more": 7}', { value: 0.5, parts: { color: 1 } }],
  ['null', null],
  ['{"noVerdict": "too dark"}', { noVerdict: 'too dark' }],
])('an answer may be %s', async (body, expected) => {
  expect(await (await open({ url: await serve(200, body) })).score([sample], signal)).toEqual([expected]);
});

test.each<[string, number, string, Record<string, string>, string, RegExp]>([
  ['is HTML', 200, '<html>login</html>', {}, 'JUDGE_UNREACHABLE', /not JSON: <html>login/],
  ['is no score', 200, '{"score": 1}', {}, 'JUDGE_UNREACHABLE', /no score: \{"score":1\}/],
  ['is a text for a number', 200, '{"value": "1"}', {}, 'JUDGE_UNREACHABLE', /no score/],
  ['wants a key', 401, 'who are you', {}, 'JUDGE_REFUSED', /answered 401 Unauthorized: who are you/],
  [
    'sends elsewhere',
    302,
    '',
    { location: 'http://127.0.0.1:9/' },
    'JUDGE_REFUSED',
    /sends all questions on to http:\/\/127\.0\.0\.1:9\//,
  ],
])('one that %s is said to', async (_, status, body, headers, code, message) => {
  const url = await serve(status, body, headers);
  await expect((await open({ url })).score([sample], signal)).rejects.toMatchObject({
    code,
    place: url,
    message: expect.stringMatching(message) as string,
  });
});

test('a key that is named and not there is missed before anything is asked', async () => {
  await expect(open({ url: 'http://localhost:1/', keyVariable: 'NOT_SET_ANYWHERE' })).rejects.toMatchObject({
    code: 'NO_KEY',
  });
});
