import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  statSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
  utimesSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { findSnapshot, hubCacheFolder, parseHubModel } from '../../../../core/io/hub/cache.ts';
import { pullModel } from '../../../../core/io/hub/pull.ts';
import { silentLog } from '../../../../core/log.ts';
import { randomWords } from '../../../../core/testing.ts';
import { commit, FakeHub, type Listing, type Misbehavior } from '../../../support/hub.ts';

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
    [{ HOME: '/home/me' }, '/home/me/.cache/huggingface/hub'],
    [{ HOME: '/home/me', HF_HOME: '~/hf' }, '/home/me/hf/hub'],
    [{ HOME: '/home/me', HF_HOME: '~' }, '/home/me/hub'],
    [{ HOME: '/home/me', HF_HOME: '$HOME/hf' }, '/home/me/hf/hub'],
    [{ HF_HUB_CACHE: '${STORE}/a$B', STORE: '/s', B: 'b' }, '/s/ab'],
    [{ HUGGINGFACE_HUB_CACHE: '~/x', HOME: '/h', HF_HOME: '/b' }, '/h/x'],
    [{ HOME: '/h', XDG_CACHE_HOME: '~/c' }, '/h/c/huggingface/hub'],
    [{ HF_HOME: 'here/hf' }, join(process.cwd(), 'here/hf/hub')],
    [{ HF_HOME: '/a~b', HOME: '/h' }, '/a~b/hub'],
  ])('lies where %j says', (environment, folder) => expect(hubCacheFolder(environment)).toBe(folder));

  test.each([{ HF_HOME: '$NOT_SET_ANYWHERE/hf' }, { HF_HOME: '~someone/hf' }, { HF_HUB_CACHE: '${}/x' }])(
    'is refused where %j says nothing',
    (environment) => expect(() => hubCacheFolder(environment)).toThrow(/what .* stands for is not known/),
  );

  test('is compared with its hashes once: what is damaged is fetched again', async () => {
    const folder = await pull();
    const blob = realpathSync(join(folder, 'model.safetensors'));
    writeFileSync(blob, Buffer.from(weights).fill(7, 1000, 1100));
    await pull();
    expect(readFileSync(blob).equals(weights)).toBe(true);
    expect(warnings).toEqual([expect.stringContaining('model.safetensors in the cache is damaged')]);
    expect(hub.requests).toHaveLength(2);
    // As another program has left it: nothing is noted, so it is looked at, and then not again.
    rmSync(join(cache, 'models--owner--name', '.reasongen-verified.json'));
    await pull();
    expect(hub.requests).toHaveLength(1);
    const record = readFileSync(join(cache, 'models--owner--name', '.reasongen-verified.json'), 'utf8');
    expect(Object.keys(JSON.parse(record) as object)).toHaveLength(3);
  });

  test('holds files themselves where there are no links, and they are recognized', async () => {
    const folder = await pull();
    for (const name of readdirSync(folder)) {
      const path = join(folder, name);
      const blob = realpathSync(path);
      rmSync(path);
      renameSync(blob, path);
    }
    rmSync(join(cache, 'models--owner--name', '.reasongen-verified.json'));
    await pull();
    expect(hub.requests).toEqual(['/api/models/owner/name/revision/main']);
    expect(lstatSync(join(folder, 'model.safetensors')).isFile()).toBe(true);
    // A damaged copy is fetched.
    writeFileSync(join(folder, 'config.json'), 'x'.repeat(config.length));
    await pull();
    expect(readFileSync(join(folder, 'config.json')).equals(config)).toBe(true);
  });

  test('has an empty file where the hub has one', async () => {
    const empty = new FakeHub({
      'config.json': Buffer.alloc(0),
      'model.safetensors': Buffer.alloc(0),
      'README.md': Buffer.alloc(0),
    });
    await empty.open();
    try {
      const options = { url: empty.url, cache, include: [], log: silentLog(), pause: 0.01 };
      const folder = await pullModel(parseHubModel('owner/name'), options);
      for (const name of ['config.json', 'model.safetensors']) expect(readFileSync(join(folder, name))).toHaveLength(0);
    } finally {
      await empty.close();
    }
  });
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
    const parts = blobs().filter((name) => name.endsWith('.incomplete'));
    expect(parts).toHaveLength(1);
    // As much as had arrived when the connection broke.
    const { size } = statSync(join(cache, 'models--owner--name', 'blobs', parts[0] ?? ''));
    expect(size).toBeGreaterThan(0);
    const folder = await pull();
    expect(hub.requests.filter((line) => line.includes('model.safetensors')).at(-1)).toMatch(
      new RegExp(`model\\.safetensors bytes=${size}-$`),
    );
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
  });

  test('of a file that the hub lists no longer is swept after a day, and what another program fetches is left alone', async () => {
    await pull();
    const folder = join(cache, 'models--owner--name', 'blobs');
    const [old, young] = ['a'.repeat(64), 'b'.repeat(64)].map((hash) => join(folder, `${hash}.incomplete`));
    for (const path of [old, young]) writeFileSync(path ?? '', 'part');
    const yesterday = Date.now() / 1000 - 25 * 3600;
    utimesSync(old ?? '', yesterday, yesterday);
    await pull();
    expect(blobs().filter((name) => name.endsWith('.incomplete'))).toEqual([`${'b'.repeat(64)}.incomplete`]);
    rmSync(young ?? '');
  });

  test('to a server that cannot resume starts the file over', async () => {
    const folder = await pull({ files: { 'model.safetensors': [{ cut: 100_000 }, { whole: true }] } });
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
  });

  test('to a server that compresses what nobody wanted compressed', async () => {
    const folder = await pull({ files: { 'config.json': [{ gzip: true }], 'model.safetensors': [{ gzip: true }] } });
    expect(readFileSync(join(folder, 'config.json')).equals(config)).toBe(true);
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
    expect(warnings).toEqual([]);
    rmSync(cache, { recursive: true });
    // Its 206 holds a compressed part, which is none of the file.
    const again = await pull({ files: { 'model.safetensors': [{ cut: 100_000 }, { gzip: true }, { gzip: true }] } });
    expect(readFileSync(join(again, 'model.safetensors')).equals(weights)).toBe(true);
    expect(warnings).toHaveLength(1);
  });

  test.each([false, true])(
    'in the middle of the list of files is tried again (the text just ends: %s)',
    async (ends) => {
      await pull({ cutLists: 2, ends });
      expect(warnings).toHaveLength(2);
      expect(await refusal(pull({ cutLists: 99, ends }))).toMatch(
        /HUB_UNREACHABLE .*brought nothing of the list of files/,
      );
    },
  );

  test('a busy server is asked again', async () => {
    await pull({ files: { 'config.json': [{ status: 503 }, { status: 429 }] } });
    expect(warnings.join('\n')).toMatch(/answered 503[^]*answered 429/);
  });

  test.each([
    ['before it answers', 'at once', 'no answer for 0.1 s'],
    ['in the middle of an answer', 'in the middle', 'no byte came for 0.1 s'],
  ] as const)(
    'a hub that falls silent %s is waited for as long as one wants, which is said',
    async (_, silent, why) => {
      hub.reset({ silent });
      const said: string[] = [];
      const log = { ...silentLog(), info: (line: string) => void said.push(line) };
      const options = { url: hub.url, cache, include: [], log, pause: 0.001, patience: 0.1 };
      expect(await refusal(pullModel(parseHubModel('owner/name'), options))).toMatch(
        new RegExp(`HUB_UNREACHABLE .*${why}; 6 tries`),
      );
      expect(said[0]).toBe('the hub has been silent for 0.05 s; it has 0.1 s (HF_HUB_DOWNLOAD_TIMEOUT changes that)');
      expect(said).toHaveLength(6);
    },
  );

  test('a server that is not there is named', async () => {
    const options = { url: 'http://127.0.0.1:9', cache, include: [], log: silentLog(), pause: 0.001 };
    expect(await refusal(pullModel(parseHubModel('owner/name'), options))).toMatch(
      /HUB_UNREACHABLE the hub cannot be reached/,
    );
  });
});

