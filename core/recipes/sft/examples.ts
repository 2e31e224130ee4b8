/**
 * Supervised examples as sequences, in the order of their stream: made by a dataset or read from files, text laid out by the tokenizer,
 * pictures as codes encoded on the device and kept. What is passed over is counted and named.
 */
import { join } from 'node:path';
import type { BadRow, Example, ExampleSource, GeneratedDataset, StoredExample } from '../../contracts/dataset.ts';
import type { Image } from '../../contracts/image.ts';
import type { RunContext } from '../../contracts/recipe.ts';
import { ReasongenError, exitCodes } from '../../errors.ts';
import type { Json } from '../../io/checkpoint.ts';
import { shorten } from '../../io/text.ts';
import { sizeOfSequence, type SequenceSize } from '../../nn/packed-shape.ts';
import type { Sequence } from '../../nn/packing.ts';
import { philox } from '../../tensor/philox.ts';
import { cacheDirectory } from '../../setup/cache.mjs';
import { CodeStore } from '../codec/code-cache.ts';
import { sequenceOf, type Dropped } from './sequences.ts';

export interface ExampleOptions {
  /** Distinct examples of a dataset that makes them; the stream starts over after them with rationales worded anew. */
  readonly examples: number;
  readonly rationale: boolean;
  /** Shares of examples trained without prompt and rationale, without the prompt, without the rationale. */
  readonly promptDropout: number;
  readonly promptOnlyDropout: number;
  readonly rationaleOnlyDropout: number;
  /** Longest sequence in tokens; longer ones are passed over. Rows of files are bounded in any case, see `usualText`. */
  readonly longest?: number | undefined;
  /** Rows of files that may be bad before the run stops. */
  readonly badRows: number;
  readonly keepCodes: boolean;
}

/** Examples encoded per call of the image tokenizer. */
export const examplesAtOnce = 256;

/** An example and where it stands in the stream. */
export interface Picked {
  readonly position: number;
  readonly item: Example | StoredExample;
  /** Equal keys, equal codes. */
  readonly key: string;
  /** Absent when the codes are known. */
  readonly image: Image | undefined;
}

interface Batch {
  readonly picked: readonly Picked[];
  readonly next: number;
  readonly bad: readonly BadRow[];
  readonly tooLong: readonly BadRow[];
}

/** Text tokens assumed for examples that are not known before they are read. */
const assumedText = 320;
/** Text tokens a row of files may have unless the preset says otherwise: one that is a whole book would need all the memory there is. */
export const usualText = 4 * assumedText;
/** No token stands for more characters; a text that is longer is not even taken apart. */
const charactersOfToken = 128;
/** Rows that are too long and named; there may be very many. */
const mostNamed = 10;

export class ExampleStream {
  private readonly context: RunContext;
  private readonly options: ExampleOptions;
  private readonly source: ExampleSource | undefined;
  private readonly codes: CodeStore;
  /** Where the next batch begins. */
  private position = 0;
  /** Places of the rows that could not be used: a row counts once, however often it is visited. */
  private readonly bad = new Set<string>();
  /** Visits. */
  private tooLong = 0;
  /** Places of rows that are too long and were named. */
  private readonly named = new Set<string>();
  /** The batch behind the last one, read while the device works. */
  private ahead: { readonly position: number; readonly count: number; readonly batch: Promise<Batch> } | undefined;

  /** Of what is drawn for a position; held-out examples that a dataset makes are those of another seed. */
  private readonly seed: number;

  private constructor(context: RunContext, options: ExampleOptions, source: ExampleSource | undefined, seed: number) {
    this.context = context;
    this.options = options;
    this.source = source;
    this.seed = seed;
    const isPlan = context.device.isPlanning;
    this.codes = new CodeStore(
      context.imageTokenizer,
      source === undefined || !options.keepCodes || isPlan ? undefined : join(cacheDirectory(), 'codes'),
    );
  }

  /** For a plan no file is read. */
  static async open(
    context: RunContext,
    options: ExampleOptions,
    part: 'training' | 'heldout' = 'training',
  ): Promise<ExampleStream> {
    const { dataset, device, seed } = context;
    const own = part === 'training' ? seed : seed + heldOutSeed;
    if (!('open' in dataset) || device.isPlanning) return new ExampleStream(context, options, undefined, own);
    const source = await dataset.open(part);
    if (source !== undefined) return new ExampleStream(context, options, source, own);
    throw new ReasongenError({
      code: 'NO_HELD_OUT',
      message: 'recipe.validation wants rows that training never sees, and the dataset keeps none back',
      hint: 'set dataset.heldOut, to 0.05 for instance',
      exitCode: exitCodes.badPreset,
    });
  }

