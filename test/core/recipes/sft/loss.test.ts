/** The loss of SFT: classes of target, weights that grow, divergence from the first model, what is dropped. */
import { describe, expect, test } from 'vitest';
import type { Tokenizer } from '../../../../core/contracts/tokenizer.ts';
import { sequenceOf } from '../../../../core/recipes/sft/sequences.ts';
import { classWeights, sftOptions } from '../../../../core/recipes/sft/options.ts';
import { checkpoints, curve, metricsOf, Workplace } from '../../../support/runs.ts';

const place = new Workplace();

async function run(recipe: string, optimizer = 'use: adamw, learningRate: 1e-2'): Promise<string> {
  const text = `optimizer: { ${optimizer} }\nrecipe: { use: sft, batch: 8, examples: 8, promptDropout: 0, ${recipe} }\n`;
  return (await place.run(place.preset('sft', text))).directory;
}

const first = (directory: string, name: string): number => curve(directory, name)[0] ?? NaN;

describe('classes of target', () => {
  test('the loss is the weighted sum of all cross-entropies over the number of targets', async () => {
    const alone = async (name: string): Promise<string> => {
      const weights = ['textWeight', 'imageWeight', 'imageStartWeight']
        .map((each) => `${each}: ${each === name ? 1 : 0}`)
        .join(', ');
      return run(`steps: 1, ${weights}`);
    };
    const [text, image, start] = [
      await alone('textWeight'),
      await alone('imageWeight'),
      await alone('imageStartWeight'),
    ];
    const all = await run('steps: 1, textWeight: 2, imageWeight: 0.5, imageStartWeight: 3');
    const expected = 2 * first(text, 'loss') + 0.5 * first(image, 'loss') + 3 * first(start, 'loss');
    expect(first(all, 'loss')).toBeCloseTo(expected, 5);
    // Eight sequences of four codes, one image start and an end token each: the counts follow from mean and sum.
    const targets = (8 * first(start, 'imageStart/crossEntropy')) / first(start, 'loss');
    expect(first(image, 'loss')).toBeCloseTo((32 * first(image, 'image/crossEntropy')) / targets, 5);
    expect(first(text, 'loss')).toBeCloseTo(((targets - 40) * first(text, 'text/crossEntropy')) / targets, 5);
    expect(targets).toBeCloseTo(Math.round(targets), 3);
  });

  test('an image start without weight is not learnt, one with it is', async () => {
    const [without, withIt] = [await run('steps: 25, imageStartWeight: 0'), await run('steps: 25')];
    expect(curve(withIt, 'imageStart/crossEntropy').at(-1)).toBeLessThan(1);
    expect(curve(without, 'imageStart/crossEntropy').at(-1)).toBeGreaterThan(3);
  });
});

describe('weights that grow', () => {
  const at = (step: number, ramp: object): number =>
    classWeights(sftOptions.parse({ steps: 100, textWeight: 2, imageWeight: 4, ramp }), step).image;

  test('from nothing to full over a share of the steps', () => {
    const ramp = { classes: ['image'], from: 0.2, to: 0.6 };
    expect([1, 21, 41, 61, 100].map((step) => at(step, ramp))).toEqual([0, 0, expect.closeTo(2, 9), 4, 4]);
    expect(classWeights(sftOptions.parse({ steps: 100, textWeight: 2, ramp }), 1)).toMatchObject({
      text: 2,
      imageStart: 2,
      image: 0,
    });
    expect(at(1, { classes: ['text'] })).toBe(4);
    expect([1, 50, 51].map((step) => at(step, { classes: ['image'], from: 0.5, to: 0.5 }))).toEqual([0, 0, 4]);
  });

  test('weights that would be full before they begin to grow are refused: they would have begun at several times what is written', () => {
    const { error } = sftOptions.safeParse({ steps: 100, ramp: { classes: ['image'], from: 0.6 } });
    expect(error?.issues).toMatchObject([{ path: ['ramp', 'from'], message: expect.stringContaining('`to`') }]);
  });

  test('shares of sequences that are more than all of them are refused: the last of them would be smaller than written', () => {
    const dropout = { steps: 1, promptDropout: 0.8, promptOnlyDropout: 0.1 };
    expect(sftOptions.safeParse({ ...dropout, rationaleOnlyDropout: 0.1 }).success).toBe(true);
    const { error } = sftOptions.safeParse({ ...dropout, rationaleOnlyDropout: 0.2 });
    expect(error?.issues).toMatchObject([{ path: ['promptDropout'], message: expect.stringContaining('at most 1') }]);
  });

  test('a picture that has no weight yet is not learnt', async () => {
    const directory = await run('steps: 12, ramp: { classes: [image], from: 0.9, to: 1 }');
    const image = curve(directory, 'image/crossEntropy');
    const text = curve(directory, 'text/crossEntropy');
    expect(text.at(-1)).toBeLessThan((text[0] ?? 0) / 2);
    expect(image.at(-1)).toBeGreaterThan((image[0] ?? 0) * 0.9);
  });
});

