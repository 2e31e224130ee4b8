import { basename, dirname, resolve } from 'node:path';
import type { Preset } from '../contracts/preset.ts';
import { nearest, PresetError, ProblemsError, suggest } from '../errors.ts';
import { builtInSlots, type Catalog, createCatalog, type LoadedPlugin } from './catalog.ts';
import { badName, checkPreset, readName, wrongType } from './check.ts';
import { listOf, readPresetFiles } from './files.ts';
import { locatePreset } from './locate.ts';
import { type Located, type LocatedMap, place } from './located.ts';
import { mergePresets, unknownKey } from './merge.ts';
import { stageNameFault } from './names.ts';
import { loadBuiltInPlugins, loadNamedPlugin, pluginIdentity, type PluginReference } from './plugins.ts';
import type { Stages } from './options.ts';
import { didYouMean, isPathOf, pathsLike, resolveSetting } from './setting-paths.ts';
import { applySetting, parseSetting, parseTarget, type Setting } from './settings.ts';

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
}

/** Reads, merges and checks a preset, a file or PACKAGE/NAME, and loads its plugins. Throws one `ProblemsError` with all that is wrong. */
export async function loadPreset(file: string, options: LoadPresetOptions = {}): Promise<LoadedPreset> {
  const problems: PresetError[] = [];
  const { absolute, main, isChain, drafts, settings } = readDrafts(file, options.settings ?? [], problems);
  const chainName = isChain ? readName(main, absolute, problems) : '';
  const { runDirectory } = options;
  const directory = typeof runDirectory !== 'function' ? runDirectory : isChain ? runDirectory(chainName) : undefined;
  const catalog = await loadCatalog(drafts, options.builtIn, problems);
  const stages = drafts.map((draft, index): Stage => {
    const own: PresetError[] = [];
    const tree = merge(draft, catalog, own);
    const plugins = pluginsOf(tree, own);
    const preset = checkPreset(tree, draft.file, plugins, catalog, earlierStages(drafts, index, directory), own);
    problems.push(...own.filter((problem) => draft.isWhole || !mayStandInMissingPart(problem)));
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
  if (problems.length > 0) throw new ProblemsError(inOrder(unique(problems)));
  return { name: isChain ? chainName : (stages[0]?.name ?? ''), file: absolute, isChain, stages, catalog };
}

/** What a preset, or any stage of a chain, names in `plugins`, each once. Throws what keeps its files from being read. */
export function pluginsNamedBy(file: string, settings: readonly string[]): PluginReference[] {
  const problems: PresetError[] = [];
  const { drafts } = readDrafts(file, settings, problems);
  const wanted = wantedPlugins(drafts, problems);
  if (problems.length > 0) throw new ProblemsError(inOrder(unique(problems)));
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

/** A stage before its plugins are known. */
interface Draft {
  readonly name: string;
  readonly file: string;
  readonly files: readonly LocatedMap[];
  readonly settings: readonly Setting[];
  /** False when a part could not be read: what seems missing then may stand there. */
  readonly isWhole: boolean;
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

const chainKeys = ['name', 'description', 'seed', 'stages'];

/** The stages of a chain: files named by `stages`, each with the settings of the chain and of the command line. */
function draftStages(chain: LocatedMap, file: string, settings: readonly Setting[], problems: PresetError[]): Draft[] {
  for (const [key, entry] of chain.entries) {
    if (!chainKeys.includes(key))
      problems.push(unknownKey(entry, `${key} is not a key of a chain of stages`, key, chainKeys));
  }
  const list = chain.entries.get('stages')?.value;
  if (list?.kind !== 'list' || list.items.length === 0) {
    problems.push(wrongType('stages', 'a list of preset files, at least one', list ?? chain));
    return [];
  }
  const own = sharedSettings(chain);
  const drafts = list.items.flatMap((item, index): Draft[] => {
    const stage = readStage(item, `stages[${index}]`, problems);
    if (stage === undefined) return [];
    const before = problems.length;
    const path = locatePreset(stage.preset, dirname(file), place(item.origin), problems);
    const files = path === undefined ? [] : readPresetFiles(path, item, problems);
    const nested = files.at(-1)?.entries.get('stages');
    if (nested !== undefined) {
      problems.push(
        new PresetError({
          code: 'NESTED_CHAIN',
          message: 'a stage cannot be a chain of stages itself',
          place: place(item.origin),
        }),
      );
      return [];
    }
    return [
      {
        name: stage.name,
        file: path ?? resolve(dirname(file), stage.preset),
        files,
        settings: [...own, ...stage.settings, ...settingsFor(stage.name, index, settings)],
        isWhole: problems.length === before,
      },
    ];
  });
  const names = drafts.map((draft) => draft.name);
  for (const [index, name] of names.entries()) {
    if (names.findIndex((other) => sameFolder(other, name)) === index) continue;
    const message = `two stages are called "${name}"`;
    problems.push(
      new PresetError({
        code: 'DUPLICATE_NAME',
        message,
        place: place(list.items[index]?.origin ?? list.origin),
        hint: 'give one of them a `name`',
      }),
    );
  }
  return drafts;
}

/** Some file systems take capitals and small letters for the same. */
function sameFolder(a: string, b: string): boolean {
  return a.normalize().toLowerCase() === b.normalize().toLowerCase();
}

/** The seed of a chain holds for every stage. */
function sharedSettings(chain: LocatedMap): Setting[] {
  const seed = chain.entries.get('seed')?.value;
  return seed === undefined ? [] : [{ path: ['seed'], value: seed, isAppended: false, text: 'seed', prefix: '' }];
}

/** What a setting says of a stage: `NAME.path`, `stages.NAME.path` or `stages[0].path`; undefined when it speaks of another. */
function settingOf(stage: string, index: number, setting: Setting): Setting | undefined {
  const [first = '', ...rest] = setting.path;
  if (first === 'seed') return setting;
  const [called, path] = first === 'stages' ? [rest[0], rest.slice(1)] : [first, rest];
  const isMeant = called === stage || (first === 'stages' && called === String(index));
  return isMeant && path.length > 0 ? { ...setting, path, prefix: `${stage}.` } : undefined;
}

function settingsFor(stage: string, index: number, settings: readonly Setting[]): Setting[] {
  return settings.flatMap((setting) => settingOf(stage, index, setting) ?? []);
}

/** Settings of a chain that speak of no stage. Which paths the stages have is known when their plugins are. */
function strays(
  drafts: readonly Draft[],
  trees: readonly LocatedMap[],
  settings: readonly Setting[],
  catalog: Catalog,
): PresetError[] {
  const names = drafts.map(({ name }) => name);
  const stray = settings.filter((setting) => !names.some((name, index) => settingOf(name, index, setting)));
  return stray.map(({ path, text }) => {
    const [first = ''] = path;
    const asIs = names
      .filter((_, at) => trees[at] && isPathOf(path, trees[at], catalog))
      .map((name) => `${name}.${path.join('.')}`);
    const like = names.flatMap((name, at) =>
      (trees[at] ? pathsLike(path, trees[at], catalog) : []).map((each) => `${name}.${each}`),
    );
    const stage = path.length > 1 ? nearest(first, names) : undefined;
    return new PresetError({
      code: 'BAD_SETTING',
      message: `"${first}" is not a stage of this chain`,
      place: text,
      hint:
        didYouMean(stage !== undefined ? [[stage, ...path.slice(1)].join('.')] : asIs.length > 0 ? asIs : like) ??
        suggest(first, [...names, 'seed']),
    });
  });
}

/** `file.yaml`, or `{ preset, name, set: { path: value } }`. */
function readStage(
  item: Located,
  path: string,
  problems: PresetError[],
): { readonly preset: string; readonly name: string; readonly settings: Setting[] } | undefined {
  const nameOf = (preset: string): string => basename(preset).replace(/\.ya?ml$/, '');
  const refuseName = (name: string, node: Located): void => {
    const fault = stageNameFault(name);
    if (fault !== undefined) problems.push(badName(`${path}: a stage`, name, fault, node));
  };
  if (item.kind === 'scalar' && typeof item.value === 'string') {
    const name = nameOf(item.value);
    refuseName(name, item);
    return { preset: item.value, name, settings: [] };
  }
  if (item.kind !== 'map') {
    problems.push(wrongType(path, 'the path of a preset, or a map with `preset`, `name` and `set`', item));
    return undefined;
  }
  const keys = ['preset', 'name', 'set'];
  for (const [key, entry] of item.entries) {
    if (!keys.includes(key)) problems.push(unknownKey(entry, `${path}.${key} is not a key of a stage`, key, keys));
  }
  const text = (key: string): string | undefined => {
    const node = item.entries.get(key)?.value;
    if (node === undefined) return undefined;
    if (node.kind === 'scalar' && typeof node.value === 'string' && node.value !== '') return node.value;
    problems.push(wrongType(`${path}.${key}`, 'a text', node));
    return undefined;
  };
  const [preset, name, set] = [text('preset'), text('name'), item.entries.get('set')?.value];
  if (!item.entries.has('preset')) problems.push(wrongType(`${path}.preset`, 'the path of a preset', item));
  if (set !== undefined && set.kind !== 'map')
    problems.push(wrongType(`${path}.set`, 'a map of paths and values', set));
  if (preset === undefined) return undefined;
  refuseName(name ?? nameOf(preset), item.entries.get('name')?.value ?? item);
  const entries = set?.kind === 'map' ? [...set.entries] : [];
  const settings = entries.flatMap(([key, entry]): Setting[] => {
    const target = parseTarget(key);
    const written = place(entry.key);
    if (target !== undefined) return [{ ...target, value: entry.value, text: written, prefix: '' }];
    const message = `"${key}" is no path: a part of it is empty, or a bracket without its other`;
    problems.push(new PresetError({ code: 'BAD_SETTING', message, place: written }));
    return [];
  });
  return { preset, name: name ?? nameOf(preset), settings };
}

function earlierStages(drafts: readonly Draft[], index: number, runDirectory: string | undefined): Stages {
  return new Map(
    drafts
      .slice(0, index)
      .map(({ name }) => [name, runDirectory === undefined ? undefined : resolve(runDirectory, name)]),
  );
}

/** A base that two stages share reports its mistakes once. */
function unique(problems: readonly PresetError[]): PresetError[] {
  const seen = new Set<string>();
  return problems.filter((problem) => {
    const key = `${problem.code} ${problem.place} ${problem.message}`;
    return !seen.has(key) && seen.add(key);
  });
}

/** By file, in the order in which the files first appear, then by line and column. */
function inOrder(problems: readonly PresetError[]): PresetError[] {
  const files: string[] = [];
  const keyed = problems.map((problem) => {
    const [, file = problem.place ?? '', line = '0', column = '0'] =
      /^(.*):(\d+):(\d+)$/.exec(problem.place ?? '') ?? [];
    if (!files.includes(file)) files.push(file);
    return { problem, position: [files.indexOf(file), Number(line), Number(column)] as const };
  });
  keyed.sort(({ position: a }, { position: b }) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
  return keyed.map(({ problem }) => problem);
}