  /** Rows of the files, or examples before the stream starts over. Undefined while a plan is made of files. */
  get distinct(): number | undefined {
    if ('open' in this.context.dataset) return this.source?.rows;
    return this.options.examples;
  }

  get counts(): { readonly badRows: number; readonly tooLong: number } {
    return { badRows: this.bad.size, tooLong: this.tooLong };
  }

  /** For a checkpoint; `restore` takes it. */
  get state(): Json {
    return {
      position: this.position,
      badRows: [...this.bad],
      tooLong: this.tooLong,
      ...(this.source !== undefined && { source: this.source.hash }),
    };
  }

  restore(state: Json | undefined): void {
    const { position, badRows, tooLong, source } = (state ?? {}) as {
      readonly position?: number;
      readonly badRows?: readonly string[];
      readonly tooLong?: number;
      readonly source?: string;
    };
    if (source !== this.source?.hash) {
      throw new ReasongenError({
        code: 'OTHER_DATA',
        message: 'the files of the dataset are not those this run was started with',
        hint: 'put them back, or start a new run from the weights of this one',
        exitCode: exitCodes.badPreset,
      });
    }
    this.position = position ?? 0;
    this.bad.clear();
    for (const place of badRows ?? []) this.bad.add(place);
    this.tooLong = tooLong ?? 0;
  }

  /** The next examples that are usable. Throws when too many rows are not. */
  async next(count: number): Promise<readonly Picked[]> {
    const { position, ahead } = this;
    const batch = await (ahead?.position === position && ahead.count === count
      ? ahead.batch
      : this.pick(position, count));
    for (const { place, why } of batch.bad) this.refuse(place, why);
    for (const { place, why } of batch.tooLong) this.passOver(place, why);
    this.position = batch.next;
    const following = this.pick(batch.next, count);
    // What it throws is thrown when its turn comes.
    following.catch(() => undefined);
    this.ahead = { position: batch.next, count, batch: following };
    return batch.picked;
  }

  /** What was picked as sequences; `items` may have other texts. */
  async sequences(
    picked: readonly Picked[],
    items: readonly { readonly prompt: string; readonly rationale: string }[],
  ): Promise<Sequence[]> {
    const missing = new Map<string, Image>();
    for (const { key, image } of picked)
      if (image !== undefined && this.codes.get(key) === undefined) missing.set(key, image);
    const waiting = [...missing];
    for (let start = 0; start < waiting.length; start += examplesAtOnce) {
      const part = waiting.slice(start, start + examplesAtOnce);
      const codes = await this.context.imageTokenizer.encode(part.map(([, image]) => image));
      part.forEach(([key], index) => this.codes.set(key, codes[index] ?? []));
    }
    return picked.map(({ position, key, item }, index) =>
      this.sequence(items[index] ?? item, this.codes.get(key) ?? [], position),
    );
  }

  /** How large the first `count` examples are as sequences, as far as that can be known before they are read. */
  sizes(count: number): SequenceSize[] {
    const { dataset, imageTokenizer } = this.context;
    const codes = new Array<number>(imageTokenizer.grid.rows * imageTokenizer.grid.columns).fill(0);
    if (!('open' in dataset))
      return Array.from({ length: Math.min(count, this.options.examples) }, (_, position) =>
        sizeOfSequence(this.sequence(this.generate(dataset, position), codes, position)),
      );
    const text = this.options.longest === undefined ? assumedText : this.options.longest - codes.length - 1;
    return [
      sizeOfSequence({ text: new Array<number>(Math.max(1, text)).fill(0), firstTarget: 1, codes, trailing: [0] }),
    ];
  }

  close(): void {
    this.codes.close();
  }

  /** Pure: what stands at the positions from `from` on, until there are enough that can be used. */
  private async pick(from: number, count: number): Promise<Batch> {
    const picked: Picked[] = [];
    const bad: BadRow[] = [];
    const tooLong: BadRow[] = [];
    let position = from;
    while (picked.length < count) {
      if (position - from > count + (this.distinct ?? 0) + this.options.badRows)
        throw nothingUsable(position - from, bad, tooLong);
      // As many as are missing, side by side: pictures are decoded on other threads.
      const first = position;
      position += count - picked.length;
      for (const found of await Promise.all(
        Array.from({ length: position - first }, (_, index) => this.at(first + index)),
      )) {
        if ('why' in found) bad.push(found);
        else {
          const why = this.tooLongBy(found);
          if (why === undefined) picked.push(found);
          else tooLong.push({ place: 'place' in found.item ? found.item.place : '', why });
        }
      }
    }
    return { picked, next: position, bad, tooLong };
  }

