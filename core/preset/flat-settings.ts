import { scrub } from '../scrub.ts';
import type { ComponentChoice, Preset } from '../contracts/preset.ts';

/**
 * Seed, components and their options by one name each, for programs that compare runs: `optimizer: adamw`, `optimizer.learningRate: 0.0001`,
 * `reward.verdict.weight: 1`. Lists and objects are JSON, cut off after `longest` characters.
 */
export function flatSettings({ seed, components }: Preset, longest = 500): Record<string, string | number | boolean> {
  const flat: Record<string, string | number | boolean> = { seed };
  for (const [slot, choices] of Object.entries(components))
    for (const choice of choices) {
      const name = choice.name === choice.use && choices.length === 1 ? slot : `${slot}.${choice.name}`;
      flat[name] = choice.use;
      for (const [key, value] of settingsOf(choice)) {
        if (value === undefined || value === null) continue;
        flat[`${name}.${key}`] = plain(value, longest);
      }
    }
  return flat;
}

function settingsOf({ slot, weight, options }: ComponentChoice): [string, unknown][] {
  return Object.entries(slot === 'reward' ? { weight, ...options } : options);
}

function plain(value: unknown, longest: number): string | number | boolean {
  if (typeof value === 'number' || typeof value === 'boolean') return value;
  return scrub(typeof value === 'string' ? value : JSON.stringify(value)).slice(0, longest);
}
