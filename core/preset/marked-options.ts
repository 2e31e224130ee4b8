/** Options of a kind, wherever they stand in the options of a preset: files it reads, names of numbers. */
import type { ComponentChoice } from '../contracts/preset.ts';
import type { SlotDeclaration } from '../contracts/slots.ts';
import type { Catalog } from './catalog.ts';
import { elementOf, memberOf } from './schemas.ts';
import type { z } from './zod.ts';

export interface MarkedOption {
  readonly slot: SlotDeclaration;
  /** Of the component within its slot. */
  readonly index: number;
  /** Below the component. */
  readonly path: readonly (string | number)[];
  /** `recipe.promptFiles[0].file` */
  readonly called: string;
  readonly value: string;
  readonly schema: z.core.$ZodType;
}

/** The options with a text whose schema `isMeant`, in the order of the slots. */
export function markedOptions(
  components: Readonly<Record<string, readonly ComponentChoice[]>>,
  catalog: Catalog,
  isMeant: (schema: z.core.$ZodType) => boolean,
): MarkedOption[] {
  const found: MarkedOption[] = [];
  for (const slot of catalog.slots) {
    for (const [index, { use, options }] of (components[slot.slot] ?? []).entries()) {
      const collect = (value: unknown, schema: z.core.$ZodType, path: readonly (string | number)[]): void => {
        if (typeof value === 'string') {
          if (!isMeant(schema)) return;
          const called = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${key}`)).join('');
          found.push({
            slot,
            index,
            path,
            called: `${slot.key}${slot.many ? `[${index}]` : ''}${called}`,
            value,
            schema,
          });
        } else if (Array.isArray(value)) {
          for (const [at, each] of value.entries()) collect(each, elementOf(schema), [...path, at]);
        } else if (typeof value === 'object' && value !== null) {
          for (const [key, each] of Object.entries(value)) collect(each, memberOf(schema, key), [...path, key]);
        }
      };
      const schema = catalog.component(slot.slot, use)?.options;
      if (schema !== undefined) collect(options, schema, []);
    }
  }
  return found;
}
