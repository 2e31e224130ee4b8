import { z } from './zod.ts';

/** Marks an option as the path of something that must exist. */
const mark = 'reasongenInputFile';

/**
 * An option that names an existing file or directory. It is resolved relative to the file in which it is written
 * (`--set`: to the current directory), is absolute when `create` sees it, and `check` reports it when nothing is there.
 * In a preset that is a stage of a chain, `stage:NAME` stands for the run directory of an earlier stage.
 */
export function inputFile(): z.ZodString {
  return z
    .string()
    .min(1)
    .meta({ [mark]: true });
}

/** True for the schema of `inputFile()`, also when it is optional, nullable, described or has a default. */
export function isInputFile(schema: z.core.$ZodType): boolean {
  for (let current: z.core.$ZodType | undefined = schema; current !== undefined; ) {
    if (z.globalRegistry.get(current)?.[mark] === true) return true;
    const definition: z.core.$ZodTypeDef & { innerType?: z.core.$ZodType } = current._zod.def;
    current = definition.innerType;
  }
  return false;
}
