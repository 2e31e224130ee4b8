/** The server as programs meet it: by the client that OpenAI publishes, on a small Janus of random weights. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { locateModel, publishedPreset } from '../../../core/commands/model.ts';
import { decodePicture, encodePng, readPngText } from '../../../core/io/image.ts';
import { at } from '../../../core/tensor/at.ts';
import { philox } from '../../../core/tensor/philox.ts';
import { randomWords } from '../../../core/testing.ts';
import { janusFolder } from '../../support/janus-folder.ts';
import { root, Workplace } from '../../support/runs.ts';
import { startServeProcess } from '../../support/serve-process.ts';
import { readSafetensors } from '../../support/safetensors.ts';
import { readChatLayout } from '../../../plugins/qwen-vl/chat.ts';
import { qwenTokenizer } from '../../../plugins/qwen-vl/tokenizer.ts';
import { metricOf, publishedSettings, serveFolder, servePreset, type Served } from '../../support/served.ts';

const place = new Workplace();
let folder: string;
let served: Served;
let client: OpenAI;
/** Where pictures may be fetched from, and what was asked of it. */
let host: Server;
const asked: string[] = [];
beforeAll(async () => {
  const bytes = Buffer.from((await picture(5)).split(',')[1] ?? '', 'base64');
  host = createServer((request, response) => {
    asked.push(request.url ?? '');
    if (request.url === '/moved') response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end();
    else response.end(bytes);
  });
  await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
  folder = janusFolder(place.path('model'), 'tiny-a');
  served = await serveFolder(folder, place.path('served'), {
    ...{ questionTokens: 600, answerTokens: 40, answers: 4, promptTokens: 120, rationaleTokens: 14, drawings: 3 },
    pictureHosts: [`127.0.0.1:${(host.address() as AddressInfo).port}`],
  });
  client = clientOf(served);
});
afterAll(async () => {
  await served.stop();
  host.close();
});

function clientOf({ url }: Pick<Served, 'url'>, apiKey = 'none'): OpenAI {
  return new OpenAI({ baseURL: url, apiKey, maxRetries: 0 });
}

async function picture(seed: number, width = 12, height = 9): Promise<string> {
  const data = Uint8Array.from(randomWords(width * height * 3, seed, 256));
  return `data:image/png;base64,${(await encodePng({ width, height, data })).toString('base64')}`;
}

type Chat = OpenAI.ChatCompletionCreateParamsNonStreaming;

const asks = (text: string, more: Partial<Chat> = {}): Chat => ({
  model: 'tiny',
  messages: [{ role: 'user', content: text }],
  max_tokens: 12,
  ...more,
});

const shows = async (text: string, seed: number, more: Partial<Chat> = {}): Promise<Chat> =>
  asks('', {
    messages: [
      {
        role: 'user',
        content: [
          { type: 'image_url', image_url: { url: await picture(seed) } },
          { type: 'text', text },
        ],
      },
    ],
    ...more,
  });

/** What is the same of an answer whenever it is asked for. */
async function answerTo(params: Chat): Promise<unknown> {
  const { choices, usage, system_fingerprint } = await client.chat.completions.create(params);
  return { choices, usage, system_fingerprint };
}

