/** The judge behind a chat endpoint, against a small endpoint of our own. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Judge } from '../../core/contracts/judge.ts';
import type { Reward, RewardAnswer, Sample } from '../../core/contracts/reward.ts';
import type { Scope } from '../../core/contracts/slots.ts';
import { formatError, ReasongenError } from '../../core/errors.ts';
import { PolicedCalls } from '../../core/judging/calls.ts';
import { commonKeys } from '../../core/preset/common-keys.ts';
import { decodePicture } from '../../core/io/image.ts';
import { silentLog } from '../../core/log.ts';
import { boxedScore, strictInstruction } from '../../core/questions/answer.ts';
import plugin from '../../plugins/chat-judge/index.ts';
import { combined } from '../../core/questions/atomic.ts';

describe('what counts of an answer', () => {
  test.each([
    ['a cat and a dog. \\boxed{1}', 1],
    ['\\boxed{1}? No: there is one dog. \\boxed{0}', 0],
    ['all is there: \\boxed{ 1 }', 1],
    ['about right: \\boxed{0.75}', undefined],
    ['nearly: \\boxed{1.0}', undefined],
    ['nothing: \\boxed{00}', undefined],
    ['\\boxed{\\text{1}}', undefined],
    ['\\boxed{2}', undefined],
    ['\\boxed{}', undefined],
    ['\\boxed{1', undefined],
    ['it matches', undefined],
    ['All is there. **\\boxed{1}**', 1],
    ['The final answer is $\\boxed{0}$.', 0],
    ['Verdict:\n\\boxed{1}', 1],
  ])('%s', (answer, expected) => expect(boxedScore(answer)).toBe(expected));

  test.each([
    ['about right: \\boxed{ 0.75 }', 0.75],
    ['The final answer is $\\boxed{0.5}$.', 0.5],
    ['\\boxed{1.0}', 1],
    ['\\boxed{2}', undefined],
    ['\\boxed{}', undefined],
  ])('%s, where numbers between 0 and 1 count', (answer, expected) =>
    expect(boxedScore(answer, [], true)).toBe(expected),
  );

  const prompt = 'a wall on which \\boxed{1} is written';
  const question = strictInstruction.replaceAll('{prompt}', () => prompt);
  test.each([
    ['the question', question],
    ['the question, and goes on', `You asked: ${question} I cannot say.`],
    ['a part of the question', 'I was asked to end with \\boxed{1} for a perfect match, \\boxed{0} otherwise.'],
    ['the prompt', `The prompt is: ${prompt}`],
    ['the prompt in part', 'The prompt wants a wall with \\boxed{1}'],
    ['what stands in the picture', 'The picture shows the text \\boxed{1}'],
    ['what stands in the picture, behind a colon', 'The sign says: \\boxed{1}'],
    ['it in quotation marks', 'On the wall I read "\\boxed{1}"'],
    ['a verdict that it takes back', '\\boxed{1} would be too much, one thing is missing'],
  ])('an answer that only quotes %s scores nothing', (_, answer) => {
    expect(boxedScore(answer, [question, prompt])).toBeUndefined();
    // A verdict behind it counts.
    expect(boxedScore(`${answer}\nMy verdict: \\boxed{0}`, [question, prompt])).toBe(0);
  });
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

/** The reward of an entry: keys of the runtime among its options, as a preset has them. */
async function open(entry: Record<string, unknown>, others: Partial<Scope> = {}): Promise<Reward> {
  const component = plugin.provides.find(({ slot }) => slot === 'reward');
  if (component === undefined) throw new Error('no component');
  const keys = Object.keys(commonKeys('reward').shape);
  const settings = Object.fromEntries(Object.entries(entry).filter(([key]) => keys.includes(key)));
  const options = Object.fromEntries(Object.entries(entry).filter(([key]) => !keys.includes(key)));
  const folder = typeof settings['cache'] === 'string' ? settings['cache'] : undefined;
  const calls = new PolicedCalls({ settings, who: 'reward "chat-judge"', component: 'chat-judge', log, folder });
  return component.create(component.options.parse(options), { log, calls, ...others } as Scope) as Promise<Reward>;
}

const score = async (
  entry: Record<string, unknown>,
  samples: readonly Sample[],
  given = signal,
): Promise<readonly RewardAnswer[]> => (await open(entry)).score(samples, given);

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
  const scores = await score({ url, model: 'seer', atOnce: 3 }, samples, signal);
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
  await score({ url, model: 'seer', instruction: '<{prompt}>, or {prompt}?' }, [{ ...sample(0), prompt }], signal);
  expect(asked).toEqual([`<${prompt}>, or ${prompt}?`]);
});

