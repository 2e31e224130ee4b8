/** `data`: prompts by rule, rationales from a scripted endpoint, and leaks. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { drawnWords, findLeaks, similarityOf } from '../../../core/data/leaks.ts';
import { commandLine, type CommandEnd } from '../../support/command-line.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'reasongen-data-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const path = (name: string): string => join(folder, name);
const write = (name: string, text: string): string => {
  writeFileSync(path(name), text);
  return path(name);
};
const rows = (name: string): Record<string, unknown>[] =>
  readFileSync(path(name), 'utf8')
    .trim()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);

const data = (...args: string[]): Promise<CommandEnd> => commandLine(['data', ...args], { KEY: 'sk-secret' });

describe('prompts', () => {
  test('with seed 43 and 553 of them they are those of GenEval', async () => {
    expect((await data('prompts', '--seed', '43', '--count', '553', '--out', path('geneval.jsonl'))).code).toBe(0);
    const made = rows('geneval.jsonl');
    expect(made).toHaveLength(553);
    expect(made[0]).toEqual({
      tag: 'single_object',
      include: [{ class: 'bench', count: 1 }],
      prompt: 'a photo of a bench',
    });
  });

  test('of objects of one’s own, of one task, the same at every call', async () => {
    const objects = write('objects.txt', 'lantern\nowl\nteapot\nladder\n');
    const flags = ['--objects', objects, '--seed', '7', '--count', '12', '--task', 'counting', '--out'];
    const { code, errors } = await data('prompts', ...flags, path('counting.jsonl'));
    expect(code, errors).toBe(0);
    expect(errors).toMatch(/12 prompts in .*counting\.jsonl: counting 12/);
    for (const { tag, prompt } of rows('counting.jsonl')) {
      expect(tag).toBe('counting');
      expect(prompt).toMatch(/^a photo of (two|three|four) (lanterns|owls|teapots|ladders)$/);
    }
    await data('prompts', ...flags, path('again.jsonl'));
    expect(rows('again.jsonl')).toEqual(rows('counting.jsonl'));
  });

  test.each([
    [
      'fewer than asked for is said',
      ['--objects', 'objects.txt', '--count', '40', '--task', 'counting'],
      0,
      /the rules gave 12 different prompts from these objects in 100 draws of each kind, 40 were asked for/,
    ],
    [
      'a task that is none',
      ['--task', 'countin'],
      2,
      /UNKNOWN_TASK {2}--task\n {2}there is no task "countin"\. Did you mean "counting"/,
    ],
    ['two objects', ['--objects', 'two.txt'], 2, /BAD_ONTOLOGY.*\n {2}this list has 2 class/],
    ['no such list', ['--objects', 'absent.txt'], 6, /absent\.txt/],
  ])('%s', async (name, flags, code, message) => {
    write('two.txt', 'owl\nladder\n');
    const typed = flags.map((flag) => (flag.endsWith('.txt') ? path(flag) : flag));
    const end = await data('prompts', ...typed, '--out', path(`${name}.jsonl`));
    expect(end.errors).toMatch(message);
    if (code !== 6) expect(end.code).toBe(code);
    else expect(end.code).toBeGreaterThan(0);
  });

  test('the folder of the result is made', async () => {
    expect((await data('prompts', '--count', '5', '--out', path('new/folder/prompts.jsonl'))).code).toBe(0);
    expect(readFileSync(path('new/folder/prompts.jsonl'), 'utf8').trim().split('\n')).toHaveLength(5);
  });

  test('nothing is overwritten', async () => {
    write('mine.jsonl', 'mine');
    expect((await data('prompts', '--out', path('mine.jsonl'))).errors).toMatch(/^FILE_EXISTS/);
    expect(readFileSync(path('mine.jsonl'), 'utf8')).toBe('mine');
  });
});

describe('leaks', () => {
  test('the words that say what is to be drawn', () => {
    expect(drawnWords('A photo of TWO knives, and the Boxes!')).toEqual(['2', 'knif', 'and', 'box']);
    expect(drawnWords('a picture of a knife')).toEqual(['knif']);
    const plurals =
      'cats horses vases gloves leaves knives glasses buses boxes dishes berries ties pies giraffes olives';
    const singulars = 'cat horse vase glove leaf knife glass bus box dish berry tie pie giraffe olive';
    expect(drawnWords(plurals)).toEqual(drawnWords(singulars));
    expect(new Set(drawnWords(singulars)).size).toBe(15);
    expect(similarityOf(['red', 'bird'], ['red', 'bird'])).toBe(1);
    expect(similarityOf(['red', 'bird'], ['blue', 'cup'])).toBe(0);
  });

  test('the same text, the same but for its clothes, nearly the same, and nothing', () => {
    const place = 'f';
    const bench = ['a photo of two cakes', 'a photo of a red bird left of a blue cup', 'a photo of a dog'].map(
      (prompt) => ({ prompt, place }),
    );
    const kinds = (prompt: string): string | undefined => findLeaks([{ prompt, place }], bench, 0.65)[0]?.kind;
    expect(kinds('a photo of two cakes')).toBe('exact');
    expect(kinds('Two cakes.')).toBe('normalized');
    expect(kinds('2 cakes')).toBe('normalized');
    expect(kinds('a red bird to the left of a blue cup')).toBe('near');
    expect(kinds('a photo of three cakes')).toBeUndefined();
    expect(kinds('a blue cup left of a red bird')).toBeUndefined();
    expect(kinds('')).toBeUndefined();
  });

  test('a file against a benchmark and a file, as text and as JSON; the exit code tells', async () => {
    write('train.txt', 'a photo of a bench\nA bench!\na lighthouse in fog\n');
    write('held.jsonl', '{"prompt": "the lighthouse in fog"}\n');
    const { code, output } = await data('leaks', path('train.txt'), 'geneval', path('held.jsonl'));
    expect(code).toBe(1);
    expect(output).toMatch(
      /^3 training prompts, 554 of benchmarks: 1 stand in both, 2 but for case, articles and plurals, 0 nearly\n/,
    );
    expect(output).toMatch(/exact {2}.*train\.txt:1: a photo of a bench {2}\| {2}geneval: a photo of a bench/);
    const json = JSON.parse((await data('leaks', path('train.txt'), path('held.jsonl'), '--json')).output) as {
      leaks: unknown[];
    };
    expect(json.leaks).toMatchObject([{ kind: 'normalized', training: { place: `${path('train.txt')}:3` } }]);
    write('clean.txt', 'a lighthouse\n');
    expect((await data('leaks', path('clean.txt'), 'geneval')).code).toBe(0);
  });

  test.each([
    [
      'a benchmark that is none',
      'genevel',
      /UNKNOWN_COMPONENT\n {2}there is neither a file nor a benchmark "genevel"\. Did you mean "geneval"/,
    ],
    ['a file that is not there', './absent.jsonl', /absent\.jsonl/],
  ])('%s', async (_, name, message) => {
    const { code, errors } = await data('leaks', write('train.txt', 'a\n'), name);
    expect(errors).toMatch(message);
    expect(code).toBeGreaterThan(1);
  });
});

describe('rationales', () => {
  /** What the endpoint says to a question, by how often it has been asked. */
  let answer: (
    prompt: string,
    time: number,
  ) => { status?: number; headers?: Record<string, string>; text?: string; finish?: string; body?: string };
  let asked: string[];
  let keys: (string | undefined)[];
  let server: Server;
  let url: string;
  beforeAll(async () => {
    server = createServer((question, response) => {
      let body = '';
      question.on('data', (part) => (body += String(part)));
      question.on('end', () => {
        const { messages } = JSON.parse(body) as { messages: { content: string }[] };
        const prompt = messages[0]?.content.replace(/^draw /, '') ?? '';
        asked.push(prompt);
        keys.push(question.headers.authorization);
        const {
          status = 200,
          headers = {},
          text = `plan of ${prompt}`,
          finish = 'stop',
          body: raw,
        } = answer(prompt, asked.filter((each) => each === prompt).length);
        response.writeHead(status, headers);
        response.end(raw ?? JSON.stringify({ choices: [{ finish_reason: finish, message: { content: text } }] }));
      });
    });
    await new Promise<void>((ready) => void server.listen(0, '127.0.0.1', ready));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  });
  afterAll(() => void server.close());
  beforeEach(() => {
    asked = [];
    keys = [];
    answer = () => ({});
  });
  const prompts = (): string =>
    write(
      'prompts.jsonl',
      ['red', 'blue', 'red', '$& {prompt}']
        .map((prompt, at) => `${JSON.stringify({ prompt, image: `${at}.png` })}\n`)
        .join(''),
    );
  const make = (out: string, ...more: string[]) =>
    data(
      'rationales',
      prompts(),
      '--url',
      url,
      '--model',
      'm',
      '--instruction',
      'draw {prompt}',
      '--out',
      path(out),
      ...more,
    );

  test('first what it will take, and nothing is asked; then a row for every prompt, with the columns it had', async () => {
    const estimate = await make('a.jsonl', '--price-read', '1', '--price-written', '1000000');
    expect(estimate.output).toMatch(
      /^3 requests to m \(1 stand there twice\): about \d+ tokens read, at most 768 written, at most 768\.00 at these prices\n$/,
    );
    expect(estimate.errors).toContain('nothing has been asked: --yes does it');
    expect([asked, existsSync(path('a.jsonl'))]).toEqual([[], false]);
    const done = await make('a.jsonl', '--yes', '--key-variable', 'KEY');
    expect(done.code, done.errors).toBe(0);
    expect(rows('a.jsonl').sort((x, y) => (String(x['image']) < String(y['image']) ? -1 : 1))).toEqual([
      { image: '0.png', brief_caption: 'red', detailed_caption: 'plan of red' },
      { image: '1.png', brief_caption: 'blue', detailed_caption: 'plan of blue' },
      { image: '3.png', brief_caption: '$& {prompt}', detailed_caption: 'plan of $& {prompt}' },
    ]);
    expect(new Set(keys)).toEqual(new Set(['Bearer sk-secret']));
    asked = [];
    expect((await make('a.jsonl', '--yes')).output).toMatch(/^0 requests to m \(3 are written already/);
    expect(asked).toEqual([]);
  });

  test('a busy endpoint is asked again; what ends it loses nothing, and the next call goes on', async () => {
    answer = (prompt, time) => {
      if (prompt === 'blue' && time < 3) return { status: time === 1 ? 429 : 503, headers: { 'retry-after': '0' } };
      return prompt.startsWith('$&') ? { status: 401, body: 'who are you?' } : {};
    };
    const refused = await make('b.jsonl', '--yes', '--at-once', '1');
    expect(refused.code).toBe(1);
    expect(refused.errors).toMatch(/ENDPOINT_REFUSED {2}http.*\n {2}it answered 401 Unauthorized: who are you\?/);
    const kept = rows('b.jsonl').map((row) => row['brief_caption']);
    expect(kept).toContain('red');
    // As a kill leaves the line it was writing.
    writeFileSync(path('b.jsonl'), `${readFileSync(path('b.jsonl'), 'utf8')}{"brief_cap`);
    [answer, asked] = [() => ({}), []];
    expect((await make('b.jsonl', '--yes')).code).toBe(0);
    expect(asked.toSorted()).toEqual(['$& {prompt}', 'blue', 'red'].filter((prompt) => !kept.includes(prompt)));
    expect(rows('b.jsonl')).toHaveLength(3);
  });

  test('two commands do not write one file at once, and an estimate takes nothing from the one that does', async () => {
    let second: Promise<Awaited<ReturnType<typeof make>>> | undefined;
    let estimate: typeof second;
    answer = () => {
      second ??= make('locked.jsonl', '--yes');
      estimate ??= make('locked.jsonl');
      return {};
    };
    expect((await make('locked.jsonl', '--yes')).code).toBe(0);
    const refused = await second;
    expect(refused?.errors).toMatch(/RUN_LOCKED.*\n.* is writing these rationales/);
    expect((await estimate)?.code).toBe(0);
    expect(asked.toSorted()).toEqual(['$& {prompt}', 'blue', 'red']);
    expect((await make('locked.jsonl', '--yes')).output).toMatch(/^0 requests/);
  });

  test('the same words for two prompts, nothing, and half a rationale are left out and counted', async () => {
    answer = (prompt) =>
      prompt.startsWith('$&')
        ? { text: 'Half a', finish: 'length' }
        : { text: prompt === 'red' ? 'A plan.' : 'a plan' };
    const { errors } = await make('c.jsonl', '--yes', '--at-once', '1');
    expect(rows('c.jsonl')).toHaveLength(1);
    expect(errors).toMatch(/2 were left out \(1 in the words of another prompt, 0 empty, 1 cut off at 256 tokens\)/);
  });

  test('rows whose pictures lie beside them and not beside what is written: that is said before anything is asked', async () => {
    write('0.png', 'a picture');
    mkdirSync(path('elsewhere'));
    expect((await make('elsewhere/sft.jsonl')).errors).toMatch(
      /warning: the rows name files beside them, such as 0\.png, which is not beside .*sft\.jsonl/,
    );
    expect((await make('beside.jsonl')).errors).not.toContain('0.png');
  });

  test('thoughts are no part of a rationale, and a model that never ends them was cut off', async () => {
    answer = (prompt) => {
      if (prompt.startsWith('$&')) return { text: '<think>\nThey want', finish: 'length' };
      return { text: `${prompt === 'red' ? '<think>\n' : ''}A plan? Yes.\n</think>\n\nPlan of ${prompt}.` };
    };
    const { errors } = await make('thoughts.jsonl', '--yes', '--at-once', '1');
    expect(rows('thoughts.jsonl').map((row) => row['detailed_caption'])).toEqual(['Plan of red.', 'Plan of blue.']);
    expect(errors).toMatch(/1 were left out \(0 in the words of another prompt, 0 empty, 1 cut off at 256 tokens\)/);
  });

  test.each([
    [
      'an endpoint that answers HTML',
      [],
      { body: '<html>' },
      /ENDPOINT_REFUSED.*\n {2}it answered something that is no chat completion/,
    ],
    [
      'a redirect, with which the key would travel',
      [],
      { status: 302, headers: { location: 'http://example.invalid/' } },
      /ENDPOINT_REFUSED.*\n {2}it answered 302 Found/,
    ],
    ['no address', ['--url', 'localhost'], {}, /^BAD_URL/],
    ['an instruction without a place', ['--instruction', 'draw'], {}, /^BAD_INSTRUCTION/],
    ['a key that is not set', ['--key-variable', 'NONE'], {}, /^KEY_NOT_SET/],
    ['a file of something else', ['--out', 'other.jsonl'], {}, /^BAD_RATIONALES {2}.*other\.jsonl:1\n/],
  ])('%s', async (_, more, said, message) => {
    write('other.jsonl', '{"a": 1}\n');
    answer = () => said;
    const typed = more.map((each) => (each === 'other.jsonl' ? path(each) : each));
    const { code, errors } = await make('d.jsonl', '--yes', '--at-once', '1', ...typed);
    expect(errors).toMatch(message);
    expect(code).toBeGreaterThan(0);
    expect(existsSync(path('d.jsonl'))).toBe(false);
  });
});
