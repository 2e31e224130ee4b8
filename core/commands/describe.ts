import { hookList } from '../hooks.ts';
import { componentsAsData, describeComponents } from '../preset/describe.ts';
import { presetSchema } from '../preset/json-schema.ts';
import { loadCatalogOf } from '../preset/load.ts';
import type { CommandContext } from './context.ts';

export interface DescribeOptions {
  readonly json?: boolean;
  readonly jsonSchema?: boolean;
  /** Plugins beyond the built-in ones. */
  readonly plugin: readonly string[];
}

/** `describe [slot] [component]`: what presets may name, from the declarations; `--json-schema` for editors. */
export async function describe(
  slot: string | undefined,
  component: string | undefined,
  options: DescribeOptions,
  { write }: CommandContext,
): Promise<number> {
  const catalog = await loadCatalogOf(options.plugin);
  if (options.jsonSchema === true) {
    write(`${JSON.stringify(presetSchema(catalog), undefined, 2)}\n`);
    return 0;
  }
  if (options.json === true) {
    write(`${JSON.stringify(componentsAsData(catalog, slot, component), undefined, 2)}\n`);
    return 0;
  }
  write(`${describeComponents(catalog, slot, component)}\n`);
  if (slot === undefined || slot === 'extension' || slot === 'extensions') write(`\n${describeHooks()}\n`);
  return 0;
}

function describeHooks(): string {
  const hooks = Object.entries(hookList);
  const width = Math.max(...hooks.map(([name]) => name.length));
  const kindWidth = Math.max(...hooks.map(([, { kind }]) => kind.length));
  const rows = hooks.map(([name, { kind, fires }]) => `  ${name.padEnd(width)}  ${kind.padEnd(kindWidth)}  ${fires}`);
  return ['hooks: what an extension may tap', ...rows].join('\n');
}
