/** What a dataset must keep so that a resumed run goes on with the very examples it would have had. */
import type { Dataset, Example, ExampleSource, GeneratedDataset, StoredDataset } from '../contracts/dataset.ts';
import type { Image } from '../contracts/image.ts';
import type { Component } from '../contracts/slots.ts';
import { checkItems } from './check-benchmark.ts';
import { ContractError, type ContractSettings, nameOf, openComponent } from './contract.ts';

export interface DatasetContract extends ContractSettings {
  /** Examples looked at; 24 unless told. */
  readonly count?: number;
  /** Tasks with so few prompts that none is held out: both splits share them. */
  readonly sharedTasks?: readonly string[];
}

/**
 * Holds a dataset to its contract. One that makes examples: each a function of index and seed alone, whatever was asked before; pictures of the
 * size it says; held-out prompts that no example has; every word in `corpus`. One of files: each position gives the same row whenever it is asked.
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
  for (const [index, example] of examples.entries()) checkPicture(who, `example ${index}`, example.image, dataset);
  for (const index of indices.toReversed()) sameExample(who, index, examples[index], other.example(index, seed));
  for (const index of indices) checkPicture(who, `codecImage(${index})`, dataset.codecImage(index, seed), dataset);
  const held = indices.map((index) => dataset.prompt(index, seed, 'heldout'));
  const seen = indices.map((index) => dataset.prompt(index, seed, 'seen'));
  checkItems(who, [...held, ...seen], dataset.tasks);
  indices.forEach((index) => {
    if (JSON.stringify(other.prompt(index, seed, 'heldout')) !== JSON.stringify(held[index]))
      throw new ContractError(
        who,
        `gives another held-out prompt ${index} when asked again: a prompt is a function of index, seed and split`,
      );
  });
  const trained = new Set([...examples, ...seen].map(({ prompt }) => prompt));
  const leaked = held.find(({ prompt, task }) => trained.has(prompt) && !sharedTasks.includes(task));
  if (leaked !== undefined)
    throw new ContractError(who, `has the held-out prompt "${leaked.prompt}" among what is trained on`);
  checkCorpus(who, dataset, examples);
}

function sameExample(who: string, index: number, first: Example | undefined, second: Example): void {
  const text = (example: Example | undefined): string => JSON.stringify({ ...example, image: undefined });
  const differs =
    text(first) !== text(second) || !Buffer.from(first?.image.data ?? []).equals(Buffer.from(second.image.data));
  if (differs)
    throw new ContractError(
      who,
      `gives another example ${index} when asked again: an example is a function of index and seed alone`,
    );
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

function checkCorpus(who: string, dataset: GeneratedDataset, examples: readonly Example[]): void {
  const words = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  const known = new Set(dataset.corpus().flatMap(words));
  const missing = examples
    .flatMap(({ prompt, rationale }) => words(`${prompt} ${rationale}`))
    .find((word) => !known.has(word));
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
    checkPicture(who, example.place, await example.picture(), dataset);
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
