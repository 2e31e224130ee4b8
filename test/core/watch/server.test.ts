import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAccess } from '../../../core/access.ts';
import { pageToken } from '../../../core/commands/page-token.ts';
import { startWatching, type WatchServer } from '../../../core/watch/server.ts';
import { commandLine } from '../../support/command-line.ts';
import { root } from '../../support/runs.ts';
import {
  appendStep,
  askServer,
  onePixel,
  openEvents,
  writeDrawings,
  writeRecord,
  writeWatchedRun,
  type Answered,
  type Json,
} from '../../support/watched-run.ts';

const token = 'a-token-of-the-tests';
let folder: string;
let free: WatchServer;
let guarded: WatchServer;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'reasongen-watch-'));
  mkdirSync(join(folder, 'runs'));
  writeFileSync(join(folder, 'secret.png'), Buffer.from(onePixel, 'base64'));
  writeWatchedRun(join(folder, 'runs', 'ended'), { outcome: 'done' });
  writeWatchedRun(join(folder, 'runs', 'chain', 'second stage'), { outcome: 'stopped' });
  free = await startWatching({ folder: join(folder, 'runs'), port: 0 });
  guarded = await startWatching({ folder: join(folder, 'runs'), port: 0, token, control: true });
});
afterAll(async () => {
  await Promise.all([free.close(), guarded.close()]);
  rmSync(folder, { recursive: true });
});

async function json(path: string, server = free): Promise<Json> {
  const { status, body } = await askServer(server.port, path);
  expect(status, body).toBe(200);
  return JSON.parse(body);
}

/** A run of its own, so that no other test sees it change. */
function newRun(name: string, options: Parameters<typeof writeWatchedRun>[1] = {}): string {
  const directory = join(folder, 'runs', name);
  writeWatchedRun(directory, options);
  return directory;
}

