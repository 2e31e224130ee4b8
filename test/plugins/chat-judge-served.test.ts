/** The chat judge of a run asks a model that is served by another process, and hears what the same model says within the run. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { curve, root, Workplace } from '../support/runs.ts';
import { janusFolder } from '../support/janus-folder.ts';
import { startServeProcess } from '../support/serve-process.ts';

const place = new Workplace();

/** A reward that compares two judges: the largest difference of what both say of the likeliest first tokens, and whether their answers are one. */
const agreement = (): string =>
  place.write(
    'agreement.ts',
    `import { definePlugin, definePointwiseReward, judgeFor, z } from '${join(root, 'core/plugin.ts')}';
const characters = Array.from({ length: 94 }, (_, index) => [String.fromCharCode(0x21 + index)]);
export default definePlugin({ name: 'agreement', provides: [definePointwiseReward({
  name: 'agreement', summary: 'whether two judges agree', options: z.strictObject({}),
  create: async (_choice, scope) => {
    const [within, beyond] = [await judgeFor(scope, 'answerProbabilities', 'within'), await judgeFor(scope, 'answerProbabilities', 'beyond')];
    return { score: async ({ image, prompt }, signal) => {
      const question = 'Is it ' + prompt + '?';
      const [own, told] = await Promise.all([within, beyond].map((judge) => judge.answerProbabilities(image, question, characters, signal)));
      const [answer, other] = await Promise.all([within, beyond].map((judge) => judge.answer(image, question, signal)));
      // An endpoint tells the twenty likeliest only.
      const known = told.flatMap((value, index) => (value > 0 ? [Math.abs(value - own[index])] : []));
      return { value: Math.max(...known), parts: { known: known.length, same: Number(answer === other), mass: told.reduce((a, b) => a + b) } };
    } };
  },
})] });
`,
  );

test('probabilities and answers are those of the same model in the process', async () => {
  const folder = janusFolder(place.path('model'), 'tiny-b');
  const server = await startServeProcess([
    ...['--model', folder, '--name', 'judge', '--port', '0', '--run-dir', place.path('server')],
    ...['--set', 'recipe.questionTokens=1024', '--set', 'recipe.answerTokens=12'],
  ]);
  try {
    const preset = place.preset(
      'judged',
      `plugins: [${agreement()}]
tokenizer: { use: huggingface, file: ${folder}, rationaleQuestion: '{prompt}:' }
imageTokenizer: { use: vq, checkpoint: ${folder} }
backbone: { use: janus-checkpoint, checkpoint: ${folder} }
judges:
  - { use: self-judge, name: within, questionTokens: 1024, batch: 4, answerTokens: 13 }
  - { use: chat-judge, name: beyond, url: "${server.url}", model: judge, maxTokens: 12, atOnce: 8 }
rewards: [agreement]
optimizer: { use: adamw, learningRate: 1e-2 }
recipe: { use: grpo, weights: ${folder}, steps: 2, prompts: 2, groupSize: 4, rationaleTokens: 8, promptTokens: 64, evaluations: 0 }
`,
    );
    const { directory } = await place.run(preset);
    const parts = (name: string): number[] => curve(directory, `reward/agreement/parts/${name}`);
    for (const difference of curve(directory, 'reward/agreement')) expect(difference).toBeLessThan(1e-5);
    expect(Math.min(...parts('known'))).toBeGreaterThan(10);
    expect(Math.min(...parts('mass'))).toBeGreaterThan(0.2);
    expect(parts('same')).toEqual([1, 1]);
  } finally {
    expect(await server.stop()).toBe(0);
  }
  expect(server.said()).not.toMatch(/error|failed/i);
});
