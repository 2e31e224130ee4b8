import type { ComponentChoice } from '../contracts/preset.ts';
import type { Component, Plugin, Slot, SlotDeclaration } from '../contracts/slots.ts';
import { PresetError, suggest } from '../errors.ts';

/** The slots the runtime knows by itself, in the order in which a preset lists them. */
export const builtInSlots: readonly SlotDeclaration[] = [
  { slot: 'dataset', key: 'dataset', many: false, summary: 'examples, prompts and codec images' },
  { slot: 'tokenizer', key: 'tokenizer', many: false, summary: 'text to ids and back' },
  { slot: 'imageTokenizer', key: 'imageTokenizer', many: false, summary: 'images to codes and back' },
  { slot: 'backbone', key: 'backbone', many: false, summary: 'the autoregressive model' },
  { slot: 'optimizer', key: 'optimizer', many: false, summary: 'turns gradients into new weights' },
  { slot: 'reward', key: 'rewards', many: true, summary: 'judges of drawings that training maximizes' },
  { slot: 'benchmark', key: 'benchmarks', many: true, summary: 'fixed prompts with a pass/fail verdict' },
  { slot: 'extension', key: 'extensions', many: true, summary: 'handlers for the hooks of a run' },
  { slot: 'recipe', key: 'recipe', many: false, summary: 'the program of the run' },
];

/** What a preset may say a failure means, by slot; the first is the default. */
export const errorPolicies: ReadonlyMap<string, readonly NonNullable<ComponentChoice['onError']>[]> = new Map([
  ['reward', ['fail', 'drop', 'ignore']],
  ['extension', ['fail', 'warn']],
]);

/** Keys of a preset that the runtime reads itself, by slot: no option of a component may be called so. */
export const takenBySlot: ReadonlyMap<string, readonly string[]> = new Map([
  ['reward', ['weight', 'onError', 'retries']],
  ['extension', ['onError']],
]);

/** Every slot and every component of the loaded plugins. */
export interface Catalog {
  readonly plugins: readonly Plugin[];
  readonly slots: readonly SlotDeclaration[];
  component<Name extends Slot>(slot: Name, name: string): Component<Name> | undefined;
  /** The components of a slot, by name. */
  components(slot: Slot): readonly Component[];
  pluginOf(component: Component): string;
  /** The plugin of a component that did not come with reasongen. */
  outsidePluginOf(component: Component): string | undefined;
}

/** A plugin and what the preset or the tree calls it, for messages. */
export interface LoadedPlugin {
  readonly plugin: Plugin;
  readonly source: string;
  /** Where it is named. */
  readonly place: string;
  /** The file it was loaded from. */
  readonly file?: string;
  readonly isBuiltIn?: boolean;
}

/** Two plugins, slots or components of one name are problems; the first stays. */
export function createCatalog(loaded: readonly LoadedPlugin[], problems: PresetError[]): Catalog {
  const sources = new Map<string, string>();
  const places = new Map<string, string>();
  const slots = new Map<string, SlotDeclaration>(builtInSlots.map((slot) => [slot.slot, slot]));
  const keys = new Set([
    ...builtInSlots.map((slot) => slot.key),
    'name',
    'description',
    'seed',
    'extends',
    'plugins',
    'stages',
  ]);
  const kept: Plugin[] = [];
  const outside = new Set<string>();
  for (const { plugin, source, place, isBuiltIn = false } of loaded) {
    const other = sources.get(plugin.name);
    if (other !== undefined) {
      problems.push(
        new PresetError({
          code: 'DUPLICATE_PLUGIN',
          message: `two plugins are called "${plugin.name}": ${other} and ${source}`,
          place,
          hint: 'rename one of them, or name only one in `plugins`',
        }),
      );
      continue;
    }
    sources.set(plugin.name, source);
    places.set(plugin.name, place);
    kept.push(plugin);
    if (!isBuiltIn) outside.add(plugin.name);
    for (const slot of plugin.slots ?? []) {
      if (slots.has(slot.slot) || keys.has(slot.key)) {
        problems.push(
          new PresetError({
            code: 'DUPLICATE_SLOT',
            message: `plugin "${plugin.name}" adds slot "${slot.slot}" under the key "${slot.key}", which exists already`,
            place,
          }),
        );
        continue;
      }
      slots.set(slot.slot, slot);
      keys.add(slot.key);
    }
  }

  const components = new Map<string, Map<string, Component>>([...slots.keys()].map((slot) => [slot, new Map()]));
  const owners = new Map<Component, string>();
  for (const plugin of kept) {
    const place = places.get(plugin.name);
    for (const component of plugin.provides) {
      const inSlot = components.get(component.slot);
      const other = inSlot?.get(component.name);
      if (inSlot === undefined) {
        problems.push(
          new PresetError({
            code: 'UNKNOWN_SLOT',
            message: `plugin "${plugin.name}" provides "${component.name}" for a slot "${component.slot}" that does not exist`,
            place,
            hint: suggest(component.slot, [...slots.keys()]),
          }),
        );
      } else if (other !== undefined) {
        problems.push(
          new PresetError({
            code: 'DUPLICATE_COMPONENT',
            message: `plugins "${owners.get(other)}" and "${plugin.name}" both provide ${component.slot} "${component.name}"`,
            place,
            hint: 'rename one of them',
          }),
        );
      } else {
        inSlot.set(component.name, component);
        owners.set(component, plugin.name);
      }
    }
  }

  return {
    plugins: kept,
    slots: [...slots.values()],
    // Filed under its slot above, which is what its type says.
    component: <Name extends Slot>(slot: Name, name: string) =>
      components.get(slot)?.get(name) as Component<Name> | undefined,
    components: (slot) => [...(components.get(slot)?.values() ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1)),
    pluginOf: (component) => owners.get(component) ?? '',
    outsidePluginOf: (component) => {
      const name = owners.get(component);
      return name !== undefined && outside.has(name) ? name : undefined;
    },
  };
}