  private async at(position: number): Promise<Picked | BadRow> {
    const { seed } = this;
    const { dataset } = this.context;
    if (!('open' in dataset)) {
      const item = this.generate(dataset, position);
      const key = String(position % this.options.examples);
      return { position, item, key, image: this.codes.get(key) === undefined ? item.image : undefined };
    }
    if (this.source === undefined) throw new RangeError('a plan reads no examples');
    const found = await this.source.at(position, seed);
    if ('why' in found) return found;
    if (this.options.rationale && found.rationale === '')
      return { place: found.place, why: found.whyNoRationale ?? 'it has no rationale' };
    const key = found.pictureHash;
    if (this.codes.get(key) !== undefined) return { position, item: found, key, image: undefined };
    try {
      return { position, item: found, key, image: await found.picture() };
    } catch (cause) {
      return {
        place: found.place,
        why: `its picture cannot be decoded: ${cause instanceof Error ? cause.message : String(cause)}`,
      };
    }
  }

  private generate(dataset: GeneratedDataset, position: number): Example {
    const { seed } = this;
    const { examples } = this.options;
    const example = dataset.example(position % examples, seed);
    const visit = Math.floor(position / examples);
    return visit === 0 ? example : { ...example, rationale: dataset.rationale(position % examples, seed, visit) };
  }

  /** Why an example is passed over, when it is. */
  private tooLongBy({ item, position }: Picked): string | undefined {
    const { rows, columns } = this.context.imageTokenizer.grid;
    const isStored = 'open' in this.context.dataset;
    const longest = this.options.longest ?? (isStored ? rows * columns + usualText : undefined);
    if (longest === undefined) return undefined;
    const characters = item.prompt.length + item.rationale.length;
    if (characters > longest * charactersOfToken) return `its texts have ${characters} characters`;
    const { text, trailing } = this.sequence(item, [], position);
    const tokens = text.length + rows * columns + trailing.length;
    return tokens > longest ? `its sequence has ${tokens} tokens, and ${longest} are the most` : undefined;
  }

  private sequence(
    item: { readonly prompt: string; readonly rationale: string },
    codes: readonly number[],
    position: number,
  ): Sequence {
    return sequenceOf(this.context.tokenizer, item, codes, {
      rationale: this.options.rationale,
      dropped: this.dropped(position),
    });
  }

  private dropped(position: number): Dropped {
    const { promptDropout, promptOnlyDropout, rationaleOnlyDropout } = this.options;
    const drawn = philox([position, 0, 0, dropoutStream], [this.seed, 0])[0] / 2 ** 32;
    if (drawn < promptDropout) return 'both';
    if (drawn < promptDropout + promptOnlyDropout) return 'prompt';
    return drawn < promptDropout + promptOnlyDropout + rationaleOnlyDropout ? 'rationale' : 'nothing';
  }

  private refuse(place: string, reason: string): void {
    if (this.bad.has(place)) return;
    this.bad.add(place);
    const { log } = this.context;
    const { size } = this.bad;
    // A value of the data may be a whole picture.
    const why = shorten(reason, 300);
    log.warn(`row passed over: ${place}: ${why} (${size} so far, recipe.badRows allows ${this.options.badRows})`);
    if (size <= this.options.badRows) return;
    throw new ReasongenError({
      code: 'BAD_ROWS',
      message: `${size} rows could not be used, the last because ${why}`,
      place,
      hint: `repair the data, or raise recipe.badRows (${this.options.badRows})`,
      exitCode: exitCodes.guard,
    });
  }

  /** Counts an example that is too long, and names the first of them. */
  private passOver(place: string, why: string): void {
    this.tooLong += 1;
    if (place === '' || this.named.has(place) || this.named.size >= mostNamed) return;
    this.named.add(place);
    const more = this.named.size === mostNamed ? '; further ones are only counted' : '';
    this.context.log.warn(`row passed over as too long: ${place}: ${why} (recipe.longest)${more}`);
  }
}

/** Added to the run's seed. */
const heldOutSeed = 0x4e1d;

/** Keeps the dropout draws apart from other uses of the run's seed. */
const dropoutStream = 0x0d10;

function nothingUsable(looked: number, bad: readonly BadRow[], tooLong: readonly BadRow[]): ReasongenError {
  const shown = ([first]: readonly BadRow[]): string =>
    first === undefined ? '' : ` (${first.place === '' ? '' : `${first.place}: `}${shorten(first.why, 300)})`;
  return new ReasongenError({
    code: 'NO_EXAMPLES',
    message: `of ${looked} examples in a row ${bad.length} could not be read${shown(bad)} and ${tooLong.length} were too long${shown(tooLong)}`,
    hint:
      bad.length < tooLong.length
        ? 'raise recipe.longest, or shorten the texts'
        : 'check dataset.columns, and recipe.longest',
    exitCode: exitCodes.badPreset,
  });
}
