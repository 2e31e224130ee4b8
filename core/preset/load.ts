import { resolve } from 'node:path';
import type { Preset } from '../contracts/preset.ts';
import { type Environment, processEnvironment } from '../environment.ts';
import { type PresetError, ProblemsError } from '../errors.ts';
import { builtInSlots, type Catalog, createCatalog, type LoadedPlugin } from './catalog.ts';
import { type Draft, draftStages, strays } from './chain.ts';
import { checkPreset, readName } from './check.ts';
import { listOf, readPresetFiles } from './files.ts';
import { locatePreset } from './locate.ts';
import type { LocatedMap } from './located.ts';
import { mergePresets } from './merge.ts';
import { loadBuiltInPlugins, loadNamedPlugin, pluginIdentity, type PluginReference } from './plugins.ts';
import type { Lookup } from './options.ts';
import { reported } from './problem-order.ts';
import { resolveSetting } from './setting-paths.ts';
import { applySetting, parseSetting, type Setting } from './settings.ts';

/** A preset ready to run. A chain has several stages, any other preset one. */
export interface LoadedPreset {
  readonly name: string;
  readonly file: string;
  readonly isChain: boolean;
  readonly stages: readonly Stage[];
  readonly catalog: Catalog;
}

export interface Stage {
  readonly name: string;
  readonly preset: Preset;
  /** The merged text with the place of every value, for `show`. */
  readonly tree: LocatedMap;
}

export interface LoadPresetOptions {
  /** Texts of `--set`, `path=value`. In a chain the path starts with the name of a stage. */
  readonly settings?: readonly string[];
  /** Directory that holds the run directories of the stages, or how it follows from the name of the chain; `stage:NAME` resolves into it. Left out by `check`. */
  readonly runDirectory?: string | ((name: string) => string);
  /** Instead of the plugins in the tree. */
  readonly builtIn?: readonly LoadedPlugin[];
  /** Variables instead of those of the process. */
  readonly environment?: Environment;
}

/** Reads, merges and checks a preset, a file or PACKAGE/NAME, and loads its plugins. Throws one `ProblemsError` with all that is wrong. */
export async function loadPreset(file: string, options: LoadPresetOptions = {}): Promise<LoadedPreset> {
  const problems: PresetError[] = [];
  const { absolute, main, isChain, drafts, settings } = readDrafts(file, options.settings ?? [], problems);
  const chainName = isChain ? readName(main, absolute, problems) : '';
  const { runDirectory, environment = processEnvironment } = options;
  const directory = typeof runDirectory !== 'function' ? runDirectory : isChain ? runDirectory(chainName) : undefined;
  const before = problems.length;
  const catalog = await loadCatalog(drafts, options.builtIn, problems);
  const isLoaded = problems.length === before;
  const stages = drafts.map((draft, index): Stage => {
    const own: PresetError[] = [];
    const tree = merge(draft, catalog, own);
    const plugins = pluginsOf(tree, own);
    const preset = checkPreset(
      tree,
      draft.file,
      plugins,
      catalog,
      { stages: earlierStages(drafts, index, directory), environment },
      own,
    );
    problems.push(
      ...own.filter(
        (problem) => (draft.isWhole || !mayStandInMissingPart(problem)) && (isLoaded || !mayBeOfMissingPlugin(problem)),
      ),
    );
    return { name: draft.name || preset.name, preset, tree };
  });
  if (isChain)
    problems.push(
      ...strays(
        drafts,
        stages.map(({ tree }) => tree),
        settings,
        catalog,
      ),
    );
  if (problems.length > 0) throw new ProblemsError(reported(problems));
  return { name: isChain ? chainName : (stages[0]?.name ?? ''), file: absolute, isChain, stages, catalog };
}

/** What a preset, or any stage of a chain, names in `plugins`, each once. Throws what keeps its files from being read. */
export function pluginsNamedBy(file: string, settings: readonly string[]): PluginReference[] {
  const problems: PresetError[] = [];
  const { drafts } = readDrafts(file, settings, problems);
  const wanted = wantedPlugins(drafts, problems);
  if (problems.length > 0) throw new ProblemsError(reported(problems));
  return wanted;
}

interface Drafts {
  readonly absolute: string;
  readonly main: LocatedMap;
  readonly isChain: boolean;
  readonly drafts: readonly Draft[];
  readonly settings: readonly Setting[];
}