describe('answers', () => {
  test('the model is listed by its name', async () => {
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(['tiny']);
    expect((await client.models.retrieve('tiny')).owned_by).toBe('reasongen');
    await expect(client.models.retrieve('other')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });

  test('about a picture, with chance, is what `ask` answers with the same seed', async () => {
    const image = place.write('seen.png', Buffer.from((await picture(5)).split(',')[1] ?? '', 'base64'));
    const turns = [{ question: 'What is it?', pictures: [image] }];
    const recipe = { use: 'ask', weights: folder, turns, answerTokens: 13, temperature: 1.5, topK: 90 };
    const settings = [...publishedSettings(folder), `recipe=${JSON.stringify(recipe)}`, 'seed=9'];
    const { directory } = await place.run(publishedPreset, { settings });
    const { answer } = JSON.parse(readFileSync(join(directory, 'answers.jsonl'), 'utf8')) as { answer: string };
    const params = await shows('What is it?', 5, { seed: 9, temperature: 1.5, ...{ top_k: 90 } });
    const { choices } = await client.chat.completions.create(params);
    expect(choices[0]?.message).toEqual({ role: 'assistant', content: answer, refusal: null });
    expect(answer.length).toBeGreaterThan(3);
  });

  test('streamed it is the same, piece by piece, with its log-probabilities and what it cost', async () => {
    const params = await shows('Why?', 6, { seed: 3, n: 2, logprobs: true, top_logprobs: 3 });
    const whole = await client.chat.completions.create(params);
    const stream = await client.chat.completions.create({
      ...params,
      stream: true,
      stream_options: { include_usage: true },
    });
    const choices = [0, 1].map(() => ({ content: '', told: [] as unknown[], end: '', pieces: 0 }));
    let usage: unknown;
    for await (const chunk of stream) {
      usage = chunk.usage ?? usage;
      for (const { index, delta, logprobs, finish_reason: end } of chunk.choices) {
        const own = at(choices, index);
        own.content += delta.content ?? '';
        own.pieces += 1;
        own.told.push(...(logprobs?.content ?? []));
        own.end = end ?? own.end;
      }
    }
    expect(usage).toEqual(whole.usage);
    for (const [index, { message, logprobs, finish_reason: end }] of whole.choices.entries()) {
      expect(choices[index]).toMatchObject({ content: message.content, told: logprobs?.content, end });
      expect(choices[index]?.pieces).toBeGreaterThan(3);
    }
    expect(whole.choices[0]?.message.content).not.toBe(whole.choices[1]?.message.content);
  });

  test('log-probabilities are those of the model: whole, sorted, and of the token that was drawn, whatever the temperature', async () => {
    for (const temperature of [0, 0.5, 1.5]) {
      const { choices } = await client.chat.completions.create(
        await shows('What?', 8, { temperature, logprobs: true, top_logprobs: 20, seed: 1, max_tokens: 4 }),
      );
      const told = choices[0]?.logprobs?.content ?? [];
      expect(told.length).toBeGreaterThan(0);
      for (const { token, logprob, top_logprobs: top } of told) {
        const values = top.map((each) => each.logprob);
        expect(values).toHaveLength(20);
        expect(values).toEqual(values.toSorted((a, b) => b - a));
        expect(values.reduce((sum, value) => sum + Math.exp(value), 0)).toBeLessThanOrEqual(1 + 1e-9);
        if (temperature === 0) expect([token, logprob]).toEqual([top[0]?.token, top[0]?.logprob]);
      }
    }
    // The first token has the same distribution at every temperature.
    const first = async (temperature: number): Promise<unknown> =>
      (
        await client.chat.completions.create(
          asks('And?', { temperature, logprobs: true, top_logprobs: 5, max_tokens: 1, seed: 2 }),
        )
      ).choices[0]?.logprobs?.content?.[0]?.top_logprobs;
    expect(await first(0)).toEqual(await first(1.9));
  });

  test('ends where it is told to, and says why', async () => {
    const params = asks('Tell me a story', { seed: 4, max_tokens: 30, temperature: 2 });
    const { choices } = await client.chat.completions.create(params);
    const text = choices[0]?.message.content ?? '';
    const stop = text.slice(5, 7);
    expect(stop).toHaveLength(2);
    const stopped = await client.chat.completions.create({ ...params, stop: ['never said at all', stop] });
    expect(stopped.choices[0]).toMatchObject({
      message: { content: text.slice(0, text.indexOf(stop)).trimEnd() },
      finish_reason: 'stop',
    });
    const { max_tokens: _, ...others } = params;
    const cut = await client.chat.completions.create({ ...others, max_completion_tokens: 3 });
    expect(cut.choices[0]?.finish_reason).toBe('length');
    expect(cut.usage?.completion_tokens).toBe(3);
  });

  test('several turns, instructions in front of the first of them', async () => {
    const turns: Chat['messages'] = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'One?' },
      { role: 'assistant', content: 'Yes.' },
      { role: 'user', content: [{ type: 'text', text: 'Two?' }] },
    ];
    const plain: Chat['messages'] = [{ role: 'user', content: 'Be brief.\n\nOne?' }, ...turns.slice(2)];
    const answer = await answerTo(asks('', { messages: turns, seed: 1 }));
    expect(answer).toEqual(await answerTo(asks('', { messages: plain, seed: 1 })));
    // An answer as `model_dump()` of the Python client gives it.
    const nothing = { annotations: [], audio: null, function_call: null, tool_calls: null, refusal: null };
    const dumped = turns.map((turn) => (turn.role === 'assistant' ? { ...turn, ...nothing } : turn));
    expect(await answerTo(asks('', { messages: dumped as Chat['messages'], seed: 1 }))).toEqual(answer);
  });
});

