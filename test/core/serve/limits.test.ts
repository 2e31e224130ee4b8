/** What a server takes on, from whom, for how long, and what it says where it does not. */
import { describe, expect, test } from 'vitest';
import type { WriteEnd } from '../../../core/nn/row-work.ts';
import type { AnswerChoice } from '../../../core/serve/answers.ts';
import { asApiError } from '../../../core/serve/api-error.ts';
import { ReasongenError } from '../../../core/errors.ts';
import { serverAccess } from '../../../core/serve/server.ts';
import type { ServeChoice } from '../../../core/serve/options.ts';
import { says, stubServer } from '../../support/stub-model.ts';

/** A machine may be busy. */
const patient = { timeout: 20_000 };

type Body = { readonly error: Readonly<Record<'message' | 'type' | 'code', string>> };

/** Answers that end when the test lets them, or when they are given up. */
function held(): {
  readonly write: (choice: AnswerChoice) => Promise<WriteEnd>;
  readonly begun: () => number;
  readonly end: () => void;
} {
  const waiting: (() => void)[] = [];
  let begun = 0;
  return {
    begun: () => begun,
    end: () => {
      for (const resolve of waiting.splice(0)) resolve();
    },
    write: ({ signal }) => {
      begun += 1;
      return new Promise((resolve, reject) => {
        waiting.push(() => resolve('model'));
        signal.addEventListener('abort', () => reject(signal.reason as Error));
        if (signal.aborted) reject(signal.reason as Error);
      });
    },
  };
}

