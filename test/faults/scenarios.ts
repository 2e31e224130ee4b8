/** The programs whose faults are walked: a run without a device, and the smallest of every recipe with checkpoints. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runOutcome, type Scenario } from './walk.ts';

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

export function scenarios(): Scenario[] {
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
  return [small, ...trained];
}