describe('pictures', () => {
  const draws = { ...{ seed: 9, guidance: 3 }, prompt: 'a red bird' };
  type Drawn = { readonly b64_json: string; readonly rationale: string; readonly rationale_ended: boolean };
  const drawn = async (more: object): Promise<Drawn[]> => {
    const { data } = await client.images.generate({ model: 'tiny', prompt: 'a red bird', ...more });
    return data as unknown as Drawn[];
  };

  test('with their rationales are what `generate` draws with the same seed', async () => {
    const recipe = {
      ...{ use: 'generate', weights: folder, prompts: ['a red bird'], samplesPerPrompt: 2, promptTokens: 120 },
      ...{ rationaleTokens: 14, guidance: 3 },
    };
    const settings = [...publishedSettings(folder), `recipe=${JSON.stringify(recipe)}`, 'seed=9'];
    const { directory } = await place.run(publishedPreset, { settings });
    const pictures = await drawn({ ...draws, n: 2 });
    for (const [index, { b64_json: base64, rationale }] of pictures.entries()) {
      const [own, other] = [Buffer.from(base64, 'base64'), readFileSync(join(directory, `0000${index}.png`))];
      expect(await decodePicture(own)).toEqual(await decodePicture(other));
      expect(rationale).toBe(readPngText(other)['rationale']);
      expect(readPngText(own)).toMatchObject({ prompt: 'a red bird', seed: '9', sample: String(index), rationale });
    }
    expect(pictures[0]?.b64_json).not.toBe(pictures[1]?.b64_json);
  });

  test('a rationale may be given, or left out', async () => {
    expect(await drawn({ rationale: 'red bird', seed: 1 })).toMatchObject([{ rationale: 'red bird' }]);
    expect(await drawn({ rationale: false, seed: 1 })).toMatchObject([{ rationale: '' }]);
    const [unguided] = await drawn({ seed: 9, guidance: 1 });
    expect(unguided?.b64_json).not.toBe((await drawn(draws))[0]?.b64_json);
  });
});

describe('other models', () => {
  test('a run draws with its newest weights, and says that it does not converse', async () => {
    const { directory } = await place.halfTaught();
    const run = await servePreset(join(directory, 'preset.yaml'), place.path('served-run'), [], {
      ...{ weights: directory, rationaleTokens: 6, rationale: false, guidance: 1 },
    });
    try {
      const { data } = await clientOf(run).images.generate({
        prompt: 'a red picture',
        ...{ rationale: true, seed: 3 },
      });
      const recipe = { use: 'generate', weights: directory, prompts: ['a red picture'], rationaleTokens: 6 };
      const settings = [`recipe=${JSON.stringify(recipe)}`, 'seed=3'];
      const drawn = await place.run(join(directory, 'preset.yaml'), { settings });
      const [own, other] = [
        Buffer.from(data?.[0]?.b64_json ?? '', 'base64'),
        readFileSync(join(drawn.directory, '00000.png')),
      ];
      expect(await decodePicture(own)).toEqual(await decodePicture(other));
      expect(readPngText(own)['rationale']).toBe(readPngText(other)['rationale']);
      await expect(clientOf(run).chat.completions.create(asks('What?'))).rejects.toMatchObject({
        status: 400,
        code: 'not_supported',
      });
    } finally {
      expect(await run.stop()).toBe(143);
    }
  });

  test('Qwen2.5-VL looks at pictures of any size and answers as the reference does; it does not draw', async () => {
    const model = join(root, 'test/golden/qwen-vl/qwen2.5-tiny-b');
    const tokenizer = qwenTokenizer(join(model, 'tokenizer.json'), await readChatLayout(model, {}));
    const golden = (await readSafetensors(join(model, 'golden.safetensors'))).get('generate.ids')?.data ?? [];
    const located = await locateModel({ model }, { needsCodec: 'if any', environment: process.env });
    const qwen = await servePreset(located.file, place.path('served-qwen'), located.settings, {
      ...{ weights: model, answers: 2, answerTokens: 16, questionTokens: 200, pictures: 1 },
    });
    try {
      const url = `data:image/png;base64,${readFileSync(join(model, 'picture0.png')).toString('base64')}`;
      const content = [
        { type: 'image_url', image_url: { url } },
        { type: 'text', text: 'Is it red?' },
      ] as const;
      const params = { messages: [{ role: 'user' as const, content: [...content] }], temperature: 0, max_tokens: 16 };
      const answers = await Promise.all(
        [params, { ...params, messages: [{ role: 'user' as const, content: 'Is it red?' }] }, params].map((each) =>
          clientOf(qwen).chat.completions.create(asks('', each)),
        ),
      );
      const expected = tokenizer.decode(Array.from(golden, Number)).trim();
      expect(answers.map(({ choices }) => choices[0]?.message.content === expected)).toEqual([true, false, true]);
      await expect(clientOf(qwen).images.generate({ prompt: 'a bird' })).rejects.toMatchObject({
        status: 400,
        code: 'not_supported',
      });
    } finally {
      await qwen.stop();
    }
  });

  test('to be told to stop is how a server ends: with exit code 0, and without a word of steps or of going on', async () => {
    const args = ['--model', folder, '--port', '0', '--set', 'recipe.questionTokens=64'];
    const server = await startServeProcess([...args, '--run-dir', place.path('stopped')]);
    expect(await server.stop()).toBe(0);
    expect(server.said()).toMatch(
      /SIGTERM: finishing what has begun; once more to stop at once\n[^]*stopped: SIGTERM\n/,
    );
    expect(server.said()).not.toMatch(/step|resume/);
  });

  test.each<[string, string[], string]>([
    ['no model', [], 'WHICH_MODEL'],
    ['beyond this machine without a token', ['--host', '0.0.0.0'], 'TOKEN_NEEDED'],
    ['a port that is taken', ['--port', 'taken'], 'CANNOT_LISTEN'],
  ])('%s is refused by the command', async (_, args, code) => {
    const words = args.map((word) => (word === 'taken' ? new URL(served.url).port : word));
    const model = code === 'WHICH_MODEL' ? [] : ['--model', folder];
    const { errors, code: exit } = await place.command('serve', ...model, ...words, '--run-dir', place.free());
    expect(errors).toContain(code);
    expect(exit).toBe(code === 'CANNOT_LISTEN' ? 1 : 2);
  });
});

