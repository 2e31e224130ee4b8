/** What a dataset must keep so that a resumed run goes on with the very examples it would have had. */
import type { Dataset, Example, ExampleSource, GeneratedDataset, StoredDataset } from '../contracts/dataset.ts';
import type { Image } from '../contracts/image.ts';
import type { Component } from '../contracts/slots.ts';
import { checkItems } from './check-benchmark.ts';
import { ContractError, type ContractSettings, nameOf, openComponent, written } from './contract.ts';

export interface DatasetContract extends ContractSettings {
  /** Examples looked at; 24 unless told. */
  readonly count?: number;
  /** Tasks with so few prompts that none is held out: both splits share them. */
  readonly sharedTasks?: readonly string[];
}

/**
 * Holds a dataset to its contract. One that makes examples: everything it gives a function of the arguments alone, whatever was asked before; pictures of the
 * size it says; held-out prompts that no example has; every word in `corpus`. One of files: each position gives the same row and picture whenever it is asked.
 * @throws ContractError, with the cause
 */
export async function checkDataset(component: Component<'dataset'>, contract: DatasetContract = {}): Promise<void> {
  const { count = 24, seed = 1, sharedTasks = [] } = contract;
  const who = nameOf(component);
  const opened = await openComponent(component, contract);
  const again = await openComponent(component, contract);
  if ('open' in opened.made) await checkStored(who, opened.made, again.made as StoredDataset, count, seed);
  else checkGenerated(who, opened.made, again.made as GeneratedDataset, count, seed, sharedTasks);
  await opened.dispose();
  await again.dispose();
}

/** `other` is the same dataset, made apart: it is asked backwards, so that nothing a call leaves behind is shared. */
function checkGenerated(
  who: string,
  dataset: GeneratedDataset,
  other: GeneratedDataset,
  count: number,
  seed: number,
  sharedTasks: readonly string[],
): void {
  const indices = [...Array(count).keys()];
  const examples = indices.map((index) => dataset.example(index, seed));
  checkItems(who, examples, dataset.tasks);
  for (const [index, { image, rationale }] of examples.entries()) {
    checkText(who, index, rationale);
    checkPicture(who, `example ${index}`, image, dataset);
  }
  for (const index of indices.toReversed()) sameExample(who, index, examples[index], other.example(index, seed));
  const pictures = indices.map((index) => dataset.codecImage(index, seed));
  for (const [index, picture] of pictures.entries()) checkPicture(who, `codecImage(${index})`, picture, dataset);
  for (const [index, picture] of [...pictures.entries()].reverse())
    if (!samePixels(picture, other.codecImage(index, seed)))
      throw new ContractError(
        who,
        `gives another codecImage(${index}) when asked again: it is a function of index and seed alone`,
      );
  const rationales = indices.flatMap((index) => checkRationale(who, dataset, other, index, seed));
  const held = indices.map((index) => dataset.prompt(index, seed, 'heldout'));
  const seen = indices.map((index) => dataset.prompt(index, seed, 'seen'));
  checkItems(who, [...held, ...seen], dataset.tasks);
  for (const [split, items] of [['heldout', held] as const, ['seen', seen] as const])
    for (const index of indices.toReversed())
      if (JSON.stringify(other.prompt(index, seed, split)) !== JSON.stringify(items[index]))
        throw new ContractError(
          who,
          `gives another prompt ${index} of the split ${split} when asked again: a prompt is a function of index, seed and split`,
        );
  const trained = new Set([...examples, ...seen].map(({ prompt }) => prompt));
  const leaked = held.find(({ prompt, task }) => trained.has(prompt) && !sharedTasks.includes(task));
  if (leaked !== undefined)
    throw new ContractError(who, `has the held-out prompt "${leaked.prompt}" among what is trained on`);
  checkCorpus(who, dataset, [
    ...examples.flatMap(({ prompt, rationale }) => [prompt, rationale]),
    ...rationales,
    ...[...seen, ...held].map(({ prompt }) => prompt),
  ]);
}

