/** GenEval's folders: `00000/metadata.jsonl` with the prompt, and its pictures in `00000/samples/0000.png`. */
import {
  exitCodes,
  ReasongenError,
  type LocatedPicture,
  type PictureLayout,
  type PromptItem,
} from '../../core/plugin.ts';
import { lineOf, type GenevalItem } from './prompts.ts';

const picture = /^(\d+)\/samples\/(\d+)\.png$/;

export const genevalLayout: PictureLayout = {
  file: (_item, index, copy) => `${digits(index, 5)}/samples/${digits(copy, 4)}.png`,
  beside: (item, index) => ({
    [`${digits(index, 5)}/metadata.jsonl`]: `${lineOf(item.specification as GenevalItem)}\n`,
  }),
  async locate({ paths, text }, items) {
    const choose = chooserOf(items);
    const found = paths.flatMap((path) => {
      const [, folder, number] = picture.exec(path) ?? [];
      return folder === undefined ? [] : [{ path, folder, number: Number(number) }];
    });
    found.sort((a, b) => a.number - b.number);
    const located: LocatedPicture[] = [];
    const copies = new Map<number, number>();
    const places = new Map<string, Pick<LocatedPicture, 'index' | 'item'>>();
    for (const { path, folder } of found) {
      const metadata = `${folder}/metadata.jsonl`;
      const place =
        places.get(folder) ??
        (paths.includes(metadata)
          ? placeOf(metadata, await text(metadata), items, (wanted) => choose(wanted, Number(folder)))
          : { index: Number(folder) });
      places.set(folder, place);
      const copy = copies.get(place.index) ?? 0;
      copies.set(place.index, copy + 1);
      located.push({ path, copy, ...place });
    }
    return located;
  },
};

/**
 * The prompt that a folder is of: one with its words and demand, rather that of its number, rather one that no other folder is of; where its words are others, one
 * with its demand, if that is of its number or the only one.
 */
function chooserOf(items: readonly PromptItem[]): (metadata: GenevalItem, folder: number) => number | undefined {
  const same = new Map<string, number[]>();
  for (const [index, item] of items.entries()) {
    const specification = item.specification as GenevalItem;
    for (const key of [demandOf(specification), demandOf(specification, item.prompt)])
      same.set(key, [...(same.get(key) ?? []), index]);
  }
  const taken = new Set<number>();
  return (metadata, folder) => {
    const worded = same.get(demandOf(metadata, metadata.prompt)) ?? [];
    const alike = same.get(demandOf(metadata)) ?? [];
    const isOwn = (worded.length > 0 ? worded : alike).includes(folder);
    const others =
      worded.find((index) => !taken.has(index)) ?? worded[0] ?? (alike.length === 1 ? alike[0] : undefined);
    const chosen = isOwn ? folder : others;
    if (chosen !== undefined) taken.add(chosen);
    return chosen;
  };
}

/** The prompt of the benchmark, in the words of the folder. */
function placeOf(
  path: string,
  text: string,
  items: readonly PromptItem[],
  choose: (metadata: GenevalItem) => number | undefined,
): Pick<LocatedPicture, 'index' | 'item'> {
  const metadata = parse(text);
  const index = metadata === undefined ? undefined : choose(metadata);
  const item = index === undefined ? undefined : items[index];
  if (metadata === undefined || index === undefined || item === undefined) {
    throw new ReasongenError({
      code: 'OTHER_PROMPTS',
      message:
        metadata === undefined
          ? 'this file holds no prompt of GenEval: a line of JSON with tag, include and prompt'
          : `the pictures beside it are of "${metadata.prompt}", which is no prompt of this benchmark, or might be several`,
      place: path,
      hint: 'where the prompts are others than the published ones, name their file: --set benchmarks.geneval.prompts=FILE',
      exitCode: exitCodes.badPreset,
    });
  }
  return metadata.prompt === item.prompt ? { index } : { index, item: { ...item, prompt: metadata.prompt } };
}

function parse(text: string): GenevalItem | undefined {
  try {
    const value = JSON.parse(text) as Partial<GenevalItem> | null;
    return typeof value?.tag === 'string' && typeof value.prompt === 'string' && Array.isArray(value.include)
      ? (value as GenevalItem)
      : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** With a `prompt`: what is demanded in these words. */
function demandOf({ tag, include, exclude = [] }: GenevalItem, prompt = ''): string {
  return lineOf({ tag, include: ordered(include), exclude, prompt });
}

/** Keys in one order, whoever wrote them. */
function ordered(include: GenevalItem['include']): GenevalItem['include'] {
  return include.map(({ class: name, count, color, position }) => ({
    class: name,
    count,
    ...(color !== undefined && { color }),
    ...(position !== undefined && { position }),
  }));
}

function digits(value: number, length: number): string {
  return String(value).padStart(length, '0');
}
