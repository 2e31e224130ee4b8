import { basename } from 'node:path';
import type { ComponentChoice, Origin, Preset } from '../contracts/preset.ts';
import type { Slot, SlotDeclaration } from '../contracts/slots.ts';
import { PresetError, suggest } from '../errors.ts';
import type { Catalog } from './catalog.ts';
import { commonKeys } from './common-keys.ts';
import { type Located, type LocatedMap, place } from './located.ts';
import { asComponent, unknownKey } from './merge.ts';
import { checkMetricNames } from './metric-name.ts';
import { nameFault } from './names.ts';
import { checkOptions, type Lookup } from './options.ts';

/** Keys of a preset that are not slots. */
export const plainKeys = ['name', 'description', 'seed', 'extends', 'plugins'] as const;

/** Turns a merged preset into a checked, frozen one. Everything wrong goes to `problems`; then the result is unusable. */
export function checkPreset(
  tree: LocatedMap,
  file: string,
  plugins: readonly string[],
  catalog: Catalog,
  lookup: Lookup,
  problems: PresetError[],
): Preset {
  const known = [...plainKeys, ...catalog.slots.map((slot) => slot.key)];
  for (const [key, entry] of tree.entries) {
    if (!known.includes(key)) problems.push(unknownKey(entry, `${key} is not a key of a preset`, key, known));
  }
  const description = tree.entries.get('description')?.value;
  if (description !== undefined && !(description.kind === 'scalar' && typeof description.value === 'string')) {
    problems.push(wrongType('description', 'a text', description));
  }
  const components: Record<string, readonly ComponentChoice[]> = {};
  for (const slot of catalog.slots) {
    const node = tree.entries.get(slot.key)?.value;
    const isEmpty = node === undefined || (node.kind === 'scalar' && node.value === null);
    components[slot.slot] = isEmpty ? [] : checkSlot(slot, node, catalog, lookup, problems);
  }
  checkNeeds(tree, components, catalog, problems);
  // Of a preset with mistakes in its lists nobody knows which item is which.
  if (problems.length === 0) checkMetricNames(tree, components, catalog, problems);
  const preset: Preset = {
    name: readName(tree, file, problems),
    seed: readSeed(tree, problems),
    file,
    plugins,
    components,
  };
  return deepFreeze(preset);
}

/** Freezes plain data; leaves other objects (typed arrays, instances) alone. */
export function deepFreeze<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== Array.prototype && prototype !== null) return value;
  for (const part of Object.values(value)) deepFreeze(part);
  return Object.freeze(value);
}

function checkSlot(
  slot: SlotDeclaration,
  node: Located,
  catalog: Catalog,
  lookup: Lookup,
  problems: PresetError[],
): ComponentChoice[] {
  if (!slot.many) return checkComponent(slot, node, slot.key, catalog, lookup, problems) ?? [];
  if (node.kind !== 'list') {
    problems.push(wrongType(slot.key, 'a list of components', node));
    return [];
  }
  const names = new Set<string>();
  return node.items.flatMap((item, index) => {
    const [choice] = checkComponent(slot, item, `${slot.key}[${index}]`, catalog, lookup, problems) ?? [];
    if (choice === undefined) return [];
    if (names.has(choice.name)) {
      problems.push(
        new PresetError({
          code: 'DUPLICATE_NAME',
          message: `two ${slot.key} are called "${choice.name}"`,
          place: place(item.origin),
          hint: 'give one of them another `name`',
        }),
      );
    }
    names.add(choice.name);
    return [choice];
  });
}

function checkComponent(
  slot: SlotDeclaration,
  written: Located,
  path: string,
  catalog: Catalog,
  lookup: Lookup,
  problems: PresetError[],
): [ComponentChoice] | undefined {
  const node = asComponent(written);
  const known = catalog.components(slot.slot).map((component) => component.name);
  const use = node.kind === 'map' ? node.entries.get('use')?.value : undefined;
  if (node.kind !== 'map' || use?.kind !== 'scalar' || typeof use.value !== 'string') {
    problems.push(
      new PresetError({
        code: 'MISSING_USE',
        message: `${path} does not say which component to \`use\``,
        place: place((use ?? node).origin),
        hint: `write \`use: NAME\`; there is: ${known.join(', ') || 'none'}`,
      }),
    );
    return undefined;
  }
  const component = catalog.component(slot.slot, use.value);
  if (component === undefined) {
    problems.push(
      new PresetError({
        code: 'UNKNOWN_COMPONENT',
        message: `${path}: there is no ${slot.slot} "${use.value}"`,
        place: place(use.origin),
        hint: suggest(use.value, known),
      }),
    );
    return undefined;
  }
  const before = problems.length;
  const rest = new Map(node.entries);
  rest.delete('use');
  const name = slot.many ? takeText(rest, 'name', path, problems) : undefined;
  const keys = commonKeys(slot.slot);
  const isCommon = ([key]: readonly [string, unknown]): boolean => Object.hasOwn(keys.shape, key);
  const taken = new Map([...rest].filter(isCommon));
  const left = new Map([...rest].filter((entry) => !isCommon(entry)));
  const read = (of: typeof component, entries: typeof rest): ReturnType<typeof checkOptions> =>
    checkOptions(of, { ...node, entries }, path, lookup, problems);
  // The field of the choice that each key is called after says what it holds.
  const common = read({ ...component, options: keys }, taken) as Partial<ComponentChoice> | undefined;
  const options = read(component, left);
  if (common === undefined || options === undefined || problems.length > before) return undefined;
  const plugin = catalog.outsidePluginOf(component);
  const choice = { slot: slot.slot, use: use.value, name: name ?? use.value, weight: 1, ...common, options };
  return [plugin === undefined ? choice : { ...choice, plugin }];
}

