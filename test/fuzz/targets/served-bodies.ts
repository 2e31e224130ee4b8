/** Bodies of requests to the server: every one is answered, or refused with a status of 4xx in the form that OpenAI's clients read. */
import { encodePng } from '../../../core/io/image.ts';
import { ReasongenError } from '../../../core/errors.ts';
import { stubServer } from '../../support/stub-model.ts';
import { at } from '../../../core/tensor/at.ts';
import { philox } from '../../../core/tensor/philox.ts';
import type { FuzzTarget } from '../harness.ts';
import { mutate } from '../mutate.ts';

const server = stubServer({ waiting: 1000 });
const text = (body: object): Uint8Array => new TextEncoder().encode(JSON.stringify(body));

const png = await encodePng({ width: 3, height: 2, data: new Uint8Array(18).fill(90) });
const shown = [
  { type: 'image_url', image_url: { url: `data:image/png;base64,${png.toString('base64')}`, detail: 'low' } },
  { type: 'text', text: 'What is it?' },
];
const talk = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: shown },
  { role: 'assistant', content: 'A square.' },
  { role: 'user', content: 'Größer als 3 €? 🚀', name: 'somebody' },
];
const settings = {
  ...{ model: 'stub', temperature: 0.5, top_p: 0.9, top_k: 5, max_tokens: 8, n: 2, seed: 3, stop: ['a', 'b'] },
  ...{ stream: true, stream_options: { include_usage: true }, logprobs: true, top_logprobs: 3, user: 'x' },
  ...{ response_format: { type: 'text' }, frequency_penalty: 0, logit_bias: {}, tools: [], metadata: { a: 'b' } },
};
const requests: readonly object[] = [
  { ...settings, messages: talk },
  { model: 'stub', messages: [{ role: 'user', content: shown }], max_completion_tokens: 1 },
  { model: 'stub', messages: [{ role: 'user', content: 'hello' }] },
  { prompt: 'a red bird', n: 2, size: '2x1', seed: 4, guidance: 3.5, rationale: 'red', temperature: 0 },
  { prompt: 'two cakes', model: 'stub', rationale: false, response_format: 'b64_json', quality: 'auto' },
];
const texts = requests.map(text);

/** What may stand in the place of any value. */
const strange: readonly unknown[] = [
  ...[
    null,
    true,
    false,
    0,
    -1,
    1,
    2.5,
    21,
    65,
    1e21,
    -1e308,
    Number.MAX_SAFE_INTEGER,
    '',
    ' ',
    'a',
    '\u0000',
    '\ud800',
  ],
  ...[
    'data:image/png;base64,',
    'data:image/gif;base64,R0lGODdh',
    'file:///etc/passwd',
    'http://127.0.0.1/',
    '__proto__',
  ],
  ...[
    'x'.repeat(3000),
    [],
    [[]],
    {},
    [null],
    { type: 'text' },
    { type: 'image_url', image_url: {} },
    ['a', 'b', 'c', 'd', 'e'],
  ],
  ...[{ toString: 'x', length: 1e9, __proto__: 1 }, JSON.parse(`${'['.repeat(900)}${']'.repeat(900)}`) as unknown],
];

/** Replaces, removes or adds values of a whole request, one to three times. */
function rebuilt(number: number, seed: number): Uint8Array {
  let drawn = 0;
  const draw = (below: number): number => philox([number, drawn++, 0, 0], [seed, 1])[0] % below;
  const request = structuredClone(at(requests, draw(requests.length)));
  for (let times = 1 + draw(3); times > 0; times--) {
    let parent: unknown = request;
    let key = '';
    // Down to a place somewhere in it.
    for (let inner: unknown = request; typeof inner === 'object' && inner !== null && Object.keys(inner).length > 0;) {
      parent = inner;
      key = at(Object.keys(inner), draw(Object.keys(inner).length));
      inner = Reflect.get(inner, key);
      if (draw(3) === 0) break;
    }
    const value: unknown = structuredClone(at(strange, draw(strange.length)));
    const how = draw(4);
    if (how === 0) Reflect.deleteProperty(parent as object, key);
    else Reflect.set(parent as object, how === 1 ? `${key}_` : key, value);
  }
  return text(request);
}

const target: FuzzTarget = {
  short: 1000,
  ending: '.json',
  seeds: () => texts,
  make: (number, seed) => (number % 2 === 0 ? mutate(texts, number / 2, seed) : rebuilt(number, seed)),
  read: async (body) => {
    // What is no chat may be a picture, and the other way round: both are asked.
    const answers = await Promise.all(
      ['/v1/chat/completions', '/v1/images/generations'].map(async (path) => {
        const headers = { 'content-type': 'application/json' };
        const answer = await server.ask(path, { method: 'POST', body: Buffer.from(body), headers });
        return { status: answer.status, text: await answer.text() };
      }),
    );
    if (server.admission.load.active > 0) throw new Error('a place was never given back');
    for (const { status, text: said } of answers) {
      if (status === 200) continue;
      const { error } = JSON.parse(said) as { error: Record<string, unknown> };
      if (status < 400 || status >= 500 || typeof error['message'] !== 'string' || typeof error['code'] !== 'string')
        throw new Error(`${status}: ${said}`);
    }
    if (answers.some(({ status }) => status === 200)) return answers;
    throw new ReasongenError({
      code: 'REFUSED',
      message: answers.map((each) => `${each.status} ${each.text}`).join('\n'),
    });
  },
};
export default target;
