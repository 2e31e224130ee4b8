/** `--set path=value`, and `set:` of a stage: how a setting is read, and a preset with it applied. */
import type { SlotDeclaration } from '../contracts/slots.ts';
import { PresetError } from '../errors.ts';
import { scrub } from '../scrub.ts';
import { type Located, type LocatedMap, parseValue } from './located.ts';
import { asComponent, merge, mergeComponents, withEntry } from './merge.ts';

export interface Setting {
  /** Keys, indices and names from the top of the preset. */
  readonly path: readonly string[];
  readonly value: Located;
  /** `+=`: the value, or every item of it, goes to the end of the list there. */
  readonly isAppended: boolean;
  /** As messages call it. */
  readonly text: string;
  /** What was typed before the path: the name of a stage with its dot. */
  readonly prefix: string;
}

const hint = 'write `--set recipe.steps=50`, or `--set rewards+=NAME` to add to a list';

/** Reads `path=value` or `path+=value`; a text that is neither, or has bad YAML, goes to `problems`. */
export function parseSetting(text: string, problems: PresetError[]): Setting | undefined {
  const shown = scrub(text.replaceAll(/\s+/gu, ' '));
  const source = `--set ${shown.length > 200 ? `${shown.slice(0, 200)}…` : shown}`;
  const refuse = (message: string): undefined => {
    problems.push(new PresetError({ code: 'BAD_SETTING', message, place: source, hint }));
    return undefined;
  };
  // An equals sign within brackets belongs to a name.
  const [, name = '', written = ''] = /^((?:[^=[]|\[[^\]]*\])*)=([^]*)$/.exec(text) ?? [];
  if (name.trim() === '') return refuse('this is not `path=value`');
  const target = parseTarget(name);
  if (target === undefined) return refuse('the path has an empty part, or a bracket without its other');
  const faults: PresetError[] = [];
  const value = parseValue(written, { kind: 'set', source, line: 0, column: 0 }, faults);
  if (value === undefined) return refuse(`the value is not YAML: ${faults[0]?.message}`);
  return { ...target, value, text: source, prefix: '' };
}

/** `rewards[0].weight` → rewards, 0, weight. A name with dots stands in brackets; a `+` at the end appends. */
export function parseTarget(text: string): Pick<Setting, 'path' | 'isAppended'> | undefined {
  const [, name = '', plus] = /^\s*([^]*?)\s*(\+?)\s*$/.exec(text) ?? [];
  const path: string[] = [];
  const part = /(?:^|\.)([^.[\]]+)|\[([^[\]]+)\]/y;
  while (part.lastIndex < name.length) {
    const [, key, inBrackets] = part.exec(name) ?? [];
    const found = (key ?? inBrackets)?.trim();
    if (found === undefined || found === '') return undefined;
    path.push(found);
  }
  return path.length === 0 ? undefined : { path, isAppended: plus === '+' };
}

/** The preset with one setting applied. The items of lists are reached by index; what cannot be reached is a problem. */
export function applySetting(
  preset: LocatedMap,
  setting: Setting,
  slots: readonly SlotDeclaration[],
  problems: PresetError[],
): LocatedMap {
  const [first = '', ...rest] = setting.path;
  const slot = slots.find(({ key }) => key === first);
  const holds = slot === undefined ? 'value' : slot.many ? 'components' : 'component';
  try {
    const value = assign(preset.entries.get(first)?.value, rest, holds, setting);
    return withEntry(preset, first, { key: setting.value.origin, value });
  } catch (problem) {
    if (!(problem instanceof PresetError)) throw problem;
    problems.push(problem);
    return preset;
  }
}

/** What stands at a place of a preset: options belong to a component, so one of another name replaces it. */
type Holds = 'value' | 'component' | 'components';

function assign(written: Located | undefined, path: readonly string[], holds: Holds, setting: Setting): Located {
  const [key, ...rest] = path;
  const { origin } = setting.value;
  if (key === undefined) {
    if (setting.isAppended) return append(written, setting);
    if (written === undefined) return setting.value;
    return holds === 'component' ? mergeComponents(written, setting.value) : merge(written, setting.value);
  }
  const before = holds === 'component' && written !== undefined ? asComponent(written) : written;
  if (before?.kind === 'list') {
    const index = /^\d+$/.test(key) ? Number(key) : -1;
    const item = before.items[index];
    const range = before.items.length === 0 ? 'is empty' : `has the indices 0 to ${before.items.length - 1}`;
    if (item === undefined) throw refusal(setting, `"${key}" is not an index: the list ${range}`);
    const value = assign(item, rest, holds === 'components' ? 'component' : 'value', setting);
    return { ...before, items: before.items.map((each, at) => (at === index ? value : each)) };
  }
  if (before?.kind === 'scalar' && before.value !== null)
    throw refusal(setting, `there is a plain value where "${key}" should be inside`);
  if (before?.kind !== 'map' && /^\d+$/.test(key)) throw refusal(setting, `"${key}" is not an index: there is no list`);
  const map: LocatedMap = before?.kind === 'map' ? before : { kind: 'map', origin, entries: new Map() };
  const value = assign(map.entries.get(key)?.value, rest, 'value', setting);
  if (holds !== 'component') return withEntry(map, key, { key: origin, value });
  return mergeComponents(map, { kind: 'map', origin, entries: new Map([[key, { key: origin, value }]]) });
}

/** `null` and nothing are empty lists; a single plugin counts as a list of one. */
function append(before: Located | undefined, setting: Setting): Located {
  const { value, path } = setting;
  const added = value.kind === 'list' ? value.items : [value];
  if (before === undefined || (before.kind === 'scalar' && before.value === null))
    return { kind: 'list', origin: value.origin, items: added };
  if (before.kind === 'list') return { ...before, origin: value.origin, items: [...before.items, ...added] };
  if (path.length === 1 && path[0] === 'plugins')
    return { kind: 'list', origin: value.origin, items: [before, ...added] };
  throw refusal(setting, 'this is not a list, and `+=` adds to lists');
}

function refusal({ text }: Setting, message: string): PresetError {
  return new PresetError({ code: 'BAD_SETTING', message, place: text });
}
