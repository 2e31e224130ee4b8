/** Supervised fine-tuning from end to end: it learns, it repeats itself bit for bit, a stop changes nothing. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkpointOf, checkpoints, curve, evaluationOf, metricsOf, Workplace, type Ended } from '../support/runs.ts';

const place = new Workplace();

const steps = 60;
const sft = `
optimizer: { use: adamw, learningRate: 1e-2 }
recipe: { use: sft, steps: ${steps}, batch: 16, examples: 32, promptDropout: 0.1, saveEvery: 20 }
`;

let learnt: Promise<Ended> | undefined;
/** The run that several tests look at. */
function learn(): Promise<Ended> {
  learnt ??= place.run(place.preset('sft', sft));
  return learnt;
}

describe('sft', () => {
  test('learns eight prompts by heart: the loss falls and the likeliest drawings pass the benchmark', async () => {
    const { directory, code } = await learn();
    const loss = curve(directory, 'loss');
    console.log(loss[0], loss.at(-1), curve(directory, 'image/crossEntropy').at(-1), curve(directory, 'text/crossEntropy').at(-1));
    expect(code).toBe(0);
    expect(checkpoints(directory)).toEqual(['step-000040', 'step-000060']);
    const evaluate = place.preset('greedy', `recipe: { use: evaluate, weights: ${directory}, splits: [seen], count: 8, batch: 8, textTemperature: 0, imageTemperature: 0 }\n`);
    const judged = await place.run(evaluate);
    console.log(judged.lines);
    expect(evaluationOf(judged.directory, 'swatches.seen.evaluation').overall).toEqual({ passes: 8, total: 8 });
  });
});
