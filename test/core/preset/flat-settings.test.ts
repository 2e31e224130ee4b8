import { expect, test } from 'vitest';
import type { ComponentChoice, Preset } from '../../../core/contracts/preset.ts';
import { flatSettings } from '../../../core/preset/flat-settings.ts';
import { hide } from '../../../core/scrub.ts';

function preset(...choices: readonly Partial<ComponentChoice>[]): Preset {
  const components: Record<string, ComponentChoice[]> = {};
  for (const choice of choices) {
    const whole = { use: 'x', name: choice.use ?? 'x', weight: 1, options: {}, slot: '', ...choice };
    (components[whole.slot] ??= []).push(whole);
  }
  return { name: 'p', seed: 4, file: '/p.yaml', plugins: [], components };
}

test('a component alone goes by its slot, several by their names too; weights are those of rewards', () => {
  const flat = flatSettings(
    preset(
      { slot: 'optimizer', use: 'adamw', options: { learningRate: 1e-4, betas: [0.9, 0.99], fused: false } },
      { slot: 'reward', use: 'judge', options: {}, weight: 0.5 },
      { slot: 'reward', use: 'judge', name: 'other', options: { empty: undefined, nothing: null } },
      { slot: 'benchmark', use: 'b', name: 'mine' },
    ),
  );
  expect(flat).toEqual({
    seed: 4,
    optimizer: 'adamw',
    'optimizer.learningRate': 1e-4,
    'optimizer.betas': '[0.9,0.99]',
    'optimizer.fused': false,
    'reward.judge': 'judge',
    'reward.judge.weight': 0.5,
    'reward.other': 'judge',
    'reward.other.weight': 1,
    'benchmark.mine': 'b',
  });
});

test('long texts are cut, secrets masked', () => {
  hide('hush-hush-key');
  const flat = flatSettings(preset({ slot: 'recipe', options: { text: 'y'.repeat(900), key: 'is hush-hush-key' } }));
  expect(flat['recipe.text']).toHaveLength(500);
  expect(flat['recipe.key']).not.toContain('hush');
});
