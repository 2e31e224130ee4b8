import { dirname, relative } from 'node:path';
import { exitCodes, formatError, ReasongenError } from '../errors.ts';
import { installedPlugins, type InstalledPlugin } from '../preset/installed-plugins.ts';
import { pluginsNamedBy } from '../preset/load.ts';
import type { CommandContext } from './context.ts';

/** `plugins [preset]`: what is installed, what each provides, from where. Fails when one of them cannot be loaded. */
export async function plugins(
  preset: string | undefined,
  { json = false }: { readonly json?: boolean },
  { settings, write }: CommandContext,
): Promise<number> {
  const found = await installedPlugins(preset === undefined ? [] : pluginsNamedBy(preset, settings));
  write(json ? `${JSON.stringify(found.map(record), undefined, 2)}\n` : `${found.map(paragraph).join('\n\n')}\n`);
  return found.some(({ outcome }) => outcome instanceof ReasongenError) ? exitCodes.failure : exitCodes.done;
}

/** Names of the components by slot. */
function provided({ outcome }: InstalledPlugin): Record<string, string[]> {
  const slots: Record<string, string[]> = {};
  if (outcome instanceof ReasongenError) return slots;
  for (const { slot, name } of outcome.provides) slots[slot] = [...(slots[slot] ?? []), name];
  return slots;
}

function record(plugin: InstalledPlugin): object {
  const { specifier, from, version, file, outcome } = plugin;
  if (outcome instanceof ReasongenError) {
    const { code, message, hint } = outcome;
    return { specifier, from, version, file, error: { code, message, hint } };
  }
  const { name, slots = [], formats = [] } = outcome;
  return {
    ...{ specifier, from, version, file, name },
    provides: provided(plugin),
    slots: slots.map(({ slot }) => slot),
    formats: formats.map((format) => format.name),
  };
}

function paragraph(plugin: InstalledPlugin): string {
  const { specifier, from, version, file, outcome } = plugin;
  const folder = file === undefined ? '' : relative(process.cwd(), from === 'preset' ? file : dirname(file));
  const head = [specifier, version, from === 'built in' ? '(built in)' : folder].filter(Boolean).join('  ');
  if (outcome instanceof ReasongenError) return `${head}\n  ${formatError(outcome).replaceAll('\n', '\n  ')}`;
  const lines = Object.entries(provided(plugin)).map(([slot, names]) => `${slot}: ${names.join(', ')}`);
  const added = (outcome.slots ?? []).map(({ slot, summary }) => `adds the slot ${slot}: ${summary}`);
  const formats = (outcome.formats ?? []).map(({ name }) => `reads and writes models of the format ${name}`);
  return [head, ...[...lines, ...added, ...formats].map((line) => `  ${line}`)].join('\n');
}
