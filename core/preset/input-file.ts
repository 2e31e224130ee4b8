import type { TextsOfFile } from '../io/named-files.ts';
import { metaOf } from './schemas.ts';
import { z } from './zod.ts';

/** Marks an option as the path of something that must exist; the value lists the words that stand for something else. */
const mark = 'reasongenInputFile';
/** Marks one of which nothing need be there. */
const made = 'reasongenFolderPath';
/** Holds what finds the texts of files in formats of a plugin. */
const texts = 'reasongenTexts';

/**
 * An option that names an existing file or directory. It is resolved relative to the file in which it is written
 * (`--set`: to the current directory), is absolute when `create` sees it, and `check` reports it when nothing is there.
 * In a preset that is a stage of a chain, `stage:NAME` stands for the run directory of an earlier stage; `hub:OWNER/NAME` stands for
 * the folder into which `reasongen pull` has put a model, `hub:datasets/OWNER/NAME` for that of a data set. `words` are values of the option that are no paths.
 *
 * A run knows the content of what it is given, and of the files which that names: texts of JSON and of tables are found without help, those in
 * formats of a plugin by `textsOf`.
 */
export function inputFile(words: readonly string[] = [], textsOf?: TextsOfFile): z.ZodString {
  return z
    .string()
    .min(1)
    .meta({ [mark]: words, ...(textsOf !== undefined && { [texts]: textsOf }) });
}

/** As `inputFile`, but nothing need be there: a folder that is made when it is wanted. It is no input of a run. */
export function folderPath(words: readonly string[] = []): z.ZodString {
  return z
    .string()
    .min(1)
    .meta({ [mark]: words, [made]: true });
}

/** True for the schema of `folderPath()`. */
export function isFolderPath(schema: z.core.$ZodType): boolean {
  return metaOf(schema, made) === true;
}

/** True for the schema of `inputFile()`, also when it is optional, nullable, described or has a default. */
export function isInputFile(schema: z.core.$ZodType): boolean {
  return inputFileWords(schema) !== undefined;
}

/** The words of an `inputFile()`; undefined for other schemas. */
export function inputFileWords(schema: z.core.$ZodType): readonly string[] | undefined {
  const words = metaOf(schema, mark);
  return Array.isArray(words) ? (words as readonly string[]) : undefined;
}

/** What finds texts in the files of an `inputFile()`, where its plugin has something. */
export function inputFileTexts(schema: z.core.$ZodType): TextsOfFile | undefined {
  return metaOf(schema, texts) as TextsOfFile | undefined;
}
