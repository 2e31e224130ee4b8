/** Nothing that is written or shown holds a key, a token or a password. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { oneLine } from '../../core/answered.ts';
import { formatError, PresetError, ReasongenError } from '../../core/errors.ts';
import { explainError } from '../../core/failure.ts';
import { writeSamples } from '../../core/io/sample-folder.ts';
import { createRun } from '../../core/io/run-directory.ts';
import { shorten } from '../../core/io/text.ts';
import { AnswerCache } from '../../core/judging/answer-cache.ts';
import { isPrivate, readKey } from '../../core/keys.ts';
import { EvidenceLog } from '../../core/evaluation/evidence-log.ts';
import { createLog } from '../../core/log.ts';
import { h } from '../../core/page/dom.js';
import { writeHtml } from '../../core/report/written.ts';
import { parseSetting } from '../../core/preset/settings.ts';
import { hide, scrub, scrubbedJson } from '../../core/scrub.ts';

afterEach(() => vi.unstubAllEnvs());

describe('what is masked', () => {
  test.each([
    ['http://user:hunter2@host/v1', 'http://***@host/v1'],
    ['https://token@host:8000/x?y=1', 'https://***@host:8000/x?y=1'],
    ['see socks5://a:p@ss@proxy:1080, or not', 'see socks5://***@proxy:1080, or not'],
    ['"url": "http://u:p@h"', '"url": "http://***@h"'],
    ['https://s/f?X-Amz-Signature=abc123&part=2', 'https://s/f?X-Amz-Signature=***&part=2'],
    ['https://s/f?a=1&api_key=abc and more', 'https://s/f?a=1&api_key=*** and more'],
    ['hf_AbCdEfGhIjKlMnOpQrStUv is one', 'hf_*** is one'],
    ['sk-proj-0123456789abcdefghij', 'sk-***'],
  ])('%s', (text, expected) => expect(scrub(text)).toBe(expected));

  test.each([
    'an e-mail to me@example.com',
    'https://host/path@2',
    'a key under the doormat, a token of love',
    'sk-no-key-required',
    '3 @ 4 // 5',
    'https://host/v1?page=2&keyword=cat',
  ])('and what is not: %s', (text) => expect(scrub(text)).toBe(text));

  test('values of variables that are secrets by their name, and passwords in addresses', () => {
    vi.stubEnv('SOME_API_KEY', 'value-of-a-key');
    vi.stubEnv('MY_PASSWORD', 'corr"ect horse');
    vi.stubEnv('HTTPS_PROXY', 'http://me:proxy%20word@proxy:1');
    vi.stubEnv('OTHER_TOKEN', 'dummy');
    vi.stubEnv('PATH_LIKE', '/usr/local/bin');
    expect(scrub('the value-of-a-key and "corr\\"ect horse" and proxy word, proxy%20word, dummy, /usr/local/bin')).toBe(
      'the *** and "***" and ***, ***, dummy, /usr/local/bin',
    );
  });

  test('a key that was read, whatever its variable is called, and its parts where it was broken', () => {
    expect(readKey('ANYTHING', 'https://h', { ANYTHING: ' first-key-1\n' })).toBe('first-key-1');
    expect(() => readKey('BROKEN', 'https://h', { BROKEN: 'upper-part\r\nlower-part' })).toThrow(/a line break/);
    expect(scrub('first-key-1, upper-part, lower-part')).toBe('***, ***, ***');
  });

  test('whatever a server makes of a key before it repeats it', () => {
    const key = 'k/ey+"1" <&>é-abcdefgh';
    vi.stubEnv('SOME_API_KEY', key);
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    const escaped = (as: (code: number) => string): string =>
      Array.from(key, (each) => as(each.charCodeAt(0))).join('');
    const markup = key.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;');
    for (const form of [
      key,
      JSON.stringify(key),
      key.replaceAll('/', String.raw`\/`),
      encodeURIComponent(key),
      encodeURIComponent(key).toLowerCase(),
      new URLSearchParams({ a: key }).toString(),
      markup,
      escaped((code) => `&#${code};`),
      escaped((code) => `&#x${code.toString(16).toUpperCase()};`),
      escaped((code) => String.raw`\u${code.toString(16).padStart(4, '0')}`),
      Buffer.from(key).toString('hex'),
    ]) {
      expect(scrub(`said: ${form}.`), form).toContain('***');
      expect(scrub(`said: ${form}.`), form).not.toMatch(/abcdefgh|YWJj|6162|&#1|u006/i);
    }
    // In base64 it looks otherwise by what stands before it; of its last byte some bits may be left.
    for (const before of ['', 'a:', 'ab:', 'user:', 'Bearer '])
      for (const after of ['', '.', 'tail']) {
        const coded = base64(`${before}${key}${after}`);
        expect(scrub(coded).replace(/.{0,11}\*{3}.{0,9}/, '')).toBe('');
        const url = coded.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
        expect(scrub(url).replace(/.{0,11}\*{3}.{0,9}/, '')).toBe('');
      }
  });

  test('no beginning of a key is left where a text is cut', () => {
    hide('key-that-is-cut-in-half');
    for (let before = 0; before < 220; before++) {
      const text = `${'x'.repeat(before)}key-that-is-cut-in-half`;
      for (const cut of [oneLine(text), shorten(text), shorten(text, 200)]) expect(cut).not.toContain('key-t');
    }
  });

  test('before the middle of a long mistake is left out', () => {
    hide('key-that-is-cut-in-half');
    for (let before = 570; before < 610; before++) {
      const message = `${'x '.repeat(500).slice(0, before)}key-that-is-cut-in-half${' y'.repeat(500)}`;
      expect(new PresetError({ code: 'BAD_OPTION', message }).message).not.toContain('key-t');
    }
  });

  test('before the end of a long setting is left out', () => {
    hide('key-that-is-cut-in-half');
    for (let before = 170; before < 205; before++) {
      const problems: PresetError[] = [];
      parseSetting(`${'x'.repeat(before)} key-that-is-cut-in-half`, problems);
      expect(problems[0]?.place).toContain('--set xxx');
      expect(problems[0]?.place).not.toContain('key-t');
    }
  });

  test('in JSON, its texts only', () => {
    hide('12345678');
    const value = { a: 12345678, b: ['x 12345678 y', { c: 'http://u:p@h' }] };
    expect(JSON.parse(scrubbedJson(value))).toEqual({ a: 12345678, b: ['x *** y', { c: 'http://***@h' }] });
  });

  test('any secret in any text, and nothing is read as a pattern', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 8 }), fc.string(), fc.string(), (secret, before, after) => {
        vi.stubEnv('FUZZ_SECRET', secret);
        if (secret.trim().length < 8) return;
        expect(scrub(`${before}${secret.trim()}${after}`).includes(secret.trim())).toBe(false);
      }),
      { numRuns: 300, examples: [['$&$&$&$&', 'a', 'b']] },
    );
  });
});

describe('where it is masked', () => {
  const secret = 'kept-between-us-9';
  const address = 'http://user:kept-between-us-9@host/v1';

  test('errors, with place, hint and causes', () => {
    hide(secret);
    const error = new ReasongenError({ code: 'X', message: `no ${secret}`, place: address, hint: `try ${secret}` });
    expect([error.message, error.place, error.hint, formatError(error)].join()).not.toContain(secret);
    const cause = new TypeError('fetch failed', { cause: new Error(`header "${secret}" is wrong`) });
    expect(formatError(explainError(cause))).toMatch(/fetch failed: header "\*\*\*" is wrong/);
  });

  test('the log, its progress and the report', () => {
    hide(secret);
    let shown = '';
    const log = createLog({
      stream: { write: (text: string) => ((shown += text), true) },
      lineMilliseconds: 0,
      debug: true,
    });
    log.info(secret);
    log.warn(address);
    log.debug(secret);
    const bar = log.progress('work', 2);
    bar.advance(1, secret);
    bar.end();
    expect(shown).toContain('warning: http://***@host/v1');
    expect(shown).not.toContain(secret);
    expect(writeHtml(h('a', { title: address }, secret))).toBe('<a title="http://***@host/v1">***</a>');
  });

  test('every file of a run', async () => {
    hide(secret);
    const folder = mkdtempSync(join(tmpdir(), 'scrub-'));
    try {
      const path = join(folder, 'run');
      const run = await createRun({
        directory: path,
        name: 'r',
        preset: 'recipe: {}\n',
        command: ['reasongen', 'run', 'p.yaml', '--set', `rewards[0].url=${address}`],
        description: { versions: {}, preset: 'p.yaml', adapter: {}, seeds: {}, hashes: {} },
      });
      run.log(`asked ${address}`);
      run.metrics.append({ step: 1, phase: secret });
      await writeSamples(run.path, 'samples/step-000001', [
        { prompt: 'p', why: secret, png: new Uint8Array(4) } as never,
      ]);
      await run.writeEvaluation({ benchmark: 'b', split: 's', label: 'l', note: address } as never);
      await run.close('failed', `the server says ${secret}`);
      const files = [
        'run.json',
        'log.txt',
        'metrics.ndjson',
        'samples/step-000001/samples.jsonl',
        'evaluations/b.s.l.json',
      ];
      for (const file of files) {
        const text = readFileSync(join(path, file), 'utf8');
        expect(text, file).toContain('***');
        expect(text, file).not.toContain(secret);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

test('what judges have said is kept without the key they repeat', async () => {
  hide('kept-between-us-9');
  const folder = mkdtempSync(join(tmpdir(), 'scrub-'));
  try {
    const cache = await AnswerCache.open(folder, 'answers', () => undefined);
    await cache.put('a'.repeat(43), { text: 'you sent "kept-between-us-9"' });
    expect(await cache.get('a'.repeat(43))).toEqual({ value: { text: 'you sent "***"' } });
    await cache.close();
    const path = join(folder, 'evidence.jsonl');
    const log = await EvidenceLog.open(path, {});
    await log.add({ prompt: 'p', picture: 'x' } as Parameters<typeof log.add>[0], { text: 'kept-between-us-9, 0.5' });
    for (const file of [join(folder, 'answers.jsonl'), path])
      expect(readFileSync(file, 'utf8')).toMatch(/^(?!.*kept-between)[^]*\*\*\*/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe('a key', () => {
  test('that is empty is none', () => {
    for (const value of [undefined, '', ' \n']) expect(readKey('K', 'https://h', { K: value })).toBeUndefined();
  });

  test.each(['a\nb-long', 'a\tb-long', 'a b-long', 'a\u0000b-long', 'ключ-long', '“quoted-long”'])(
    'with what no header can hold is refused without being shown: %j',
    (value) => {
      let message = '';
      try {
        readKey('K', 'https://h', { K: value });
      } catch (error) {
        message = formatError(error as ReasongenError);
      }
      expect(message).toMatch(/^BAD_KEY\n {2}The value of K|^BAD_KEY\n {2}the value of K/);
      expect(message).not.toContain(value);
    },
  );

  test.each([
    ['https://judge.example', true],
    ['http://localhost:8000', true],
    ['http://127.0.0.5', true],
    ['http://[::1]:80', true],
    ['http://judge.example', false],
    ['http://10.0.0.1', false],
    ['http://127.0.0.1.example', false],
    ['http://localhost@evil.example', false],
  ])('may go to %s: %s', (url, expected) => expect(isPrivate(url)).toBe(expected));
});

test('a long word without a break is looked through once', () => {
  const word = 'a'.repeat(300_000);
  const started = performance.now();
  expect(scrub(`${word} https://user:secret@host ${word}`)).toContain('https://***@host');
  // Once for each letter it would take minutes.
  expect(performance.now() - started).toBeLessThan(20_000);
});
