/** The files `init` writes: a preset, a reward with its test, and what a folder of a package needs. */
import { relative } from 'node:path';
import type { StarterChoices, StarterModel } from './choices.ts';

/** The texts by file name, in the order in which they are best read. `version` is reasongen's own. */
export function starterFiles(choices: StarterChoices, version: string): Readonly<Record<string, string>> {
  const { reward } = choices;
  return {
    'README.md': readme(choices),
    'train.yaml': preset(choices),
    [`${reward}.ts`]: plugin(reward),
    [`${reward}.test.ts`]: pluginTest(reward),
    'package.json': manifest(reward, version),
    'tsconfig.json': tsconfig,
    '.gitignore': 'node_modules/\nruns/\nout/\n',
  };
}

function preset({ folder, model, reward, data }: StarterChoices): string {
  const isNano = model === 'nano';
  // The verdict of the nano world knows the prompts of that world only.
  const verdict = isNano && data === undefined ? ['  - nano-verdict   # is the picture what the prompt says?'] : [];
  const prompts =
    data === undefined ? [] : [`  promptFiles: [{ file: ${JSON.stringify(dotted(relative(folder, data)))} }]`];
  const base = isNano ? 'reasongen/nano/grpo' : `reasongen/${model}/grpo-lora`;
  const few = isNano ? ['  prompts: 4          # drawn at once, each', '  groupSize: 4        # so many times'] : [];
  return `${[
    `# GRPO with a reward of your own. \`npx reasongen show train.yaml\` prints every option, also those that ${base} decides.`,
    `name: ${reward}`,
    `extends: ${base}`,
    `plugins: [./${reward}.ts]`,
    'rewards:',
    ...verdict,
    `  - { use: ${reward}, words: 20, weight: ${verdict.length > 0 ? '0.5' : '1'} }`,
    'recipe:',
    `  steps: 5            # a first look; ${isNano ? '260 take 20 minutes on two cores' : 'the published run takes 400'}`,
    ...few,
    '  evaluations: 16     # held-out prompts, before and after',
    ...prompts,
  ].join('\n')}\n`;
}

const authorApi = "import { definePlugin, defineReward, type Sample, type Score, z } from 'reasongen/plugin';";

function plugin(reward: string): string {
  return `/** A reward: it judges drawings, and training makes what it likes more likely. Change \`judge\` into what you want. */
${authorApi}

export default definePlugin({
  name: '${reward}',
  provides: [
    defineReward({
      name: '${reward}',
      summary: 'rationales that name what the prompt asks for, and end soon',
      // Each option can be set in train.yaml, where its type is checked.
      options: z.strictObject({
        words: z.number().int().positive().default(20).describe('longest rationale with full marks'),
      }),
      // \`score\` gets all drawings of a step and returns a score for each, in their order. It may be asynchronous.
      create: ({ words }) => ({ score: (samples) => samples.map((sample) => judge(sample, words)) }),
    }),
  ],
});

