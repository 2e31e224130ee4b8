/** Which value of a preset the path of a setting means, and what is proposed where it means none. */
import type { Component, SlotDeclaration } from '../contracts/slots.ts';
import { isSameWord, nearest, PresetError, suggest } from '../errors.ts';
import type { Catalog } from './catalog.ts';
import { plainKeys } from './check.ts';
import { commonKeys } from './common-keys.ts';
import { type Located, type LocatedMap, parseValue } from './located.ts';
import { asComponent } from './merge.ts';
import { unwrap } from './schemas.ts';
import type { Setting } from './settings.ts';
import { z } from './zod.ts';

/** Where a path leads: with the recipe's key in front of a short form, and indices for names. */
interface Found {
  readonly path: readonly string[];
  /** Undefined where anything may stand. */
  readonly schema?: z.core.$ZodType | undefined;
  /** Undefined where that is not known. */
  readonly isList?: boolean | undefined;
}

/** Why a path leads nowhere. */
interface Lost {
  readonly code: 'UNKNOWN_OPTION' | 'BAD_SETTING';
  readonly message: string;
  /** What is there of the path. */
  readonly reached: readonly string[];
  /** The key that is not, and what is beside it. */
  readonly key: string;
  readonly siblings: readonly string[];
  /** Instead of a proposal. */
  readonly hint?: string;
}

/** The setting with the whole path that it means in this preset; undefined and a problem when it means none. */
export function resolveSetting(
  setting: Setting,
  tree: LocatedMap,
  catalog: Catalog,
  problems: PresetError[],
): Setting | undefined {
  const found = follow(setting.path, tree, catalog);
  const refuse = (code: Lost['code'], message: string, hint: string): undefined => {
    problems.push(new PresetError({ code, message, place: setting.text, hint }));
    return undefined;
  };
  if ('key' in found) {
    const hint = found.hint ?? propose(found, setting.path, tree, catalog, setting.prefix);
    return refuse(found.code, found.message, hint);
  }
  if (!setting.isAppended) return { ...setting, path: found.path };
  if (found.isList === false) {
    const shown = setting.prefix + found.path.join('.');
    return refuse('BAD_SETTING', `${shown} is not a list, and \`+=\` adds to lists`, `write \`--set ${shown}=…\``);
  }
  return { ...setting, path: found.path, ...startingFromDefault(found, setting, tree) };
}

/** Whether the path means something in this preset. */
export function isPathOf(path: readonly string[], tree: LocatedMap, catalog: Catalog): boolean {
  return !('key' in follow(path, tree, catalog));
}

/** Paths of this preset that were likely meant by one that leads nowhere, as one types them; none when nothing is like it. */
export function pathsLike(path: readonly string[], tree: LocatedMap, catalog: Catalog): string[] {
  const [last = ''] = path.slice(-1);
  const all = settable(tree, catalog);
  const same = all.filter((each) => isSameWord(last, each.at(-1) ?? ''));
  const word = nearest(last, new Set(all.map((each) => each.at(-1) ?? '')));
  return (same.length > 0 ? same : all.filter((each) => each.at(-1) === word)).map(typed);
}

function follow(path: readonly string[], tree: LocatedMap, catalog: Catalog): Found | Lost {
  const [first = '', ...rest] = path;
  if (first === 'extends') {
    const hint = 'write it in a file: `extends: [BASE]` and what differs';
    return { ...lost([], first, [], 'what a preset extends is read from its file alone'), code: 'BAD_SETTING', hint };
  }
  if (plainKeys.some((key) => key === first)) return { path, isList: first === 'plugins' };
  const slot = catalog.slots.find(({ key }) => key === first);
  if (slot === undefined) {
    const options = recipeOptions(tree, catalog);
    if (options.includes(first)) return follow(['recipe', ...path], tree, catalog);
    const known = [...plainKeys, ...catalog.slots.map(({ key }) => key), ...options];
    return lost([], first, known, `${first} is not a key of a preset`);
  }
  const node = tree.entries.get(first)?.value;
  if (!slot.many) return followComponent(node, rest, [first], slot, catalog);
  if (rest.length === 0) return { path, isList: true };
  if (node?.kind === 'map' || (node?.kind === 'scalar' && node.value !== null)) return { path };
  return followItem(node?.kind === 'list' ? node.items : [], rest, slot, catalog);
}

