import { PresetError, suggest } from '../errors.ts';
import type { Component, SlotDeclaration } from '../contracts/slots.ts';
import type { Catalog } from './catalog.ts';
import { commonKeys } from './common-keys.ts';
import { type JsonSchema, optionsSchema } from './json-schema.ts';

/** What `describe` prints: all slots, one slot, or one component with its options. A slot may be given by its key. */
export function describeComponents(catalog: Catalog, slotName?: string, componentName?: string): string {
  if (slotName === undefined) return catalog.slots.map((slot) => describeSlot(slot, catalog)).join('\n\n');
  const slot = catalog.slots.find((each) => each.slot === slotName || each.key === slotName);
  if (slot === undefined)
    throw unknown(
      'slot',
      slotName,
      catalog.slots.map((each) => each.slot),
    );
  const components = catalog.components(slot.slot);
  if (componentName === undefined) {
    return [
      describeSlot(slot, catalog),
      ...describeKeys(slot),
      ...components.map((component) => describeComponent(component, catalog)),
    ].join('\n\n');
  }
  const component = catalog.component(slot.slot, componentName);
  if (component === undefined)
    throw unknown(
      slot.slot,
      componentName,
      components.map((each) => each.name),
    );
  return describeComponent(component, catalog);
}

/** What `describe --json` prints: for each slot its components, with the JSON Schema of their options. */
export function componentsAsData(catalog: Catalog, slotName?: string, componentName?: string): unknown {
  // Names that do not exist are refused in the same words.
  describeComponents(catalog, slotName, componentName);
  return catalog.slots
    .filter(({ slot, key }) => slotName === undefined || slot === slotName || key === slotName)
    .map(({ slot, key, many, summary }) => ({
      slot,
      key,
      many,
      summary,
      keys: optionsSchema({ options: commonKeys(slot) }),
      components: catalog
        .components(slot)
        .filter(({ name }) => componentName === undefined || name === componentName)
        .map((component) => ({
          name: component.name,
          summary: component.summary,
          plugin: catalog.pluginOf(component),
          needs: component.needs,
          options: optionsSchema(component),
        })),
    }));
}

function describeSlot(slot: SlotDeclaration, catalog: Catalog): string {
  const components = catalog.components(slot.slot);
  const width = Math.max(0, ...components.map((component) => component.name.length));
  const lines = components.map((component) => `  ${component.name.padEnd(width)}  ${component.summary}`);
  return [
    `${slot.key}${slot.many ? ' (a list)' : ''}: ${slot.summary}`,
    ...(lines.length > 0 ? lines : ['  (none)']),
  ].join('\n');
}

function describeComponent(component: Component, catalog: Catalog): string {
  const rows = alignedRows(optionsSchema(component));
  const needs = component.needs.length > 0 ? [`  needs: ${component.needs.join(', ')}`] : [];
  return [
    `${component.slot} "${component.name}" (plugin ${catalog.pluginOf(component)}): ${component.summary}`,
    ...needs,
    ...(rows.length > 0 ? rows : ['  no options']),
  ].join('\n');
}

/** What every entry of a slot takes beside the options of its component. */
function describeKeys({ slot, key }: SlotDeclaration): string[] {
  const rows = alignedRows(optionsSchema({ options: commonKeys(slot) }));
  return rows.length === 0
    ? []
    : [`every entry of ${key} takes, beside the options of its component:\n${rows.join('\n')}`];
}

function alignedRows(schema: JsonSchema): string[] {
  const options = optionRows('', schema);
  const width = Math.max(0, ...options.map(([name]) => name.length));
  const kindWidth = Math.max(0, ...options.map(([, kind]) => kind.length));
  return options.map(([name, kind, text]) => `  ${name.padEnd(width)}  ${kind.padEnd(kindWidth)}  ${text}`.trimEnd());
}

type Row = readonly [name: string, kind: string, text: string];

/** One row for each option; the options of a map follow it, their names with a dot. */
function optionRows(prefix: string, schema: JsonSchema): Row[] {
  const properties = isSchema(schema['properties']) ? schema['properties'] : {};
  const required = Array.isArray(schema['required']) ? schema['required'] : [];
  return Object.entries(properties).flatMap(([key, value]): Row[] => {
    if (!isSchema(value)) return [];
    const name = prefix + key;
    const fallback =
      'default' in value
        ? `default ${JSON.stringify(value['default'])}`
        : required.includes(key)
          ? 'required'
          : 'optional';
    const text = [typeof value['description'] === 'string' ? value['description'] : '', `(${fallback})`]
      .filter(Boolean)
      .join(' ');
    return [[name, kindOf(value), text], ...optionRows(`${name}.`, value)];
  });
}

/** The type of an option in a few characters: `integer >= 1`, `"a" | "b"`, `list of number`. */
function kindOf(schema: JsonSchema): string {
  if ('const' in schema) return JSON.stringify(schema['const']);
  if (Array.isArray(schema['enum'])) return schema['enum'].map((value) => JSON.stringify(value)).join(' | ');
  const choices = schema['anyOf'] ?? schema['oneOf'];
  if (Array.isArray(choices)) return choices.map((choice) => (isSchema(choice) ? kindOf(choice) : '?')).join(' | ');
  if (schema['type'] === 'array') return isSchema(schema['items']) ? `list of ${kindOf(schema['items'])}` : 'list';
  if (schema['type'] === 'object') return 'map';
  const type = Array.isArray(schema['type'])
    ? schema['type'].join(' | ')
    : typeof schema['type'] === 'string'
      ? schema['type']
      : 'any';
  return [type, ...bounds(schema)].join(' ');
}

function bounds(schema: JsonSchema): string[] {
  const show = (key: string, sign: string): string[] => {
    const limit = schema[key];
    // Integers carry the limits of a safe integer, which say nothing.
    return typeof limit === 'number' && Math.abs(limit) < Number.MAX_SAFE_INTEGER ? [`${sign} ${limit}`] : [];
  };
  return [
    ...show('minimum', '>='),
    ...show('exclusiveMinimum', '>'),
    ...show('maximum', '<='),
    ...show('exclusiveMaximum', '<'),
  ];
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function unknown(what: string, name: string, known: readonly string[]): PresetError {
  return new PresetError({
    code: 'UNKNOWN_NAME',
    message: `there is no ${what} "${name}"`,
    hint: suggest(name, known),
  });
}
