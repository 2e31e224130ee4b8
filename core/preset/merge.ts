import type { SlotDeclaration } from '../contracts/slots.ts';
import { PresetError, suggest } from '../errors.ts';
import { type Located, type LocatedEntry, type LocatedMap, place } from './located.ts';

/**
 * `over` on top of `under`, both whole presets: maps merge, lists and scalars replace. Under the key of a slot a bare
 * string is a map with `use` alone, and a map whose `use` differs replaces, because options belong to a component.
 * Plugins are added to those of the base, since what the base says may need them.
 */
export function mergePresets(under: LocatedMap, over: LocatedMap, slots: readonly SlotDeclaration[]): LocatedMap {
  return mergeMaps(under, over, (key, before, after) => {
    if (key === 'plugins') return join(before, after);
    return isComponentKey(key, slots) ? mergeComponents(before, after) : merge(before, after);
  });
}

/** Both lists, a single value counting as a list of one; `null` takes away what is under it. */
function join(under: Located, over: Located): Located {
  if (isNull(over)) return over;
  const items = [under, over].flatMap((each) => (each.kind === 'list' ? each.items : isNull(each) ? [] : [each]));
  return { kind: 'list', origin: over.origin, items };
}

function isNull(node: Located): boolean {
  return node.kind === 'scalar' && node.value === null;
}

/** A bare string names a component without options. */
export function asComponent(node: Located): Located {
  if (node.kind !== 'scalar' || typeof node.value !== 'string') return node;
  return { kind: 'map', origin: node.origin, entries: new Map([['use', { key: node.origin, value: node }]]) };
}

/** `over` on top of `under`: maps merge, anything else replaces. */
export function merge(under: Located, over: Located): Located {
  return under.kind === 'map' && over.kind === 'map'
    ? mergeMaps(under, over, (_, before, after) => merge(before, after))
    : over;
}

/** The same for what stands under the key of a slot: a component of another name replaces. */
export function mergeComponents(under: Located, over: Located): Located {
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

export function withEntry(map: LocatedMap, key: string, entry: LocatedEntry): LocatedMap {
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
