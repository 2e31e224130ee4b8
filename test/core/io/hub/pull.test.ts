import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { main } from '../../../../core/cli.ts';
import { findSnapshot, hubCacheFolder, parseHubModel } from '../../../../core/io/hub/cache.ts';
import { pullModel } from '../../../../core/io/hub/pull.ts';
import { silentLog } from '../../../../core/log.ts';
import { randomWords } from '../../../../core/testing.ts';
import { commit, FakeHub, type Misbehavior } from '../../../support/hub.ts';

const weights = Buffer.from(randomWords(200_000, 5, 2 ** 32).buffer);
const config = Buffer.from('{"model_type":"janus"}');
const hub = new FakeHub({
  'config.json': config,
  'tokenizer.json': Buffer.from('{}'),
  'README.md': Buffer.from('# model'),
  '*model.safetensors': weights,
  '*pytorch_model.bin': Buffer.from('pickle'),
  'onnx/config.json': Buffer.from('{}'),
});

let cache: string;
let warnings: string[];
beforeAll(() => hub.open());
afterAll(() => hub.close());
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), 'hub-'));
  warnings = [];
  hub.reset();
});
afterEach(() => rmSync(cache, { recursive: true }));

function pull(
  misbehavior: Misbehavior = {},
  options: { readonly name?: string; readonly token?: string; readonly include?: readonly string[] } = {},
): Promise<string> {
  hub.reset(misbehavior);
  const { name = 'owner/name', token, include = [] } = options;
  return pullModel(parseHubModel(name), {
    url: hub.url,
    token,
    cache,
    include,
    log: { ...silentLog(), warn: (line) => void warnings.push(line) },
    pause: 0.01,
  });
}

async function refusal(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (error instanceof Error && 'code' in error && 'hint' in error) return `${String(error.code)} ${error.message}`;
  throw error instanceof Error ? error : new Error('nothing was refused');
}

const blobs = (): string[] => readdirSync(join(cache, 'models--owner--name', 'blobs'));

describe('the cache', () => {
  test('has the layout other programs read: blobs by hash, links from the snapshot, the commit of the branch', async () => {
    const folder = await pull();
    expect(folder).toBe(join(cache, 'models--owner--name', 'snapshots', commit));
    expect(readdirSync(folder).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    expect(lstatSync(join(folder, 'model.safetensors')).isSymbolicLink()).toBe(true);
    expect(readlinkSync(join(folder, 'model.safetensors'))).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/);
    expect(readlinkSync(join(folder, 'config.json'))).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/);
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
    expect(readFileSync(join(cache, 'models--owner--name', 'refs', 'main'), 'utf8')).toBe(commit);
    expect(findSnapshot(parseHubModel('owner/name'), { HF_HUB_CACHE: cache })).toBe(folder);
    expect(findSnapshot(parseHubModel(`owner/name@${commit}`), { HF_HUB_CACHE: cache })).toBe(folder);
    expect(findSnapshot(parseHubModel('owner/name@other'), { HF_HUB_CACHE: cache })).toBeUndefined();
  });

  test('what is there is not fetched again', async () => {
    await pull();
    await pull();
    expect(hub.requests).toEqual(['/api/models/owner/name/revision/main']);
  });

  test('patterns choose files, folders included', async () => {
    const folder = await pull({}, { include: ['onnx/*', '*.md'] });
    expect(readdirSync(folder).sort()).toEqual(['README.md', 'onnx']);
    expect(realpathSync(join(folder, 'onnx/config.json'))).toContain('blobs');
    expect(await refusal(pull({}, { include: ['*.gguf'] }))).toMatch(/HUB_NO_FILES .*fits \*\.gguf/);
  });

  test.each([
    [{ HF_HUB_CACHE: '/a', HF_HOME: '/b' }, '/a'],
    [{ HF_HOME: '/b' }, '/b/hub'],
    [{ XDG_CACHE_HOME: '/c' }, '/c/huggingface/hub'],
  ])('lies where %j says', (environment, folder) => expect(hubCacheFolder(environment)).toBe(folder));
});

