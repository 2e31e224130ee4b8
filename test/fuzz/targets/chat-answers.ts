/** What a chat endpoint answers, asked as a judge is asked. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ReasongenError } from '../../../core/errors.ts';
import { TryAgainError } from '../../../core/try-again.ts';
import { boxedScore } from '../../../core/questions/answer.ts';
import { Endpoint } from '../../../plugins/chat-judge/endpoint.ts';
import type { FuzzTarget } from '../harness.ts';

const text = (answer: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(answer));

let body: Uint8Array = new Uint8Array();
const server = createServer((_, response) => response.end(body));
const { signal } = new AbortController();

const target: FuzzTarget = {
  seeds: async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    server.unref();
    return [
      text({
        choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'fine. \\boxed{1}' } }],
      }),
      text({ choices: [{ finish_reason: 'length', message: { content: '\\boxed{{{{' } }], usage: { total_tokens: 7 } }),
      text({ choices: [{ message: { content: [{ type: 'text', text: '\\boxed{0.5}' }] } }] }),
      text({ error: { message: 'overloaded' } }),
    ];
  },
  read: async (bytes) => {
    body = bytes;
    const endpoint = new Endpoint({
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
      model: 'm',
      maxTokens: 1,
      temperature: 0,
      key: undefined,
      keyVariable: undefined,
      spend: () => undefined,
    });
    const answer = await endpoint.ask([], signal).catch((error: unknown) => {
      // The runtime asks again, and in the end says so.
      if (error instanceof TryAgainError)
        throw new ReasongenError({ code: 'JUDGE_UNREACHABLE', message: error.message });
      throw error;
    });
    const [strict, value] = [boxedScore(answer.text), boxedScore(answer.text, [], true)];
    if (value !== undefined && !(value >= 0 && value <= 1)) throw new Error(`a verdict of ${value}`);
    if (strict !== undefined && (strict !== value || !Number.isInteger(strict)))
      throw new Error(`a strict verdict of ${strict}`);
  },
};
export default target;