function takeText(
  entries: Map<string, { value: Located }>,
  key: string,
  path: string,
  problems: PresetError[],
): string | undefined {
  const value = entries.get(key)?.value;
  entries.delete(key);
  if (value === undefined) return undefined;
  if (value.kind === 'scalar' && typeof value.value === 'string' && value.value !== '') return value.value;
  problems.push(wrongType(`${path}.${key}`, 'a text', value));
  return undefined;
}

/** Every component may ask that other slots are filled. */
function checkNeeds(
  tree: LocatedMap,
  components: Readonly<Record<string, readonly ComponentChoice[]>>,
  catalog: Catalog,
  problems: PresetError[],
): void {
  const asked = new Set<Slot>();
  for (const choice of Object.values(components).flat()) {
    for (const need of catalog.component(choice.slot as Slot, choice.use)?.needs ?? []) {
      const slot = catalog.slots.find((each) => each.slot === need);
      // A slot that is written but wrong has been reported already.
      const isWritten = slot !== undefined && isFilled(tree.entries.get(slot.key)?.value);
      if (isWritten || asked.has(need)) continue;
      asked.add(need);
      const key = slot?.key ?? need;
      problems.push(
        new PresetError({
          code: 'MISSING_COMPONENT',
          message: `\`${key}\` is missing: ${choice.slot} "${choice.use}" needs it`,
          place: place(tree.origin),
          hint: `add \`${key}:\` with one of: ${
            catalog
              .components(need)
              .map((component) => component.name)
              .join(', ') || 'none'
          }`,
        }),
      );
    }
  }
  if (tree.entries.has('recipe')) return;
  problems.push(
    new PresetError({
      code: 'MISSING_COMPONENT',
      message: '`recipe` is missing: a preset needs a program to run',
      place: place(tree.origin),
      hint: `add \`recipe:\` with one of: ${
        catalog
          .components('recipe')
          .map((component) => component.name)
          .join(', ') || 'none'
      }`,
    }),
  );
}

function isFilled(node: Located | undefined): boolean {
  if (node === undefined) return false;
  return node.kind === 'list' ? node.items.length > 0 : node.kind === 'map' || node.value !== null;
}

/** The name of a preset or a chain, or else that of its file. */
export function readName(tree: LocatedMap, file: string, problems: PresetError[]): string {
  const node = tree.entries.get('name')?.value;
  const name = node === undefined ? basename(file).replace(/\.ya?ml$/, '') : node.kind === 'scalar' && node.value;
  if (typeof name !== 'string') {
    problems.push(wrongType('name', 'a text', node ?? tree));
    return '';
  }
  const fault = nameFault(name);
  if (fault !== undefined) problems.push(badName('a run', name, fault, node ?? tree));
  return name;
}

/** A name that cannot be that of a file or folder. */
export function badName(who: string, name: string, fault: string, node: { readonly origin: Origin }): PresetError {
  return new PresetError({
    code: 'BAD_NAME',
    message: `${who} cannot be called ${JSON.stringify(name)}: ${fault}`,
    place: place(node.origin),
    hint: 'give it another `name`: one that can be the name of a folder',
  });
}

function readSeed(tree: LocatedMap, problems: PresetError[]): number {
  const node = tree.entries.get('seed')?.value;
  if (node === undefined) return defaultSeed;
  if (
    node.kind === 'scalar' &&
    Number.isInteger(node.value) &&
    Number(node.value) >= 0 &&
    Number(node.value) < 2 ** 32
  ) {
    return Number(node.value);
  }
  problems.push(wrongType('seed', 'a whole number from 0 to 4294967295', node));
  return defaultSeed;
}

/** The seed of a preset that names none. */
export const defaultSeed = 1;

export function wrongType(path: string, expected: string, node: { readonly origin: Origin }): PresetError {
  return new PresetError({ code: 'BAD_OPTION', message: `${path} must be ${expected}`, place: place(node.origin) });
}
