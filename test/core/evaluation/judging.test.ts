/** Judges that fail: what is told, and how often. */
import { describe, expect, test } from 'vitest';
import type { EvidenceBenchmark } from '../../../core/contracts/benchmark.ts';
import { judgePictures, type PictureOutcome } from '../../../core/evaluation/judging.ts';
import { pictureOf } from '../../../core/evaluation/pictures.ts';
import { silentLog } from '../../../core/log.ts';
import { testSample } from '../../../core/testing.ts';

async function judge(
  count: number,
  answer: (index: number) => unknown,
): Promise<{ outcomes: PictureOutcome[]; told: string[] }> {
  const told: string[] = [];
  const benchmark: EvidenceBenchmark = {
    tasks: ['all'],
    prompts: () => [],
    judges: () => Promise.resolve([{ capability: 'answer', title: 'eye', fingerprint: { a: 'b' }, isOfficial: false }]),
    gather: async ({ group }) => answer(group),
    verdict: () => ({ pass: true, why: '' }),
  };
  async function* source() {
    for (let start = 0; start < count; start += 4)
      yield await Promise.resolve(
        Array.from({ length: Math.min(4, count - start) }, (_, offset) => {
          const index = start + offset;
          return pictureOf(testSample({ id: String(index), group: index }), index, 0);
        }),
      );
  }
  const outcomes = await judgePictures(
    {
      log: { ...silentLog(), warn: (line) => void told.push(line) },
      signal: new AbortController().signal,
      rewards: [],
    },
    { name: 'quiz', benchmark },
    source(),
    { keeps: () => false },
  );
  return { outcomes, told };
}

describe('a judge that fails', () => {
  test('for one reason is told of once, and every picture has the reason', async () => {
    const { outcomes, told } = await judge(40, (index) => {
      if (index % 2 === 1) throw new Error('who are you?');
      return 'yes';
    });
    expect(told).toHaveLength(1);
    expect(told[0]).toMatch(
      /^no verdict on picture 0 of .*, and perhaps on others for the same reason: who are you\?$/,
    );
    const failed = outcomes.filter(({ failure }) => failure === 'judge');
    expect(failed).toHaveLength(20);
    expect(new Set(failed.map(({ verdict }) => verdict.why))).toEqual(new Set(['no verdict: who are you?']));
  });

  test('for many reasons is told of as often as one can read', async () => {
    const { told } = await judge(100, (index) => {
      if (index % 2 === 1) throw new Error(`reason ${index}`);
      return 'yes';
    });
    expect(told).toHaveLength(20);
  });

  test('of every picture ends the evaluation, whose reason is the last', async () => {
    await expect(
      judge(100, () => {
        throw new Error('out of order');
      }),
    ).rejects.toMatchObject({
      code: 'NO_EVIDENCE',
      message: expect.stringMatching(/failed \d\d times in a row: out of order/) as string,
    });
  });
});
