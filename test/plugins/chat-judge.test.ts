/** The judge behind a chat endpoint, against a small endpoint of our own. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Reward, Sample } from '../../core/contracts/reward.ts';
import { formatError, ReasongenError } from '../../core/errors.ts';
import { decodePicture } from '../../core/io/image.ts';
import { silentLog } from '../../core/log.ts';
import { boxedScore } from '../../plugins/chat-judge/answer.ts';
import plugin from '../../plugins/chat-judge/index.ts';

describe('what counts of an answer', () => {
  test.each([
    ['a cat and a dog. \\boxed{1}', 1],
    ['\\boxed{1}? No: there is one dog. \\boxed{0}', 0],
    ['about right: \\boxed{ 0.75 }', 0.75],
    ['\\boxed{\\text{1}}', undefined],
    ['\\boxed{2}', undefined],
    ['\\boxed{}', undefined],
    ['\\boxed{1', undefined],
    ['it matches', undefined],
  ])('%s', (answer, expected) => expect(boxedScore(answer)).toBe(expected));
});

interface Question {
  readonly model: string;
  readonly messages: readonly {
    readonly content: readonly [{ readonly image_url: { readonly url: string } }, { readonly text: string }];
  }[];
}

const servers: Server[] = [];
const warnings: string[] = [];
const log = { ...silentLog(), warn: (line: string) => void warnings.push(line) };
beforeEach(() => warnings.splice(0));
afterEach(() => servers.splice(0).forEach((server) => server.close()));

/** An endpoint that answers each question by `answer`; returns its address. */
async function endpoint(
  answer: (
    question: Question,
    count: number,
    request: IncomingMessage,
  ) => {
    text?: string;
    cut?: boolean;
    status?: number;
    headers?: Readonly<Record<string, string>>;
    /** Instead of an answer of the protocol. */
    body?: string;
  },
): Promise<string> {
  let count = 0;
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    let body = '';
    request.on('data', (chunk) => (body += String(chunk)));
    request.on('end', () => {
      const {
        text = '',
        cut = false,
        status = 200,
        headers,
        body: own,
      } = answer(JSON.parse(body) as Question, ++count, request);
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      const choice = { finish_reason: cut ? 'length' : 'stop', message: { content: text } };
      response.end(own ?? (status === 200 ? JSON.stringify({ choices: [choice] }) : '{"error":"busy"}'));
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
}

function open(options: Record<string, unknown>): Reward {
  const [component] = plugin.provides;
  if (component === undefined) throw new Error('no component');
  return component.create(component.options.parse(options), { log } as never) as Reward;
}

function sample(index: number): Sample {
  const image = { width: 2, height: 1, data: Uint8Array.from([index, 2, 3, 4, 5, 6]) };
  return {
    id: `s${index}`,
    prompt: `prompt ${index}`,
    task: 't',
    specification: {},
    rationale: '',
    rationaleEnded: true,
    group: 0,
    copy: 0,
    step: 0,
    phase: 'train',
    image,
    codes: [],
  };
}

const samples = Array.from({ length: 9 }, (_, index) => sample(index));
const { signal } = new AbortController();

test('every picture is shown with its prompt, a few at a time, and the verdicts come back in order', async () => {
  let underWay = 0;
  const url = await endpoint((question, _, request) => {
    underWay += 1;
    expect(request.url).toBe('/v1/chat/completions');
    expect(question.model).toBe('seer');
    const [, words] = question.messages[0]?.content ?? [];
    const index = /prompt (\d)/.exec(words?.text ?? '')?.[1];
    return { text: `I thought about ${index}. \\boxed{${Number(index) % 2}}` };
  });
  const scores = await open({ url, model: 'seer', atOnce: 3 }).score(samples, signal);
  expect(scores).toEqual(
    samples.map((_, index) => ({ value: index % 2, why: `I thought about ${index}. \\boxed{${index % 2}}` })),
  );
  expect(underWay).toBe(9);
});

test.each([
  '$&',
  '$$5 and $1',
  "a wall with $' and $` painted on it",
  '$<name>',
  '{prompt}',
  String.raw`\boxed{1} and "quotes"`,
])('a prompt is asked about as it is: %s', async (prompt) => {
  const asked: (string | undefined)[] = [];
  const url = await endpoint((question) => {
    asked.push(question.messages[0]?.content[1].text);
    return { text: '\\boxed{1}' };
  });
  await open({ url, model: 'seer', instruction: '<{prompt}>, or {prompt}?' }).score([{ ...sample(0), prompt }], signal);
  expect(asked).toEqual([`<${prompt}>, or ${prompt}?`]);
});

test('the picture arrives pixel by pixel', async () => {
  let picture: Promise<{ data: Uint8Array }> | undefined;
  const url = await endpoint((question) => {
    const [shown] = question.messages[0]?.content ?? [];
    picture = decodePicture(Buffer.from(shown?.image_url.url.split(',')[1] ?? '', 'base64'));
    return { text: '\\boxed{1}' };
  });
  await open({ url, model: 'seer' }).score([sample(7)], signal);
  expect([...((await picture)?.data ?? [])]).toEqual([7, 2, 3, 4, 5, 6]);
});

test('an answer without a verdict, or one that was cut off, is said to be none', async () => {
  const url = await endpoint((_, count) =>
    count === 1 ? { text: 'a fine picture' } : { text: '\\boxed{1} but', cut: true },
  );
  const scores = await open({ url, model: 'seer', atOnce: 1 }).score(samples.slice(0, 2), signal);
  expect(scores).toMatchObject([
    { value: 0, unparsed: true, why: expect.stringContaining('a fine picture') },
    { value: 0, unparsed: true, why: expect.stringContaining('cut off') },
  ]);
});

describe('an endpoint that does not answer', () => {
  const failure = async (work: unknown): Promise<{ code: string; message: string; hint: string }> => {
    try {
      await work;
    } catch (error) {
      if (error instanceof ReasongenError)
        return { code: error.code, message: error.message, hint: error.hint ?? 'no hint' };
      throw error;
    }
    throw new Error('nothing failed');
  };

  test('because it is busy is left alone as long as it asks, by all questions, and then asked again', async () => {
    const times: number[] = [];
    const url = await endpoint(() => {
      times.push(Date.now());
      return Date.now() - (times[0] ?? 0) < 900
        ? { status: 429, headers: { 'retry-after': '1' } }
        : { text: '\\boxed{1}' };
    });
    const scores = await open({ url, model: 'seer', atOnce: 4 }).score(samples, signal);
    expect(scores).toEqual(samples.map(() => ({ value: 1, why: '\\boxed{1}' })));
    // Four at once, silence for a second, then the rest.
    const early = times.filter((time) => time - (times[0] ?? 0) < 900);
    expect(early.length).toBeLessThanOrEqual(4);
    expect(times).toHaveLength(9 + early.length);
    expect(warnings).toEqual([expect.stringMatching(/^the judge answered 429 .*it is asked again in 1\.0 s$/)]);
  });

  test('is asked again after growing pauses where it does not say how long', async () => {
    const times: number[] = [];
    const url = await endpoint((_, count) => {
      times.push(Date.now());
      return count < 3 ? { status: 503 } : { text: '\\boxed{1}' };
    });
    expect(await open({ url, model: 'seer' }).score([sample(0)], signal)).toMatchObject([{ value: 1 }]);
    const [first = 0, second = 0, third = 0] = times;
    expect(second - first).toBeGreaterThanOrEqual(490);
    expect(third - second).toBeGreaterThanOrEqual(990);
  });

  test('to the last attempt ends the run and is named', async () => {
    const busy = await endpoint(() => ({ status: 503, headers: { 'retry-after': '0' } }));
    expect(await failure(open({ url: busy, model: 'seer', attempts: 2 }).score(samples, signal))).toEqual({
      code: 'JUDGE_UNREACHABLE',
      message: expect.stringMatching(/in 2 attempts within \d+ s: answered 503 Service Unavailable: .*busy/) as string,
      hint: expect.stringContaining('atOnce') as string,
    });
    const long = await endpoint(() => ({ status: 429, headers: { 'retry-after': '86400' } }));
    expect((await failure(open({ url: long, model: 'seer' }).score([sample(0)], signal))).message).toContain(
      'in 1 attempt ',
    );
    expect(
      await failure(open({ url: 'http://127.0.0.1:9/v1', model: 'seer', attempts: 1 }).score([sample(0)], signal)),
    ).toMatchObject({
      code: 'JUDGE_UNREACHABLE',
      message: expect.stringMatching(/cannot be reached: (bad port|connect ECONNREFUSED)/) as string,
      hint: expect.stringContaining('start the endpoint') as string,
    });
  });

  test.each([
    [400, {}, /answered 400/],
    [401, {}, /answered 401/],
    [404, {}, /answered 404/],
    [307, { location: 'http://127.0.0.1:9/v2' }, /sends all questions on to http:\/\/127\.0\.0\.1:9\/v2/],
  ])('but refuses with %i is asked once', async (status, headers, message) => {
    let asked = 0;
    const url = await endpoint(() => ({ status, headers, text: String(++asked) }));
    expect(await failure(open({ url, model: 'seer', atOnce: 1 }).score(samples, signal))).toMatchObject({
      code: 'JUDGE_REFUSED',
      message: expect.stringMatching(message) as string,
    });
    expect(asked).toBe(1);
  });

  test('to max_tokens is asked with the newer name', async () => {
    const lengths: unknown[] = [];
    const url = await endpoint((question) => {
      const { max_tokens: old, max_completion_tokens: newer } = question as unknown as Record<string, unknown>;
      lengths.push([old, newer]);
      return old === undefined
        ? { text: '\\boxed{1}' }
        : { status: 400, body: "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead." };
    });
    const scores = await open({ url, model: 'seer', atOnce: 1, maxTokens: 9 }).score(samples.slice(0, 2), signal);
    expect(scores).toMatchObject([{ value: 1 }, { value: 1 }]);
    expect(lengths).toEqual([
      [9, undefined],
      [undefined, 9],
      [undefined, 9],
    ]);
  });

  test.each([
    ['<html>login</html>', /not JSON: <html>login/],
    ['{"error":{"message":"overloaded"}}', /not one of a chat endpoint: .*overloaded/],
    ['{"choices":[]}', /not one of a chat endpoint/],
    ['null', /not one of a chat endpoint/],
  ])('properly, but with %s, is said to', async (body, message) => {
    const url = await endpoint(() => ({ body }));
    expect(await failure(open({ url, model: 'seer', attempts: 1 }).score([sample(0)], signal))).toMatchObject({
      code: 'JUDGE_UNREACHABLE',
      message: expect.stringMatching(message) as string,
    });
  });
});

describe('the key', () => {
  const authorizations = async (options: Record<string, unknown>): Promise<(string | undefined)[]> => {
    const seen: (string | undefined)[] = [];
    const url = await endpoint((_, __, request) => {
      seen.push(request.headers.authorization);
      return { text: '\\boxed{1}' };
    });
    await open({ url, model: 'seer', ...options }).score([sample(0)], signal);
    return seen;
  };
  beforeEach(() => {
    vi.stubEnv('OPENAI_API_KEY', 'openai-key-0123456789');
    vi.stubEnv('JUDGE', 'judge-key-0123456789\n');
  });
  afterEach(() => vi.unstubAllEnvs());

  test('of OpenAI goes to OpenAI only; another goes where the preset names it', async () => {
    expect(await authorizations({})).toEqual([undefined]);
    expect(await authorizations({ keyVariable: 'JUDGE' })).toEqual(['Bearer judge-key-0123456789']);
    expect(await authorizations({ keyVariable: 'OPENAI_API_KEY' })).toEqual(['Bearer openai-key-0123456789']);
  });

  test.each([
    [{ keyVariable: 'JUDGE', url: 'http://judge.example/v1' }, 'KEY_IN_THE_OPEN'],
    [{ keyVariable: 'JUDGE', url: 'http://localhost.example/v1' }, 'KEY_IN_THE_OPEN'],
    [{ keyVariable: 'NOT_SET_ANYWHERE', url: 'https://judge.example/v1' }, 'NO_KEY'],
    [{ keyVariable: 'BROKEN', url: 'https://judge.example/v1' }, 'BAD_KEY'],
    [{ keyVariable: 'WIDE', url: 'https://judge.example/v1' }, 'BAD_KEY'],
  ])('is refused before anything is asked: %j', (options, code) => {
    vi.stubEnv('BROKEN', 'first-half\nsecond-half');
    vi.stubEnv('WIDE', 'schlüssel-0123456789');
    let error: unknown;
    try {
      open({ model: 'seer', ...options });
    } catch (caught) {
      error = caught;
    }
    expect(error).toMatchObject({ code });
    expect(formatError(error as ReasongenError)).not.toMatch(/judge-key|first-half|second-half|schlüssel/);
  });

  test.each([
    'http://user:hunter22@localhost/v1',
    'http://localhost/v1?key=abcdefgh',
    'http://localhost/v1#x',
    'file:///v1',
    'no address',
  ])('has no place in the address, and %s is none', (url) => {
    const [component] = plugin.provides;
    expect(component?.options.safeParse({ url, model: 'seer' }).success).toBe(false);
  });

  test('is masked in what an endpoint says', async () => {
    const url = await endpoint((_, __, request) => ({ status: 400, body: `no: ${request.headers.authorization}` }));
    const error: unknown = await Promise.resolve(
      open({ url, model: 'seer', keyVariable: 'JUDGE' }).score([sample(0)], signal),
    ).catch((caught: unknown) => caught);
    expect(formatError(error as ReasongenError)).toContain('no: Bearer ***');
    expect((error as ReasongenError).message).not.toContain('judge-key');
  });
});

test('a run that is given up asks no further', async () => {
  const given = new AbortController();
  const url = await endpoint(() => {
    given.abort(new Error('given up'));
    return { text: '\\boxed{1}' };
  });
  await expect(open({ url, model: 'seer', atOnce: 1 }).score(samples, given.signal)).rejects.toThrow('given up');
});
