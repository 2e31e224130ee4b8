/** What every training recipe shares, seen through SFT on the swatches: what is trained, averages, guards, which checkpoints stay. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { encodeManifest, readManifest } from '../../../core/io/checkpoint-manifest.ts';
import { readSafetensors } from '../../support/safetensors.ts';
import { checkpoints, curve, evaluationOf, metricsOf, Workplace } from '../../support/runs.ts';
import { expectMessage } from '../../bad-input/message.ts';

const place = new Workplace();

function preset(name: string, recipe: string, optimizer = 'use: adamw, learningRate: 1e-2'): string {
  return place.preset(name, `optimizer: { ${optimizer} }\nrecipe: { use: sft, batch: 8, examples: 8, ${recipe} }\n`);
}

async function tensors(directory: string, step: number, file = 'weights'): Promise<Map<string, Float32Array>> {
  const path = join(directory, 'checkpoints', `step-${String(step).padStart(6, '0')}`, `${file}.safetensors`);
  return new Map([...(await readSafetensors(path))].map(([name, { data }]) => [name, data as Float32Array]));
}

/** Names of the tensors that differ. */
function changed(before: ReadonlyMap<string, Float32Array>, after: ReadonlyMap<string, Float32Array>): string[] {
  return [...after]
    .filter(([name, data]) => !data.every((value, index) => Object.is(value, before.get(name)?.[index])))
    .map(([name]) => name);
}

describe('what is trained', () => {
  test('frozen parameters stay as they are bit for bit, the others move', async () => {
    const recipe = "steps: 3, saveEvery: 1, keep: 9, train: ['*proj*', '*head*'], freeze: ['*up_proj*']";
    const run = await place.run(preset('partial', recipe));
    const [first, last] = [await tensors(run.directory, 1), await tensors(run.directory, 3)];
    const moved = changed(first, last);
    expect(moved.length).toBeGreaterThan(4);
    for (const name of first.keys())
      expect(moved.includes(name), name).toBe(/proj|head/.test(name) && !name.includes('up_proj'));
  });

  test.each([
    ["train: ['*q_porj*']", 'NO_SUCH_PARAMETER', /recipe\.train: no parameter matches "\*q_porj\*"/],
    ["freeze: ['*']", 'NOTHING_TRAINED', /leave no parameter to train/],
  ])('%s is refused', async (recipe, code, says) => {
    const end = await place.command('run', preset('wrong', `steps: 1, ${recipe}`), '--run-dir', place.free());
    expectMessage(end, { exit: 2, code, says: [says] });
  });
});

describe('the average of the weights', () => {
  test('is what its definition says, is saved, restored and drawn from', async () => {
    const decay = 0.75;
    const recipe = `steps: 5, saveEvery: 1, keep: 9, ema: { decay: ${decay}, start: 2 }`;
    const run = await place.run(preset('average', recipe));
    const name = [...(await tensors(run.directory, 1)).keys()].find((each) => each.includes('q_proj')) ?? '';
    const read = async (file: string): Promise<Map<number, Float32Array>> => {
      const of = async (step: number): Promise<Float32Array> =>
        (await tensors(run.directory, step, file)).get(name) ?? new Float32Array();
      return new Map(await Promise.all([2, 3, 4, 5].map(async (step) => [step, await of(step)] as const)));
    };
    const [weights, averages] = [await read('weights'), await read('average')];
    const weight = (step: number): Float32Array => weights.get(step) ?? new Float32Array();
    const average = (step: number): Float32Array => averages.get(step) ?? new Float32Array();
    expect(average(2)).toEqual(weight(2));
    let expected = Float64Array.from(weight(2));
    for (const step of [3, 4, 5]) {
      expected = expected.map((value, index) => decay * value + (1 - decay) * (weight(step)[index] ?? 0));
      average(step).forEach((value, index) => expect(value).toBeCloseTo(expected[index] ?? 0, 6));
    }
    expect(weight(5)).not.toEqual(average(5));

    const stopped = await place.run(preset('average-stopped', recipe), { stopAfter: 3 });
    await place.run('', { resume: stopped });
    expect((await tensors(stopped.directory, 5, 'average')).get(name)).toEqual(average(5));

    const file = join(run.directory, 'checkpoints/step-000005/average.safetensors');
    const judged = await place.run(
      place.preset('judge', `recipe: { use: evaluate, weights: ${file}, splits: [seen], count: 4, batch: 4 }\n`),
    );
    expect(evaluationOf(judged.directory, 'swatches.seen.evaluation').overall.total).toBe(4);
  });
});

