/** The files and folders a preset names: what a run reads and does not own. */
import type { Preset } from '../contracts/preset.ts';
import type { Catalog } from './catalog.ts';
import { isFolderPath, isInputFile } from './input-file.ts';
import { markedOptions } from './marked-options.ts';
import type { z } from './zod.ts';

/** Absolute paths by the option that names them: `recipe.promptFiles[0].file`. */
export function inputsOf({ components }: Preset, catalog: Catalog): Map<string, string> {
  const isMeant = (schema: z.core.$ZodType): boolean => isInputFile(schema) && !isFolderPath(schema);
  const options = markedOptions(components, catalog, isMeant).filter(({ value }) => value.startsWith('/'));
  return new Map(options.map(({ called, value }) => [called, value]));
}