/** An item of a list of components is called by its index, its name in the run, or what it uses. */
function followItem(
  items: readonly Located[],
  [called = '', ...rest]: readonly string[],
  slot: SlotDeclaration,
  catalog: Catalog,
): Found | Lost {
  const names = items.map(nameOf);
  const byUse = items.flatMap((item, index) => (textOf(item, 'use') === called ? [index] : []));
  const byName = names.flatMap((name, index) => (name === called ? [index] : []));
  const [index = Number.NaN, ...others] = byName.length > 0 ? byName : byUse;
  const isIndex = /^\d+$/.test(called);
  const at = isIndex ? Number(called) : index;
  const item = items[at];
  const listed = names.map((name, position) => `${position}${name === undefined ? '' : ` (${name})`}`).join(', ');
  const there = items.length === 0 ? `${slot.key} is empty` : `there is ${listed}`;
  if (item === undefined) {
    const like = isIndex
      ? undefined
      : nearest(
          called,
          names.flatMap((name) => name ?? []),
        );
    const known =
      like === undefined
        ? `add one by \`--set ${slot.key}+=NAME\``
        : `did you mean "${typed([slot.key, like, ...rest])}"?`;
    const message = `no item of ${slot.key} is called "${called}": ${there}`;
    return { ...lost([slot.key], called, [], message), code: 'BAD_SETTING', hint: known };
  }
  if (others.length > 0 && !isIndex) {
    const message = `several items of ${slot.key} are called "${called}": ${there}`;
    return { ...lost([slot.key], called, [], message), code: 'BAD_SETTING', hint: 'take the index' };
  }
  return followComponent(item, rest, [slot.key, String(at)], slot, catalog);
}

function followComponent(
  node: Located | undefined,
  path: readonly string[],
  at: readonly string[],
  slot: SlotDeclaration,
  catalog: Catalog,
): Found | Lost {
  const [key] = path;
  if (key === undefined) return { path: at, isList: false };
  const component = componentOf(node, slot, catalog);
  if (key === 'use' || (key === 'name' && slot.many)) return { path: [...at, ...path], isList: false };
  const common = commonKeys(slot.slot);
  const isCommon = Object.hasOwn(common.shape, key);
  if (component === undefined && !isCommon) return { path: [...at, ...path] };
  let schema: z.core.$ZodType | undefined = isCommon ? common : component?.options;
  for (const [depth, each] of path.entries()) {
    const inner: z.core.$ZodType | undefined = schema && unwrap(schema);
    if (inner instanceof z.ZodObject) {
      const isKnown = Object.hasOwn(inner.shape, each);
      if (!isKnown && inner.def.catchall?._zod.def.type === 'never') {
        const reached = [...at, ...path.slice(0, depth)];
        const siblings = [...Object.keys(inner.shape), ...(depth === 0 ? formatKeys(slot).slice(1) : [])];
        const what = `${[...reached, each].join('.')} is not an option of ${slot.slot} "${component?.name ?? ''}"`;
        return lost(reached, each, siblings, what);
      }
      schema = isKnown ? (inner.shape[each] as z.core.$ZodType) : undefined;
    } else schema = inner instanceof z.ZodArray ? inner.element : undefined;
  }
  return { path: [...at, ...path], schema, isList: isList(schema) };
}

function lost(reached: readonly string[], key: string, siblings: readonly string[], message: string): Lost {
  return { code: 'UNKNOWN_OPTION', message, reached, key, siblings };
}

/** What the format itself says of a component, `use` first. */
function formatKeys(slot: SlotDeclaration): readonly string[] {
  return ['use', ...(slot.many ? ['name'] : []), ...Object.keys(commonKeys(slot.slot).shape)];
}

function isList(schema: z.core.$ZodType | undefined): boolean | undefined {
  const type = schema && unwrap(schema)._zod.def.type;
  if (type === 'array' || type === 'tuple') return true;
  return type !== undefined && ['object', 'number', 'int', 'string', 'boolean', 'enum', 'literal'].includes(type)
    ? false
    : undefined;
}