describe('many at once', () => {
  test('every answer and every picture is that of the same request alone', async () => {
    const chats = await Promise.all(
      Array.from({ length: 14 }, async (_, number): Promise<Chat> => {
        const [words] = philox([number, 1, 0, 0], [3, 0]);
        const more = {
          seed: number,
          n: 1 + (number % 3),
          max_tokens: 1 + (words % 14),
          temperature: (words % 5) / 2.5,
        };
        const logs = number % 4 === 0 ? { logprobs: true, top_logprobs: 2 } : {};
        return number % 2 === 0
          ? shows(`Question ${number}?`, number % 3, { ...more, ...logs })
          : asks(`Question ${number}?`, { ...more, ...logs });
      }),
    );
    const drawings = Array.from({ length: 6 }, (_, number) => ({
      ...{ model: 'tiny', prompt: `bird ${number % 2}`, n: 1 + (number % 2), seed: number, guidance: 1 + (number % 3) },
    }));
    const draw = async (params: (typeof drawings)[number]): Promise<unknown> =>
      (await client.images.generate(params)).data;
    const together = await Promise.all([...chats.map(answerTo), ...drawings.map(draw)]);
    for (const [index, params] of chats.entries()) expect(together[index]).toEqual(await answerTo(params));
    for (const [index, params] of drawings.entries())
      expect(together[chats.length + index]).toEqual(await draw(params));
  });

  test('whoever leaves makes room: streams, whole answers and pictures', async () => {
    const busy = (): Promise<number> => metricOf(served.url, 'reasongen_sequences');
    const left = async (): Promise<number> =>
      metricOf(served.url, 'reasongen_requests_total', '{route="chat",status="499"}');
    const before = await left();
    const gone = new AbortController();
    const long = asks('Go on', { max_tokens: 40, n: 8, temperature: 2 });
    const pending = [
      client.chat.completions.create(long, { signal: gone.signal }),
      client.images.generate({ prompt: 'birds', n: 8 }, { signal: gone.signal }),
    ];
    const stream = await client.chat.completions.create({ ...long, stream: true });
    for await (const _ of stream) break;
    gone.abort();
    await Promise.allSettled(pending);
    await vi.waitFor(async () => expect(await busy()).toBe(0), { timeout: 20_000 });
    expect(await left()).toBe(before + 2);
    expect(await answerTo(asks('Still there?', { seed: 1 }))).toBeDefined();
  });
});