describe('who may ask', () => {
  const token = 'a-token-of-the-tests';

  test('where there is a token it is demanded of everybody, but for whether the server lives', async () => {
    const server = stubServer({ token });
    expect((await server.ask('/health')).status).toBe(200);
    for (const path of ['/metrics', '/v1/models', '/v1/nothing']) {
      const refused = await server.ask(path);
      expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
      expect((await server.ask(path, { headers: { authorization: `Bearer ${token}x` } })).status).toBe(401);
    }
    expect((await server.ask('/metrics', { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);
    expect((await server.chat({}, { headers: { authorization: `bearer ${token}` } })).status).toBe(200);
    expect((await server.chat()).status).toBe(401);
  });

  test('without one: this machine by its own names, and no page of another site', async () => {
    const server = stubServer();
    expect((await server.ask('/v1/models')).status).toBe(200);
    expect((await server.ask('/v1/models', { headers: { host: 'evil.example' } })).status).toBe(421);
    expect((await server.chat({}, { headers: { 'sec-fetch-site': 'same-site' } })).status).toBe(403);
    expect((await server.chat({}, { headers: { 'content-type': 'text/plain' } })).status).toBe(415);
    expect((await server.ask('/v1/chat/completions', { method: 'OPTIONS' })).status).toBe(405);
  });

  test('beyond this machine no server starts without a token, nor with one that could be guessed', () => {
    const choice = { host: '0.0.0.0', tokenVariable: 'A_TOKEN_THAT_IS_NOT_SET' } as ServeChoice;
    expect(() => serverAccess(choice)).toThrow(expect.objectContaining({ code: 'TOKEN_NEEDED', exitCode: 2 }) as Error);
    process.env['SHORT_TOKEN'] = 'short';
    expect(() => serverAccess({ ...choice, tokenVariable: 'SHORT_TOKEN' })).toThrow(
      expect.objectContaining({ code: 'BAD_TOKEN', place: 'SHORT_TOKEN' }) as Error,
    );
    delete process.env['SHORT_TOKEN'];
  });
});

describe('how much', () => {
  test('what is beyond the queue is told when to come again, and the queue is used', async () => {
    const { write, begun, end } = held();
    const server = stubServer({ write, waiting: 2 });
    const taken = [server.chat({ n: 3 }), server.chat()];
    await expect.poll(begun, patient).toBe(4);
    const refused = await server.chat();
    expect([refused.status, ((await refused.json()) as Body).error.code]).toEqual([429, 'rate_limit_exceeded']);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    end();
    for (const each of taken) expect((await each).status).toBe(200);
    expect(server.admission.load).toEqual({ active: 0, waiting: 0 });
    const next = server.chat();
    await expect.poll(begun, patient).toBe(5);
    end();
    expect((await next).status).toBe(200);
  });

  test('a request that takes too long is given up', async () => {
    const server = stubServer({ write: held().write, requestSeconds: 0.05 });
    const late = await server.chat();
    expect([late.status, ((await late.json()) as Body).error.type]).toEqual([504, 'timeout_error']);
    const stream = await server.chat({ stream: true });
    expect(stream.status).toBe(200);
    const lines = (await stream.text()).trim().split('\n\n');
    expect(lines.at(-1)).toContain('"code":"timeout"');
    expect(server.admission.load.active).toBe(0);
    expect(server.metrics.text()).toContain('reasongen_requests_total{route="chat",status="504"} 2');
  });

  test('whoever is gone is not worked for', async () => {
    const { write, begun } = held();
    const server = stubServer({ write });
    const gone = new AbortController();
    const asked = server.chat({ n: 2 }, { signal: gone.signal });
    await expect.poll(begun, patient).toBe(2);
    gone.abort();
    await asked;
    const stream = await server.chat({ stream: true });
    await stream.body?.cancel();
    await expect.poll(() => server.admission.load.active, patient).toBe(0);
    await server.app.idle();
    expect(server.metrics.text()).toContain('reasongen_requests_total{route="chat",status="499"} 2');
  });

  test('one that stops takes nothing new, goes on with what it has, and hands back what is left', async () => {
    const { write, begun, end } = held();
    const server = stubServer({ write });
    const first = server.chat();
    await expect.poll(begun, patient).toBe(1);
    server.stop.abort();
    expect((await server.ask('/health')).status).toBe(503);
    const refused = await server.chat();
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '10']);
    end();
    expect((await first).status).toBe(200);
    const other = stubServer({ write: held().write });
    const unfinished = other.chat();
    other.stop.abort();
    other.handBack.abort();
    expect((await unfinished).status).toBe(503);
    await other.app.idle();
  });
});

describe('what goes wrong within', () => {
  test('is told to the log; whoever asked learns that it did', async () => {
    const warnings: string[] = [];
    const write = (): Promise<WriteEnd> =>
      Promise.reject(
        new ReasongenError({ code: 'SECRET_CODE', message: 'no such file', place: '/home/somebody/model.safetensors' }),
      );
    const server = stubServer({ write, warn: (line) => void warnings.push(line) });
    const failed = await server.chat({ n: 2 });
    const text = await failed.text();
    expect(failed.status).toBe(500);
    expect(text).not.toMatch(/somebody|SECRET_CODE|no such file/);
    const streamed = await (await server.chat({ stream: true })).text();
    expect(streamed).toContain('"type":"server_error"');
    expect(streamed).not.toMatch(/somebody|SECRET_CODE|no such file|\[DONE\]/);
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toContain('/home/somebody/model.safetensors');
    expect(asApiError(new Error('/etc/passwd')).message).not.toContain('passwd');
  });

  test('one choice that fails ends the others', async () => {
    const { write: hold } = held();
    const server = stubServer({
      write: (choice) => (choice.number === 2 ? Promise.reject(new Error('broken')) : hold(choice)),
    });
    expect((await server.chat({ n: 4 })).status).toBe(500);
    expect(server.admission.load.active).toBe(0);
  });
});

test('an answer has the form of OpenAI’s, whole and as events', async () => {
  const server = stubServer({ write: says(' Yes, it is.  No. ') });
  const whole = (await (await server.chat({ stop: 'No', logprobs: true, top_logprobs: 1 })).json()) as {
    readonly choices: readonly { readonly logprobs: { readonly content: readonly unknown[] } }[];
  };
  expect(whole).toMatchObject({
    object: 'chat.completion',
    model: 'stub',
    choices: [{ index: 0, message: { role: 'assistant', content: 'Yes, it is.' }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 5, completion_tokens: 16, total_tokens: 21 },
    seed: 5,
  });
  expect(whole.choices[0]?.logprobs.content).toHaveLength(16);
  const events = (await (await server.chat({ stream: true, max_tokens: 4 })).text()).trim().split('\n\n');
  expect(events.at(-1)).toBe('data: [DONE]');
  const chunks = events.slice(0, -1).map((line) => JSON.parse(line.slice('data: '.length)) as { choices: object[] });
  expect(chunks[0]?.choices).toMatchObject([{ delta: { role: 'assistant', content: '' } }]);
  expect(chunks.at(-1)?.choices).toMatchObject([{ delta: {}, finish_reason: 'length' }]);
  expect(new Set(chunks.map((chunk) => (chunk as { id?: string }).id)).size).toBe(1);
});

test('metrics are lines that Prometheus reads', async () => {
  const server = stubServer();
  server.metrics.gauge('reasongen_some', 'Some.', () => [{ labels: { kind: 'a' }, value: 2 }]);
  await server.chat();
  const text = server.metrics.text();
  for (const line of text.trimEnd().split('\n'))
    expect(line).toMatch(/^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [\d.e+-]+)$/);
  expect(text).toContain('reasongen_requests_total{route="chat",status="200"} 1\n');
  expect(text).toContain('reasongen_request_seconds_bucket{route="chat",le="+Inf"} 1\n');
  expect(text).toContain('reasongen_tokens_total{kind="completion"} 12\n');
  expect(text).toContain('reasongen_some{kind="a"} 2\n');
});
