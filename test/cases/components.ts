/** Components without a device, so that presets, hooks and the main flow are tested without the real ones. */
import {
  defineBenchmark,
  defineDataset,
  defineExtension,
  defineOptimizer,
  definePlugin,
  defineRecipe,
  defineReward,
  defineTokenizer,
  inputFile,
  metricName,
  type Image,
  type Plugin,
  type Tokenizer,
  z,
} from '../../core/plugin.ts';

const image: Image = { width: 1, height: 1, data: new Uint8Array(3) };

const words: Tokenizer = {
  vocabularySize: 8,
  special: { bos: 0, eos: 1, pad: 2, imageStart: 3 },
  hash: 'words',
  encode: (text) => [text.length],
  decode: (ids) => ids.join(' '),
  prompt: (text) => [text.length],
  unconditional: () => [0],
};

const colors = defineDataset({
  name: 'colors',
  summary: 'prompts that name a color',
  options: z.strictObject({
    size: z.number().int().min(1).max(64).default(8).describe('side of the square canvas in pixels'),
  }),
  create: ({ size }) => ({
    imageSize: { width: size, height: size },
    tasks: ['color'],
    example: (index) => ({ prompt: `red ${index}`, task: 'color', specification: {}, rationale: 'red', image }),
    rationale: () => 'red',
    codecImage: () => image,
    prompt: (index) => ({ prompt: `red ${index}`, task: 'color', specification: {} }),
    corpus: () => ['red'],
  }),
});

const tokenizer = defineTokenizer({
  name: 'words',
  summary: 'one id for a word',
  options: z.strictObject({
    file: inputFile().optional().describe('a vocabulary'),
    special: z
      .strictObject({ begin: z.string().default('<a>'), end: z.string().default('<b>') })
      .prefault({})
      .describe('texts of the special tokens'),
  }),
  create: () => words,
});

const otherTokenizer = defineTokenizer({
  name: 'letters',
  summary: 'one id for a letter',
  options: z.strictObject({ keep: z.array(z.string()).default(['a', 'b']).describe('letters to keep') }),
  create: () => words,
});

const warmth = defineReward({
  name: 'warmth',
  summary: 'how red a drawing is',
  options: z.strictObject({
    gain: z.number().default(1).describe('factor of the score'),
    mode: z.enum(['mean', 'median']).default('mean').describe('how pixels are summed up'),
    file: inputFile().optional().describe('a table of colors'),
  }),
  create: ({ gain }) => ({ score: (samples) => samples.map((sample) => gain * (sample.image.data[0] ?? 0)) }),
});

const quiz = defineBenchmark({
  name: 'quiz',
  summary: 'asks for red',
  options: z.strictObject({}),
  create: () => ({
    tasks: ['color'],
    prompts: () => [],
    judge: (samples) => samples.map(() => ({ pass: true, why: 'it is' })),
  }),
});

const optimizer = defineOptimizer({
  name: 'descent',
  summary: 'follows the gradient',
  options: z.strictObject({ learningRate: z.number().positive().describe('step size') }),
  create: ({ learningRate }) => ({
    learningRate,
    open: () => {
      throw new Error('the test components have no device');
    },
  }),
});

const counter = defineExtension({
  name: 'counter',
  summary: 'counts steps',
  options: z.strictObject({}),
  create: (_, scope) => ({ step: ({ step }) => scope.log.info(`step ${step}`) }),
});

/** Names numbers of a step, alone and in a list. */
const watcher = defineExtension({
  name: 'watcher',
  summary: 'watches numbers',
  options: z.strictObject({
    metric: metricName().optional().describe('one number'),
    others: z
      .array(z.strictObject({ metric: metricName().describe('another number') }))
      .default([])
      .describe('more of them'),
  }),
  create: () => ({}),
});

/** Tells the log what it hears; fails at the end when told to. */
const witness = defineExtension({
  name: 'witness',
  summary: 'tells the log what happens',
  options: z.strictObject({ failAtFinish: z.boolean().default(false).describe('throw in finish') }),
  create: ({ failAtFinish }, scope) => {
    scope.onDispose(() => scope.log.info('disposed'));
    return {
      start: ({ preset, resume }) => scope.log.info(`start ${preset}${resume ? ' again' : ''}`),
      finish: ({ outcome, error }) => {
        scope.log.info(`finish ${outcome}${error instanceof Error ? `: ${error.message}` : ''}`);
        if (failAtFinish) throw new Error('no ink for the last word');
      },
    };
  },
});

const practice = defineRecipe({
  name: 'practice',
  summary: 'fires hooks and trains nothing',
  options: z
    .strictObject({
      steps: z.number().int().positive().default(2).describe('how many'),
      warmup: z.number().int().min(0).default(0).describe('steps before the full rate'),
      weights: inputFile().optional().describe('what to start from'),
      pause: z.number().min(0).default(0).describe('milliseconds of a step'),
      binding: z
        .number()
        .default(1 << 20)
        .describe('bytes of the largest buffer'),
      failAt: z.number().int().optional().describe('the step that fails'),
      stopAt: z.number().int().optional().describe('the step after which a guard stops the run'),
    })
    .refine((options) => options.warmup <= options.steps, { message: 'warmup must not be longer than steps' }),
  needs: ['dataset', 'tokenizer'],
  metrics: (_options, { rewards }) => ['loss', ...rewards.map((name) => `reward/${name}/*`)],
  create: ({ steps, pause, binding, failAt, stopAt }) => ({
    plan: () => ({
      lines: [`${steps} steps`],
      bytes: { weights: 1 << 20, activations: 1 << 21 },
      largestBinding: binding,
    }),
    run: async ({ hooks, log, stop, directory }) => {
      const progress = log.progress('practice', steps);
      for (let step = 1; step <= steps && !stop.requested; step++) {
        if (step === failAt) throw new Error('out of paint');
        await new Promise((resolve) => setTimeout(resolve, pause));
        await hooks.step({ step, metrics: { loss: 1 / step } });
        directory.metrics.append({ step, loss: 1 / step });
        progress.advance();
        if (step === stopAt) stop.request('enough', 7);
      }
      progress.end();
    },
  }),
});

const components: Plugin = definePlugin({
  name: 'test-components',
  provides: [colors, tokenizer, otherTokenizer, warmth, quiz, optimizer, counter, practice, watcher, witness],
});

export default components;
