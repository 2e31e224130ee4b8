/** Any prompts of the user's as a benchmark: the rewards of the preset judge the pictures. */
import { createHash } from 'node:crypto';
import {
  defineBenchmark,
  definePlugin,
  inputFile,
  mean,
  readTextRows,
  z,
  type JudgedPicture,
  type RewardedBenchmark,
  type Summary,
} from '../../core/plugin.ts';

export default definePlugin({
  name: 'prompts',
  provides: [
    defineBenchmark({
      name: 'prompts',
      summary: 'prompts of a file, judged by the rewards of the preset',
      options: z.strictObject({
        file: inputFile().describe(
          'text with a prompt a line, or JSON Lines, a JSON list or a table with a `prompt`, perhaps a `task`',
        ),
        samplesPerPrompt: z.number().int().positive().default(1).describe('pictures of each prompt'),
      }),
      create: async ({ file, samplesPerPrompt }): Promise<RewardedBenchmark> => {
        const items = (await readTextRows(file, 'prompt')).map(({ text, columns }) => {
          const task = columns['task'] ?? columns['tag'];
          return {
            prompt: text,
            task: typeof task === 'string' && task !== '' ? task : 'prompts',
            specification: columns,
          };
        });
        return {
          tasks: [...new Set(items.map(({ task }) => task))],
          splits: ['heldout'],
          size: items.length,
          samplesPerPrompt,
          fingerprint: { prompts: createHash('sha256').update(JSON.stringify(items)).digest('hex') },
          prompts: (_split, count) => items.slice(0, count),
          judgedByRewards: true,
          aggregate: meanReward,
        };
      },
    }),
  ],
});

/** Of all pictures, and of those of every task. */
function meanReward(pictures: readonly JudgedPicture[]): Summary {
  const tasks = new Map<string, JudgedPicture[]>();
  for (const picture of pictures) tasks.set(picture.task, [...(tasks.get(picture.task) ?? []), picture]);
  return {
    headline: { name: 'mean reward', value: rewardOf(pictures) },
    scores: Object.fromEntries([...tasks].map(([task, some]) => [task, rewardOf(some)])),
  };
}

function rewardOf(pictures: readonly JudgedPicture[]): number {
  return mean(pictures.map(({ verdict }) => verdict.parts?.['reward'] ?? 0));
}
