/** The author API: what the types accept and refuse. `tsc` checks the expected errors, so the file is part of `tsconfig.json`. */
import { describe, expect, expectTypeOf, test } from 'vitest';
import {
  defineBackbone,
  defineBenchmark,
  defineComponent,
  defineDataset,
  defineExtension,
  defineImageTokenizer,
  defineJudge,
  defineOptimizer,
  definePlugin,
  defineRecipe,
  defineReward,
  defineTokenizer,
  inputFile,
  type Component,
  type Reward,
  type Sample,
  type Slots,
  type StepEvent,
  z,
} from '../../core/plugin.ts';
import { isInputFile } from '../../core/preset/input-file.ts';

const options = z.strictObject({
  gain: z.number().default(1),
  mode: z.enum(['mean', 'median']).optional(),
});

describe('options', () => {
  test('have the declared types in create, and a misspelt one does not compile', () => {
    const reward = defineReward({
      name: 'warmth',
      summary: '',
      options,
      create: (chosen) => {
        expectTypeOf(chosen.gain).toEqualTypeOf<number>();
        expectTypeOf(chosen.mode).toEqualTypeOf<'mean' | 'median' | undefined>();
        // @ts-expect-error the option is called gain
        const misspelt: unknown = chosen.gian;
        expect(misspelt).toBeUndefined();
        // @ts-expect-error options are frozen
        const change = (): void => void (chosen.gain = 2);
        expect(change).toBeTypeOf('function');
        return { score: (samples) => samples.map(() => chosen.gain) };
      },
    });
    expectTypeOf(reward).toEqualTypeOf<Component<'reward'>>();
    const scope = {} as Parameters<typeof reward.create>[1];
    const created = reward.create({ gain: 3 }, scope) as Reward;
    expect(created.score([{}] as unknown as Sample[], new AbortController().signal)).toEqual([3]);
  });

  test('a component must create what its slot holds', () => {
    // @ts-expect-error a reward scores
    const wrong = defineReward({ name: 'a', summary: '', options, create: () => ({ judge: () => [] }) });
    // @ts-expect-error scores are numbers
    const text = defineReward({ name: 'b', summary: '', options, create: () => ({ score: () => ['a'] }) });
    expect([wrong.slot, text.slot]).toEqual(['reward', 'reward']);
  });
});

describe('extensions', () => {
  test('handlers get the event of their hook, and a misspelt hook does not compile', () => {
    const extension = defineExtension({
      name: 'watch',
      summary: '',
      options: z.strictObject({}),
      create: () => ({
        step: (event) => void expectTypeOf(event).toEqualTypeOf<StepEvent>(),
        rollout: {
          order: 'late',
          handler: ({ samples }) => void expectTypeOf(samples).toEqualTypeOf<readonly Sample[]>(),
        },
      }),
    });
    // @ts-expect-error the hook is called step
    const misspelt = defineExtension({ name: 'a', summary: '', options, create: () => ({ setp: () => {} }) });
    expect([extension.slot, misspelt.slot]).toEqual(['extension', 'extension']);
  });
});

declare module '../../core/contracts/slots.ts' {
  // oxlint-disable-next-line no-shadow -- merged with the interface of that name
  interface Slots {
    palette: readonly string[];
  }
}

test('a slot may be added by declaration merging', () => {
  const plugin = definePlugin({
    name: 'palettes',
    slots: [{ slot: 'palette', key: 'palette', many: false, summary: 'colors' }],
    provides: [],
  });
  expectTypeOf<Slots['palette']>().toEqualTypeOf<readonly string[]>();
  expect(plugin.slots?.[0]?.slot).toBe('palette');
});

test('inputFile is recognized through its shells', () => {
  expect(isInputFile(inputFile())).toBe(true);
  expect(isInputFile(inputFile().optional().describe('a file'))).toBe(true);
  expect(isInputFile(inputFile().describe('a file').default('x'))).toBe(true);
  expect(isInputFile(z.string().optional())).toBe(false);
});

