/** The small judge that `bench:judge` teaches: what it is asked is answered right, and what a few steps leave is a model that the program opens as its judge. */
import { expect, test } from 'vitest';
import { openTestDevice } from '../../core/testing.ts';
import type { checkJudge } from '../../core/testing/check-judge.ts';
import { openComponent } from '../../core/testing/contract.ts';
import { drawStream } from '../../plugins/nano-world/random.ts';
import qwen from '../../plugins/qwen-vl/index.ts';
import vlmJudge from '../../plugins/vlm-judge/index.ts';
import { Workplace } from '../support/runs.ts';
import { lessonOn, ownVerdict, promptsToDraw, renderedPicture } from './judge/questions.ts';
import { teachJudge, type DrawnPicture } from './judge/teach.ts';

const place = new Workplace();
const [judge] = vlmJudge.provides as never as [Parameters<typeof checkJudge>[0]];
/** Rendered as if they were drawings. */
const pictures = Array.from({ length: 12 }, (_, index): DrawnPicture => ({
  ...renderedPicture(5, index),
  prompt: promptsToDraw('seen', 12)[index] ?? '',
}));

test('answers follow from what the detector finds', () => {
  const mix = { ownPrompt: 0.2, inventory: 0.2, cell: 0.4, retrieval: 0.6, presence: 0.8 };
  const asked = pictures.flatMap((picture) =>
    Array.from({ length: 40 }, (_, index) => lessonOn(picture, mix, drawStream(1, 2, index))),
  );
  expect(new Set(asked.map(({ question }) => question.split(' ').slice(0, 2).join(' ')))).toEqual(
    new Set(['What is', 'Is this', 'Is there']),
  );
  for (const { question, answer, cells } of asked) {
    const there = cells.filter((one) => one !== undefined);
    const [, name] = /^Is there an? (\w+)\? /.exec(question) ?? [];
    if (name !== undefined) expect(answer).toBe(there.some((one) => one.name === name) ? 'yes' : 'no');
    if (question === 'What is in the picture?') expect(answer.split(', ')).toHaveLength(Math.max(1, there.length));
  }
  expect(asked.filter(({ answer }) => answer === 'yes').length).toBeGreaterThan(30);
  expect(asked.filter(({ answer }) => answer === 'no').length).toBeGreaterThan(30);
});

test('a few steps, and it is opened as a judge', async () => {
  const folder = place.path('judge');
  const said = await teachJudge(folder, { train: pictures, heldOut: pictures, share: 0.005 });
  expect(said).toMatch(/^right on 0\.\d+ \[.*\] of 12 held-out drawings/);
  const device = await openTestDevice();
  const { made, dispose } = await openComponent(judge, {
    ...{ device, plugins: [qwen] },
    options: { model: folder, batch: 4, maxTokens: 0, questionTokens: 96 },
  });
  for (const picture of pictures.slice(0, 4)) {
    const likely = await made.answerProbabilities?.(
      picture.image,
      ownVerdict(picture).question,
      [['yes'], ['no']],
      new AbortController().signal,
    );
    expect(likely).toHaveLength(2);
    for (const value of likely ?? []) expect(value > 0 && value < 1, String(value)).toBe(true);
  }
  await dispose();
  device.close();
});