test('divergence from the model the run began with: zero at first, held down by its weight, the same after a resume and with adapters', async () => {
  const { directory: base } = await place.halfTaught();
  const recipe = (weight: number, more = ''): string => `steps: 12, weights: ${base}, klWeight: ${weight}${more}`;
  // Steps in proportion to gradients: those of the divergence then show as they are.
  const plain = 'use: sgd, learningRate: 0.01, momentum: 0, weightDecay: 0';
  const [free, held] = [await run(recipe(1e-6), plain), await run(recipe(10), plain)];
  expect(first(free, 'kl')).toBeLessThan(1e-6);
  expect(curve(free, 'kl').at(-1)).toBeGreaterThan(0.005);
  expect(curve(held, 'kl').at(-1)).toBeLessThan((curve(free, 'kl').at(-1) ?? 0) / 2);
  const preset = place.preset(
    'kl-stopped',
    `optimizer: { ${plain} }\nrecipe: { use: sft, batch: 8, examples: 8, promptDropout: 0, ${recipe(10)} }\n`,
  );
  const stopped = await place.run(preset, { stopAfter: 5 });
  await place.run('', { resume: stopped });
  expect(metricsOf(stopped.directory)).toEqual(metricsOf(held));
  const adapters = await run(recipe(1, ', lora: { rank: 2 }'));
  expect(first(adapters, 'kl')).toBeLessThan(1e-6);
  expect(curve(adapters, 'kl').at(-1)).toBeGreaterThan(0);
});

test('held-out examples are measured and change nothing; the best checkpoint by them is kept', async () => {
  const steps = 'steps: 5, saveEvery: 1, keep: 1, ema: { decay: 0.5 }';
  const [plain, measured] = [
    await run(steps),
    await run(`${steps}, validation: { every: 2, examples: 12 }, keepBest: { metric: validation/loss, mode: min }`),
  ];
  const without = metricsOf(measured).map((metrics) =>
    Object.fromEntries(Object.entries(metrics).filter(([name]) => !name.startsWith('validation/'))),
  );
  expect(without).toEqual(metricsOf(plain));
  const losses = metricsOf(measured).map((metrics) => metrics['validation/loss']);
  expect(losses.map((loss) => typeof loss)).toEqual(['undefined', 'number', 'undefined', 'number', 'number']);
  // Twelve held-out examples know eight colors only: what is learnt helps them too.
  expect(Number(losses[4])).toBeLessThan(Number(losses[1]));
  expect(checkpoints(measured)).toEqual(['step-000005']);
});

describe('what is dropped', () => {
  const special = { bos: 1, eos: 2, pad: 0, imageStart: 3 };
  const base = {
    vocabularySize: 100,
    special,
    hash: '',
    decode: () => '',
    encode: (text: string) => Array.from({ length: text.length }, (_, index) => text.charCodeAt(index)),
  };
  const prompt = (text: string, mode: string): number[] => [1, ...base.encode(text), mode === 'direct' ? 3 : 9];
  /** As the published model: padding stands where something was. */
  const padding: Tokenizer = {
    ...base,
    prompt,
    unconditional: (ids) => ids.map((id, index) => (index === 0 || index === ids.length - 1 ? id : 0)),
  };
  const closing: Tokenizer = { ...base, prompt, unconditional: () => [1, 3] };
  const lay = (tokenizer: Tokenizer, dropped: 'nothing' | 'prompt' | 'rationale' | 'both', rationale = true) =>
    sequenceOf(tokenizer, { prompt: 'p', rationale: 'rr' }, [7, 8], { rationale, dropped });

  test('nothing: everything behind the prompt is a target', () => {
    expect(lay(padding, 'nothing')).toEqual({
      text: [1, 112, 9, 114, 114, 3],
      firstTarget: 3,
      codes: [7, 8],
      trailing: [2],
    });
    expect(lay(padding, 'nothing', false)).toEqual({ text: [1, 112, 3], firstTarget: 3, codes: [7, 8], trailing: [2] });
  });

  test('where a layout keeps every place, padding stands in the gap; only the picture is a target', () => {
    expect(lay(padding, 'both')).toMatchObject({ text: [1, 0, 0, 0, 0, 3], firstTarget: 6 });
    expect(lay(padding, 'prompt')).toMatchObject({ text: [1, 0, 0, 114, 114, 3], firstTarget: 6 });
    expect(lay(padding, 'rationale')).toMatchObject({ text: [1, 112, 9, 0, 0, 3], firstTarget: 6 });
  });

  test('where a layout closes gaps, what is left stands together', () => {
    expect(lay(closing, 'both')).toMatchObject({ text: [1, 3], firstTarget: 2 });
    expect(lay(closing, 'prompt')).toMatchObject({ text: [1, 114, 114, 3], firstTarget: 4 });
    expect(lay(closing, 'rationale')).toMatchObject({ text: [1, 112, 3], firstTarget: 3 });
  });

  test('without rationales there is only one thing to drop', () => {
    expect(lay(padding, 'both', false)).toMatchObject({ text: [1, 0, 3], firstTarget: 3 });
    expect(lay(padding, 'rationale', false)).toMatchObject({ text: [1, 112, 3], firstTarget: 3 });
  });
});
