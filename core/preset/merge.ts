import type { SlotDeclaration } from '../contracts/slots.ts';
import { PresetError, suggest } from '../errors.ts';
import { type Located, type LocatedEntry, type LocatedMap, parseValue, place } from './located.ts';

/**
 * `over` on top of `under`, both whole presets: maps merge, lists and scalars replace. Under the key of a slot a bare
 * string is a map with `use` alone, and a map whose `use` differs replaces, because options belong to a component.
 */
export function mergePresets(under: LocatedMap, over: LocatedMap, slots: readonly SlotDeclaration[]): LocatedMap {
  return mergeMaps(under, over, (key, before, after) =>
    isComponentKey(key, slots) ? mergeComponents(before, after) : merge(before, after),
  );
}

/** One `--set path=value`. */
export interface Setting {
  readonly path: readonly string[];
  readonly value: Located;
  readonly text: string;
}

/** Reads `path=value`; a text without `=` or with bad YAML goes to `problems`. */
export function parseSetting(text: string, problems: PresetError[]): Setting | undefined {
  const source = `--set ${text}`;
  const refuse = (message: string): undefined => {
    problems.push(
      new PresetError({ code: 'BAD_SETTING', message, place: source, hint: 'write `--set recipe.steps=50`' }),
    );
    return undefined;
  };
  const equals = text.indexOf('=');
  if (equals < 1) return refuse('this is not `path=value`');
  const path = text.slice(0, equals).trim().split('.');
  if (path.some((key) => key === '')) return refuse('the path has an empty part');
  try {
    const value = parseValue(text.slice(equals + 1), { kind: 'set', source, line: 0, column: 0 });
    return { path, value, text: source };
  } catch (cause) {
    return refuse(`the value is not YAML: ${cause instanceof Error ? cause.message.split('\n')[0] : String(cause)}`);
  }
}

/** The preset with one setting applied. Lists are reached by index; an index that does not exist is a problem. */
export function applySetting(
  preset: LocatedMap,
  setting: Setting,
  slots: readonly SlotDeclaration[],
  problems: PresetError[],
): LocatedMap {
  const [first = '', ...rest] = setting.path;
  const before = preset.entries.get(first)?.value;
  const isComponent = isComponentKey(first, slots);
  const after = assign(
    isComponent && before !== undefined ? asComponent(before) : before,
    rest,
    setting,
    isComponent,
    problems,
  );
  return after === undefined ? preset : withEntry(preset, first, { key: setting.value.origin, value: after });
}

/** A bare string names a component without options. */
export function asComponent(node: Located): Located {
  if (node.kind !== 'scalar' || typeof node.value !== 'string') return node;
  return { kind: 'map', origin: node.origin, entries: new Map([['use', { key: node.origin, value: node }]]) };
}

function assign(
  before: Located | undefined,
  path: readonly string[],
  setting: Setting,
  isComponent: boolean,
  problems: PresetError[],
): Located | undefined {
  const [key, ...rest] = path;
  const { origin } = setting.value;
  if (key === undefined) {
    if (before === undefined) return setting.value;
    return isComponent ? mergeComponents(before, setting.value) : merge(before, setting.value);
  }
  if (before?.kind === 'list') {
    const index = Number(key);
    const item = before.items[index];
    if (item === undefined) {
      const range = before.items.length === 0 ? 'is empty' : `has the indices 0 to ${before.items.length - 1}`;
      problems.push(
        new PresetError({
          code: 'BAD_SETTING',
          message: `"${key}" is not an index: the list ${range}`,
          place: setting.text,
        }),
      );
      return undefined;
    }
    // The items of a list of components are components; deeper lists hold plain values.
    const value = assign(asComponentItem(item, rest), rest, setting, true, problems);
    return value && { ...before, items: before.items.map((each, at) => (at === index ? value : each)) };
  }
  if (before !== undefined && before.kind !== 'map' && before.value !== null) {
    problems.push(
      new PresetError({
        code: 'BAD_SETTING',
        message: `there is a plain value where "${key}" should be inside`,
        place: setting.text,
      }),
    );
    return undefined;
  }
  if (before === undefined && /^\d+$/.test(key)) {
    problems.push(
      new PresetError({
        code: 'BAD_SETTING',
        message: `"${key}" is not an index: there is no list`,
        place: setting.text,
      }),
    );
    return undefined;
  }
  const map: LocatedMap = before?.kind === 'map' ? before : { kind: 'map', origin, entries: new Map() };
  const value = assign(map.entries.get(key)?.value, rest, setting, false, problems);
  if (value === undefined) return undefined;
  const over: LocatedMap = { kind: 'map', origin, entries: new Map([[key, { key: origin, value }]]) };
  return isComponent ? mergeComponents(map, over) : withEntry(map, key, { key: origin, value });
}

function asComponentItem(item: Located, rest: readonly string[]): Located {
  return rest.length > 0 ? asComponent(item) : item;
}

function merge(under: Located, over: Located): Located {
  return under.kind === 'map' && over.kind === 'map'
    ? mergeMaps(under, over, (_, before, after) => merge(before, after))
    : over;
}

function mergeComponents(under: Located, over: Located): Located {
  const [before, after] = [asComponent(under), asComponent(over)];
  if (before.kind !== 'map' || after.kind !== 'map') return after;
  const use = useOf(after);
  return use !== undefined && use !== useOf(before) ? after : merge(before, after);
}

function useOf(component: LocatedMap): unknown {
  const use = component.entries.get('use')?.value;
  return use?.kind === 'scalar' ? use.value : undefined;
}

function mergeMaps(
  under: LocatedMap,
  over: LocatedMap,
  mergeValue: (key: string, before: Located, after: Located) => Located,
): LocatedMap {
  const entries = new Map(under.entries);
  for (const [key, entry] of over.entries) {
    const before = entries.get(key);
    entries.set(
      key,
      before === undefined ? entry : { key: entry.key, value: mergeValue(key, before.value, entry.value) },
    );
  }
  return { kind: 'map', origin: over.origin, entries };
}

function withEntry(map: LocatedMap, key: string, entry: LocatedEntry): LocatedMap {
  return { ...map, entries: new Map(map.entries).set(key, entry) };
}

function isComponentKey(key: string, slots: readonly SlotDeclaration[]): boolean {
  return slots.some((slot) => slot.key === key && !slot.many);
}

/** A problem about a key nobody knows, at the key. */
export function unknownKey(entry: LocatedEntry, what: string, key: string, known: readonly string[]): PresetError {
  return new PresetError({
    code: 'UNKNOWN_OPTION',
    message: what,
    place: place(entry.key),
    hint: suggest(key, known),
  });
}
