/** A plugin as a user would write one, for tests of the recipes: everything but the backbone, and nothing to train beforehand. */
import { setTimeout as wait } from 'node:timers/promises';
import {
  defineBenchmark,
  defineDataset,
  defineImageTokenizer,
  definePlugin,
  defineRecipe,
  defineReward,
  z,
  type Example,
  type PromptItem,
  type Sample,
  type Score,
  type Split,
} from '../../core/plugin.ts';
import { colorNames, fields, paint, side } from './colors.ts';
import { benchmarkAsked, gate, interrupter, saboteur, weigher } from './extensions.ts';

const cells = 2;

const paletteTokenizer = defineImageTokenizer({
  name: 'palette',
  summary: 'four fields of a picture as indices of the nearest of eight colors',
  options: z.strictObject({}),
  create: () => ({
    grid: { rows: cells, columns: cells },
    imageSize: { width: side, height: side },
    vocabularySize: colorNames.length,
    embeddingDimension: colorNames.length,
    hash: 'palette',
    encode: (images) => Promise.resolve(images.map((image) => fields(image, cells))),
    decode: (codes) => Promise.resolve(codes.map((each) => paint(each, cells))),
    codebook: () =>
      Float32Array.from({ length: colorNames.length ** 2 }, (_, index) =>
        index % (colorNames.length + 1) === 0 ? 1 : 0,
      ),
  }),
});

/** Prompt `index` of a split: colors in turn, shifted by the seed. */
function item(index: number, seed: number, split: Split): PromptItem {
  const color = colorNames[(index + seed) % colorNames.length] ?? 'red';
  return {
    prompt: split === 'seen' ? `a ${color} picture` : `one picture in ${color}`,
    task: 'color',
    specification: color,
  };
}

/** The dataset says it plainly, a line of a file as its field `color`. */
function wanted({ specification }: Pick<Sample, 'specification'>): number {
  const named: unknown =
    typeof specification === 'object' && specification !== null && 'color' in specification
      ? specification.color
      : specification;
  return colorNames.findIndex((name) => name === named);
}

const dataset = defineDataset({
  name: 'swatches',
  summary: 'pictures of one color',
  options: z.strictObject({ wordy: z.boolean().default(false).describe('one prompt in eight is far too long') }),
  create: ({ wordy }) => {
    const rationale = ({ specification }: PromptItem): string => `paint it ${String(specification)} .`;
    return {
      imageSize: { width: side, height: side },
      tasks: ['color'],
      example: (index, seed): Example => {
        const base = item(index, seed, 'seen');
        return {
          ...base,
          rationale: rationale(base),
          image: paint(Array<number>(cells ** 2).fill(wanted(base)), cells),
        };
      },
      rationale: (index, seed) => rationale(item(index, seed, 'seen')),
      codecImage: (index) => paint([index % 8, (index + 3) % 8, (index + 5) % 8, (index + 6) % 8], cells),
      prompt: (index, seed, split) => {
        const base = item(index, seed, split);
        return wordy && index % 8 === 7 ? { ...base, prompt: `${base.prompt} ${'very '.repeat(60)}bright` } : base;
      },
      corpus: () => colorNames.map((name) => `a ${name} picture paint it ${name} .`),
    };
  },
});

/** Share of the fields that have the color asked for. */
function share(sample: Sample): number {
  return fields(sample.image, cells).filter((color) => color === wanted(sample)).length / cells ** 2;
}

const isColor = defineReward({
  name: 'is-color',
  summary: 'share of the picture that has the color asked for',
  options: z.strictObject({ delay: z.number().nonnegative().default(0).describe('milliseconds of thought') }),
  create: ({ delay }) => ({
    score: async (samples) => {
      if (delay > 0) await wait(delay);
      return samples.map((sample) => ({ value: share(sample), why: `wanted ${String(sample.specification)}` }));
    },
  }),
});

const faultNames = ['by-prompt', 'constant', 'half-blind', 'mumbles', 'not-a-number', 'one-short', 'throws'] as const;

const faults: Readonly<Record<(typeof faultNames)[number], (samples: readonly Sample[]) => (number | Score)[]>> = {
  // Alike for all drawings of a prompt.
  'by-prompt': (samples) => samples.map((sample) => wanted(sample) / 8),
  constant: (samples) => samples.map(() => 0.5),
  'half-blind': (samples) => samples.map((sample) => (wanted(sample) < 4 ? share(sample) : 0.5)),
  mumbles: (samples) =>
    samples.map((sample, index) =>
      index % 2 === 0 ? share(sample) : { value: 0, why: 'I see a picture', unparsed: true },
    ),
  'not-a-number': (samples) => samples.map((_, index) => (index === 1 ? Number.NaN : share(samples[index] as Sample))),
  'one-short': (samples) => samples.slice(1).map(share),
  throws: () => {
    throw new Error('the judge is out of office');
  },
};

const faulty = defineReward({
  name: 'faulty',
  summary: 'as is-color, until it fails',
  options: z.strictObject({
    fault: z.enum(faultNames).describe('what it does wrong'),
    from: z.number().int().positive().default(1).describe('the call from which on it does it'),
  }),
  create: ({ fault, from }) => {
    let calls = 0;
    return {
      score: (samples) => {
        calls += 1;
        return calls < from ? samples.map(share) : faults[fault](samples);
      },
    };
  },
});

const benchmark = defineBenchmark({
  name: 'swatches',
  summary: 'every color once, then again; passes when all four fields have it',
  options: z.strictObject({ only: z.enum(['seen', 'heldout']).optional().describe('the one split it says it has') }),
  create: ({ only }) => ({
    tasks: ['color'],
    ...(only !== undefined && { splits: [only] }),
    prompts: (split, count, seed) => {
      benchmarkAsked.publish(undefined);
      return Array.from({ length: count }, (_, index) => item(index, seed, split));
    },
    judge: (samples) =>
      samples.map((sample) => ({
        pass: share(sample) === 1,
        why: `${share(sample)} of the picture`,
        parts: { share: share(sample) },
      })),
  }),
});

const hungry = defineRecipe({
  name: 'hungry',
  summary: 'plans for more memory than any machine has, in buffers each of which could be bound',
  options: z.strictObject({}),
  create: () => ({
    plan: () => ({ lines: ['everything at once'], bytes: { activations: 2 ** 60 }, largestBinding: 2 ** 20 }),
    run: () => Promise.reject(new Error('a run that cannot fit was started')),
  }),
});

export default definePlugin({
  name: 'swatches',
  provides: [paletteTokenizer, dataset, isColor, faulty, benchmark, hungry, saboteur, interrupter, weigher, gate],
});
