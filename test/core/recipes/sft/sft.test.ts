/** Supervised fine-tuning from end to end on the swatches. */
import { describe, expect, test } from 'vitest';
import { checkpoints, curve, evaluationOf, metricsOf, Workplace, type Ended } from '../../../support/runs.ts';

const place = new Workplace();

function preset(name: string, recipe: string, more = 'optimizer: { use: adamw, learningRate: 1e-2 }'): string {
  return place.preset(
    name,
    `${more}\nrecipe: { use: sft, steps: 60, batch: 16, examples: 32, saveEvery: 20, ${recipe} }\n`,
  );
}

/** Passes of the likeliest drawings of all eight seen prompts. */
async function passes({ directory }: Ended, recipe = '', more = ''): Promise<number> {
  const file = place.preset(
    'judge',
    `${more}\nrecipe: { use: evaluate, weights: ${directory}, splits: [seen], count: 8, batch: 8, textTemperature: 0, imageTemperature: 0, ${recipe} }\n`,
  );
  const { directory: judged } = await place.run(file);
  const { overall } = evaluationOf(judged, 'swatches.seen.evaluation');
  expect(overall.total).toBe(8);
  return overall.passes;
}

test('learns eight prompts by heart: the loss falls and the likeliest drawings pass the benchmark', async () => {
  const run = await place.run(preset('sft', ''));
  expect(run.code).toBe(0);
  const loss = curve(run.directory, 'loss');
  expect(loss).toHaveLength(60);
  // Fresh weights know nothing: nearly ln 8 nats for a code.
  expect(curve(run.directory, 'image/crossEntropy')[0]).toBeCloseTo(Math.log(8), 0);
  expect(loss.at(-1)).toBeLessThan(0.1);
  expect(checkpoints(run.directory)).toEqual(['step-000040', 'step-000060']);
  expect(await passes(run)).toBe(8);
  // The unconditional branch was trained by dropping prompts; guidance pushes away from it and must not spoil anything.
  expect(await passes(run, 'guidance: 3')).toBe(8);
});

test('draws at once, without a rationale', async () => {
  const run = await place.run(preset('direct', 'rationale: false, textWeight: 1'));
  expect(curve(run.directory, 'loss').at(-1)).toBeLessThan(0.1);
  expect(await passes(run, 'rationale: false')).toBe(8);
});

test('learns with another optimizer', async () => {
  const run = await place.run(preset('sgd', '', 'optimizer: { use: sgd, learningRate: 0.5 }'));
  const loss = curve(run.directory, 'loss');
  expect(loss.at(-1)).toBeLessThan((loss[0] ?? 0) / 4);
});

test('another backbone by one line: one vocabulary for text and codes', async () => {
  const unified = 'backbone: { use: unified, hidden: 32, layers: 1, heads: 2, mlp: 64 }';
  const run = await place.run(preset('unified', '', `optimizer: { use: adamw, learningRate: 1e-2 }\n${unified}`), {
    settings: ['recipe.steps=160'],
  });
  expect(curve(run.directory, 'loss').at(-1)).toBeLessThan(0.2);
  expect(await passes(run, '', unified)).toBe(8);
});

describe('a batch in parts', () => {
  test('is the same update as the batch at once', async () => {
    const settings = ['recipe.steps=3'];
    const whole = await place.run(preset('whole', ''), { settings });
    const parts = await place.run(preset('parts', 'microBatch: 5'), { settings });
    const numbers = metricsOf(parts.directory);
    for (const [index, metrics] of metricsOf(whole.directory).entries()) {
      for (const name of ['loss', 'gradientNorm', 'text/crossEntropy', 'image/crossEntropy']) {
        const expected = Number(metrics[name]);
        expect(Math.abs(Number(numbers[index]?.[name]) - expected) / expected).toBeLessThan(1e-4);
      }
    }
  });
});