describe('low-rank adapters', () => {
  const recipe = (base: string, more = ''): string =>
    `steps: 6, saveEvery: 3, keep: 9, weights: ${base}, lora: { rank: 4, alpha: 8, target: ['*_proj.weight'], dropout: 0.2 }, ema: { decay: 0.5 }${more}`;

  test('learn beside frozen weights, are saved as PEFT names them, resume bit for bit, and merged they are the same model', async () => {
    const base = await place.halfTaught();
    const run = await place.run(preset('lora', recipe(base.directory)));
    const loss = curve(run.directory, 'loss');
    expect(loss.at(-1)).toBeLessThan(loss[0] ?? 0);
    const folder = join(run.directory, 'checkpoints/step-000006');
    expect(readdirSync(folder).sort()).toEqual([
      'adapter_config.json',
      'adapter_model.safetensors',
      'average',
      'manifest.json',
      'optimizer.safetensors',
      'state.json',
    ]);
    const config = JSON.parse(readFileSync(join(folder, 'adapter_config.json'), 'utf8')) as Record<string, unknown>;
    expect(config).toMatchObject({
      peft_type: 'LORA',
      r: 4,
      lora_alpha: 8,
      lora_dropout: 0.2,
      bias: 'none',
      base_model_name_or_path: base.directory,
    });
    const adapters = await tensors(run.directory, 6, 'adapter_model');
    const names = [...adapters.keys()];
    expect(names).toHaveLength(14);
    expect(names.every((name) => /^base_model\.model\..*_proj\.lora_[AB]\.weight$/.test(name))).toBe(true);
    expect(
      (config['target_modules'] as string[]).every((module) =>
        adapters.has(`base_model.model.${module}.lora_B.weight`),
      ),
    ).toBe(true);

    const stopped = await place.run(preset('lora-stopped', recipe(base.directory)), { stopAfter: 4 });
    await place.run('', { resume: stopped });
    expect(changed(adapters, await tensors(stopped.directory, 6, 'adapter_model'))).toEqual([]);
    expect(
      changed(
        await tensors(run.directory, 6, 'average/adapter_model'),
        await tensors(stopped.directory, 6, 'average/adapter_model'),
      ),
    ).toEqual([]);
    expect(metricsOf(stopped.directory)).toEqual(metricsOf(run.directory));

    // Eight examples in a batch of eight: every step scores the same sequences, so the loss of step 7 with the adapters beside the
    // weights is that of a first step with them merged in.
    const plain = recipe(base.directory, ', promptDropout: 0')
      .replace('dropout: 0.2', 'dropout: 0')
      .replace('steps: 6', 'steps: 7');
    const beside = await place.run(preset('beside', plain));
    const merged = await place.run(
      preset('merged', `steps: 1, promptDropout: 0, weights: ${join(beside.directory, 'checkpoints/step-000006')}`),
    );
    expect(curve(merged.directory, 'loss')[0]).toBeCloseTo(curve(beside.directory, 'loss')[6] ?? 0, 4);
    const average = await place.run(
      preset(
        'of-average',
        `steps: 1, promptDropout: 0, weights: ${join(beside.directory, 'checkpoints/step-000006/average')}`,
      ),
    );
    expect(curve(average.directory, 'loss')[0]).toBeLessThan(curve(beside.directory, 'loss')[0] ?? 0);
  });

  test('other weights below them are refused', async () => {
    const base = await place.halfTaught();
    const stopped = await place.run(preset('lora-other', recipe(base.directory)), { stopAfter: 2 });
    const other = await place.run(preset('other-base', 'steps: 1'));
    const resume = ['resume', stopped.directory, '--set', `recipe.weights=${other.directory}`];
    expectMessage(await place.command(...resume), { exit: 2, code: 'INPUTS_CHANGED', says: [/recipe\.weights/] });
    // Accepting other inputs does not make adapters fit other weights.
    const end = await place.command(...resume, '--accept-changes');
    expectMessage(end, { exit: 2, code: 'OTHER_BASE', says: [/its adapters were trained on other weights/] });
  });

  test.each([
    ['without weights to belong to', 'lora: {}', 'LORA_OPTIONS'],
    ['that match no matrix', "lora: { target: ['*.q_porj.weight'] }, weights: BASE", 'NO_SUCH_PARAMETER'],
    ['together with a choice of parameters', "lora: {}, weights: BASE, train: ['*head*']", 'LORA_OPTIONS'],
  ])('%s: refused', async (_name, text, code) => {
    const { directory } = await place.halfTaught();
    const end = await place.command(
      'run',
      preset('lora-wrong', `steps: 1, ${text.replace('BASE', directory)}`),
      '--run-dir',
      place.free(),
    );
    expectMessage(end, { exit: 2, code, says: [/./] });
  });
});