/** What is added to an option that nobody has written is added to its default. */
function startingFromDefault(
  { path, schema }: Found,
  { value }: Setting,
  tree: LocatedMap,
): Pick<Setting, 'value' | 'isAppended'> | undefined {
  const written = path.reduce<Located | undefined>(
    (node, key) =>
      node?.kind === 'map' ? node.entries.get(key)?.value : node?.kind === 'list' ? node.items[Number(key)] : undefined,
    tree,
  );
  if (schema === undefined || (written !== undefined && !(written.kind === 'scalar' && written.value === null)))
    return undefined;
  const { data } = z.safeParse(schema, undefined);
  const start = Array.isArray(data) ? parseValue(JSON.stringify(data), value.origin, []) : undefined;
  if (start?.kind !== 'list') return undefined;
  const added = value.kind === 'list' ? value.items : [value];
  return { value: { ...start, items: [...start.items, ...added] }, isAppended: false };
}

/** An option of that name elsewhere, a neighbor that differs by a slip of the keyboard, an option likewise, or what there is. */
function propose(
  { reached, key, siblings }: Lost,
  path: readonly string[],
  tree: LocatedMap,
  catalog: Catalog,
  prefix: string,
): string {
  const [last = ''] = path.slice(-1);
  const all = settable(tree, catalog);
  const same = all.filter((each) => isSameWord(last, each.at(-1) ?? '')).map(typed);
  const neighbor = nearest(key, siblings);
  const beside = neighbor === undefined ? [] : [typed([...reached, neighbor, ...path.slice(reached.length + 1)])];
  const meant = [same, beside, pathsLike(path, tree, catalog)].find(({ length }) => length > 0) ?? [];
  return didYouMean(meant.map((each) => prefix + each)) ?? suggest(key, siblings);
}

/** `Did you mean "a" or "b"?`; undefined when nothing is known. */
export function didYouMean(paths: readonly string[]): string | undefined {
  if (paths.length === 0) return undefined;
  return `Did you mean ${[...new Set(paths)]
    .slice(0, 4)
    .map((each) => `"${each}"`)
    .join(' or ')}?`;
}

/** Every path of the preset's components, options of options included. */
function settable(tree: LocatedMap, catalog: Catalog): string[][] {
  return catalog.slots.flatMap((slot) => {
    const node = tree.entries.get(slot.key)?.value;
    const items = slot.many ? (node?.kind === 'list' ? node.items : []) : node === undefined ? [] : [node];
    return items.flatMap((item, index) => {
      const component = componentOf(item, slot, catalog);
      const at = slot.many ? [slot.key, nameOf(item) ?? String(index)] : [slot.key];
      const own = formatKeys(slot).map((key) => [...at, key]);
      return component === undefined ? own : [...own, ...optionsBelow(component.options, at)];
    });
  });
}

function optionsBelow(schema: z.core.$ZodType, at: readonly string[]): string[][] {
  const inner = unwrap(schema);
  if (!(inner instanceof z.ZodObject)) return [];
  return Object.entries(inner.shape as Readonly<Record<string, z.core.$ZodType>>).flatMap(([key, value]) => [
    [...at, key],
    ...optionsBelow(value, [...at, key]),
  ]);
}

/** Names of the options of the recipe a preset names; none when it names none that exists. */
function recipeOptions(tree: LocatedMap, catalog: Catalog): string[] {
  const slot = catalog.slots.find(({ key }) => key === 'recipe');
  const recipe = slot && componentOf(tree.entries.get('recipe')?.value, slot, catalog);
  return recipe === undefined ? [] : Object.keys(recipe.options.shape);
}

function componentOf(node: Located | undefined, { slot }: SlotDeclaration, catalog: Catalog): Component | undefined {
  const use = node && textOf(node, 'use');
  return use === undefined ? undefined : catalog.component(slot, use);
}

/** The name of a component within the run. */
function nameOf(item: Located): string | undefined {
  return textOf(item, 'name') ?? textOf(item, 'use');
}

function textOf(written: Located, key: string): string | undefined {
  const node = asComponent(written);
  const value = node.kind === 'map' ? node.entries.get(key)?.value : undefined;
  return value?.kind === 'scalar' && typeof value.value === 'string' ? value.value : undefined;
}

/** A path as one types it: a name with a dot stands in brackets. */
function typed(path: readonly string[]): string {
  return path.reduce(
    (text, key) => (/[.[\]=+]/.test(key) ? `${text}[${key}]` : text === '' ? key : `${text}.${key}`),
    '',
  );
}
