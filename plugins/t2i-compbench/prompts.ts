/** The validation prompts of T2I-CompBench and T2I-CompBench++, as their project lays them out: `color_val.txt` and so on. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  decodeText,
  diskError,
  exitCodes,
  readBounded,
  readTextRows,
  ReasongenError,
  type PromptItem,
} from '../../core/plugin.ts';
import { nounChunks } from './language.ts';
import { categories, needs, type Category, type CompItem, type ComplexKind } from './verdict.ts';

export interface CompPrompts {
  readonly items: readonly PromptItem[];
  /** Of the noun list of numeracy: plural and singular to singular. */
  readonly plurals: ReadonlyMap<string, string>;
  /** Prompts by category. */
  readonly counts: Readonly<Partial<Record<Category, number>>>;
  /** Prompts that are asked for their noun chunks and have none in `chunksOf`. */
  readonly ruled: number;
}

const ofComplex: Readonly<Record<ComplexKind, string>> = {
  spatial: 'complex_val_spatial.txt',
  action: 'complex_val_action.txt',
  both: 'complex_val_spatialaction.txt',
};

/** Throws NO_PROMPTS where the folder has none of the wanted lists. `copies`: pictures of each prompt. */
export async function readCompPrompts(
  folder: string,
  wanted: readonly Category[] | undefined,
  copies: number,
  chunksOf: ReadonlyMap<string, readonly string[]>,
): Promise<CompPrompts> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw diskError(cause, 'reading prompts', folder);
  });
  const lines = async (name: string): Promise<string[]> =>
    names.includes(name) ? (await readTextRows(join(folder, name), 'prompt')).map(({ text }) => text) : [];
  const kinds = new Map<string, ComplexKind>();
  for (const [kind, name] of Object.entries(ofComplex) as [ComplexKind, string][])
    for (const prompt of await lines(name)) kinds.set(prompt, kind);
  const items: PromptItem[] = [];
  const counts: Partial<Record<Category, number>> = {};
  let ruled = 0;
  for (const category of wanted ?? categories) {
    const prompts = await lines(`${category}_val.txt`);
    if (prompts.length === 0 && wanted === undefined) continue;
    if (prompts.length === 0) throw noPrompts(folder, `it has no ${category}_val.txt`);
    counts[category] = prompts.length;
    prompts.forEach((prompt, index) => {
      if (/[_/\\]/.test(prompt)) throw noPrompts(folder, `"${prompt}" cannot be the name of a picture`);
      const kind = kinds.get(prompt);
      if (needs[category].includes('answerProbabilities') && !chunksOf.has(prompt)) ruled += 1;
      const specification: CompItem = {
        category,
        ...(kind !== undefined && category === 'complex' && { kind }),
        number: index * copies,
        chunks: chunksOf.get(prompt) ?? nounChunks(prompt),
      };
      items.push({ prompt, task: category, specification });
    });
  }
  if (items.length === 0) throw noPrompts(folder, 'it has no list of validation prompts');
  const plurals = await readPlurals(folder, names);
  if (counts.numeracy !== undefined && plurals.size === 0)
    throw noPrompts(folder, 'it has no new_objects.txt, by which numeracy knows its nouns');
  return { items, plurals, counts, ruled };
}

async function readPlurals(folder: string, names: readonly string[]): Promise<Map<string, string>> {
  if (!names.includes('new_objects.txt')) return new Map();
  const text = decodeText(await readBounded(join(folder, 'new_objects.txt'), 'reading nouns'));
  return new Map(
    text.split(/\r?\n/).flatMap((line): [string, string][] => {
      const [singular, plural] = line.split(' - ').map((word) => word.trim().toLowerCase());
      return singular === undefined || plural === undefined
        ? []
        : [
            [singular, singular],
            [plural, singular],
          ];
    }),
  );
}

function noPrompts(place: string, why: string): ReasongenError {
  return new ReasongenError({
    code: 'NO_PROMPTS',
    message: `this is no folder of T2I-CompBench's prompts: ${why}`,
    place,
    hint: 'give the folder examples/dataset of the project: color_val.txt, shape_val.txt, …',
    exitCode: exitCodes.badPreset,
  });
}