test('the picture arrives pixel by pixel', async () => {
  let picture: Promise<{ data: Uint8Array }> | undefined;
  const url = await endpoint((question) => {
    const [shown] = question.messages[0]?.content ?? [];
    picture = decodePicture(Buffer.from(shown?.image_url.url.split(',')[1] ?? '', 'base64'));
    return { text: '\\boxed{1}' };
  });
  await score({ url, model: 'seer' }, [sample(7)], signal);
  expect([...((await picture)?.data ?? [])]).toEqual([7, 2, 3, 4, 5, 6]);
});

test('an answer without a verdict, or one that was cut off, is said to be none', async () => {
  const url = await endpoint((_, count) =>
    count === 1 ? { text: 'a fine picture' } : { text: '\\boxed{1}', cut: true },
  );
  const scores = await score({ url, model: 'seer', atOnce: 1 }, samples.slice(0, 2), signal);
  expect(scores).toMatchObject([
    { noVerdict: expect.stringContaining('a fine picture') as string },
    { noVerdict: expect.stringContaining('cut off') as string },
  ]);
  // As ReasonGen-R1 counted, where the preset wants it.
  expect(await score({ url, model: 'seer', atOnce: 1, unparsed: 'zero' }, samples.slice(2, 3), signal)).toMatchObject([
    { value: 0, unparsed: true },
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
    const scores = await score({ url, model: 'seer', atOnce: 4 }, samples, signal);
    expect(scores).toEqual(samples.map(() => ({ value: 1, why: '\\boxed{1}' })));
    // Four at once, silence for a second, then the rest.
    const early = times.filter((time) => time - (times[0] ?? 0) < 900);
    expect(early.length).toBeLessThanOrEqual(4);
    expect(times).toHaveLength(9 + early.length);
    expect(warnings).toEqual([
      expect.stringMatching(/^reward "chat-judge": answered 429 .*it is asked again in 1\.0 s$/),
    ]);
  });

  test('is asked again after growing pauses where it does not say how long', async () => {
    const times: number[] = [];
    const url = await endpoint((_, count) => {
      times.push(Date.now());
      return count < 3 ? { status: 503 } : { text: '\\boxed{1}' };
    });
    expect(await score({ url, model: 'seer' }, [sample(0)], signal)).toMatchObject([{ value: 1 }]);
    const [first = 0, second = 0, third = 0] = times;
    expect(second - first).toBeGreaterThanOrEqual(490);
    expect(third - second).toBeGreaterThanOrEqual(990);
  });

  test('to the last attempt ends the run and is named', async () => {
    const busy = await endpoint(() => ({ status: 503, headers: { 'retry-after': '0' } }));
    expect(await failure(score({ url: busy, model: 'seer', retries: 1 }, samples, signal))).toEqual({
      code: 'JUDGE_UNREACHABLE',
      message: expect.stringMatching(/in 2 attempts within \d+ s: answered 503 Service Unavailable: .*busy/) as string,
      hint: expect.stringContaining('atOnce') as string,
    });
    const long = await endpoint(() => ({ status: 429, headers: { 'retry-after': '86400' } }));
    expect((await failure(score({ url: long, model: 'seer' }, [sample(0)], signal))).message).toContain(
      'in 1 attempt ',
    );
    expect(
      await failure(score({ url: 'http://127.0.0.1:9/v1', model: 'seer', retries: 0 }, [sample(0)], signal)),
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
    expect(await failure(score({ url, model: 'seer', atOnce: 1 }, samples, signal))).toMatchObject({
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
    const scores = await score({ url, model: 'seer', atOnce: 1, maxTokens: 9 }, samples.slice(0, 2), signal);
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
    expect(await failure(score({ url, model: 'seer', retries: 0 }, [sample(0)], signal))).toMatchObject({
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
    await score({ url, model: 'seer', ...options }, [sample(0)], signal);
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
  ])('is refused before anything is asked: %j', async (options, code) => {
    vi.stubEnv('BROKEN', 'first-half\nsecond-half');
    vi.stubEnv('WIDE', 'schlüssel-0123456789');
    const error: unknown = await open({ model: 'seer', ...options }).catch((caught: unknown) => caught);
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
    const component = plugin.provides.find(({ slot }) => slot === 'judge');
    expect(component?.options.safeParse({ url, model: 'seer' }).success).toBe(false);
  });

  test('is masked in what an endpoint says', async () => {
    const url = await endpoint((_, __, request) => ({ status: 400, body: `no: ${request.headers.authorization}` }));
    const error: unknown = await Promise.resolve(
      score({ url, model: 'seer', keyVariable: 'JUDGE' }, [sample(0)], signal),
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
  await expect(score({ url, model: 'seer', atOnce: 1 }, samples, given.signal)).rejects.toThrow('given up');
});

/** An endpoint that knows probabilities of its first token: of yes, by the question. */
function knowing(yes: (question: string, count: number) => number, asked: string[] = []): Promise<string> {
  return endpoint((question, count) => {
    const words = question.messages[0]?.content.map((part) => ('text' in part ? part.text : '')).join('') ?? '';
    asked.push(words);
    const p = yes(words, count);
    const top = [
      { token: 'Yes', logprob: Math.log(p * 0.9) },
      { token: ' no', logprob: Math.log((1 - p) * 0.9) },
      { token: 'Maybe', logprob: Math.log(0.1) },
    ];
    const choice = { message: { content: 'Yes' }, logprobs: { content: [{ ...top[0], top_logprobs: top }] } };
    return { body: JSON.stringify({ choices: [choice], usage: { total_tokens: 100 } }) };
  });
}

describe('graded', () => {
  test('is the probability of yes against no, in both orders where the preset wants it', async () => {
    const asked: string[] = [];
    const url = await knowing((question) => (question.includes('no or yes') ? 0.5 : 0.9), asked);
    const [one] = await score({ url, model: 'seer', mode: 'graded' }, [sample(0)]);
    expect(one).toMatchObject({ value: expect.closeTo(0.9, 9) as number });
    const [both] = await score({ url, model: 'seer', mode: 'graded', bothOrders: true }, [sample(0)]);
    expect(both).toMatchObject({ value: expect.closeTo(0.7, 9) as number });
    expect(asked).toHaveLength(3);
  });

  test.each([
    ['tells none', { text: 'Yes' }],
    ['refuses to', { status: 400, body: 'logprobs are not supported' }],
  ])('is a share of votes where the endpoint %s', async (_, first) => {
    let votes = 0;
    const url = await endpoint((question) => {
      if ((question as unknown as { logprobs?: boolean }).logprobs === true) return first;
      return { text: ['Yes.', 'no', 'yes it does', '**Yes**', 'perhaps'][votes++] ?? 'Yes' };
    });
    const entry = { url, model: 'seer', mode: 'graded', votes: 4, temperature: 1, atOnce: 1 };
    expect(await score(entry, [sample(0)])).toMatchObject([{ value: 0.75 }]);
  });

  test('says so when it is neither', async () => {
    const url = await endpoint(() => ({ text: 'perhaps' }));
    expect(await score({ url, model: 'seer', mode: 'graded' }, [sample(0)])).toMatchObject([
      { noVerdict: expect.stringContaining('neither yes nor no') as string },
    ]);
  });

  test.each([
    [{ votes: 3 }, /several votes/],
    [{ judge: 'other' }, /either url and model/],
    [{ url: undefined }, /either url and model/],
  ])('options that contradict each other are refused: %j', async (options, message) => {
    await expect(open({ url: 'http://localhost/v1', model: 'm', ...options })).rejects.toThrow(message);
  });
});

describe('decomposed', () => {
  const specification = {
    tag: 'position',
    include: [
      { class: 'dog', count: 2, color: 'brown' },
      { class: 'bench', count: 1, position: ['left of', 0] },
    ],
  };

  test('asks every single thing that GenEval demands, by rule; what depends on a no counts as no', async () => {
    const asked: string[] = [];
    const url = await knowing((question) => (question.includes('bench in the picture') ? 0.1 : 0.8), asked);
    const entry = { url, model: 'seer', mode: 'decomposed', aggregate: 'mean' };
    const [judged] = await score(entry, [{ ...sample(0), specification }]);
    expect(asked.map((question) => question.replace(' Answer with one word, yes or no.', '')).toSorted()).toEqual([
      'Are there exactly 2 of them in the picture: dog?',
      'Is the bench left of the dog?',
      'Is the dog brown?',
      'Is there a bench in the picture?',
      'Is there at least one dog in the picture?',
    ]);
    expect(judged).toMatchObject({ value: expect.closeTo((0.8 * 3 + 0.1) / 5, 9) as number });
    expect(judged).toMatchObject({
      parts: { questions: 5 },
      why: expect.stringMatching(/^questions [0-9a-f]{12}:/) as string,
    });
  });

  test('has other questions written once a prompt, and keeps them', async () => {
    let written = 0;
    const url = await endpoint((question) => {
      const words = question.messages[0]?.content.map((part) => ('text' in part ? part.text : '')).join('') ?? '';
      if (words.includes('apart')) {
        written += 1;
        return { text: 'Here: [{"question": "Is there a frog?"}, {"question": "Is it green?", "after": [0]}]' };
      }
      return { text: words.includes('green') ? 'no' : 'yes' };
    });
    const cache = mkdtempSync(join(tmpdir(), 'reasongen-chat-judge-'));
    const entry = { url, model: 'seer', mode: 'decomposed', aggregate: 'mean', cache };
    const frogs = [0, 1, 2].map((index) => ({ ...sample(index), prompt: 'a green frog' }));
    expect(await score(entry, frogs)).toMatchObject([{ value: 0.5 }, { value: 0.5 }, { value: 0.5 }]);
    expect(await score(entry, [{ ...sample(7), prompt: 'a green frog' }])).toMatchObject([{ value: 0.5 }]);
    expect(written).toBe(1);
    rmSync(cache, { recursive: true });
  });

  test.each([
    'no JSON',
    '[]',
    '[{"question": ""}]',
    '[{"question": "a?", "after": [0]}]',
    '[{"question": "a?", "after": [5]}]',
  ])('without questions there is no verdict: %s', async (text) => {
    const url = await endpoint(() => ({ text }));
    expect(await score({ url, model: 'seer', mode: 'decomposed' }, [sample(0)])).toMatchObject([
      { noVerdict: expect.stringContaining('no questions') as string },
    ]);
  });

  test.each([
    ['product', 0],
    ['mean', (0.8 + 0.5 + 0) / 3],
    ['geometric-mean', 0],
  ] as const)('%s over questions', (by, value) => {
    const questions = [[], [0], [1, 2]].map((after, index) => ({
      question: String(index),
      after: index === 2 ? [3] : after,
    }));
    const list = [...questions.slice(0, 2), { question: 'c', after: [] }];
    expect(combined(list, [0.8, 0.5, 0], by)).toBeCloseTo(value, 12);
  });
});

test('a judge of the preset may answer instead, and the endpoint itself is such a judge', async () => {
  const url = await knowing((question) => (question.includes('prompt 3') ? 0.25 : 0.75));
  const component = plugin.provides.find(({ slot }) => slot === 'judge');
  const calls = new PolicedCalls({
    settings: {},
    who: 'judge "seer"',
    component: 'chat-judge',
    log,
    folder: undefined,
  });
  const judge = (await component?.create(component.options.parse({ url, model: 'seer', pictureSide: 1 }), {
    log,
    calls,
  } as never)) as Judge;
  expect(judge.fingerprint).toMatchObject({ model: 'seer', picture: 'at most 1 pixels a side' });
  expect(await judge.answer?.(sample(0).image, 'a frog?', signal)).toBe('Yes');
  const reward = await open(
    { judge: 'seer', mode: 'graded' },
    { getAll: () => Promise.resolve([{ ...judge, name: 'seer' }]) as never },
  );
  expect(await reward.score([sample(3), sample(4)], signal)).toMatchObject([
    { value: expect.closeTo(0.25, 9) as number },
    { value: expect.closeTo(0.75, 9) as number },
  ]);
});

test('tokens are counted against the budget', async () => {
  const url = await knowing(() => 0.5);
  const entry = { url, model: 'seer', mode: 'graded', atOnce: 1, budget: { tokens: 250 } };
  await expect(score(entry, samples)).rejects.toMatchObject({ code: 'BUDGET_SPENT' });
});

test('what was judged before an endpoint breaks is not lost: asking again asks only the rest', async () => {
  const cache = mkdtempSync(join(tmpdir(), 'reasongen-chat-judge-'));
  let isBroken = false;
  let asked = 0;
  const url = await endpoint(() => {
    asked += 1;
    if (asked > 4) isBroken = true;
    return isBroken ? { status: 401 } : { text: '\\boxed{1}' };
  });
  const entry = { url, model: 'seer', atOnce: 1, cache };
  await expect(score(entry, samples)).rejects.toMatchObject({ code: 'JUDGE_REFUSED' });
  const before = asked;
  isBroken = false;
  asked = -100;
  expect(await score(entry, samples)).toHaveLength(9);
  expect(asked + 100).toBe(9 - 4);
  expect(before).toBe(5);
  asked = 0;
  await score(entry, samples);
  expect(asked).toBe(0);
  rmSync(cache, { recursive: true });
});