describe('who may ask', () => {
  test.each([
    ['the address itself', '127.0.0.1'],
    ['localhost at another port, as behind ssh -L', 'localhost:9000'],
    ['the other loopback address', '[::1]:8750'],
  ])('%s', async (_, host) => {
    expect((await askServer(free.port, '/api/runs', { headers: { host } })).status).toBe(200);
  });

  test.each([
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.evil.example:80',
    'evil.example:localhost',
    '10.0.0.7',
    'localhost@evil.example',
    '127.0.0.1, evil.example',
  ])('not under the name %j: another site may have given it to this address', async (host) => {
    for (const path of ['/', '/api/runs', '/page/main.js', '/api/events', '/picture/sample?run=ended&step=3&index=0']) {
      const { status, body } = await askServer(free.port, path, { headers: { host } });
      expect([400, 421], path).toContain(status);
      expect(body).not.toContain('ended');
    }
  });

  test.each(['cross-site', 'same-site'])('not from a page of another site (%s)', async (site) => {
    expect((await askServer(free.port, '/api/runs', { headers: { 'sec-fetch-site': site } })).status).toBe(403);
    expect((await askServer(free.port, '/', { headers: { 'sec-fetch-site': site } })).status).toBe(200);
  });

  test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])('%s changes nothing without --control', async (method) => {
    for (const path of ['/', '/api/runs', '/api/control?run=ended']) {
      const { status } = await askServer(free.port, path, { method, headers: { authorization: `Bearer ${token}` } });
      expect(status, path).toBe(405);
    }
    expect(readdirSync(join(folder, 'runs', 'ended'))).not.toContain('requests');
  });

  test('beyond this machine the token is demanded, made where none was given, and an address is enough of a name', async () => {
    const access = createAccess({ host: '0.0.0.0' });
    expect(access.isLoopback).toBe(false);
    expect(access.token).toMatch(/^[\w-]{32}$/);
    expect(createAccess({ host: '0.0.0.0' }).token).not.toBe(access.token);
    expect(access.isOwnHost('192.168.0.7:8750')).toBe(true);
    expect(access.isOwnHost('evil.example')).toBe(false);
    for (const none of [undefined, '', ':80', ' localhost'])
      expect(createAccess({ host: '127.0.0.1' }).isOwnHost(none)).toBe(false);
    expect(createAccess({ host: '127.0.0.1' }).token).toBeUndefined();
    expect(createAccess({ host: '127.0.0.1', control: true }).token).toMatch(/^[\w-]{32}$/);
  });

  test('a page beyond this machine shows nothing without the token', async () => {
    const server = await startWatching({ folder: join(folder, 'runs'), host: '0.0.0.0', port: 0, token });
    try {
      for (const path of [
        '/',
        '/api/runs',
        '/page/main.js',
        '/api/events',
        '/picture/sample?run=ended&step=3&index=0',
        '/?token=wrong',
        `/?token=${token}x`,
        `/api/runs?token=${token}`,
      ])
        expect((await askServer(server.port, path)).status, path).toBe(401);
      for (const authorization of ['Bearer wrong', `Basic ${token}`, `Bearer ${token.toUpperCase()}`, 'Bearer '])
        expect((await askServer(server.port, '/api/runs', { headers: { authorization } })).status).toBe(401);
      expect(
        (await askServer(server.port, '/api/runs', { headers: { authorization: `Bearer ${token}` } })).status,
      ).toBe(200);
    } finally {
      await server.close();
    }
  });

  test('the token leaves the address for a cookie that no script reads', async () => {
    const { status, headers } = await askServer(guarded.port, `/?token=${token}`);
    expect([status, headers.location]).toEqual([303, '/']);
    const cookie = headers['set-cookie']?.[0] ?? '';
    expect(cookie).toMatch(/HttpOnly; SameSite=Lax$/);
    const answer = await askServer(guarded.port, '/api/runs', { headers: { cookie: cookie.split(';')[0] ?? '' } });
    expect(JSON.parse(answer.body).control).toBe(true);
    expect((await json('/api/runs', guarded)).control).toBe(false);
  });

  test.each([
    ['short', 'a'],
    ['with a space', 'sixteen letters or more'],
    ['that would break out of a header', 'sixteen-letters\r\nx: y'],
  ])('a token %s is refused', (_, bad) => {
    expect(() => createAccess({ host: '127.0.0.1', token: bad })).toThrow(
      expect.objectContaining({ code: 'BAD_TOKEN' }),
    );
  });

  test('of the environment counts for a run with its page as for the page alone; set to nothing, it is none', async () => {
    const run = [
      'run',
      join(root, 'presets/nano/sft.yaml'),
      '--watch',
      '--port',
      '0',
      '--run-dir',
      join(folder, 'new'),
    ];
    const [alone, beside] = await Promise.all(
      [['watch', folder, '--port', '0'], run].map((args) => commandLine(args, { REASONGEN_WATCH_TOKEN: 'short' })),
    );
    for (const end of [alone, beside])
      expect(end).toMatchObject({
        code: 2,
        errors: expect.stringContaining('BAD_TOKEN  REASONGEN_WATCH_TOKEN') as string,
      });
    expect(pageToken({ REASONGEN_WATCH_TOKEN: '' }).token).toBeUndefined();
  });

  test('a taken port is said to be taken', async () => {
    await expect(startWatching({ folder, port: free.port })).rejects.toMatchObject({
      code: 'CANNOT_LISTEN',
      message: expect.stringContaining('taken') as string,
    });
    await expect(startWatching({ folder, host: '192.0.2.1', port: 0 })).rejects.toMatchObject({
      code: 'CANNOT_LISTEN',
    });
  });
});

test('a file in the place of the folder is refused, and so is none', async () => {
  const file = join(folder, 'secret.png');
  expect(await commandLine(['watch', file, '--port', '0'])).toMatchObject({
    code: 6,
    errors: expect.stringContaining(`WRONG_FILE_KIND  ${file}`) as string,
  });
  expect((await commandLine(['watch', join(folder, 'none')])).errors).toContain('NO_RUNS');
});