describe('guards on updates', () => {
  test('a rate too small to move any weight', async () => {
    const directory = place.free();
    const end = await place.command(
      'run',
      preset('tiny-rate', 'steps: 3', 'use: sgd, learningRate: 1e-30, weightDecay: 0'),
      '--run-dir',
      directory,
    );
    expectMessage(end, {
      exit: 7,
      code: 'NOT_MOVED',
      says: [
        /step 1: the gradient has norm [\d.]+, but at a learning rate of 1\.00e-30 the update changed no bit of \d+ % of the trained weights, \S+\.weight among them/,
        /Raise optimizer\.learningRate/,
      ],
    });
    expect(existsSync(join(directory, 'checkpoints'))).toBe(false);
  });

  test('a warning instead, where the preset says so; a schedule may end at zero', async () => {
    const run = await place.run(
      preset('warned', 'steps: 2, guards: { unmoved: warn }', 'use: sgd, learningRate: 1e-30, weightDecay: 0'),
    );
    expect(run.lines.filter((line) => /changed no bit/.test(line))).toHaveLength(2);
    const cosine = await place.run(
      preset('cosine', 'steps: 3, schedule: cosine', 'use: adamw, learningRate: 1e-3, weightDecay: 0'),
    );
    expect(curve(cosine.directory, 'learningRate')[2]).toBe(0);
    expect(cosine.lines.join()).not.toMatch(/changed no bit/);
  });

  test('parts of the model that get no gradient are named, once', async () => {
    const run = await place.run(preset('no-pictures', 'steps: 3, imageWeight: 0'));
    const warnings = run.lines.filter((line) => /no gradient reaches/.test(line));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/generation_head/);
    expect(warnings[0]).not.toMatch(/language_model/);
  });

  test('an update that throws the weights away is not saved', async () => {
    const directory = place.free();
    const end = await place.command(
      'run',
      preset('wild', 'steps: 3, saveEvery: 1', 'use: adamw, learningRate: 1e3'),
      '--run-dir',
      directory,
    );
    expectMessage(end, {
      exit: 7,
      code: 'DIVERGED',
      says: [
        /step 1: one update made the trained weights .* times as large; nothing of it is saved/,
        /Lower optimizer\.learningRate/,
      ],
    });
    expect(existsSync(join(directory, 'checkpoints'))).toBe(false);
  });
});

describe('which checkpoints stay', () => {
  test('the newest, every third, and the best by a number of its step', async () => {
    const run = await place.run(
      preset('keepers', 'steps: 8, saveEvery: 1, keep: 1, keepEvery: 3, keepBest: { metric: gradientNorm, mode: max }'),
    );
    const norms = curve(run.directory, 'gradientNorm');
    const best = norms.indexOf(Math.max(...norms)) + 1;
    expect(checkpoints(run.directory)).toEqual(
      [...new Set([3, 6, 8, best])].sort((a, b) => a - b).map((step) => `step-00000${step}`),
    );
  });

  test('the last good one stays until a further step has proven the newest', async () => {
    const good = await place.run(preset('good', 'steps: 6, saveEvery: 1, keep: 1', 'use: adamw, learningRate: 1e-3'), {
      stopAfter: 3,
    });
    expect(checkpoints(good.directory)).toEqual(['step-000003']);
    // The diverged update is saved, because the guard only warns; the step after it fails.
    const settings = ['optimizer.learningRate=1e30', 'recipe.guards.diverged=warn'].flatMap((setting) => [
      '--set',
      setting,
    ]);
    const end = await place.command('resume', good.directory, ...settings);
    expectMessage(end, { exit: 7, code: 'NOT_FINITE', says: [/step 5/] });
    expect(checkpoints(good.directory)).toEqual(['step-000003', 'step-000004']);
  });

  test('a number that no step has is refused before anything is made', async () => {
    const end = await place.command(
      'run',
      preset('typo', 'steps: 1, keepBest: { metric: lost }'),
      '--run-dir',
      place.path('typo'),
    );
    expectMessage(end, {
      exit: 2,
      code: 'UNKNOWN_METRIC',
      says: [/recipe\.keepBest\.metric: .* no number "lost"/, /Did you mean "loss"/],
    });
    expect(existsSync(place.path('typo'))).toBe(false);
  });
});

describe('resuming', () => {
  test('with fewer steps than are done is refused', async () => {
    const stopped = await place.run(preset('long', 'steps: 9, saveEvery: 1'), { stopAfter: 3 });
    const end = await place.command('resume', stopped.directory, '--set', 'recipe.steps=2');
    expectMessage(end, {
      exit: 7,
      code: 'NOTHING_TO_TRAIN',
      says: [/3 steps are done and recipe\.steps is 2: resuming would train nothing/, /set recipe\.steps above 3/i],
    });
    expect(metricsOf(stopped.directory)).toHaveLength(3);
  });

  test('a checkpoint of another program version is said', async () => {
    const stopped = await place.run(preset('older', 'steps: 4'), { stopAfter: 2 });
    const folder = join(stopped.directory, 'checkpoints/step-000002');
    const saved = readFileSync(join(folder, 'state.json'), 'utf8');
    expect(JSON.parse(saved)).toMatchObject({
      preset: 'older',
      program: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
    });
    const state = saved.replace(/"program": "[^"]*"/, '"program": "0.0.1"');
    writeFileSync(join(folder, 'state.json'), state);
    const { step, files } = await readManifest(folder);
    const fingerprint = { bytes: Buffer.byteLength(state), sha256: createHash('sha256').update(state).digest('hex') };
    writeFileSync(join(folder, 'manifest.json'), encodeManifest(step, { ...files, 'state.json': fingerprint }));
    const { lines } = await place.run('', { resume: stopped });
    expect(lines.join()).toMatch(/step-000002 was saved by reasongen 0\.0\.1; this is /);
  });
});