describe('a page of someone on the way', () => {
  const page = '<!DOCTYPE html><html><body>Log in to the network</body></html>';
  const partial = (): string[] => blobs().filter((name) => name.endsWith('.incomplete'));

  test('is refused by its type, and nothing of it is kept', async () => {
    expect(await refusal(pull({ files: { 'model.safetensors': [{ page }] } }))).toMatch(
      /HUB_WEB_PAGE instead of model\.safetensors came a web page, perhaps .* login/,
    );
    expect(partial()).toEqual([]);
    expect(readFileSync(join(await pull(), 'model.safetensors')).equals(weights)).toBe(true);
    expect(await refusal(pull({ listing: () => page }))).toMatch(/BAD_HUB .*is not JSON but a web page/);
  });

  test('that does not say what it is leaves no byte at the beginning of a file', async () => {
    const folder = await pull({ files: { 'model.safetensors': [{ page, type: 'application/octet-stream' }] } });
    expect(hub.requests.filter((line) => line.includes('model.safetensors'))).toHaveLength(2);
    expect(hub.requests.join()).not.toContain('bytes=');
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
  });

  test('that announces another length is not written', async () => {
    const folder = await pull({ files: { 'model.safetensors': [{ as: Buffer.from(page) }] } });
    expect(warnings.join()).toContain(`the server has ${page.length} bytes for model.safetensors, not 800000`);
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
  });

  test('that lies at the beginning of a file from before is found out, and the file is fetched anew', async () => {
    await refusal(pull({ files: { 'model.safetensors': Array.from({ length: 9 }, () => ({ cut: 0 })) } }));
    const hash = createHash('sha256').update(weights).digest('hex');
    writeFileSync(join(cache, 'models--owner--name', 'blobs', `${hash}.incomplete`), page);
    const folder = await pull();
    expect(warnings.join()).toContain('does not fit the rest');
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
  });
});