describe('every define… refuses options, returns and slots that are not its own', () => {
  const common = { name: 'a', summary: 'b', options };

  test('options that are misspelt, or used as what they are not', () => {
    const declared = [
      // @ts-expect-error the option is called gain
      defineTokenizer({ ...common, create: ({ gian }) => gian }),
      // @ts-expect-error the option is called gain
      defineImageTokenizer({ ...common, create: ({ gian }) => gian }),
      // @ts-expect-error the option is called gain
      defineBackbone({ ...common, create: ({ gian }) => gian }),
      // @ts-expect-error the option is called gain
      defineOptimizer({ ...common, create: ({ gian }) => gian }),
      // @ts-expect-error the option is called gain
      defineBenchmark({ ...common, create: ({ gian }) => gian }),
      // @ts-expect-error the option is called gain
      defineDataset({ ...common, create: ({ gian }) => gian }),
      // @ts-expect-error the option is called gain
      defineRecipe({ ...common, create: ({ gian }) => gian }),
      // @ts-expect-error the option is called gain
      defineExtension({ ...common, create: ({ gian }) => gian }),
      // @ts-expect-error the option is called gain
      defineReward({ ...common, create: ({ gian }) => gian }),
      // @ts-expect-error the option is called gain
      defineJudge({ ...common, create: ({ gian }) => gian }),
      // @ts-expect-error gain is a number
      defineReward({ ...common, create: ({ gain }) => ({ score: () => [gain.length] }) }),
      // @ts-expect-error options are made with z.strictObject
      defineReward({ ...common, options: { gain: 1 }, create: () => ({ score: () => [] }) }),
      // @ts-expect-error there is no such slot to need
      defineReward({ ...common, needs: ['judges'], create: () => ({ score: () => [] }) }),
      // @ts-expect-error a component has a summary
      defineReward({ name: 'a', options, create: () => ({ score: () => [] }) }),
    ];
    expect(declared).toHaveLength(14);
  });

  test('what fills another slot, or half of it', () => {
    const declared = [
      // @ts-expect-error a tokenizer decodes, too
      defineTokenizer({ ...common, create: () => ({ encode: () => [] }) }),
      // @ts-expect-error codes are lists of numbers
      defineImageTokenizer({ ...common, create: () => ({ encode: async () => ['a'] }) }),
      // @ts-expect-error a backbone has parameters and steps
      defineBackbone({ ...common, create: () => ({ hidden: () => undefined }) }),
      // @ts-expect-error an optimizer is opened for parameters
      defineOptimizer({ ...common, create: ({ gain }) => ({ learningRate: gain }) }),
      // @ts-expect-error an answer is a text
      defineJudge({ ...common, create: () => ({ title: 'a', fingerprint: {}, answer: async () => true }) }),
      // @ts-expect-error verdicts are { pass, why }
      defineBenchmark({ ...common, create: () => ({ tasks: [], prompts: () => [], judge: () => [true] }) }),
      // @ts-expect-error a dataset has pictures of one size
      defineDataset({ ...common, create: () => ({ tasks: [], prompt: () => ({}) }) }),
      // @ts-expect-error a recipe says before it runs what it will need
      defineRecipe({ ...common, create: () => ({ run: async () => {} }) }),
      // @ts-expect-error handlers that replace hand back the event
      defineExtension({ ...common, create: () => ({ advantages: () => 3 }) }),
      // @ts-expect-error scores are numbers, scores or null
      defineReward({ ...common, create: () => ({ score: () => [undefined] }) }),
      // @ts-expect-error a promise of scores, not a list of promises
      defineReward({ ...common, create: () => ({ score: (samples) => samples.map(async () => 1) }) }),
      // @ts-expect-error the slot decides what is created
      defineComponent('optimizer', { ...common, create: () => ({ score: () => [] }) }),
      // @ts-expect-error there is no such slot
      defineComponent('sandwich', { ...common, create: () => ({}) }),
    ];
    expect(declared).toHaveLength(13);
  });

  test('a plugin that is not one', () => {
    const declared = [
      // @ts-expect-error a plugin has a name
      definePlugin({ provides: [] }),
      // @ts-expect-error what it provides are components
      definePlugin({ name: 'a', provides: [{ score: () => [] }] }),
    ];
    expect(declared).toHaveLength(2);
  });
});
