/** The programs whose faults are walked: a run without a device, and the smallest of every recipe with checkpoints. */
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FakeHub } from '../support/hub.ts';
import { janusFolder } from '../support/janus-folder.ts';
import { folderOutcome, runOutcome, type Scenario } from './walk.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

export const small: Scenario = {
  name: 'small',
  start: (directory) => [join(root, 'test/faults/small-run.ts'), directory],
  resume: (directory) => [join(root, 'test/faults/small-run.ts'), directory],
  outcome: runOutcome,
};

const recipes: Readonly<Record<string, string>> = {
  sft: 'recipe: { use: sft, steps: 3, batch: 8, examples: 8, saveEvery: 1, keep: 2, ema: { decay: 0.5 } }\n',
  grpo: 'rewards: [is-color]\nrecipe: { use: grpo, steps: 2, prompts: 4, groupSize: 4, rationaleTokens: 6, saveEvery: 1 }\n',
  lora: 'recipe: { use: sft, steps: 3, batch: 8, examples: 8, saveEvery: 1, weights: random, lora: { rank: 4 } }\n',
};

/** `make` builds what a scenario begins with, and is called for those that are wanted only. */
export async function scenarios(wanted?: string): Promise<Scenario[]> {
  const folder = mkdtempSync(join(tmpdir(), 'reasongen-scenarios-'));
  const command = join(root, 'core/cli.ts');
  const trained = Object.entries(recipes).map(([name, recipe]): Scenario => {
    const preset = join(folder, `${name}.yaml`);
    const optimizer = 'optimizer: { use: adamw, learningRate: 2e-3 }\n';
    writeFileSync(preset, `extends: ${join(root, 'test/support/tiny.yaml')}\n${optimizer}${recipe}`);
    return {
      name,
      start: (directory) => [command, 'run', preset, '--run-dir', directory],
      resume: (directory) => [command, 'resume', directory],
      outcome: runOutcome,
    };
  });
  const isWanted = ({ name }: Pick<Scenario, 'name'>): boolean => wanted === undefined || name === wanted;
  const drawing = ['generate', 'export'].some((name) => isWanted({ name }))
    ? janusFolder(join(folder, 'janus'), 'tiny-a')
    : '';
  const generate = [
    command,
    'generate',
    '--model',
    drawing,
    '--prompt',
    'a cat',
    '--prompt',
    'a dog',
    '--no-rationale',
  ];
  const drawn: Scenario = {
    name: 'generate',
    start: (directory) => [...generate, '--out', directory],
    resume: (directory) => [...generate, '--out', directory],
    // What a clock decides is in run.json, log and report.
    outcome: (directory) => folderOutcome(directory, /^(run\.json|log\.txt|report\.html|metrics\.ndjson|events.*)$/),
  };
  const exported: Scenario = {
    name: 'export',
    start: (directory) => [command, 'export', drawing, '--out', directory, '--max-shard-size', '100KB'],
    resume: (directory) => [command, 'export', drawing, '--out', directory, '--max-shard-size', '100KB'],
    outcome: (directory) => folderOutcome(directory, /^$/),
  };
  const chain = join(folder, 'chain.yaml');
  writeFileSync(
    chain,
    `stages: [{ preset: ${join(folder, 'sft.yaml')}, name: first }, { preset: ${join(folder, 'lora.yaml')}, name: second, set: { recipe.weights: 'stage:first' } }]\n`,
  );
  const staged: Scenario = {
    name: 'staged',
    start: (directory) => [command, 'run', chain, '--run-dir', directory],
    resume: (directory) => [command, 'resume', directory],
    begun: (directory) => existsSync(join(directory, 'preset.yaml')),
    outcome: (directory) =>
      new Map(
        ['first', 'second'].flatMap((stage) =>
          [...runOutcome(join(directory, stage))].map(([name, text]): [string, string] => [`${stage}, ${name}`, text]),
        ),
      ),
  };
  const hub = new FakeHub({
    'config.json': Buffer.from('{"model_type": "x"}'),
    'tokenizer.json': Buffer.from('{}'),
    '*model.safetensors': Buffer.alloc(200_000, 'w'),
  });
  if (isWanted({ name: 'pull' })) await hub.open();
  const pull = [command, 'pull', 'owner/name'];
  const pulled: Scenario = {
    name: 'pull',
    start: () => pull,
    resume: () => pull,
    environment: (directory) => ({ HF_ENDPOINT: hub.url, HF_HOME: directory, HF_HUB_CACHE: '' }),
    // What was verified, and when, is a memory of this machine's.
    outcome: (directory) => folderOutcome(directory, /\.lock$|\.reasongen-verified\.json$/),
  };
  return [small, ...trained, drawn, exported, staged, pulled].filter(isWanted);
}
