/** The programs whose faults are walked: a run without a device, the smallest of every recipe with checkpoints, and the other commands that write. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { captionRows, writeJsonLines, writeTar } from '../support/captions.ts';
import { FakeHub } from '../support/hub.ts';
import { janusFolder } from '../support/janus-folder.ts';
import { folderOutcome, runOutcome, type Outcome } from './outcome.ts';
import type { Scenario } from './walk.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

export const small: Scenario = {
  name: 'small',
  start: (directory) => ['small', directory],
  resume: (directory) => ['small', directory],
  verify: (directory) => ['checkpoint', 'verify', directory],
  outcome: (directory) => {
    const read = (name: string): string => readFileSync(join(directory, name), 'utf8');
    const { sessions } = JSON.parse(read('run.json')) as { sessions: readonly { outcome?: string }[] };
    return new Map([
      ...runOutcome(directory),
      ['preset', read('preset.yaml')],
      ['ended', sessions.at(-1)?.outcome ?? 'not noted'],
      ...folderOutcome(join(directory, 'evaluations'), /^\.tmp-/),
    ]);
  },
};

/** The smallest of every recipe: with what its steps leave to the next, and at least as many of them in GRPO as in SFT. */
export const recipes = {
  sft: 'recipe: { use: sft, steps: 3, batch: 8, examples: 8, saveEvery: 1, keep: 2, ema: { decay: 0.5 } }\n',
  grpo: 'rewards: [is-color]\nrecipe: { use: grpo, steps: 3, prompts: 2, groupSize: 4, rationaleTokens: 4, saveEvery: 1, keep: 2, imageEntropy: { target: 1 } }\n',
  lora: 'recipe: { use: sft, steps: 3, batch: 8, examples: 8, saveEvery: 1, weights: random, lora: { rank: 4 } }\n',
} as const;

/** What a clock decides is in these, or they decide nothing: `origins.yaml` tells a person where settings come from. */
const byClock = /^(run\.json|log\.txt|report\.html|metrics\.ndjson|events.*|origins\.yaml)$/;

/** By name; each is made only where it is wanted, in a folder of its own. */
const makers: Readonly<Record<string, (folder: string) => Promise<Scenario> | Scenario>> = {
  small: () => small,
  sft: (folder) => trained('sft', folder, recipes.sft),
  grpo: (folder) => trained('grpo', folder, recipes.grpo),
  lora: (folder) => trained('lora', folder, recipes.lora),
  staged,
  data,
  judged,
  evaluate,
  generate,
  export: exported,
  pull,
};

export const scenarioNames = Object.keys(makers);

export async function scenario(name: string): Promise<Scenario> {
  const make = makers[name];
  if (make === undefined) throw new RangeError(`there is no ${name}: ${scenarioNames.join(', ')}`);
  return make(mkdtempSync(join(tmpdir(), 'reasongen-scenario-')));
}

function preset(folder: string, name: string, text: string): string {
  const file = join(folder, `${name}.yaml`);
  const optimizer = 'optimizer: { use: adamw, learningRate: 2e-3 }\n';
  writeFileSync(file, `extends: ${join(root, 'test/support/tiny.yaml')}\n${optimizer}${text}`);
  return file;
}

function trained(name: string, folder: string, text: string): Scenario {
  const file = preset(folder, name, text);
  return {
    name,
    start: (directory) => ['run', file, '--run-dir', directory],
    resume: (directory) => ['resume', directory],
    verify: (directory) => ['checkpoint', 'verify', directory],
    outcome: runOutcome,
  };
}

/** A chain of two runs: the adapters of the second are trained on the weights of the first. */
function staged(folder: string): Scenario {
  const [first, second] = [preset(folder, 'sft', recipes.sft), preset(folder, 'lora', recipes.lora)];
  const chain = join(folder, 'chain.yaml');
  writeFileSync(
    chain,
    `stages: [{ preset: ${first}, name: first }, { preset: ${second}, name: second, set: { recipe.weights: 'stage:first' } }]\n`,
  );
  return {
    name: 'staged',
    start: (directory) => ['run', chain, '--run-dir', directory],
    resume: (directory) => ['resume', directory],
    begun: (directory) => existsSync(join(directory, 'preset.yaml')),
    verify: (directory) => ['checkpoint', 'verify', directory],
    outcome: (directory) =>
      new Map(
        ['first', 'second'].flatMap((stage) =>
          [...runOutcome(join(directory, stage))].map(([name, text]): [string, string] => [`${stage}, ${name}`, text]),
        ),
      ),
  };
}

