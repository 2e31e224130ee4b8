/** Benchmarks that a command line names. */
import { loadPreset } from '../preset/load.ts';
import type { CommandContext } from './context.ts';

/**
 * Texts of `--set` that make benchmarks of these names, with commas between them, those of a preset: one that the preset knows by this name
 * with the options that it gives it. `more` options go to benchmarks of a kind.
 */
export async function namedBenchmarks(
  names: string,
  preset: string | undefined,
  settings: readonly string[],
  { environment }: Pick<CommandContext, 'environment'>,
  more: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {},
): Promise<string[]> {
  const wanted = names
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  // What was set of benchmarks is of those that are named here, and goes behind them.
  const others = settings.filter((setting) => !/^benchmarks\b/.test(setting));
  const loaded = preset === undefined ? undefined : await loadPreset(preset, { settings: others, environment });
  const there = loaded?.stages.at(-1)?.preset.components['benchmark'] ?? [];
  const chosen = wanted.map((name) => {
    const own = there.find((each) => each.name === name);
    const use = own?.use ?? name;
    return { use, name, ...own?.options, ...more[use] };
  });
  return [`benchmarks=${JSON.stringify(chosen)}`];
}
