/** What goes over the queue: arriving as it was, and refused where it is something else. */
import { expect, test } from 'vitest';
import type { DrawRequest, DrawSizes } from '../../../core/contracts/executor.ts';
import {
  drawJobId,
  drawJobSchema,
  drawQueueName,
  drawResultSchema,
  sentSequence,
  type DrawJob,
} from '../../../plugins/bullmq/protocol.ts';
import { sequencesOf } from '../../../plugins/bullmq/shares.ts';

const rule = { temperature: 1, topK: 0, topP: 1 };
const sizes: DrawSizes = {
  rows: 64,
  prompts: 16,
  promptTokens: 8,
  textTokens: 5,
  codes: 3,
  isGuided: false,
  cache: 'f32',
  precision: 'f32',
};

function requestOf(prompts: number, samplesPerPrompt: number): DrawRequest {
  return {
    prompts: Array.from({ length: prompts }, (_, index) => [0, index]),
    samplesPerPrompt,
    seed: 2 ** 32 - 1,
    rowKeys: Array.from({ length: prompts * samplesPerPrompt }, (_, index) => index * 7),
    text: rule,
    image: { ...rule, guidance: 2 },
    rationale: Array.from({ length: prompts }, (_, index) => (index % 2 === 0 ? 'write' : [5, 6])),
  };
}

const job = (request: DrawRequest): DrawJob => ({
  run: '0123456789abcdef',
  weights: 'a'.repeat(64),
  route: 'redis',
  sizes,
  request,
});

test('a job has a name that is the same for the same work, and another for any other', () => {
  const one = job(requestOf(2, 2));
  expect(drawJobId(structuredClone(one), 0)).toBe(drawJobId(one, 0));
  expect(drawJobId(one, 0)).not.toContain(':');
  const others = [
    drawJobId(one, 1),
    drawJobId({ ...one, weights: 'b'.repeat(64) }, 0),
    drawJobId({ ...one, request: { ...one.request, seed: 3 } }, 0),
    drawJobId({ ...one, run: 'f'.repeat(16) }, 0),
  ];
  expect(new Set([drawJobId(one, 0), ...others]).size).toBe(5);
});

test('machines that differ in anything that decides bits do not meet', () => {
  const identity = { program: 'a', adapter: 'b', model: 'c', tokenizer: 'd' };
  const names = [identity, ...Object.keys(identity).map((key) => ({ ...identity, [key]: 'x' }))].map(drawQueueName);
  expect(new Set(names).size).toBe(5);
});

test.each<readonly [string, (whole: DrawJob) => unknown]>([
  ['a field that it does not know', (whole) => ({ ...whole, code: 'process.exit()' })],
  ['a path in place of a run', (whole) => ({ ...whole, run: '../../etc' })],
  ['a hash that is none', (whole) => ({ ...whole, weights: 'x'.repeat(64) })],
  ['fewer keys than samples', (whole) => ({ ...whole, request: { ...whole.request, rowKeys: [1] } })],
  ['more prompts than sizes', (whole) => ({ ...whole, sizes: { ...whole.sizes, prompts: 1 } })],
  ['a token that is no number', (whole) => ({ ...whole, request: { ...whole.request, prompts: [['0'], [1]] } })],
  ['nothing', () => undefined],
])('a job with %s is refused', (_name, change) => {
  expect(drawJobSchema.safeParse(change(job(requestOf(2, 2)))).success).toBe(false);
});

const sequence = {
  promptIds: [0, 0],
  rationaleIds: [4, 5],
  imageStartForced: false,
  rationaleEnded: true,
  codes: [1, 2, 3],
  // Bits that decimal texts like to lose.
  logProbability: Float32Array.of(-0, -1e-45, -0.1, -3.4e38, -1 / 3, -7),
  entropy: Float32Array.of(0, 1e-45, 0.1, 3.4e38, 1 / 3, 7),
  steps: 6,
};

test('sequences arrive bit for bit', () => {
  const sent: unknown = JSON.parse(JSON.stringify({ worker: 'w', adapter: 'a', sequences: [sentSequence(sequence)] }));
  const result = drawResultSchema.parse(sent);
  if (!('sequences' in result)) throw new RangeError('unreachable: it has sequences');
  const [received] = sequencesOf(result.sequences, requestOf(1, 1), sizes, { text: 9, image: 9 });
  expect(received).toEqual({ ...sequence, promptIds: [0, 0] });
});

test.each<readonly [string, Partial<typeof sequence>, RegExp]>([
  ['fewer codes', { codes: [1, 2] }, /another length/],
  ['a code that the model does not have', { codes: [1, 2, 9] }, /tokens that the model does not have/],
  ['fewer log-probabilities', { logProbability: Float32Array.of(-1) }, /1 log-probabilities for 6 tokens/],
  ['one that is no number', { logProbability: Float32Array.of(-1, -1, Number.NaN, -1, -1, -1) }, /not finite/],
])('a result with %s is refused in words', (_name, change, words) => {
  expect(sequencesOf([{ ...sequence, ...change }], requestOf(1, 1), sizes, { text: 9, image: 9 })).toMatch(words);
  expect(sequencesOf([], requestOf(1, 1), sizes, { text: 9, image: 9 })).toMatch(/0 sequences in place of 1/);
});