describe('buttons', () => {
  const post = (body: string, headers: Record<string, string> = {}, run = 'going'): Promise<Answered> =>
    askServer(guarded.port, `/api/control?run=${run}`, {
      method: 'POST',
      body,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
    });

  beforeAll(() => {
    const directory = newRun('going');
    writeFileSync(join(directory, 'lock'), JSON.stringify({ id: 'x', pid: 1, host: 'another machine' }));
  });

  const asked = (): object[] => {
    const place = join(folder, 'runs', 'going', 'requests');
    return readdirSync(place).map((name) => {
      const request = JSON.parse(readFileSync(join(place, name), 'utf8')) as object;
      rmSync(join(place, name));
      return request;
    });
  };

  test.each([
    ['save', { kind: 'save' }],
    ['stop', { kind: 'stop' }],
    ['draw', { kind: 'draw', prompts: ['a red bird'] }],
  ])('%s asks the run', async (_, request) => {
    expect((await post(JSON.stringify({ ...request, more: 'is left out' }))).status).toBe(200);
    expect(asked()).toEqual([request]);
  });

  test.each([
    ['without the token', { authorization: '' }, 401],
    ['with a wrong one', { authorization: 'Bearer wrong-token-of-the-tests' }, 401],
    ['from another site', { origin: 'http://evil.example' }, 403],
    ['from another port of this machine', { origin: 'http://127.0.0.1:1' }, 403],
    ['for another host', { host: 'evil.example' }, 421],
  ])('refused %s', async (_, headers, status) => {
    expect((await post('{"kind":"stop"}', headers)).status).toBe(status);
    expect(asked()).toEqual([]);
  });

  test.each([
    '',
    'no json',
    '{"kind":"erase"}',
    '{"kind":"draw"}',
    '{"kind":"draw","prompts":[]}',
    '{"kind":"draw","prompts":[1,""," "]}',
    JSON.stringify({ kind: 'draw', prompts: new Array(9).fill('a') }),
    JSON.stringify({ kind: 'draw', prompts: ['a\u0000b'] }),
    JSON.stringify({ kind: 'draw', prompts: ['x'.repeat(501)] }),
  ])('nothing a run can be asked: %.40s', async (body) => {
    expect((await post(body)).status).toBe(422);
    expect(asked()).toEqual([]);
  });

  test('a run that does not go on is not asked, and one that is not there even less', async () => {
    expect(JSON.parse((await post('{"kind":"stop"}', {}, 'ended')).body)).toMatchObject({ code: 'NOT_RUNNING' });
    expect((await post('{"kind":"stop"}', {}, '..')).status).toBe(404);
  });
});

