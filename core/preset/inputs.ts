/** The files and folders a preset names: what a run reads and does not own. */
import type { Preset } from '../contracts/preset.ts';
import type { Catalog } from './catalog.ts';
import { isInputFile } from './input-file.ts';
import { elementOf, memberOf } from './show.ts';
import type { z } from './zod.ts';

/** Absolute paths by the option that names them: `recipe.promptFiles[0].file`. */
export function inputsOf(preset: Preset, catalog: Catalog): Map<string, string> {
  const inputs = new Map<string, string>();
  for (const slot of catalog.slots) {
    for (const [index, { use, options }] of (preset.components[slot.slot] ?? []).entries()) {
      const schema = catalog.component(slot.slot, use)?.options;
      if (schema !== undefined) collect(options, schema, slot.many ? `${slot.key}[${index}]` : slot.key, inputs);
    }
  }
  return inputs;
}

function collect(value: unknown, schema: z.core.$ZodType, path: string, inputs: Map<string, string>): void {
  if (typeof value === 'string') {
    if (isInputFile(schema) && value.startsWith('/')) inputs.set(path, value);
  } else if (Array.isArray(value)) {
    for (const [index, each] of value.entries()) collect(each, elementOf(schema), `${path}[${index}]`, inputs);
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, each] of Object.entries(value)) collect(each, memberOf(schema, key), `${path}.${key}`, inputs);
  }
}
