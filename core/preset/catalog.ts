import type { Component, Plugin, Slot, SlotDeclaration } from '../contracts/slots.ts';
import { PresetError, suggest } from '../errors.ts';

/** The slots the runtime knows by itself, in the order in which a preset lists them. */
export const builtInSlots: readonly SlotDeclaration[] = [
  { slot: 'dataset', key: 'dataset', many: false, summary: 'examples, prompts and codec images' },
  { slot: 'tokenizer', key: 'tokenizer', many: false, summary: 'text to ids and back' },
  { slot: 'imageTokenizer', key: 'imageTokenizer', many: false, summary: 'images to codes and back' },
  { slot: 'backbone', key: 'backbone', many: false, summary: 'the autoregressive model' },
  { slot: 'optimizer', key: 'optimizer', many: false, summary: 'turns gradients into new weights' },
  {
    slot: 'judge',
    key: 'judges',
    many: true,
    summary: 'what gives evidence about a picture; rewards and benchmarks ask',
  },
  { slot: 'reward', key: 'rewards', many: true, summary: 'scores of drawings that training maximizes' },
  { slot: 'benchmark', key: 'benchmarks', many: true, summary: 'fixed prompts with a pass/fail verdict' },
  { slot: 'extension', key: 'extensions', many: true, summary: 'handlers for the hooks of a run' },
  {
    slot: 'executor',
    key: 'executor',
    many: false,
    summary: 'where drawings are computed; in this process by default',
  },
  {
    slot: 'communicator',
    key: 'communicator',
    many: false,
    summary: 'how processes that train one model together speak; Open MPI where it has started them, by default',
  },
  { slot: 'recipe', key: 'recipe', many: false, summary: 'the program of the run' },
];

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
  const kept = uniquePlugins(loaded, problems);
  const slots = slotsOf(kept, problems);
  const { bySlot, owners } = componentsOf(kept, slots, problems);
  const outside = new Set(kept.flatMap(({ plugin, isBuiltIn = false }) => (isBuiltIn ? [] : [plugin.name])));
  return {
    plugins: kept.map(({ plugin }) => plugin),
    slots,
    // Filed under its slot, which is what its type says.
    component: <Name extends Slot>(slot: Name, name: string) =>
      bySlot.get(slot)?.get(name) as Component<Name> | undefined,
    components: (slot) => [...(bySlot.get(slot)?.values() ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1)),
    pluginOf: (component) => owners.get(component) ?? '',
    outsidePluginOf: (component) => {
      const name = owners.get(component);
      return name !== undefined && outside.has(name) ? name : undefined;
    },
  };
}

function uniquePlugins(loaded: readonly LoadedPlugin[], problems: PresetError[]): LoadedPlugin[] {
  const kept = new Map<string, LoadedPlugin>();
  for (const each of loaded) {
    const { name } = each.plugin;
    const other = kept.get(name);
    if (other === undefined) kept.set(name, each);
    else
      problems.push(
        new PresetError({
          code: 'DUPLICATE_PLUGIN',
          message: `two plugins are called "${name}": ${other.source} and ${each.source}`,
          place: each.place,
          hint: 'rename one of them, or name only one in `plugins`',
        }),
      );
  }
  return [...kept.values()];
}

/** Keys of a preset that no slot may take. */
const formatKeys = ['name', 'description', 'seed', 'extends', 'plugins', 'stages'];

/** Those the runtime knows, and those that plugins add. */
function slotsOf(plugins: readonly LoadedPlugin[], problems: PresetError[]): SlotDeclaration[] {
  const slots = [...builtInSlots];
  for (const { plugin, place } of plugins) {
    for (const added of plugin.slots ?? []) {
      const isTaken = slots.some(({ slot, key }) => slot === added.slot || key === added.key);
      if (!isTaken && !formatKeys.includes(added.key)) slots.push(added);
      else
        problems.push(
          new PresetError({
            code: 'DUPLICATE_SLOT',
            message: `plugin "${plugin.name}" adds slot "${added.slot}" under the key "${added.key}", which exists already`,
            place,
          }),
        );
    }
  }
  return slots;
}

/** Every component under its slot and name, and the plugin that provides it. */
function componentsOf(
  plugins: readonly LoadedPlugin[],
  slots: readonly SlotDeclaration[],
  problems: PresetError[],
): { bySlot: ReadonlyMap<string, ReadonlyMap<string, Component>>; owners: ReadonlyMap<Component, string> } {
  const bySlot = new Map<string, Map<string, Component>>(slots.map(({ slot }) => [slot, new Map()]));
  const owners = new Map<Component, string>();
  for (const { plugin, place } of plugins) {
    for (const component of plugin.provides) {
      const inSlot = bySlot.get(component.slot);
      const other = inSlot?.get(component.name);
      if (inSlot === undefined) problems.push(unknownSlot(plugin, component, place, [...bySlot.keys()]));
      else if (other !== undefined)
        problems.push(
          new PresetError({
            code: 'DUPLICATE_COMPONENT',
            message: `plugins "${owners.get(other)}" and "${plugin.name}" both provide ${component.slot} "${component.name}"`,
            place,
            hint: 'rename one of them',
          }),
        );
      else {
        inSlot.set(component.name, component);
        owners.set(component, plugin.name);
      }
    }
  }
  return { bySlot, owners };
}

function unknownSlot(plugin: Plugin, { slot, name }: Component, place: string, known: readonly string[]): PresetError {
  return new PresetError({
    code: 'UNKNOWN_SLOT',
    message: `plugin "${plugin.name}" provides "${name}" for a slot "${slot}" that does not exist`,
    place,
    hint: suggest(slot, known),
  });
}
