/** The files and folders a preset names: what a run reads and does not own. */
import type { Preset } from '../contracts/preset.ts';
import type { Catalog } from './catalog.ts';
import type { TextsOfFile } from '../io/named-files.ts';
import { inputFileTexts, isFolderPath, isInputFile } from './input-file.ts';
import { markedOptions } from './marked-options.ts';
import type { z } from './zod.ts';

export interface InputPath {
  /** Absolute. */
  readonly path: string;
  readonly textsOf: TextsOfFile | undefined;
}

/** By the option that names them: `recipe.promptFiles[0].file`. */
export function inputsOf({ components }: Preset, catalog: Catalog): Map<string, InputPath> {
  const isMeant = (schema: z.core.$ZodType): boolean => isInputFile(schema) && !isFolderPath(schema);
  const options = markedOptions(components, catalog, isMeant).filter(({ value }) => value.startsWith('/'));
  return new Map(
    options.map(({ called, value, schema }) => [called, { path: value, textsOf: inputFileTexts(schema) }]),
  );
}
