/** What a judge gives is looked at where it enters: nothing that follows from a broken answer could be right. */
import { describe, expect, test } from 'vitest';
import type { Judge } from '../../../core/contracts/judge.ts';
import { evidenceFault } from '../../../core/judging/evidence-fault.ts';
import { offeredJudge } from '../../../core/judging/offered-judge.ts';

const image = { width: 1, height: 1, data: new Uint8Array(3) };
const box = [0, 0, 1, 1];
const asked = {
  texts: [image, ['a', 'b']],
  labels: [image, {}, ['a', 'b'], ['{}']],
  sets: [image, '?', [['a'], ['b']]],
};

describe('evidence', () => {
  test.each<[Parameters<typeof evidenceFault>[0], readonly unknown[], unknown]>([
    ['answer', [image, '?'], ''],
    ['write', ['?'], 'text'],
    ['similarity', asked.texts, [0.1, -0.2]],
    ['classify', asked.labels, [1, 2]],
    ['answerProbabilities', asked.sets, [0, 1]],
    ['detect', [image], []],
    ['detect', [image], [{ label: 'a', score: 1, box, mask: { width: 1, height: 1, bits: new Uint8Array(1) } }]],
    ['read', [image], [{ text: '', score: 0, box }]],
    ['depth', [image], { width: 1, height: 1, values: new Float32Array(1) }],
  ])('%s is whole', (capability, given, value) => expect(evidenceFault(capability, given, value)).toBeUndefined());

  test.each<[Parameters<typeof evidenceFault>[0], readonly unknown[], unknown, RegExp]>([
    ['answer', [image, '?'], undefined, /^nothing and no text$/],
    ['answer', [image, '?'], null, /^null and no text$/],
    ['write', ['?'], 3, /^a number and no text$/],
    ['similarity', asked.texts, '0.1', /^a string and no list$/],
    ['similarity', asked.texts, [0.1], /^1 numbers where 2 were asked for$/],
    ['classify', asked.labels, [1, Number.NaN], /^number 1 is NaN$/],
    ['answerProbabilities', asked.sets, [Infinity, 0], /^number 0 is Infinity$/],
    ['answerProbabilities', asked.sets, ['1', 0], /^number 0 is 1$/],
    ['answerProbabilities', asked.sets, [5, 0], /^number 0 is 5 and no probability$/],
    ['answerProbabilities', asked.sets, [0.5, -3], /^number 1 is -3 and no probability$/],
    ['detect', [image], {}, /^a object and no list$/],
    ['detect', [image], [null], /^item 0 is null$/],
    ['detect', [image], [{ score: 1, box }], /without a `label`/],
    ['detect', [image], [{ label: 'a', box }], /without a finite `score`/],
    ['detect', [image], [{ label: 'a', score: 1, box: [0, 0, 1] }], /box.*3 numbers where 4/],
    [
      'detect',
      [image],
      [{ label: 'a', score: 1, box, mask: { width: 2, height: 1, bits: new Uint8Array(1) } }],
      /mask.*2 x 1 with 1 bits/,
    ],
    ['detect', [image], [{ label: 'a', score: 1, box, mask: { width: 1, height: 1, bits: [1] } }], /mask.*Uint8Array/],
    ['read', [image], [{ score: 1, box }], /without a `text`/],
    ['depth', [image], { width: 1, height: 1, values: [1] }, /Float32Array/],
    ['depth', [image], null, /^null$/],
  ])('%s: %#', (capability, given, value, says) => expect(evidenceFault(capability, given, value)).toMatch(says));

  test('a judge that gives none ends the question with who, what and why, and nothing of it is kept', async () => {
    const kept: unknown[] = [];
    const calls = {
      run: async (work: (signal: AbortSignal) => Promise<unknown>, signal: AbortSignal) => {
        const answer = await work(signal);
        kept.push(answer);
        return answer;
      },
      spend: () => {},
    };
    const broken = { title: 'Broken', fingerprint: { model: 'b' }, answer: async () => 3 } as unknown as Judge;
    const choice = { slot: 'judge', use: 'broken', name: 'mine', weight: 1, plugin: 'shop', options: {} };
    const judge = offeredJudge(broken, choice, calls as never);
    await expect(judge.answer?.(image, '?', new AbortController().signal)).rejects.toMatchObject({
      code: 'BAD_EVIDENCE',
      place: 'judge "mine" of plugin "shop"',
      message: expect.stringContaining('a number and no text') as string,
    });
    expect(kept).toEqual([]);
  });
});
