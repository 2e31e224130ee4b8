/**
 * Runs whose products are asked for on tensor cores: they learn what f32 learns, go on bit for bit, and say what was lost; on an adapter without
 * them they are f32 runs that say so. `npm run verify:matrix` runs them where there are matrices.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openDevice } from '../../core/gpu/device.ts';
import { usableShapes } from '../../core/ops/linear-matrix.ts';
import type { RunRecord } from '../../core/io/records.ts';
import { Guards } from '../../core/training/guards.ts';
import { OperandWatch } from '../../core/training/operands.ts';
import { checkpoints, curve, metricsOf, Workplace, type Ended } from '../support/runs.ts';

const place = new Workplace();

async function hasMatrices(): Promise<boolean> {
  const device = await openDevice();
  const isThere = usableShapes(device).length > 0;
  device.close();
  return isThere;
}
const isThere = await hasMatrices();

function sft(recipe: string): string {
  return place.preset(
    'sft',
    `optimizer: { use: adamw, learningRate: 1e-2 }\nrecipe: { use: sft, steps: 6, batch: 8, examples: 16, saveEvery: 3, ${recipe} }\n`,
  );
}

async function grpo(recipe: string): Promise<string> {
  const { directory } = await place.halfTaught();
  return place.preset(
    'grpo',
    `rewards: [is-color]\noptimizer: { use: adamw, learningRate: 2e-3 }\nrecipe: { use: grpo, weights: ${directory}, steps: 2, prompts: 4, groupSize: 4, rationaleTokens: 12, imageTemperature: 1, ${recipe} }\n`,
  );
}

function adapterOf({ directory }: Ended): Readonly<Record<string, string>> {
  return (JSON.parse(readFileSync(join(directory, 'run.json'), 'utf8')) as RunRecord).adapter;
}

function weightsOf({ directory }: Ended): Buffer {
  return readFileSync(join(directory, 'checkpoints', checkpoints(directory).at(-1) ?? '', 'weights.safetensors'));
}

describe.skipIf(isThere)('where there are none', () => {
  test('a run is one in f32, and warns of it', async () => {
    const plain = await place.run(sft(''));
    expect(plain.lines.filter((line) => line.includes('products'))).toEqual([]);
    for (const precision of ['f16', 'f32-split']) {
      const run = await place.run(sft(`precision: ${precision}`));
      expect(weightsOf(run)).toEqual(weightsOf(plain));
      const warnings = run.lines.filter((line) => line.startsWith('warning'));
      expect(warnings).toEqual([
        expect.stringMatching(
          new RegExp(`^warning: products asked for in ${precision} are computed in f32: .* offers no `),
        ),
      ]);
      expect(metricsOf(run.directory)[0]).not.toHaveProperty('operands/lost');
      expect(adapterOf(run)).not.toHaveProperty('products');
    }
  });

  test('drawing and training say it each', async () => {
    const run = await place.run(await grpo('precision: f32-split, samplingPrecision: f16'));
    const asked = run.lines.flatMap((line) => /asked for in (\S+)/.exec(line)?.[1] ?? []);
    expect(asked).toEqual(['f32-split', 'f16']);
  });
});

describe.skipIf(!isThere)('on matrices', () => {
  test('SFT learns what f32 learns', async () => {
    const plain = await place.run(sft(''));
    const loss = curve(plain.directory, 'loss');
    const firstNorm = curve(plain.directory, 'gradientNorm')[0] ?? Number.NaN;
    // Roundings to 11 and to 22 bits, carried through six updates.
    for (const [precision, tolerance] of [
      ['f16', 2e-2],
      ['f32-split', 1e-4],
    ] as const) {
      const run = await place.run(sft(`precision: ${precision}`));
      expect(run.lines).toContainEqual(expect.stringMatching(new RegExp(`^products in ${precision}: matrices of`)));
      expect(adapterOf(run)['products']).toMatch(new RegExp(`^${precision} on matrices of \\d+ x \\d+ x \\d+$`));
      const found = curve(run.directory, 'loss');
      expect(found).not.toEqual(loss);
      // Of the first step, from the same weights: what a gradient loses shows there, and hardly in the loss.
      const norm = curve(run.directory, 'gradientNorm')[0] ?? Number.NaN;
      expect(Math.abs(norm / firstNorm - 1)).toBeLessThan(tolerance / 10);
      found.forEach((value, step) => expect(Math.abs(value - (loss[step] ?? Number.NaN))).toBeLessThan(tolerance));
      for (const metrics of metricsOf(run.directory)) {
        expect(metrics['operands/lost']).toBeLessThan(0.01);
        expect(metrics['operands/broken']).toBe(0);
      }
    }
  });

  test('a codec learns what it learns in f32, and goes on bit for bit', async () => {
    const codec = `codec: { imageSize: 8, baseChannels: 8, multipliers: [1, 2], encoderBlocks: [1, 1], decoderBlocks: [1, 1], attention: middle, groups: 4, latentChannels: 8, embeddingDimension: 4, codes: 16 }`;
    const preset = (recipe: string): string =>
      place.preset(
        'codec',
        `optimizer: { use: adamw, learningRate: 3e-3 }\nrecipe: { use: train-codec, steps: 4, batch: 4, ${codec}, startCodesAt: 100, warmup: 2, saveEvery: 2, ${recipe} }\n`,
      );
    const loss = curve((await place.run(preset(''))).directory, 'loss');
    // Which code is nearest is all or nothing: in f16 the first pass already chooses one of 64 otherwise.
    for (const [precision, tolerance] of [
      ['f16', 0.1],
      ['f32-split', 1e-4],
    ] as const) {
      const run = await place.run(preset(`precision: ${precision}`));
      const found = curve(run.directory, 'loss');
      expect(found).not.toEqual(loss);
      expect(found.at(-1)).toBeLessThan(0.8 * (found[0] ?? 0));
      found.forEach((value, step) => expect(Math.abs(value / (loss[step] ?? Number.NaN) - 1)).toBeLessThan(tolerance));
      for (const metrics of metricsOf(run.directory)) {
        expect(metrics['operands/lost']).toBeLessThan(0.01);
        expect(metrics['operands/broken']).toBe(0);
      }
      const stopped = await place.run(preset(`precision: ${precision}`), { stopAfter: 2 });
      expect(weightsOf(await place.run('', { resume: stopped }))).toEqual(weightsOf(run));
    }
  });

  test('a run that was stopped goes on bit for bit', async () => {
    const whole = await place.run(sft('precision: f16'));
    const stopped = await place.run(sft('precision: f16'), { stopAfter: 3 });
    const resumed = await place.run('', { resume: stopped });
    expect(weightsOf(resumed)).toEqual(weightsOf(whole));
  });

  test('sampler and scorer agree in one precision, and less in two', async () => {
    const difference = async (recipe: string): Promise<number> => {
      const { directory } = await place.run(await grpo(recipe));
      for (const metrics of metricsOf(directory)) {
        expect(metrics['operands/drawing/lost']).toBeLessThan(0.01);
        expect(metrics['operands/drawing/broken']).toBe(0);
        expect('operands/lost' in metrics).toBe(recipe.startsWith('precision'));
      }
      return Math.max(...curve(directory, 'ratioDifference'));
    };
    expect(await difference('precision: f32-split')).toBeLessThan(1e-5);
    const apart = await difference('samplingPrecision: f16');
    expect(apart).toBeGreaterThan(1e-5);
    expect(apart).toBeLessThan(2e-2);
  });
});

describe('what is lost', () => {
  const watch = (largestShare: number, lines: string[]): OperandWatch =>
    new OperandWatch('training', new Guards({ warn: (line) => lines.push(line) }, { underflow: 'warn' }), largestShare);

  test('is added up over the updates of a step, and taken', () => {
    const lines: string[] = [];
    const operands = watch(0.1, lines);
    operands.add({ values: 100, lost: 10, broken: 0 });
    operands.add({ values: 300, lost: 20, broken: 4 });
    expect(operands.take(1)).toEqual({ 'operands/lost': 0.075, 'operands/broken': 0.01 });
    expect(operands.take(2)).toEqual({});
    expect(lines).toEqual([]);
  });

  test('is warned of past the share that may be', () => {
    const lines: string[] = [];
    const operands = watch(0.1, lines);
    operands.add({ values: 100, lost: 11, broken: 0 });
    operands.take(7);
    expect(lines).toEqual([expect.stringMatching(/^step 7: 11\.0 % of the values .* \(guard underflow\)/)]);
  });
});