/** The files of a preset and of its stages. Throws when the preset itself cannot be read. */
function readDrafts(file: string, texts: readonly string[], problems: PresetError[]): Drafts {
  const absolute = locatePreset(file, process.cwd(), undefined, problems);
  if (absolute === undefined) throw new ProblemsError(problems);
  const settings = texts.flatMap((text) => parseSetting(text, problems) ?? []);
  const before = problems.length;
  const files = readPresetFiles(absolute, undefined, problems);
  const isWhole = problems.length === before;
  const main = files.at(-1);
  if (main === undefined || main.origin.source !== absolute) throw new ProblemsError(problems);
  const isChain = main.entries.has('stages');
  const drafts = isChain
    ? draftStages(main, absolute, settings, problems)
    : [{ name: '', file: absolute, files, settings, isWhole }];
  return { absolute, main, isChain, drafts, settings };
}

/** Of a preset of which a file could not be read: what seems missing, or to be set in vain, may stand there. */
function mayStandInMissingPart({ code, place: where }: PresetError): boolean {
  return ['MISSING_COMPONENT', 'MISSING_OPTION', 'MISSING_USE'].includes(code) || where?.startsWith('--set ') === true;
}

/** What is not known may come with a plugin that could not be loaded, and that has been said. */
function mayBeOfMissingPlugin({ code }: PresetError): boolean {
  return code === 'UNKNOWN_COMPONENT';
}

/** The built-in plugins and those named, relative to the current directory; for `describe` without a preset. */
export async function loadCatalogOf(names: readonly string[]): Promise<Catalog> {
  const problems: PresetError[] = [];
  const builtIn = await loadBuiltInPlugins(problems);
  const origin = { kind: 'set', source: '--plugin', line: 0, column: 0 } as const;
  const named = await Promise.all(names.map((specifier) => loadNamedPlugin({ specifier, origin }, problems)));
  const catalog = createCatalog([...builtIn, ...named.flatMap((plugin) => plugin ?? [])], problems);
  if (problems.length > 0) throw new ProblemsError(problems);
  return catalog;
}

async function loadCatalog(
  drafts: readonly Draft[],
  builtIn: readonly LoadedPlugin[] | undefined,
  problems: PresetError[],
): Promise<Catalog> {
  const loaded = builtIn ?? (await loadBuiltInPlugins(problems));
  // The mistakes in `plugins` are reported by the merge that follows.
  const named = await Promise.all(wantedPlugins(drafts, []).map((reference) => loadNamedPlugin(reference, problems)));
  return createCatalog([...loaded, ...named.flatMap((plugin) => plugin ?? [])], problems);
}

/** Only `plugins` is read here, which no plugin can change. */
function wantedPlugins(drafts: readonly Draft[], problems: PresetError[]): PluginReference[] {
  const wanted = new Map<string, PluginReference>();
  for (const draft of drafts) {
    for (const reference of referencesOf(mergeFiles(draft, builtInSlots), problems))
      wanted.set(pluginIdentity(reference), reference);
  }
  return [...wanted.values()];
}

/** What the plugins of a preset are called in a run, each once: a base and what extends it may both name one. */
export function pluginsOf(tree: LocatedMap, problems: PresetError[]): string[] {
  return [...new Set(referencesOf(tree, problems).map(pluginIdentity))];
}

/** What a preset names under `plugins`. */
export function referencesOf(tree: LocatedMap, problems: PresetError[]): PluginReference[] {
  return listOf(tree.entries.get('plugins')?.value, 'plugins', problems).map(({ text, node }) => ({
    specifier: text,
    origin: node.origin,
  }));
}

function mergeFiles(draft: Draft, slots: Catalog['slots']): LocatedMap {
  const [first, ...rest] = draft.files;
  const origin = { kind: 'file', source: draft.file, line: 1, column: 1 } as const;
  const start: LocatedMap = first ?? { kind: 'map', origin, entries: new Map() };
  const merged = rest.reduce((under, over) => mergePresets(under, over, slots), start);
  return draft.settings
    .filter((setting) => setting.path[0] === 'plugins')
    .reduce((tree, setting) => applySetting(tree, setting, slots, []), merged);
}

function merge(draft: Draft, catalog: Catalog, problems: PresetError[]): LocatedMap {
  return draft.settings.reduce(
    (tree, setting) => {
      const resolved = resolveSetting(setting, tree, catalog, problems);
      return resolved === undefined ? tree : applySetting(tree, resolved, catalog.slots, problems);
    },
    mergeFiles({ ...draft, settings: [] }, catalog.slots),
  );
}

function earlierStages(drafts: readonly Draft[], index: number, runDirectory: string | undefined): Lookup['stages'] {
  return new Map(
    drafts
      .slice(0, index)
      .map(({ name }) => [name, runDirectory === undefined ? undefined : resolve(runDirectory, name)]),
  );
}
