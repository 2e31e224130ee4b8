/** The files `init` writes: a preset, a reward with its test, and what a folder of a package needs. */
import { relative } from 'node:path';
import { template } from './templates.ts';
import type { StarterChoices, StarterModel } from './choices.ts';

/** The texts by file name, in the order in which they are best read. `version` is reasongen's own. */
export function starterFiles(choices: StarterChoices, version: string): Readonly<Record<string, string>> {
  const { reward } = choices;
  return {
    'README.md': readme(choices),
    'train.yaml': preset(choices),
    [`${reward}.ts`]: template('reward/src/index.ts', { name: reward }),
    [`${reward}.test.ts`]: template('reward/src/index.test.ts', { name: reward, file: `./${reward}.ts` }),
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