describe('refusals', () => {
  test.each<[string, object, string, string | null]>([
    ['no messages', { messages: [] }, 'invalid_value', 'messages'],
    ['an unknown parameter', { tempreature: 1 }, 'unknown_parameter', 'tempreature'],
    ['what would change the answer and is not offered', { tools: [{}] }, 'invalid_value', 'tools'],
    ['JSON by schema', { response_format: { type: 'json_object' } }, 'invalid_value', 'response_format'],
    ['more tokens than are written', { max_tokens: 41 }, 'invalid_value', 'max_tokens'],
    ['more choices than are given', { n: 9 }, 'invalid_value', 'n'],
    ['a temperature beyond the range', { temperature: 3 }, 'invalid_value', 'temperature'],
    ['likeliest tokens without log-probabilities', { top_logprobs: 2 }, 'invalid_value', 'top_logprobs'],
    [
      'an answer that is to be answered',
      { messages: [{ role: 'assistant', content: 'a' }] },
      'invalid_value',
      'messages[0]',
    ],
    [
      'a longer conversation than is read',
      { messages: [{ role: 'user', content: 'long '.repeat(150) }] },
      'context_length_exceeded',
      'messages',
    ],
    [
      'a text that is not even taken apart',
      { messages: [{ role: 'user', content: 'x'.repeat(1e6) }] },
      'context_length_exceeded',
      'messages',
    ],
    [
      'what is no picture',
      {
        messages: [
          { role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } }] },
        ],
      },
      'invalid_image',
      'messages[0].content[0]',
    ],
    [
      'a file of this machine',
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'file:///etc/passwd' } }] }] },
      'invalid_image',
      'messages[0].content[0]',
    ],
  ])('%s', async (_, more, code, param) => {
    const failed = await client.chat.completions.create({ ...asks('What?'), ...more }).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(OpenAI.BadRequestError);
    expect(failed).toMatchObject({ code, param, type: 'invalid_request_error' });
  });

  test('a picture of more pixels than are read is refused by its header', async () => {
    // 16 000 x 16 000 of one color: small as a file, 768 MB when decoded.
    const header = Buffer.from('89504e470d0a1a0a0000000d4948445200003e8000003e800802000000', 'hex');
    const url = `data:image/png;base64,${Buffer.concat([header, Buffer.from(crc(header.subarray(12)), 'hex')]).toString('base64')}`;
    const failed = await client.chat.completions
      .create(asks('', { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }] }))
      .catch((error: unknown) => error);
    expect(failed).toMatchObject({ status: 400, code: 'invalid_image' });
  });

  test('other models, paths, methods and kinds of bodies', async () => {
    const post = (body: string, type = 'application/json', path = '/v1/chat/completions'): Promise<Response> =>
      fetch(new URL(path, served.url), { method: 'POST', body, headers: { 'content-type': type } });
    await expect(client.chat.completions.create(asks('What?', { model: 'gpt' }))).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
    expect((await post('{}', 'text/plain')).status).toBe(415);
    expect((await post('{"model":')).status).toBe(400);
    expect((await post('\xff\xfe')).status).toBe(400);
    // Deeper than whoever writes it as JSON again could go.
    const nested = '['.repeat(100_000) + ']'.repeat(100_000);
    const deep = `{"model":"tiny","messages":[{"role":"user","content":"What?"}],"tools":${nested}}`;
    expect(await (await post(deep)).json()).toMatchObject({ error: { param: 'tools', code: 'invalid_value' } });
    expect((await post('{}', 'application/json', '/v1/nothing')).status).toBe(404);
    expect((await fetch(`${served.url}/chat/completions`)).status).toBe(405);
    expect((await post(' '.repeat(33 * 2 ** 20))).status).toBe(413);
    const site = await fetch(`${served.url}/models`, { headers: { 'sec-fetch-site': 'cross-site' } });
    expect(site.status).toBe(403);
  });

  test('pictures are fetched from hosts that were named only, and no redirect leads elsewhere', async () => {
    const params = (url: string): Chat =>
      asks('', {
        messages: [
          {
            role: 'user',
            content: [
              { type: 'image_url', image_url: { url } },
              { type: 'text', text: 'What?' },
            ],
          },
        ],
        seed: 2,
      });
    const failing = (url: string): Promise<unknown> =>
      client.chat.completions.create(params(url)).catch((error: unknown) => error);
    const { port } = host.address() as AddressInfo;
    const fetched = await client.chat.completions.create(params(`http://127.0.0.1:${port}/a.png`));
    const sent = await client.chat.completions.create(await shows('What?', 5, { seed: 2 }));
    expect(fetched.choices).toEqual(sent.choices);
    expect(await failing(`http://127.0.0.1:${port}/moved`)).toMatchObject({ status: 400, code: 'invalid_image' });
    expect(await failing(`http://somebody@127.0.0.1:${port}/`)).toMatchObject({ status: 400 });
    for (const other of [`localhost:${port}`, '127.0.0.1:1', '169.254.169.254'])
      expect(await failing(`http://${other}/a.png`)).toMatchObject({ status: 403, code: 'host_not_allowed' });
    expect(asked).toEqual(['/a.png', '/moved']);
  });
});

/** CRC-32 of a PNG chunk, in hexadecimal digits. */
function crc(bytes: Uint8Array): string {
  let value = ~0;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
  }
  return (~value >>> 0).toString(16).padStart(8, '0');
}