/** The rationales of an example at its first two visits. */
function checkRationale(
  who: string,
  dataset: GeneratedDataset,
  other: GeneratedDataset,
  index: number,
  seed: number,
): string[] {
  return [0, 1].map((visit) => {
    const rationale = dataset.rationale(index, seed, visit);
    checkText(who, index, rationale);
    if (other.rationale(index, seed, visit) !== rationale)
      throw new ContractError(
        who,
        `gives example ${index} another rationale when asked again: it is a function of index, seed and visit`,
      );
    return rationale;
  });
}

function checkText(who: string, index: number, rationale: unknown): void {
  if (typeof rationale !== 'string')
    throw new ContractError(who, `gives example ${index} the rationale ${written(rationale)}; a rationale is a text`);
}

function sameExample(who: string, index: number, first: Example | undefined, second: Example): void {
  const text = (example: Example | undefined): string => JSON.stringify({ ...example, image: undefined });
  if (first === undefined || text(first) !== text(second) || !samePixels(first.image, second.image))
    throw new ContractError(
      who,
      `gives another example ${index} when asked again: an example is a function of index and seed alone`,
    );
}

function samePixels(first: Image, second: Image): boolean {
  return Buffer.from(first.data).equals(Buffer.from(second.data));
}

function checkPicture(who: string, what: string, image: Image, { imageSize }: Dataset): void {
  const { width, height, data } = image;
  if (width !== imageSize.width || height !== imageSize.height)
    throw new ContractError(
      who,
      `gives ${what} a picture of ${width} x ${height}; its imageSize is ${imageSize.width} x ${imageSize.height}`,
    );
  if (data.length !== width * height * 3)
    throw new ContractError(
      who,
      `gives ${what} a picture of ${data.length} bytes; ${width} x ${height} pixels are ${width * height * 3} (RGB, row by row)`,
    );
}

function checkCorpus(who: string, dataset: GeneratedDataset, texts: readonly string[]): void {
  const words = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  const known = new Set(dataset.corpus().flatMap(words));
  const missing = texts.flatMap(words).find((word) => !known.has(word));
  if (missing !== undefined)
    throw new ContractError(
      who,
      `writes the word "${missing}", which is not in its \`corpus\`: a tokenizer trained on that would not know it`,
    );
}

async function checkStored(
  who: string,
  dataset: StoredDataset,
  other: StoredDataset,
  count: number,
  seed: number,
): Promise<void> {
  const [source, again] = [await dataset.open('training'), await other.open('training')];
  if (source === undefined || again === undefined) throw new ContractError(who, 'opens no examples to train on');
  if (source.hash !== again.hash)
    throw new ContractError(who, 'has another hash when it is opened again: a checkpoint would not know its data');
  if (!(source.rows > 0)) throw new ContractError(who, `has ${source.rows} rows`);
  const positions = [...Array(Math.min(count, 2 * source.rows)).keys()];
  const rows = await rowsOf(source, positions, seed);
  const backwards = (await rowsOf(again, positions.toReversed(), seed)).reverse();
  const changed = positions.find((position) => rows[position] !== backwards[position]);
  if (changed !== undefined)
    throw new ContractError(
      who,
      `gives another row at position ${changed} when asked again: a row is a function of position and seed, as long as the files stay as they are`,
    );
  for (const position of positions) {
    const example = await source.at(position, seed);
    if (!('picture' in example)) continue;
    checkItems(who, [example], dataset.tasks);
    const picture = await example.picture();
    checkPicture(who, example.place, picture, dataset);
    const same = await again.at(position, seed);
    if (!('picture' in same) || !samePixels(picture, await same.picture()))
      throw new ContractError(who, `gives ${example.place} another picture when asked again`);
  }
}

async function rowsOf(source: ExampleSource, positions: readonly number[], seed: number): Promise<string[]> {
  const rows: string[] = [];
  for (const position of positions) {
    const example = await source.at(position, seed);
    rows.push(JSON.stringify({ ...example, picture: undefined }));
  }
  return rows;
}
