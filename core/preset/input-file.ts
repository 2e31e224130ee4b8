import { z } from './zod.ts';

/** Marks an option as the path of something that must exist; the value lists the words that stand for something else. */
const mark = 'reasongenInputFile';

/**
 * An option that names an existing file or directory. It is resolved relative to the file in which it is written
 * (`--set`: to the current directory), is absolute when `create` sees it, and `check` reports it when nothing is there.
 * In a preset that is a stage of a chain, `stage:NAME` stands for the run directory of an earlier stage; `hub:OWNER/NAME` stands for
 * the folder into which `reasongen pull` has put a model, `hub:datasets/OWNER/NAME` for that of a data set. `words` are values of the option that are no paths.
 */
export function inputFile(words: readonly string[] = []): z.ZodString {
  return z
    .string()
    .min(1)
    .meta({ [mark]: words });
}

/** True for the schema of `inputFile()`, also when it is optional, nullable, described or has a default. */
export function isInputFile(schema: z.core.$ZodType): boolean {
  return inputFileWords(schema) !== undefined;
}

/** The words of an `inputFile()`; undefined for other schemas. */
export function inputFileWords(schema: z.core.$ZodType): readonly string[] | undefined {
  for (let current: z.core.$ZodType | undefined = schema; current !== undefined;) {
    const words = z.globalRegistry.get(current)?.[mark];
    if (Array.isArray(words)) return words as readonly string[];
    const definition: z.core.$ZodTypeDef & { innerType?: z.core.$ZodType } = current._zod.def;
    current = definition.innerType;
  }
  return undefined;
}
