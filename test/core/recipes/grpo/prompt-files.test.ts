/** Prompts from files: lines, JSON Lines, repetitions, weights, order, what is too long, curricula. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PromptMix, readPromptFiles, type PromptList } from '../../../../core/recipes/grpo/prompt-files.ts';
import { PromptSource, type PromptStream } from '../../../../core/recipes/grpo/prompt-source.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'reasongen-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

describe('reading', () => {
  test('a prompt a line; empty lines and repetitions are left out, in a file and between files', async () => {
    const first = file('geneval_train.txt', 'a frog\n\n  a red bench \na frog\n');
    const second = file('t2i_train.txt', 'a frog\na cat\r\n');
    const [one, two] = await readPromptFiles([
      { file: first, weight: 1 },
      { file: second, weight: 2, task: 'other' },
    ]);
    expect(one?.items).toEqual([
      { prompt: 'a frog', task: 'geneval_train', specification: {} },
      { prompt: 'a red bench', task: 'geneval_train', specification: {} },
    ]);
    expect(one?.repeated).toBe(1);
    expect(two).toMatchObject({ items: [{ prompt: 'a cat', task: 'other' }], repeated: 1, weight: 2 });
  });

  test('what is trained on is not held out', async () => {
    const path = file('val.txt', 'a dog\na frog\n');
    const [read] = await readPromptFiles([{ file: path, weight: 1 }], new Set(['a frog']));
    expect(read?.items.map(({ prompt }) => prompt)).toEqual(['a dog']);
  });

  test('JSON Lines keep what a judge needs; a task may be called tag', async () => {
    const path = file(
      'metadata.jsonl',
      '{"prompt":"two dogs","tag":"counting","include":[{"class":"dog","count":2}]}\n{"prompt":"a cat","task":"single"}\n{"prompt":"a hat"}\n',
    );
    const [read] = await readPromptFiles([{ file: path, weight: 1 }]);
    expect(read?.items.map(({ task }) => task)).toEqual(['counting', 'single', 'metadata']);
    expect(read?.items[0]?.specification).toMatchObject({ include: [{ class: 'dog', count: 2 }] });
  });

  test.each([
    ['empty.txt', '\n \n', 'NO_PROMPTS', /no prompt in it/],
    ['broken.jsonl', '{"prompt":"x"}\n{"prompt":\n', 'BAD_PROMPT_LINE', /not JSON/],
    ['nameless.jsonl', '{"text":"x"}\n', 'BAD_PROMPT_LINE', /no prompt/],
  ])('%s is refused with its place', async (name, text, code, message) => {
    const path = file(name, text);
    const place = name === 'broken.jsonl' ? `${path}:2` : name === 'nameless.jsonl' ? `${path}:1` : path;
    await expect(readPromptFiles([{ file: path, weight: 1 }])).rejects.toMatchObject({
      code,
      place,
      message: expect.stringMatching(message),
      exitCode: 2,
    });
  });
});

function list(task: string, count: number, weight: number): PromptList {
  return {
    file: task,
    weight,
    repeated: 0,
    items: Array.from({ length: count }, (_, index) => ({ prompt: `${task} ${index}`, task, specification: {} })),
  };
}

describe('mixing', () => {
  test('files take turns by their weights, every prompt once per pass, each pass in another order', () => {
    const mix = new PromptMix([list('a', 6, 3), list('b', 5, 1)], 7);
    const taken = Array.from({ length: 24 }, (_, index) => mix.at(index));
    expect(taken.filter(({ task }) => task === 'a')).toHaveLength(18);
    // Evenly: no four in a row without a `b`.
    for (let start = 0; start < 24; start += 4)
      expect(taken.slice(start, start + 4).filter(({ task }) => task === 'b')).toHaveLength(1);
    const passes = [0, 6, 12].map((start) =>
      taken
        .filter(({ task }) => task === 'a')
        .slice(start, start + 6)
        .map(({ prompt }) => prompt),
    );
    for (const pass of passes) expect(new Set(pass).size).toBe(6);
    expect(new Set(passes.map((pass) => pass.join())).size).toBe(3);
  });

  test('what comes next follows from the position alone', () => {
    const lists = [list('a', 9, 1), list('b', 4, 2.5), list('c', 2, 0.7)];
    const whole = new PromptMix(lists, 3);
    const expected = Array.from({ length: 60 }, (_, index) => whole.at(index).prompt);
    const resumed = new PromptMix(lists, 3);
    expect(Array.from({ length: 20 }, (_, index) => resumed.at(40 + index).prompt)).toEqual(expected.slice(40));
    expect(resumed.at(5).prompt).toBe(expected[5]);
    const other = new PromptMix(lists, 4);
    expect(Array.from({ length: 60 }, (_, index) => other.at(index).prompt)).not.toEqual(expected);
  });
});

describe('a source', () => {
  const tasks = ['easy', 'hard'];
  const stream: PromptStream = {
    tasks,
    prompt: (index) => ({ prompt: `prompt ${index}`, task: tasks[index % 2] ?? '', specification: {} }),
  };

  test('passes over what is too long, and counts it', () => {
    const source = new PromptSource(stream, { pool: 0, fits: ({ prompt }) => !prompt.endsWith('3') });
    expect(source.next(6).map(({ prompt }) => prompt)).toEqual([0, 1, 2, 4, 5, 6].map((index) => `prompt ${index}`));
    expect([source.tooLong, source.position]).toEqual([1, 7]);
    const none = new PromptSource(stream, { pool: 0, fits: () => false });
    expect(() => none.next(1)).toThrow(/too long for this run/);
  });

  test('a curriculum changes the tasks at its steps', () => {
    const source = new PromptSource(stream, {
      pool: 0,
      curriculum: [
        { from: 1, tasks: ['easy'] },
        { from: 3, tasks: ['hard', 'easy'] },
      ],
    });
    expect([1, 2].flatMap((step) => source.next(2, step)).map(({ task }) => task)).toEqual([
      'easy',
      'easy',
      'easy',
      'easy',
    ]);
    expect(source.next(3, 3).map(({ task }) => task)).toEqual(['hard', 'easy', 'hard']);
  });

  test('a curriculum over a pool takes what of the pool belongs to it', () => {
    const source = new PromptSource(stream, { pool: 4, curriculum: [{ from: 1, tasks: ['hard'] }] });
    expect(source.next(3, 1).map(({ prompt }) => prompt)).toEqual(['prompt 1', 'prompt 3', 'prompt 1']);
    const none = new PromptSource(stream, { pool: 2, curriculum: [{ from: 1, tasks: ['other'] }] });
    expect(() => none.next(1, 1)).toThrow(/none of the pool of 2 belongs to the tasks other/);
  });
});
