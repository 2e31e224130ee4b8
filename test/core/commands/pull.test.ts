/** `reasongen pull`: what is typed, the environment, and what it says. How files are fetched is tested beside `core/io/hub`. */
import { mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { commandLine, type CommandEnd } from '../../support/command-line.ts';
import { commit, FakeHub } from '../../support/hub.ts';

const hub = new FakeHub({
  'config.json': Buffer.from('{"model_type":"janus"}'),
  'tokenizer.json': Buffer.from('{}'),
  '*model.safetensors': Buffer.alloc(100_000, 'weights'),
});
let cache: string;
beforeAll(() => hub.open());
afterAll(() => hub.close());
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), 'hub-'));
  hub.reset();
});
afterEach(() => rmSync(cache, { recursive: true }));

async function command(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<CommandEnd> {
  const end = await commandLine(['pull', ...args], { HF_HOME: cache, ...environment });
  return { ...end, output: end.output.trim() };
}

test('prints the folder; offline it only looks', async () => {
  expect(await command(['owner/name', '--offline'])).toMatchObject({
    code: 2,
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

test('--only config fetches what tells the sizes, and no more', async () => {
  const config = ['owner/name', '--only', 'config'];
  const { code, output } = await command([...config, '--hub-url', hub.url]);
  expect({ code, files: readdirSync(output) }).toEqual({ code: 0, files: ['config.json'] });
  expect(await command([...config, '--offline'])).toMatchObject({ code: 0, output });
  // The rest of it is not there, and is fetched when it is asked for.
  expect((await command(['owner/name', '--offline'])).errors).toContain('NOT_WHOLE');
  await command(['owner/name', '--hub-url', hub.url]);
  expect(readdirSync(output).toSorted()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
  expect((await command([...config, '--include', '*.md'])).code).not.toBe(0);
});

test('waits for a silent hub as long as HF_HUB_DOWNLOAD_TIMEOUT says; what is no time is refused', async () => {
  expect(await command(['owner/name', '--hub-url', hub.url], { HF_HUB_DOWNLOAD_TIMEOUT: '30' })).toMatchObject({
    code: 0,
  });
  for (const HF_HUB_DOWNLOAD_TIMEOUT of ['0', '-1', 'soon', '1e9'])
    expect(await command(['owner/name', '--hub-url', hub.url], { HF_HUB_DOWNLOAD_TIMEOUT })).toMatchObject({
      code: 2,
      errors: expect.stringContaining('BAD_TIMEOUT') as string,
    });
});

test('offline refuses a folder that lacks something, and names it', async () => {
  const online = await command(['owner/name', '--hub-url', hub.url]);
  rmSync(join(online.output, 'tokenizer.json'));
  rmSync(realpathSync(join(online.output, 'model.safetensors')));
  const offline = await command(['owner/name', '--offline']);
  expect(offline).toMatchObject({ code: 6, output: '' });
  expect(offline.errors).toMatch(
    /NOT_WHOLE[^]*missing: tokenizer\.json, model\.safetensors|missing: .*model\.safetensors/,
  );
  expect(offline.errors).toContain('tokenizer.json');
  await command(['owner/name', '--hub-url', hub.url]);
  expect(await command(['owner/name', '--offline'])).toMatchObject({ code: 0, output: online.output });
});

test('offline knows what is missing where another program has filled the cache', async () => {
  const { output } = await command(['owner/name', '--hub-url', hub.url]);
  rmSync(join(output, '../..', `.reasongen-files-${commit}.json`));
  expect((await command(['owner/name', '--offline'])).code).toBe(0);
  rmSync(join(output, 'tokenizer.json'));
  expect((await command(['owner/name', '--offline'])).errors).toContain('missing: tokenizer.json');
  writeFileSync(join(output, 'model.safetensors.index.json'), '{"weight_map":{"a":"model-1.safetensors"}}');
  expect((await command(['owner/name', '--offline'])).errors).toContain('missing: model-1.safetensors, tokenizer.json');
});

test('gives the token to the hub of the environment only, and never in the open', async () => {
  const secret = 'hf-token-0123456789';
  await command(['owner/name'], { HF_ENDPOINT: hub.url, HF_TOKEN: `${secret}\n` });
  expect(new Set(hub.tokens)).toEqual(new Set([`Bearer ${secret}`]));
  hub.reset({ status: 401 });
  const other = await command(['owner/name', '--hub-url', hub.url], { HF_TOKEN: secret });
  expect(hub.tokens).toEqual([undefined]);
  expect(other.errors).toContain('HF_TOKEN was not sent');
  const open = await command(['owner/name'], { HF_ENDPOINT: 'http://hub.invalid', HF_TOKEN: secret });
  expect(open).toMatchObject({ code: 2, errors: expect.stringContaining('KEY_IN_THE_OPEN') as string });
  const broken = await command(['owner/name'], { HF_ENDPOINT: hub.url, HF_TOKEN: 'hf-first-part\nsecond-part' });
  expect(broken).toMatchObject({ code: 2, errors: expect.stringContaining('BAD_KEY') as string });
  const password = await command(['owner/name'], { HF_ENDPOINT: 'https://user:pass-word-1@hub.invalid' });
  expect(password).toMatchObject({ code: 2, errors: expect.stringContaining('HF_TOKEN') as string });
  for (const { errors } of [other, open, broken, password])
    expect(errors).not.toMatch(/0123456789|first-part|second-part|pass-word-1/);
});

test('goes through the proxy of the environment', async () => {
  const { code, output } = await command(['owner/name'], {
    HF_ENDPOINT: 'http://hub.invalid',
    HTTP_PROXY: hub.url,
  });
  // The hub answers as a proxy would: what it is asked for is a whole address.
  expect({ code, output }).toMatchObject({ code: 0, output: expect.stringContaining('snapshots') as string });
  expect(hub.requests[0]).toBe('http://hub.invalid/api/models/owner/name/revision/main');
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
    errors: expect.stringContaining('BAD_HUB_URL') as string,
  });
});