describe('what is sent', () => {
  test.each(['/', '/page/main.js', '/page/style.css', '/page/uplot.js', '/page/uplot.css', '/page/icon.svg'])(
    '%s, guarded',
    async (path) => {
      const { status, headers, body } = await askServer(free.port, path);
      expect(status).toBe(200);
      expect(body.length).toBeGreaterThan(100);
      expect(headers['content-security-policy']).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
      expect(headers['content-security-policy']).not.toContain('unsafe');
      expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
      expect(headers['x-content-type-options']).toBe('nosniff');
      expect(headers['access-control-allow-origin']).toBeUndefined();
    },
  );

  test('the page itself has no script or style between its tags, and names nothing of another place', async () => {
    const { body } = await askServer(free.port, '/');
    expect(body).not.toMatch(/<style|<script(?![^>]*\bsrc=)|\son\w+=|style=|https?:/);
  });

  test.each([
    '/page/../server.ts',
    '/page/..%2fserver.ts',
    '/page/%2e%2e/server.ts',
    '/page/tsconfig.json',
    '/page/index.html/../../server.ts',
    '/../package.json',
    '/page/..\\server.ts',
    '//etc/passwd',
    '/page/%00',
    '/page/__proto__',
    '/page/constructor',
    '/api/run?run=..',
    '/api/run?run=../runs/ended',
    '/api/run?run=ended/../ended',
    '/api/run?run=/etc',
    '/api/run?run=%00',
    '/api/run?run=ended%2f',
    '/api/run?run=__proto__',
    '/api/run',
    '/api/metrics?run=..%2f..',
    '/api/samples?run=..&step=1',
    '/api/samples?run=ended&step=../1',
    '/api/samples?run=ended&step=-1',
    '/api/samples?run=ended',
    '/picture/sample?run=ended&step=3&index=99',
    '/picture/sample?run=ended&step=..&index=0',
    '/picture/sample?run=..&step=3&index=0',
    '/picture/evaluation?run=ended&evaluation=../../secret&index=0&copy=0',
    '/picture/playground?run=ended&name=../../secret.png',
    '/picture/playground?run=ended&name=step-000001-1/../../../../secret.png',
  ])('nothing at %s', async (path) => {
    const { status, body } = await askServer(free.port, path);
    expect([400, 404], body).toContain(status);
  });

  test('pictures of the records alone, as pictures that can be nothing else', async () => {
    const { status, headers, body } = await askServer(free.port, '/picture/sample?run=ended&step=3&index=0');
    expect([status, headers['content-type']]).toEqual([200, 'image/png']);
    expect(headers['content-security-policy']).toBe("default-src 'none'; sandbox");
    expect(headers['x-content-type-options']).toBe('nosniff');
    expect(body).toContain('PNG');
    const evaluated = (await json('/api/evaluations?run=ended'))[0].pairs[0].after.picture as string;
    expect((await askServer(free.port, `/${evaluated}`)).headers['content-type']).toBe('image/png');
  });

  test.each([
    [
      'a link to a picture elsewhere',
      (folderOf: string) => symlinkSync('../../../../secret.png', join(folderOf, '0.png')),
    ],
    [
      'an SVG under the name of a PNG',
      (folderOf: string) =>
        writeFileSync(
          join(folderOf, '0.png'),
          '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        ),
    ],
    [
      'a page under the name of a PNG',
      (folderOf: string) => writeFileSync(join(folderOf, '0.png'), '<!doctype html><script>alert(1)</script>'),
    ],
  ])('%s is not sent', async (what, change) => {
    const directory = newRun(`pictures ${what.length}`);
    const place = join(directory, 'samples', 'step-000003');
    rmSync(join(place, '0.png'));
    change(place);
    const { status, headers } = await askServer(
      free.port,
      `/picture/sample?run=${encodeURIComponent(`pictures ${what.length}`)}&step=3&index=0`,
    );
    expect(status).toBeGreaterThanOrEqual(400);
    expect(headers['content-type']).toContain('application/json');
  });
});

describe('what is said of a run', () => {
  test('runs at every depth, by what they are', async () => {
    const beating = newRun('states/going');
    writeFileSync(join(beating, 'lock'), JSON.stringify({ id: 'x', pid: 1, host: 'another machine' }));
    const silent = newRun('states/silent');
    writeFileSync(join(silent, 'lock'), JSON.stringify({ id: 'x', pid: 1, host: 'another machine' }));
    utimesSync(join(silent, 'lock'), new Date(0), new Date(0));
    newRun('states/killed, without a lock');
    cpSync(beating, join(folder, 'runs', 'states', 'copied'), { recursive: true });
    rmSync(join(folder, 'runs', 'states', 'copied', 'lock'));
    newRun('states/failed', { outcome: 'failed' });
    // As trackers leave it in a run.
    mkdirSync(join(folder, 'runs', 'states', 'failed', 'trackers'));
    writeFileSync(join(folder, 'runs', 'states', 'failed', 'trackers', 'run.json'), '{}');
    mkdirSync(join(folder, 'runs', 'states', 'broken'));
    writeFileSync(join(folder, 'runs', 'states', 'broken', 'run.json'), '{');
    symlinkSync('/', join(folder, 'runs', 'states', 'link'));
    await new Promise((resolve) => setTimeout(resolve, 2100));
    const { runs } = await json('/api/runs');
    const states = Object.fromEntries(runs.map(({ id, state }: Json) => [id, state]));
    expect(Object.keys(states)).not.toContain('states/failed/trackers');
    expect(states).toMatchObject({
      ended: 'done',
      'chain/second stage': 'stopped',
      'states/going': 'running',
      'states/silent': 'interrupted',
      'states/killed, without a lock': 'interrupted',
      'states/copied': 'interrupted',
      'states/failed': 'failed',
      'states/broken': 'unreadable',
    });
    expect(runs.find(({ id }: Json) => id === 'states/going')).toMatchObject({
      step: 3,
      steps: 20,
      reward: 0.3,
      passRate: 0.5,
      secondsPerStep: 1,
      secondsLeft: 17,
      adapter: 'a device',
      preset: 'tiny.yaml',
      warning: 'the entropy falls',
    });
  });

  test('curves, checkpoints, warnings, targets, and the preset with its origins', async () => {
    const curves = await json('/api/metrics?run=ended');
    expect(curves).toMatchObject({
      lines: 3,
      width: 1,
      steps: [1, 2, 3],
      metrics: { reward: { mean: [0.1, 0.2, 0.3] } },
    });
    const detail = await json('/api/run?run=ended');
    expect(detail).toMatchObject({
      checkpoints: [2],
      sampleSteps: [3],
      targets: { 'text/entropy': 0.25 },
      warnings: [{ text: 'the entropy falls' }],
      memory: { peakBytes: 2 ** 19 },
    });
    const origins = Object.fromEntries(detail.preset.map(({ text, origin }: Json) => [text.trim(), origin]));
    expect(origins).toMatchObject({
      'name: tiny': 'tiny.yaml:1:7',
      'seed: 0': 'default',
      'steps: 20': 'set when the run was resumed',
    });
  });

  test('drawings with everything that explains them', async () => {
    const [first, second] = await json('/api/samples?run=ended&step=3');
    expect(first).toMatchObject({
      step: 3,
      index: 0,
      prompt: 'a photo of a cat',
      total: 0,
      advantage: -0.5,
      tokens: { text: ['a', ' cat'] },
      scores: { verdict: { why: 'found 0 cats', parts: { strict: 0 } } },
    });
    expect(second.total).toBe(1);
    expect(first).not.toHaveProperty('codes');
  });

  test('drawings of the playground, the newest request first, the tenth behind the ninth, and the newest of many', async () => {
    const directory = newRun('played');
    for (let request = 1; request <= 18; request++)
      writeDrawings(directory, 4, `request ${request}`, 4, `playground/step-000004-${request}`);
    writeDrawings(directory, 12, 'later', 1, 'playground/step-000012-1');
    const drawn = await json('/api/playground?run=played');
    expect(drawn).toHaveLength(64);
    expect([...new Set(drawn.map(({ prompt }: Json) => prompt as string))]).toEqual([
      'later',
      ...Array.from({ length: 16 }, (_, at) => `request ${18 - at}`),
    ]);
    expect((await askServer(free.port, `/picture/playground?run=played&name=${drawn[1].picture}`)).status).toBe(200);
  });

  test('evaluations as `compare` says them, flips first, and a prompt through all of them', async () => {
    const [comparison] = await json('/api/evaluations?run=ended');
    expect(comparison.sentence).toMatch(/^Held-out pass rate \.00.*→ 1\.00.*paired difference \+1\.00/);
    expect(comparison).toMatchObject({
      labels: ['before', 'after'],
      flipped: { better: 1, worse: 0 },
      pairs: [{ isFlipped: true, before: { pass: false, why: 'found nothing' }, after: { pass: true } }],
    });
    expect(await json('/api/prompts?run=ended')).toEqual(['a photo of a cat']);
    expect(
      (await json('/api/strip?run=ended&prompt=a%20photo%20of%20a%20cat')).map(({ label, pass }: Json) => [
        label,
        pass,
      ]),
    ).toEqual([
      ['before', false],
      ['after', true],
    ]);
    const [between] = await json(`/api/compare?a=ended&b=${encodeURIComponent('chain/second stage')}`);
    expect(between).toMatchObject({ labels: ['A', 'B'], flipped: { better: 0, worse: 0 } });
  });

  test('records of somebody else: what is no record is left out or said, and nothing ends the server', async () => {
    const directory = newRun('hostile');
    appendFileSync(
      join(directory, 'metrics.ndjson'),
      'no json\n[]\n{"step":4,"__proto__":1,"reward":1e999,"loss":"<b>"}\n',
    );
    writeFileSync(join(directory, 'evaluations', 'bad.heldout.json'), '{}');
    writeRecord(directory, { name: '<img src=x onerror=alert(1)>', sessions: [{ startedAt: 'never' }, 7] });
    expect(await json('/api/metrics?run=hostile')).toMatchObject({
      lines: 4,
      badLines: 2,
      metrics: { reward: { notFinite: 1 } },
    });
    expect((await askServer(free.port, '/api/evaluations?run=hostile')).status).toBe(422);
    expect(await json('/api/run?run=hostile')).toMatchObject({ sessions: [] });
  });
});

describe('what changes is told', () => {
  test('a HEAD opens no stream, which nobody would end', async () => {
    const answer = await fetch(`http://localhost:${free.port}/api/events`, { method: 'HEAD' });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, null]);
  });

  test('a new step within two seconds, drawings and records as they come, to whoever follows the run', async () => {
    const directory = newRun('told');
    const page = openEvents(free.port, 'run=told');
    const other = openEvents(free.port, '');
    const first = await page.until(({ ids }) => ids?.includes('told'));
    expect(first.steps).toBe('all');
    // A busy machine may be late now and then: it is in time if one of three is.
    const late: number[] = [];
    for (const step of [4, 5, 6]) {
      const before = performance.now();
      appendStep(directory, step);
      const { steps: told } = await page.until(({ steps }) => steps?.from === step - 1);
      expect(told.lines).toMatchObject([{ step, reward: step / 10 }]);
      late.push(performance.now() - before);
    }
    expect(Math.min(...late)).toBeLessThan(2000);
    await other.until(({ runs }) => runs.some(({ id, step }: Json) => id === 'told' && step === 6));
    writeDrawings(directory, 4, 'another prompt');
    await page.until(({ parts }) => parts.length === 1 && parts[0] === 'samples');
    appendFileSync(join(directory, 'log.txt'), '2026-01-01T00:00:05.000Z warning: look here\n');
    await page.until(
      ({ parts, runs }) => parts.includes('warnings') && runs.some(({ warning }: Json) => warning === 'look here'),
    );
    expect(other.news.every(({ data }) => data.steps === undefined)).toBe(true);
    page.close();
    other.close();
  });

  test('a page that was open before its run follows it when it begins', async () => {
    const page = openEvents(free.port, 'run=later');
    await page.until(() => true);
    newRun('later');
    expect((await page.until(({ steps }) => steps === 'all')).position.lines).toBe(3);
    page.close();
  });

  test('half a line is told when its other half is there', async () => {
    const directory = newRun('torn');
    const page = openEvents(free.port, 'run=torn');
    await page.until(({ steps }) => steps === 'all');
    appendFileSync(join(directory, 'metrics.ndjson'), '{"step":4,"rew');
    await new Promise((resolve) => setTimeout(resolve, 700));
    appendFileSync(join(directory, 'metrics.ndjson'), 'ard":7}\n');
    expect((await page.until(({ steps }) => steps?.from === 3)).steps.lines).toEqual([{ step: 4, reward: 7 }]);
    page.close();
  });

  test('a page that connects again is told what it has missed, and nothing else', async () => {
    const directory = newRun('again');
    const page = openEvents(free.port, 'run=again');
    await page.until(({ steps }) => steps === 'all');
    const last = page.news.at(-1)?.id ?? '';
    page.close();
    appendStep(directory, 4);
    appendStep(directory, 5);
    const back = openEvents(free.port, 'run=again', last);
    expect((await back.until(({ steps }) => steps !== undefined)).steps).toMatchObject({
      from: 3,
      lines: [{ step: 4 }, { step: 5 }],
    });
    expect(back.news[0]?.data.parts).toEqual([]);
    back.close();
  });

  test.each(['', 'no id', '00000000.1.1.1', '00000000.99999999999999999999.1.1'])(
    'the position %j of another server counts for nothing: everything is told',
    async (id) => {
      const page = openEvents(free.port, 'run=ended', id);
      expect((await page.until(() => true)).steps).toBe('all');
      page.close();
    },
  );

  test('a resume that takes steps back makes the page ask anew', async () => {
    const directory = newRun('resumed');
    const page = openEvents(free.port, 'run=resumed');
    await page.until(({ steps }) => steps === 'all');
    const bytes = readFileSync(join(directory, 'metrics.ndjson'), 'utf8').indexOf('\n') + 1;
    truncateSync(join(directory, 'metrics.ndjson'), bytes);
    for (const step of [2, 3, 4, 5]) appendStep(directory, step, { reward: 9 });
    await page.until(({ position, steps }) => steps === 'all' && position.lines === 5);
    expect(await json('/api/metrics?run=resumed')).toMatchObject({
      generation: 2,
      lines: 5,
      metrics: { reward: { mean: [0.1, 9, 9, 9, 9] } },
    });
    page.close();
  });

  test('50 open pages of a run of 100 000 steps: each is told, and all of it takes under 64 MB', async () => {
    const directory = newRun('long');
    const lines = Array.from(
      { length: 100_000 },
      (_, at) => `{"step":${at + 1},"reward":${at / 1e5},"loss":1,"kl":0.1,"text/entropy":0.2,"unixSeconds":${at}}\n`,
    );
    writeFileSync(join(directory, 'metrics.ndjson'), lines.join(''));
    lines.length = 0;
    const before = memory();
    const pages = Array.from({ length: 50 }, () => openEvents(free.port, 'run=long'));
    await Promise.all(pages.map((page) => page.until(({ steps }) => steps === 'all')));
    expect(await json('/api/metrics?run=long')).toMatchObject({ lines: 100_000 });
    appendStep(directory, 100_001);
    await Promise.all(pages.map((page) => page.until(({ steps }) => steps?.from === 100_000)));
    expect(memory() - before).toBeLessThan(64e6);
    for (const page of pages) page.close();
  });
});

/** Bytes that are in use: what nobody holds any more is collected first. */
function memory(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