/** Judges one drawing from 0 to 1. \`sample.image\` has the picture: width, height, and RGB bytes row by row. */
export function judge({ prompt, rationale, rationaleEnded }: Pick<Sample, 'prompt' | 'rationale' | 'rationaleEnded'>, words: number): Score {
  const written = wordsOf(rationale);
  const asked = wordsOf(prompt).filter((word) => !fillers.has(word));
  const named = asked.length === 0 ? 1 : asked.filter((word) => written.includes(word)).length / asked.length;
  const brevity = rationaleEnded ? Math.min(1, words / Math.max(1, written.length)) : 0;
  // \`why\` is shown beside the picture in the report; \`parts\` become metrics.
  return { value: named * brevity, why: \`names \${Math.round(100 * named)} % in \${written.length} words\`, parts: { named, brevity } };
}

const fillers = new Set(['a', 'an', 'the', 'of', 'and', 'photo']);

function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\\p{L}\\p{N}]+/gu) ?? [];
}
`;
}

function pluginTest(reward: string): string {
  return `import assert from 'node:assert/strict';
import { test } from 'node:test';
import plugin, { judge } from './${reward}.ts';

const drawing = { prompt: 'a photo of two cakes', rationale: 'two cakes side by side', rationaleEnded: true };

test('a rationale that names everything and is short gets full marks', () => {
  assert.equal(judge(drawing, 20).value, 1);
});

test('what is not named costs its share, and words beyond the limit theirs', () => {
  assert.equal(judge({ ...drawing, rationale: 'cakes' }, 20).value, 0.5);
  assert.equal(judge({ ...drawing, rationale: 'two cakes and nothing else here' }, 3).value, 0.5);
});

test('a rationale that was cut off gets nothing', () => {
  assert.equal(judge({ ...drawing, rationaleEnded: false }, 20).value, 0);
});

test('the plugin provides the reward that train.yaml names', () => {
  assert.deepEqual(plugin.provides.map(({ slot, name }) => [slot, name]), [['reward', '${reward}']]);
});
`;
}

function manifest(reward: string, version: string): string {
  const description = {
    name: reward,
    version: '0.0.0',
    private: true,
    type: 'module',
    scripts: {
      test: 'node --import reasongen/register --test *.test.ts',
      start: 'reasongen run train.yaml',
      check: 'reasongen check train.yaml',
    },
    dependencies: { reasongen: `^${version}` },
  };
  return `${JSON.stringify(description, undefined, 2)}\n`;
}

const tsconfig = `${JSON.stringify(
  {
    compilerOptions: {
      target: 'es2023',
      module: 'nodenext',
      strict: true,
      noEmit: true,
      allowImportingTsExtensions: true,
      verbatimModuleSyntax: true,
    },
    include: ['*.ts'],
  },
  undefined,
  2,
)}\n`;

const sizes: Readonly<Record<StarterModel, string>> = {
  nano: 'the nano model, which comes with reasongen, draws sprites on 48 x 48 pixels and trains on two cores',
  'janus-pro-1b': 'Janus-Pro-1B with low-rank adapters, which wants a GPU with 24 GB',
  'janus-pro-7b': 'Janus-Pro-7B with low-rank adapters, which wants a GPU with 80 GB',
};

function readme({ model, reward }: StarterChoices): string {
  const repository = publishedModel(model);
  const pull =
    repository === undefined
      ? ''
      : `npx reasongen pull ${repository}   # once: the model's files, into the cache other programs share\n`;
  return `# ${reward}

A reward for [reasongen](https://www.npmjs.com/package/reasongen), and a preset that trains with it: ${sizes[model]}.

\`\`\`sh
npm install         # unless it is done
npm test            # the reward's own test
${pull}npm run check       # every mistake of train.yaml, and what a run will need
npm start           # five steps; a report with pictures in runs/${reward}/report.html
\`\`\`

| file | |
|---|---|
| \`${reward}.ts\` | the reward: change \`judge\` |
| \`${reward}.test.ts\` | its test |
| \`train.yaml\` | the run: model, rewards and their weights, steps |

\`npx reasongen describe recipe grpo\` lists what \`recipe\` may say, \`npx reasongen describe reward\` which rewards there are. A judge behind a chat
endpoint is one more line under \`rewards\`: \`{ use: chat-judge, url: http://localhost:8000/v1, model: Qwen/Qwen2.5-VL-7B-Instruct }\`.

A run of your own is drawn from like this:

\`\`\`sh
npx reasongen generate --preset runs/${reward} --prompt "a photo of two cakes" --out out/cakes
\`\`\`
`;
}

/** The repository of a model's files; undefined for one that comes with reasongen. */
export function publishedModel(model: StarterModel): string | undefined {
  return model === 'nano' ? undefined : `deepseek-community/Janus-Pro-${model.slice(-2).toUpperCase()}`;
}

function dotted(path: string): string {
  return path.startsWith('.') || path.startsWith('/') ? path : `./${path}`;
}