describe('a connection that breaks', () => {
  test('is resumed where it was cut, also by the next pull', async () => {
    const cuts = [{ cut: 100_000 }, { cut: 300_000 }];
    const folder = await pull({ files: { 'model.safetensors': cuts } });
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
    expect(hub.requests.filter((line) => line.includes('model.safetensors'))).toEqual(
      ['', ' bytes=100000-', ' bytes=400000-'].map(
        (range) => `/owner/name/resolve/${commit}/model.safetensors${range}`,
      ),
    );
    expect(warnings).toHaveLength(2);
  });

  test('that brings nothing is given up after some tries; what is there stays and is used', async () => {
    const dead = Array.from({ length: 9 }, () => ({ cut: 0 }));
    expect(await refusal(pull({ files: { 'model.safetensors': [{ cut: 250_000 }, ...dead] } }))).toMatch(
      /HUB_UNREACHABLE .*tries in a row brought nothing of model\.safetensors/,
    );
    expect(blobs().filter((name) => name.endsWith('.incomplete'))).toHaveLength(1);
    const folder = await pull();
    expect(hub.requests.at(-1)).toMatch(/model\.safetensors bytes=250000-$|tokenizer/);
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
  });

  test('to a server that cannot resume starts the file over', async () => {
    const folder = await pull({ files: { 'model.safetensors': [{ cut: 100_000 }, { whole: true }] } });
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
  });

  test('a busy server is asked again', async () => {
    await pull({ files: { 'config.json': [{ status: 503 }, { status: 429 }] } });
    expect(warnings.join('\n')).toMatch(/answered 503[^]*answered 429/);
  });

  test('a server that is not there is named', async () => {
    const options = { url: 'http://127.0.0.1:9', cache, include: [], log: silentLog(), pause: 0.001 };
    expect(await refusal(pullModel(parseHubModel('owner/name'), options))).toMatch(
      /HUB_UNREACHABLE the hub cannot be reached/,
    );
  });
});