describe('a repository without weights that are read', () => {
  const onnx = new FakeHub({
    'config.json': config,
    'tokenizer.json': Buffer.from('{}'),
    'training_args.bin': Buffer.from('pickle'),
    'onnx/model_q4.onnx': Buffer.alloc(1000),
    'model.gguf': Buffer.alloc(10),
  });
  beforeAll(() => onnx.open());
  afterAll(() => onnx.close());

  test('is refused with what it has, unless files are named', async () => {
    const options = { url: onnx.url, cache, include: [] as string[], log: silentLog(), pause: 0.01 };
    const error: unknown = await pullModel(parseHubModel('owner/name'), options).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: 'HUB_NO_WEIGHTS', hint: expect.stringContaining('model.gguf') as string });
    expect(existsSync(join(cache, 'models--owner--name'))).toBe(false);
    const folder = await pullModel(parseHubModel('owner/name'), { ...options, include: ['*.gguf'] });
    expect(readdirSync(folder)).toEqual(['model.gguf']);
  });
});

test('a list of 250000 files is read in seconds', async () => {
  const many = (json: Listing): Listing => ({
    ...json,
    siblings: [
      ...json.siblings,
      ...Array.from({ length: 250_000 }, (_, index) => ({ rfilename: `data/${index}.jpg`, size: 1, blobId: commit })),
    ],
  });
  const start = performance.now();
  await pull({ listing: many });
  // Minutes when every file is compared with every other.
  expect(performance.now() - start).toBeLessThan(30_000);
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

test('a mirror below a path is found, whatever slashes end its address', async () => {
  const mirror = new FakeHub({ 'config.json': config, '*model.safetensors': weights }, 'mirrors/hf/owner/name');
  await mirror.open();
  try {
    for (const end of ['', '/', '//']) {
      const url = `${mirror.url}/mirrors/hf${end}`;
      const wanted = pullModel(parseHubModel('owner/name'), {
        url,
        cache,
        include: [],
        log: silentLog(),
        pause: 0.001,
      });
      expect(await refusal(wanted)).toMatch(/HUB_NOT_FOUND/);
      expect(mirror.requests.at(-1)).toBe('/mirrors/hf/api/models/owner/name/revision/main');
    }
  } finally {
    await mirror.close();
  }
});
