import { describe, expect, test } from 'vitest';
import { createContainer, type RunContainer } from '../../../core/container.ts';
import type { Judge } from '../../../core/contracts/judge.ts';
import type { Image } from '../../../core/contracts/image.ts';
import { judgeFor } from '../../../core/judging/judge-for.ts';
import { silentLog } from '../../../core/log.ts';
import { defineJudge, z } from '../../../core/plugin.ts';

const image: Image = { width: 1, height: 1, data: new Uint8Array(3) };
const { signal } = new AbortController();

function open(judges: Readonly<Record<string, unknown>>): RunContainer {
  const provides = Object.entries(judges).map(([name, judge]) =>
    defineJudge({ name, summary: '', options: z.strictObject({}), create: () => judge as Judge }),
  );
  const choices = provides.map(({ name }) => ({
    slot: 'judge',
    use: name,
    name: `the-${name}`,
    weight: 1,
    plugin: 'mine',
    options: {},
  }));
  const preset = { name: 'test', seed: 1, file: '/test.yaml', plugins: [], components: { judge: choices } };
  return createContainer([{ name: 'mine', provides }]).openRun({
    preset,
    log: silentLog(),
    path: String,
    openDevice: () => Promise.reject(new Error('no device')),
  });
}

const reader = { title: 'Reader', fingerprint: { model: 'r' }, read: () => Promise.resolve([]) };
const seer = {
  title: 'Seer',
  fingerprint: { model: 's' },
  word: 'yes',
  answer(this: { word: string }, _: Image, question: string) {
    return Promise.resolve(`${question}: ${this.word}`);
  },
};
const other = { ...seer, title: 'Other', word: 'no' };

describe('a judge is found', () => {
  test('by what it can do, the first of the preset, or by its name; its methods keep their object', async () => {
    const run = open({ reader, seer, other });
    const first = await judgeFor(run, 'answer');
    expect(first).toMatchObject({ title: 'Seer', name: 'the-seer', fingerprint: { model: 's' } });
    expect(await first.answer(image, 'a frog?', signal)).toBe('a frog?: yes');
    expect(await (await judgeFor(run, 'answer', 'the-other')).answer(image, 'a frog?', signal)).toBe('a frog?: no');
    expect((await judgeFor(run, 'read')).name).toBe('the-reader');
  });

  test.each([
    [undefined, 'a judge with `detect` is needed, and the preset has none'],
    ['the-seer', 'the judge "the-seer" has no `detect`, only answer'],
    ['seer', 'the preset has no judge called "seer"'],
  ])('or said to be missing: %s', async (name, message) => {
    await expect(judgeFor(open({ reader, seer }), 'detect', name)).rejects.toMatchObject({
      code: 'MISSING_JUDGE',
      exitCode: 2,
      message,
      hint: expect.stringContaining('the preset has the-reader (read); the-seer (answer)') as string,
    });
  });
});

describe('what is no judge is refused when it is made', () => {
  test.each([
    ['nothing', undefined, 'it is no judge'],
    ['no title', { ...seer, title: '' }, 'it has no title'],
    ['no fingerprint', { ...seer, fingerprint: {} }, 'it has no fingerprint'],
    ['a number in its fingerprint', { ...seer, fingerprint: { size: 3 } }, '"size" of its fingerprint is no text'],
    ['no method', { title: 'Mute', fingerprint: { model: 'm' } }, 'it can say nothing: none of its methods is there'],
    ['a method that is none', { ...seer, read: 'a text' }, 'its `read` is no function'],
  ])('%s', async (_, judge, message) => {
    await expect(open({ judge }).getAll('judge')).rejects.toMatchObject({
      code: 'BAD_JUDGE',
      message,
      place: 'judge "the-judge" of plugin "mine"',
    });
  });
});

test('what a judge throws names it', async () => {
  const broken = { ...seer, answer: () => Promise.reject(new TypeError('x is undefined')) };
  await expect((await judgeFor(open({ broken }), 'answer')).answer(image, 'q', signal)).rejects.toMatchObject({
    code: 'COMPONENT_FAILED',
    message: 'x is undefined',
    place: expect.stringContaining('judge "the-broken" of plugin "mine"') as string,
  });
});