describe('a hub that lies', () => {
  const other = Buffer.from(weights).fill(7, 1000, 1100);
  test('about content is found out by the hash, and nothing is kept', async () => {
    expect(await refusal(pull({ files: { 'config.json': [{ as: Buffer.from('{"model_type":"other"}') }] } }))).toMatch(
      /config\.json has the git hash/,
    );
    expect(blobs()).toEqual([]);
    expect(await refusal(pull({ files: { 'model.safetensors': [{ as: other }] } }))).toMatch(
      /HUB_CONTENT model\.safetensors has the sha256/,
    );
    expect(blobs().filter((name) => name.length >= 64)).toEqual([]);
    expect(existsSync(join(cache, 'models--owner--name', 'refs', 'main'))).toBe(false);
  });

  test('about sizes is found out before the disk is full', async () => {
    expect(await refusal(pull({ files: { 'config.json': [{ as: Buffer.alloc(1000) }] } }))).toMatch(
      /config\.json has more than the 22 bytes/,
    );
    expect(
      await refusal(
        pull({
          listing: (json) => ({
            ...json,
            siblings: json.siblings.map((file) => ({
              ...file,
              lfs: { ...file.lfs, size: 2 ** 52, sha256: 'a'.repeat(64) },
            })),
          }),
        }),
      ),
    ).toMatch(/DISK_FULL/);
  });

  test('about ranges gets another try', async () => {
    const folder = await pull({ files: { 'model.safetensors': [{ cut: 100_000 }, { wrongRange: true }] } });
    expect(warnings.join()).toMatch(/from byte 100000, the server began at 100001/);
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
  });

  test.each([
    '../../evil.json',
    '/etc/evil.json',
    'a/../../evil.json',
    String.raw`..\evil.json`,
    'c:evil.json',
    'a//b.json',
    './evil.json',
    'evil\n.json',
    '',
    7,
  ])('a path like %j is refused, and nothing is fetched', async (path) => {
    const listing: Misbehavior['listing'] = (json) => ({
      ...json,
      siblings: [...json.siblings, { rfilename: path, size: 1, blobId: commit }],
    });
    expect(await refusal(pull({ listing }))).toMatch(/BAD_HUB .*outside of the model's folder/);
    expect(hub.requests).toHaveLength(1);
  });

  test.each<[string, Misbehavior['listing'], RegExp]>([
    ['no JSON', () => '<html>', /is not JSON/],
    ['null', () => 'null', /names no commit/],
    ['a commit that is a path', (json) => ({ ...json, sha: '../../..' }), /names no commit/],
    ['no files', (json) => ({ sha: json.sha }), /has no files/],
    ['a file twice', (json) => ({ ...json, siblings: [...json.siblings, ...json.siblings] }), /"config\.json" twice/],
    [
      'a hash that is a path',
      (json) => ({ ...json, siblings: [{ rfilename: 'a.json', size: 1, blobId: '../x' }] }),
      /no hash of "a\.json"/,
    ],
    [
      'a size below zero',
      (json) => ({ ...json, siblings: [{ rfilename: 'a.json', size: -1, blobId: commit }] }),
      /no size of "a\.json"/,
    ],
  ])('a listing with %s', async (_, listing = (json) => json, message) => {
    expect(await refusal(pull({ listing }))).toMatch(message);
  });

  test('a pinned commit is not exchanged for another', async () => {
    expect(await refusal(pull({}, { name: `owner/name@${'1'.repeat(40)}` }))).toMatch(/is that of commit c0ffee/);
  });
});

describe('who may read', () => {
  test.each([
    [401, undefined, /HUB_FORBIDDEN .*those it knows only/],
    [403, 'mine', /HUB_FORBIDDEN .*owner of HF_TOKEN/],
    [404, undefined, /HUB_NOT_FOUND/],
    [418, undefined, /HUB_REFUSED .*418/],
  ])('%i', async (status, token, message) => {
    expect(await refusal(pull({ status, token: 'other' }, token === undefined ? {} : { token }))).toMatch(message);
    expect(hub.requests).toHaveLength(1);
  });

  test('a token is shown to the hub, and not to where it redirects', async () => {
    await pull({ status: 401, token: 'mine' }, { token: 'mine' });
    expect(new Set(hub.tokens)).toEqual(new Set(['Bearer mine']));
    expect(hub.storageTokens).toEqual([undefined]);
  });
});

describe('the command', () => {
  async function command(
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<{ code: number; output: string; errors: string }> {
    let [output, errors] = ['', ''];
    const code = await main(['pull', ...args], {
      output: { write: (text) => void (output += text) },
      errors: { write: (text: string) => ((errors += text), true) },
      environment: { HF_HOME: cache, ...environment },
    });
    return { code, output: output.trim(), errors };
  }

  test('prints the folder; offline it only looks', async () => {
    expect(await command(['owner/name', '--offline'])).toMatchObject({
      code: 6,
      errors: expect.stringContaining('NOT_PULLED') as string,
    });
    const online = await command(['owner/name', '--hub-url', `${hub.url}/`]);
    expect(online).toMatchObject({ code: 0, output: join(cache, 'hub', 'models--owner--name', 'snapshots', commit) });
    expect(online.errors).toContain('hub:owner/name');
    hub.reset();
    expect(await command(['owner/name'], { HF_ENDPOINT: hub.url, HF_HUB_OFFLINE: '1' })).toMatchObject({
      code: 0,
      output: online.output,
    });
    expect(hub.requests).toEqual([]);
  });

  test.each([
    'name',
    'a/b/c',
    '../x',
    'owner/..',
    'owner/na--me',
    'owner/name@../../x',
    'owner/name@a@b',
    'owner/name@.hidden',
    'own er/name',
  ])('refuses the name %j', async (name) => {
    expect(await command([name, '--hub-url', hub.url])).toMatchObject({
      code: 2,
      errors: expect.stringContaining('BAD_MODEL_NAME') as string,
    });
    expect(hub.requests).toEqual([]);
  });

  test('refuses an address that is none', async () => {
    expect(await command(['owner/name', '--hub-url', 'file:///etc'])).toMatchObject({
      code: 2,
      errors: expect.stringContaining('BAD_HUB') as string,
    });
  });
});
