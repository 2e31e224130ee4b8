/** Which plugins there are: those of the program, packages installed near the working directory, and what a preset names. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Plugin } from '../contracts/slots.ts';
import { PresetError, type ReasongenError } from '../errors.ts';
import type { LoadedPlugin } from './catalog.ts';
import { loadBuiltInPlugins, loadNamedPlugin, locatePlugin, type PluginReference } from './plugins.ts';

export interface InstalledPlugin {
  /** What a preset writes in `plugins`; for a built-in one, which needs no naming, its folder. */
  readonly specifier: string;
  readonly from: 'built in' | 'installed' | 'preset';
  /** Of the package that holds it; absent for a file in none. */
  readonly version?: string | undefined;
  /** The file that is loaded; absent when there is none. */
  readonly file?: string | undefined;
  /** What it provides, or why it cannot be loaded. */
  readonly outcome: Plugin | ReasongenError;
}

/** The keyword in package.json, and the beginning of the name, by which a package says that it is a plugin. */
const keyword = 'reasongen-plugin';

/** Every plugin in reach, a package once. One that cannot be loaded is listed with its reason; a damaged built-in one throws. */
export async function installedPlugins(named: readonly PluginReference[]): Promise<InstalledPlugin[]> {
  const problems: PresetError[] = [];
  const builtIn = await loadBuiltInPlugins(problems);
  const [damaged] = problems;
  if (damaged !== undefined) throw damaged;
  const packages = pluginPackages(process.cwd());
  const installed = packages.map((specifier): PluginReference => ({ specifier, origin: here }));
  const further = named.filter(({ specifier }) => !packages.includes(specifier));
  return [
    ...builtIn.map(({ plugin, source, file }): InstalledPlugin => ({
      ...{ specifier: source, from: 'built in', file, outcome: plugin },
      version: file === undefined ? undefined : versionOf(file),
    })),
    ...(await Promise.all(installed.map((reference) => look(reference, 'installed')))),
    ...(await Promise.all(further.map((reference) => look(reference, 'preset')))),
  ];
}

const here = { kind: 'set', source: 'node_modules', line: 0, column: 0 } as const;

async function look(reference: PluginReference, from: InstalledPlugin['from']): Promise<InstalledPlugin> {
  const problems: PresetError[] = [];
  let loaded: LoadedPlugin | undefined;
  let file: string | undefined;
  try {
    file = locatePlugin(reference);
    loaded = await loadNamedPlugin(reference, problems);
  } catch (cause) {
    problems.push(cause instanceof PresetError ? cause : unreadable(reference, cause));
  }
  const outcome = loaded?.plugin ?? problems[0] ?? unreadable(reference, undefined);
  return {
    specifier: reference.specifier,
    from,
    file,
    version: file === undefined ? undefined : versionOf(file),
    outcome,
  };
}

function unreadable({ specifier }: PluginReference, cause: unknown): PresetError {
  return new PresetError({
    code: 'PLUGIN_FAILED',
    message: `plugin "${specifier}" cannot be read${cause instanceof Error ? `: ${cause.message}` : ''}`,
    place: specifier,
    hint: 'install it again',
    cause,
  });
}

/** Names of packages that are plugins by name or keyword, in the folder and those above it; the nearest of one name counts. */
function pluginPackages(folder: string): string[] {
  const found = new Set<string>();
  for (let at = folder; ; at = dirname(at)) {
    for (const name of packagesIn(join(at, 'node_modules'))) {
      if (isPlugin(name, join(at, 'node_modules', name, 'package.json'))) found.add(name);
    }
    if (at === dirname(at)) return [...found].sort();
  }
}

function packagesIn(modules: string): string[] {
  if (!existsSync(modules)) return [];
  const visible = (folder: string): string[] => readdirSync(folder).filter((name) => !name.startsWith('.'));
  return visible(modules).flatMap((name) =>
    name.startsWith('@') ? visible(join(modules, name)).map((each) => `${name}/${each}`) : [name],
  );
}

function isPlugin(name: string, manifestFile: string): boolean {
  if (!existsSync(manifestFile)) return false;
  if (name.replace(/^@[^/]+\//, '').startsWith(`${keyword}-`)) return true;
  const { keywords } = readManifest(manifestFile);
  return Array.isArray(keywords) && keywords.includes(keyword);
}

/** Of the nearest package.json that has one. */
function versionOf(file: string): string | undefined {
  for (let at = dirname(file); ; at = dirname(at)) {
    const { version } = readManifest(join(at, 'package.json'));
    if (typeof version === 'string') return version;
    if (at === dirname(at)) return undefined;
  }
}

/** Nothing of a manifest that cannot be read: what is wrong with it is said when the package is loaded. */
function readManifest(file: string): { readonly version?: unknown; readonly keywords?: unknown } {
  try {
    const manifest: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return typeof manifest === 'object' && manifest !== null ? manifest : {};
  } catch {
    return {};
  }
}
