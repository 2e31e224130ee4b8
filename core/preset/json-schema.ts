import type { Component, SlotDeclaration } from '../contracts/slots.ts';
import type { Catalog } from './catalog.ts';
import { defaultSeed } from './check.ts';
import { commonKeys } from './common-keys.ts';
import { z } from './zod.ts';

/** Plain JSON, a JSON Schema of draft 7. */
export type JsonSchema = { readonly [key: string]: unknown };

/** The schema of one component's options, or of the keys that all of a slot have. */
export function optionsSchema({ options }: Pick<Component, 'options'>): JsonSchema {
  const schema = z.toJSONSchema(options, {
    io: 'input',
    target: 'draft-7',
    unrepresentable: 'any',
    override: ({ jsonSchema }) => {
      delete jsonSchema['reasongenInputFile'];
      delete jsonSchema['reasongenFolderPath'];
      delete jsonSchema['reasongenTexts'];
      delete jsonSchema['reasongenMetricName'];
    },
  });
  const { $schema: _, ...rest } = schema;
  return rest;
}

/**
 * The schema an editor uses to complete presets. It forgives missing options, which `extends` may provide;
 * `reasongen check` does not.
 */
export function presetSchema(catalog: Catalog): JsonSchema {
  const slots = catalog.slots.map((slot) => {
    const one = slotSchema(slot, catalog);
    return [slot.key, { description: slot.summary, ...(slot.many ? { type: 'array', items: one } : one) }] as const;
  });
  const text = { type: 'string' };
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'reasongen preset',
    type: 'object',
    additionalProperties: false,
    properties: {
      name: { ...text, description: 'Name of the run; the file name unless given.' },
      description: { ...text, description: 'For readers only.' },
      seed: {
        type: 'integer',
        minimum: 0,
        maximum: 2 ** 32 - 1,
        default: defaultSeed,
        description: 'Decides every random number of the run.',
      },
      extends: {
        anyOf: [text, { type: 'array', items: text }],
        description:
          'Presets this one builds on: files relative to this one, or PACKAGE/NAME; later ones override earlier ones.',
      },
      plugins: {
        anyOf: [text, { type: 'array', items: text }],
        description: 'Plugins beyond the built-in ones: a path relative to this file, or an npm package.',
      },
      stages: {
        type: 'array',
        description:
          'Presets to run one after the other, instead of a recipe; `stage:NAME` names an earlier one in paths.',
        items: {
          anyOf: [
            text,
            {
              type: 'object',
              additionalProperties: false,
              required: ['preset'],
              properties: { preset: text, name: text, set: { type: 'object' } },
            },
          ],
        },
      },
      ...Object.fromEntries(slots),
    },
  };
}

function slotSchema(slot: SlotDeclaration, catalog: Catalog): JsonSchema {
  const components = catalog.components(slot.slot);
  return {
    anyOf: [
      ...(components.length > 0 ? [{ type: 'string', enum: components.map((component) => component.name) }] : []),
      ...components.map((component) => componentSchema(slot, component)),
      {
        type: 'object',
        description: 'Overrides of a component that an extended preset names.',
        not: { required: ['use'] },
      },
    ],
  };
}

function componentSchema(slot: SlotDeclaration, component: Component): JsonSchema {
  const { required: _, properties, ...rest } = optionsSchema(component);
  return {
    ...rest,
    description: component.summary,
    required: ['use'],
    properties: {
      use: { const: component.name },
      ...(slot.many && { name: { type: 'string', description: 'Name within the run; unique among its kind.' } }),
      ...(optionsSchema({ options: commonKeys(slot.slot) })['properties'] as object),
      ...(typeof properties === 'object' ? properties : {}),
    },
  };
}
