/** Supervised examples as sequences: text laid out by the tokenizer, pictures as codes encoded on the device and kept. */
import type { Dataset, Example } from '../contracts/dataset.ts';
import type { ImageTokenizer } from '../contracts/image-tokenizer.ts';
import type { Tokenizer } from '../contracts/tokenizer.ts';
import { sizeOfSequence, type SequenceSize } from '../nn/packed-shape.ts';
import type { Sequence } from '../nn/packing.ts';
import { philox } from '../rl/philox.ts';

export interface ExampleOptions {
  readonly seed: number;
  /** Distinct examples; the stream starts over after them with rationales worded anew. */
  readonly examples: number;
  readonly rationale: boolean;
  /** Share of examples seen without prompt and rationale, in the layout guidance uses for its unconditional branch. */
  readonly promptDropout: number;
}

/** Examples encoded per call of the image tokenizer. */
export const examplesAtOnce = 256;

export class ExampleStream {
  private readonly dataset: Dataset;
  private readonly tokenizer: Tokenizer;
  private readonly imageTokenizer: ImageTokenizer;
  private readonly options: ExampleOptions;
  private readonly codes = new Map<number, readonly number[]>();

  constructor(dataset: Dataset, tokenizer: Tokenizer, imageTokenizer: ImageTokenizer, options: ExampleOptions) {
    this.dataset = dataset;
    this.tokenizer = tokenizer;
    this.imageTokenizer = imageTokenizer;
    this.options = options;
  }

  /** Examples `from` … `from + count - 1` of the stream. A pure function of its arguments, so a resume is exact. */
  examples(from: number, count: number): Example[] {
    const { seed, examples } = this.options;
    return Array.from({ length: count }, (_, offset) => {
      const position = from + offset;
      const index = position % examples;
      const visit = Math.floor(position / examples);
      const example = this.dataset.example(index, seed);
      return visit === 0 ? example : { ...example, rationale: this.dataset.rationale(index, seed, visit) };
    });
  }

  /** The examples as sequences. `items` must be `examples(from, …)`, possibly with other texts. */
  async sequences(from: number, items: readonly Example[]): Promise<Sequence[]> {
    const missing = items.flatMap((item, offset) => {
      const index = (from + offset) % this.options.examples;
      return this.codes.has(index) ? [] : [{ index, image: item.image }];
    });
    for (let start = 0; start < missing.length; start += examplesAtOnce) {
      const part = missing.slice(start, start + examplesAtOnce);
      const codes = await this.imageTokenizer.encode(part.map(({ image }) => image));
      part.forEach(({ index }, position) => this.codes.set(index, codes[position] ?? []));
    }
    return items.map((item, offset) => this.sequence(item, from + offset));
  }

  /** How large the first `count` examples are as sequences; no picture is encoded. */
  sizes(count: number): SequenceSize[] {
    const { rows, columns } = this.imageTokenizer.grid;
    const codes = new Array<number>(rows * columns).fill(0);
    return this.examples(0, count).map((item, position) => sizeOfSequence({ ...this.sequence(item, position), codes }));
  }

  private sequence(item: Example, position: number): Sequence {
    const { seed, examples, rationale, promptDropout } = this.options;
    const { tokenizer } = this;
    const codes = this.codes.get(position % examples) ?? [];
    const trailing = [tokenizer.special.eos];
    const prompt = tokenizer.prompt(item.prompt, rationale ? 'rationale' : 'direct');
    const text = rationale ? [...prompt, ...tokenizer.encode(item.rationale), tokenizer.special.imageStart] : prompt;
    if (promptDropout > 0 && uniform(seed, position) < promptDropout) {
      const without = tokenizer.unconditional(text);
      return { text: without, firstTarget: without.length, codes, trailing };
    }
    return { text, firstTarget: prompt.length, codes, trailing };
  }
}

/** Keeps the dropout draws apart from other uses of the run's seed. */
const dropoutStream = 0x0d10;

function uniform(seed: number, position: number): number {
  return philox([position, 0, 0, dropoutStream], [seed, 0])[0] / 2 ** 32;
}
