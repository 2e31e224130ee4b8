/** The stages of a chain, before their plugins are known, and the settings that speak of each. */
import { basename, dirname, resolve } from 'node:path';
import { nearest, PresetError, suggest } from '../errors.ts';
import type { Catalog } from './catalog.ts';
import { badName, wrongType } from './check.ts';
import { readPresetFiles } from './files.ts';
import { locatePreset } from './locate.ts';
import { type Located, type LocatedMap, place } from './located.ts';
import { unknownKey } from './merge.ts';
import { stageNameFault } from './names.ts';
import { didYouMean, isPathOf, pathsLike } from './setting-paths.ts';
import { parseTarget, type Setting } from './settings.ts';

/** A stage before its plugins are known. */
export interface Draft {
  readonly name: string;
  readonly file: string;
  readonly files: readonly LocatedMap[];
  readonly settings: readonly Setting[];
  /** False when a part could not be read: what seems missing then may stand there. */
  readonly isWhole: boolean;
}

/** More than anyone runs one after the other; each is read with all it extends. */
const mostStages = 100;

const chainKeys = ['name', 'description', 'seed', 'stages'];

/** The stages of a chain: files named by `stages`, each with the settings of the chain and of the command line. */
export function draftStages(
  chain: LocatedMap,
  file: string,
  settings: readonly Setting[],
  problems: PresetError[],
): Draft[] {
  for (const [key, entry] of chain.entries) {
    if (!chainKeys.includes(key))
      problems.push(unknownKey(entry, `${key} is not a key of a chain of stages`, key, chainKeys));
  }
  const list = chain.entries.get('stages')?.value;
  if (list?.kind !== 'list' || list.items.length === 0) {
    problems.push(wrongType('stages', 'a list of preset files, at least one', list ?? chain));
    return [];
  }
  if (list.items.length > mostStages) {
    problems.push(wrongType('stages', `a list of at most ${mostStages} preset files`, list));
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
  refuseSameNames(drafts, list, problems);
  return drafts;
}

function refuseSameNames(
  drafts: readonly Draft[],
  list: Extract<Located, { kind: 'list' }>,
  problems: PresetError[],
): void {
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
export function strays(
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
  return { preset, name: name ?? nameOf(preset), settings: settingsIn(set, problems) };
}

/** What a stage says under `set`. */
function settingsIn(set: Located | undefined, problems: PresetError[]): Setting[] {
  const entries = set?.kind === 'map' ? [...set.entries] : [];
  return entries.flatMap(([key, entry]): Setting[] => {
    const target = parseTarget(key);
    const written = place(entry.key);
    if (target !== undefined) return [{ ...target, value: entry.value, text: written, prefix: '' }];
    const message = `"${key}" is no path: a part of it is empty, or a bracket without its other`;
    problems.push(new PresetError({ code: 'BAD_SETTING', message, place: written }));
    return [];
  });
}
