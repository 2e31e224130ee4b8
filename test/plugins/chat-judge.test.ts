/** The judge behind a chat endpoint, against a small endpoint of our own. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import type { Reward, Sample } from '../../core/contracts/reward.ts';
import { decodePng } from '../../core/io/image.ts';
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
afterEach(() => servers.splice(0).forEach((server) => server.close()));

/** An endpoint that answers each question by `answer`; returns its address. */
async function endpoint(
  answer: (
    question: Question,
    count: number,
    request: IncomingMessage,
  ) => { text?: string; cut?: boolean; status?: number },
): Promise<string> {
  let count = 0;
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    let body = '';
    request.on('data', (chunk) => (body += String(chunk)));
    request.on('end', () => {
      const { text = '', cut = false, status = 200 } = answer(JSON.parse(body) as Question, ++count, request);
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(
        status === 200
          ? JSON.stringify({ choices: [{ finish_reason: cut ? 'length' : 'stop', message: { content: text } }] })
          : '{"error":"busy"}',
      );
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
}

function open(options: Record<string, unknown>): Reward {
  const [component] = plugin.provides;
  if (component === undefined) throw new Error('no component');
  return component.create(component.options.parse(options), {} as never) as Reward;
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
    picture = decodePng(Buffer.from(shown?.image_url.url.split(',')[1] ?? '', 'base64'));
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

test('an endpoint that is busy is asked again; one that stays so ends the run and is named', async () => {
  const url = await endpoint((_, count) => (count < 3 ? { status: 503 } : { text: '\\boxed{1}' }));
  expect(await open({ url, model: 'seer' }).score([sample(0)], signal)).toMatchObject([{ value: 1 }]);
  const busy = await endpoint(() => ({ status: 503 }));
  await expect(open({ url: busy, model: 'seer', attempts: 2 }).score(samples, signal)).rejects.toMatchObject({
    code: 'JUDGE_UNREACHABLE',
    place: busy,
    message: expect.stringMatching(/2 attempts: it answered 503/),
  });
  await expect(
    open({ url: 'http://127.0.0.1:9/v1', model: 'seer', attempts: 1 }).score([sample(0)], signal),
  ).rejects.toMatchObject({ code: 'JUDGE_UNREACHABLE' });
});

test('a run that is given up asks no further', async () => {
  const given = new AbortController();
  const url = await endpoint(() => {
    given.abort(new Error('given up'));
    return { text: '\\boxed{1}' };
  });
  await expect(open({ url, model: 'seer', atOnce: 1 }).score(samples, given.signal)).rejects.toThrow('given up');
});
