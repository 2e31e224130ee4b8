/** What tests of judges that look have in common: presets of a published model, a reward that asks a judge, and what a run held of the device. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Ended, root, type Workplace } from './runs.ts';

/** A preset with the components of the published model in `folder`, on pictures of 8 x 8. */
export function publishedPreset(place: Workplace, name: string, folder: string, rest: string): string {
  const model = [
    `tokenizer: { use: huggingface, file: ${folder}, rationaleQuestion: '{prompt}:' }`,
    `imageTokenizer: { use: vq, checkpoint: ${folder} }`,
    `backbone: { use: janus-checkpoint, checkpoint: ${folder} }`,
  ];
  return place.preset(name, `${model.join('\n')}\n${rest}\n`);
}

/** The file of a plugin whose reward `ratio` is what its judge thinks of yes against no: random weights seldom say either. */
export function ratioPlugin(place: Workplace): string {
  return place.write(
    'ratio.ts',
    `import { definePlugin, definePointwiseReward, judgeFor, z } from '${join(root, 'core/plugin.ts')}';
export default definePlugin({ name: 'ratio', provides: [definePointwiseReward({
  name: 'ratio', summary: 'yes against no', options: z.strictObject({ judge: z.string().describe('who is asked') }),
  create: async ({ judge }, scope) => {
    const asked = await judgeFor(scope, 'answerProbabilities', judge);
    return { score: async ({ image, prompt }, signal) => {
      const [yes, no] = await asked.answerProbabilities(image, 'Is it ' + prompt + '?', [['yes'], ['no']], signal);
      return yes / (yes + no);
    } };
  },
})] });
`,
  );
}

export function memoryOf({ directory }: Ended): { readonly plannedBytes: number; readonly peakBytes: number } {
  const record = JSON.parse(readFileSync(join(directory, 'run.json'), 'utf8')) as {
    readonly memory: { readonly plannedBytes: number; readonly peakBytes: number };
  };
  return record.memory;
}