/** Captioned pictures in an archive and in lines of JSON with pictures beside them, codes that are kept, and a plugin of one's own, of which a run keeps a copy. */
async function data(folder: string): Promise<Scenario> {
  const rows = await captionRows(12);
  const files = join(folder, 'data');
  mkdirSync(files);
  await writeTar(join(files, 'rows.tar'), rows.slice(0, 6));
  await writeJsonLines(files, rows.slice(6));
  const plugin =
    "defineExtension({ name: 'own', summary: 'does nothing', options: z.strictObject({}), create: () => ({}) })";
  writeFileSync(
    join(folder, 'own.ts'),
    `import { defineExtension, definePlugin, z } from 'reasongen/plugin';\nexport default definePlugin({ name: 'own', provides: [${plugin}] });\n`,
  );
  const file = preset(
    folder,
    'data',
    `plugins: [./own.ts]\nextensions: [own]\ndataset: { use: caption-data, path: ${files}, shuffleWindow: 8 }\nrecipe: { use: sft, steps: 2, batch: 4, saveEvery: 1 }\n`,
  );
  return {
    name: 'data',
    start: (directory) => ['run', file, '--run-dir', directory],
    resume: (directory) => ['resume', directory],
    environment: (directory) => ({ REASONGEN_CACHE: `${directory}-cache` }),
    verify: (directory) => ['checkpoint', 'verify', directory],
    outcome: runOutcome,
  };
}

/** A scorer behind an address: what it says is a function of the picture. */
async function openScorer(): Promise<string> {
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => (text += String(chunk)));
    request.on('end', () => {
      const { image } = JSON.parse(text) as { image: string };
      const [first = 0] = createHash('sha256').update(image).digest();
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ value: first / 255 }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  server.unref();
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/score`;
}

const scored = (url: string): string => `rewards: [{ use: http-judge, url: '${url}', cache: off, timeout: 0.5 }]\n`;

/** GRPO whose reward is asked over the network. */
async function judged(folder: string): Promise<Scenario> {
  const recipe = 'recipe: { use: grpo, steps: 1, prompts: 2, groupSize: 4, rationaleTokens: 6, saveEvery: 1 }\n';
  return trained('judged', folder, `${scored(await openScorer())}${recipe}`);
}

/** Pictures drawn and judged over the network. */
async function evaluate(folder: string): Promise<Scenario> {
  const prompts = join(folder, 'prompts.txt');
  writeFileSync(prompts, 'a red picture\na blue picture\na green picture\n');
  const file = preset(
    folder,
    'evaluate',
    `${scored(await openScorer())}benchmarks: [{ use: prompts, file: ${prompts} }]\nrecipe: { use: evaluate, weights: random, batch: 4 }\n`,
  );
  return {
    name: 'evaluate',
    start: (directory) => ['run', file, '--run-dir', directory],
    resume: (directory) => ['resume', directory],
    // Results of a measurement that is done, and the pictures that were measured.
    blind: /^(pictures|evaluations)\//,
    outcome: (directory) => folderOutcome(directory, byClock),
  };
}

function generate(folder: string): Scenario {
  const drawing = janusFolder(join(folder, 'janus'), 'tiny-a');
  const prompts = ['a cat', 'a dog'].flatMap((prompt) => ['--prompt', prompt]);
  const words = (directory: string): string[] => [
    ...['generate', '--model', drawing, ...prompts],
    ...['--no-rationale', '--out', directory],
  ];
  // A picture that is drawn again has its line behind the others.
  const outcome = (directory: string): Outcome =>
    new Map([
      ...folderOutcome(directory, new RegExp(`${byClock.source}|^drawings\\.jsonl$`)),
      ['drawings', readFileSync(join(directory, 'drawings.jsonl'), 'utf8').split('\n').toSorted().join('\n')],
    ]);
  return { name: 'generate', start: words, resume: words, outcome };
}

function exported(folder: string): Scenario {
  const model = janusFolder(join(folder, 'janus'), 'tiny-a');
  const words = (directory: string): string[] => ['export', model, '--out', directory, '--max-shard-size', '100KB'];
  const outcome = (directory: string): Outcome => folderOutcome(directory, /^$/);
  return { name: 'export', start: words, resume: words, blind: /./, outcome };
}

async function pull(): Promise<Scenario> {
  const hub = new FakeHub({
    'config.json': Buffer.from('{"model_type": "x"}'),
    'tokenizer.json': Buffer.from('{}'),
    '*model.safetensors': Buffer.alloc(200_000, 'w'),
  });
  await hub.open();
  const words = ['pull', 'owner/name'];
  return {
    name: 'pull',
    // What has arrived rightly is not read again as long as nobody touches it.
    blind: /./,
    start: () => words,
    resume: () => words,
    environment: (directory) => ({ HF_ENDPOINT: hub.url, HF_HOME: directory, HF_HUB_CACHE: '' }),
    // What was verified, and when, is a memory of this machine's.
    outcome: (directory) => folderOutcome(directory, /\.reasongen-verified\.json$/),
  };
}
