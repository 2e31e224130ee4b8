/** What memory a run needs: planned beside measured, and beside the least that any plan could need. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { ParameterSet } from '../../core/weights/parameters.ts';
import type { Program } from '../../core/autograd/program.ts';
import type { Recompute } from '../../core/autograd/recompute.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { PlanningDevice } from '../../core/gpu/planning-device.ts';
import type { RunRecord } from '../../core/io/records.ts';
import { largestSize, packedShape, sizeOfSequence, timesSize } from '../../core/nn/packed-shape.ts';
import { packSequences, type Sequence } from '../../core/nn/packing.ts';
import { shapeKey } from '../../core/nn/packed-inputs.ts';
import { eachKind, TokenPrograms } from '../../core/nn/token-program.ts';
import { codebookName, nanoCodec, vqCodec } from '../../core/nn/vq-codec.ts';
import { quantizeToCodebook } from '../../core/ops/codebook.ts';
import { reconstructionLoss } from '../../core/ops/reconstruction-loss.ts';
import { janusBackbone } from '../../plugins/janus/backbone.ts';
import { silentLog } from '../../core/log.ts';
import { planStage, withPlanner } from '../../core/plan-stage.ts';
import { at } from '../../core/tensor/at.ts';
import type { Plan } from '../../core/contracts/recipe.ts';
import { totalBytes, type PlannedChange } from '../../core/plan.ts';
import { loadPreset } from '../../core/preset/load.ts';
import { root, Workplace } from '../support/runs.ts';

const device = await openDevice();
afterAll(() => device.close());
const planning = (): PlanningDevice => new PlanningDevice(device.limits, device.adapter);
const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);

const place = new Workplace();

describe('the memory a run is said to need', () => {
  // Fewer steps and smaller batches than the presets have, so that the test is quick; all else is theirs.
  test.each([
    ['sft', ['recipe.steps=3', 'recipe.batch=8']],
    ['sft', ['recipe.steps=2', 'recipe.batch=8', 'recipe.recompute=true', 'recipe.microBatch=4']],
    [
      'sft',
      [
        'recipe.steps=2',
        'recipe.batch=8',
        'recipe.recompute={ budget: 8 MiB }',
        'recipe.activations=f16',
        'recipe.microBatch=4',
      ],
    ],
    ['vq', ['recipe.steps=2', 'recipe.batch=4']],
    [
      'grpo',
      [
        'recipe.steps=1',
        'recipe.prompts=4',
        'recipe.groupSize=4',
        'recipe.evaluations=0',
        'recipe.ratioTolerance=1',
        'recipe.pool=4',
      ],
    ],
    // The evaluation at the end needs its cache beside all that training has made.
    ['grpo', ['recipe.steps=1', 'recipe.prompts=1', 'recipe.miniBatches=1', 'recipe.evaluations=6'], 0.98],
  ])('nano %s %j: within a tenth of what it takes', async (name, settings, least = 0.9) => {
    const { directory } = await place.run(join(root, `presets/nano/${name}.yaml`), { settings });
    const { memory } = JSON.parse(readFileSync(join(directory, 'run.json'), 'utf8')) as RunRecord;
    const { plannedBytes = Number.NaN, peakBytes = Number.NaN } = memory ?? {};
    expect(peakBytes).toBeGreaterThan(2 ** 20);
    expect(
      plannedBytes / peakBytes,
      `${mebibytes(plannedBytes)} MiB planned, ${mebibytes(peakBytes)} MiB taken`,
    ).toBeGreaterThan(least);
    expect(
      plannedBytes / peakBytes,
      `${mebibytes(plannedBytes)} MiB planned, ${mebibytes(peakBytes)} MiB taken`,
    ).toBeLessThan(1.1);
  });
});

describe('the smallest change that fits', () => {
  test('is larger where there is less room: micro-batches, computing again, less state, adapters; then there is none', async () => {
    const file = place.preset(
      'short',
      'optimizer: { use: adamw, learningRate: 1e-3, betas: [.8, .9] }\nrecipe: { use: sft, weights: random, steps: 1, batch: 4 }\n',
    );
    const loaded = await loadPreset(file);
    const [stage] = loaded.stages;
    if (stage === undefined) throw new Error('a preset has a stage');
    const target = { limits: device.limits, report: device.adapter };
    const total = totalBytes(await planStage(loaded, stage, silentLog(), target));
    // As whoever reads the hint writes it.
    const planWith = async (change: string): Promise<Plan> => {
      const asked = change.split(' and ').map((each) => each.replace(': ', '='));
      const changed = await loadPreset(file, { settings: asked });
      return planStage(changed, changed.stages[0] ?? stage, silentLog(), target);
    };
    const changes: string[] = [];
    for (
      let found: PlannedChange | undefined, availableBytes = total - 1;
      ;
      availableBytes = totalBytes(found.plan) - 1
    ) {
      found = await withPlanner(loaded, stage, silentLog(), target, (planner) =>
        planner.findSmaller({ limits: device.limits, availableBytes }),
      );
      if (found === undefined) break;
      expect(totalBytes(found.plan)).toBeLessThanOrEqual(availableBytes);
      changes.push(found.change);
      expect(totalBytes(await planWith(found.change)), found.change).toBe(totalBytes(found.plan));
    }
    expect(changes).toEqual([
      'recipe.microBatch: 2',
      'recipe.recompute: true and recipe.microBatch: 2',
      'optimizer: { use: adamw-8bit, learningRate: 0.001, weightDecay: 0.01, maxNorm: 1, betas: [ 0.8, 0.9 ], epsilon: 1e-8 } and recipe.recompute: true and recipe.microBatch: 1',
      'recipe.lora: {} and recipe.storage: bf16 and recipe.recompute: true and recipe.microBatch: 1',
    ]);
  });

  test('of a question is weights in fewer bits', async () => {
    const loaded = await loadPreset(join(root, 'presets/janus-pro-7b/ask.yaml'));
    const [stage] = loaded.stages;
    if (stage === undefined) throw new Error('a preset has a stage');
    const target = { limits: device.limits, report: device.adapter };
    const availableBytes = totalBytes(await planStage(loaded, stage, silentLog(), target)) - 1;
    const found = await withPlanner(loaded, stage, silentLog(), target, (planner) =>
      planner.findSmaller({ limits: device.limits, availableBytes }),
    );
    expect(found?.change).toBe('recipe.storage: int8');
  });

  // Micro-batches of one sequence, which cannot be made smaller.
  test.each<[string, string[]]>([
    ['sft', ['recipe.microBatch=1', 'recipe.batch=4']],
    [
      'grpo',
      ['recipe.microBatch=1', 'recipe.prompts=2', 'recipe.groupSize=2', 'recipe.evaluations=0', 'recipe.pool=4'],
    ],
  ])('nano %s: of what is computed again as much is kept as there is room for', async (name, settings) => {
    const target = { limits: device.limits, report: device.adapter };
    const load = (more: readonly string[]): ReturnType<typeof loadPreset> =>
      loadPreset(join(root, `presets/nano/${name}.yaml`), { settings: [...settings, ...more] });
    const planned = async (...more: string[]): Promise<number> => {
      const loaded = await load(more);
      return totalBytes(await planStage(loaded, at(loaded.stages, 0), silentLog(), target));
    };
    const [all, none] = [await planned(), await planned('recipe.recompute=true')];
    const loaded = await load([]);
    const findSmaller = (availableBytes: number): Promise<PlannedChange | undefined> =>
      withPlanner(loaded, at(loaded.stages, 0), silentLog(), target, (planner) =>
        planner.findSmaller({ limits: device.limits, availableBytes }),
      );
    // No room, too little of it to be worth an option, half of what there is to keep, and nearly all.
    expect((await findSmaller(none))?.change).toBe('recipe.recompute: true');
    expect((await findSmaller(none + 1000))?.change).toBe('recipe.recompute: true');
    const bytes: number[] = [];
    for (const available of [Math.floor((none + all) / 2), all - 1]) {
      const found = await findSmaller(available);
      const [, budget] = /^recipe\.recompute: (\{ budget: [\d.]+ MiB \})$/.exec(found?.change ?? '') ?? [];
      expect(budget, found?.change).toBeDefined();
      const total = await planned(`recipe.recompute=${budget}`);
      expect(found && totalBytes(found.plan)).toBe(total);
      expect(total).toBeLessThanOrEqual(available);
      bytes.push(total);
    }
    expect([none, ...bytes, all]).toEqual([none, ...bytes, all].toSorted((one, other) => one - other));
    expect(at(bytes, 0) - none).toBeGreaterThan((all - none) / 4);
    expect(at(bytes, 1)).toBeGreaterThan(at(bytes, 0));
  });

  test('a budget that does not fit gives way to a smaller one', async () => {
    const settings = ['recipe.microBatch=1', 'recipe.batch=4', 'recipe.recompute={ budget: 20 MiB }'];
    const loaded = await loadPreset(join(root, 'presets/nano/sft.yaml'), { settings });
    const target = { limits: device.limits, report: device.adapter };
    await withPlanner(loaded, at(loaded.stages, 0), silentLog(), target, async (planner) => {
      const availableBytes = totalBytes(await planner.plan()) - 2 ** 20;
      const found = await planner.findSmaller({ limits: device.limits, availableBytes });
      expect(found?.change).toMatch(/^recipe\.recompute: \{ budget: \d\.\d MiB \}$/);
    });
  });
});

describe('the shape of a batch', () => {
  const tokens = (most: number): fc.Arbitrary<number[]> =>
    fc.integer({ min: 1, max: most }).map((count) => new Array<number>(count).fill(3));
  const sequences: fc.Arbitrary<Sequence[]> = fc.boolean().chain((guided) =>
    fc.array(
      fc
        .record({ text: tokens(40), first: fc.nat(40), trailing: fc.boolean(), without: tokens(9) })
        .map(({ text, first, trailing, without }): Sequence => ({
          text,
          firstTarget: Math.min(first, text.length),
          codes: new Array<number>(9).fill(1),
          trailing: trailing ? [2] : [],
          ...(guided && { unconditional: without }),
        })),
      { minLength: 1, maxLength: 12 },
    ),
  );

  test('follows from the sizes of its sequences', () => {
    fc.assert(
      fc.property(sequences, (batch) => {
        const sizes = batch.map(sizeOfSequence);
        const sum = sizes.reduce((a, b) => ({
          text: a.text + b.text,
          codes: a.codes + b.codes,
          features: 0,
          textTargets: a.textTargets + b.textTargets,
          imageTargets: a.imageTargets + b.imageTargets,
          guided: a.guided + b.guided,
        }));
        expect(shapeKey(packedShape(sum))).toBe(shapeKey(packSequences(batch)));
        expect(packedShape(sum).count).toBe(packSequences(batch).count);
      }),
    );
  });

  test('the largest to be expected lies between the mean and the worst', () => {
    const sizes = [10, 20, 30].map((length) =>
      sizeOfSequence({ text: new Array<number>(length).fill(0), firstTarget: 4, codes: [1, 2], trailing: [] }),
    );
    expect(largestSize(sizes, 100).text).toBeGreaterThan(2000);
    expect(largestSize(sizes, 100).text).toBeLessThan(3000);
    expect(largestSize(sizes, 1)).toEqual(timesSize(sizes[2] ?? largestSize(sizes, 1), 1));
  });
});

describe('the plan of a program lies within 15 % of the least that lifetimes allow', () => {
  const backbone = janusBackbone('janus-nano', {
    hidden: 128,
    layers: 6,
    heads: 4,
    keyValueHeads: 4,
    mlp: 336,
    ropeTheta: 1e4,
    normEpsilon: 1e-6,
    textVocabulary: 417,
    imageVocabulary: 256,
    codeDimension: 8,
  });
  const expectTight = ({ plan }: Program): void => {
    expect(plan.lowerBound).toBeGreaterThan(2 ** 20);
    expect(
      plan.bytes / plan.lowerBound,
      `${mebibytes(plan.bytes)} MiB, at least ${mebibytes(plan.lowerBound)}`,
    ).toBeLessThan(1.15);
  };

  /** A pass over 32 sequences, and the workspace that it takes. */
  async function pass(
    on: Device,
    trained: boolean,
    recompute: Recompute,
  ): Promise<{ program: Program; workspace: Workspace }> {
    const parameters = new ParameterSet(on, backbone.parameters, { seed: 0, trainable: () => trained });
    const one = on.scalar('temperature', 1);
    const objective = eachKind((tape, _kind, scored) => {
      const dOut = tape.device.tensor('seeds', scored.shape);
      return { dOut, inputs: { dOut }, outputs: {} };
    });
    const workspace = new Workspace(on);
    const programs = new TokenPrograms({
      name: 'test',
      workspace,
      backbone,
      parameters,
      temperature: { text: one, image: one },
      recompute,
      ...(trained && { objective }),
    });
    const sequence: Sequence = {
      text: new Array<number>(30).fill(9),
      firstTarget: 10,
      codes: new Array<number>(36).fill(1),
      trailing: [2],
    };
    const { program } = await programs.prepare(packSequences(Array.from({ length: 32 }, () => sequence)));
    return { program, workspace };
  }

  test.each<[string, boolean, Recompute]>([
    ['an SFT step', true, false],
    ['an SFT step that computes blocks again', true, true],
    ['an SFT step that keeps 1 MiB of them', true, { budget: 2 ** 20 }],
    ['an SFT step that keeps 20 MiB of them', true, { budget: 20 * 2 ** 20 }],
    ['a scorer', false, false],
  ])('%s', async (_what, trained, recompute) => {
    expectTight((await pass(planning(), trained, recompute)).program);
  });

  test('what is planned for a budget is what is taken, more with a larger one and never more than the budget', async () => {
    const taken: number[] = [];
    for (const budget of [0, 4, 10, 25, 50, 1000].map((mebibyte) => mebibyte * 2 ** 20)) {
      const [planned, made] = [await pass(planning(), true, { budget }), await pass(device, true, { budget })];
      expect(made.workspace.bytes).toBe(planned.workspace.bytes);
      expect(made.program.launchCount).toBe(planned.program.launchCount);
      taken.push(made.workspace.bytes);
      expect(made.program.plan.lowerBound - at(taken, 0)).toBeLessThanOrEqual(budget);
    }
    expect(taken).toEqual(taken.toSorted((a, b) => a - b));
    expect(new Set(taken).size).toBeGreaterThan(4);
    expect(taken[0]).toBe((await pass(planning(), true, true)).workspace.bytes);
    expect(taken.at(-1)).toBe((await pass(planning(), true, false)).workspace.bytes);
  });

  test('the codec: a training pass and a decoder', async () => {
    const on = planning();
    const codec = vqCodec(nanoCodec);
    const parameters = new ParameterSet(on, codec.parameters, { seed: 0, trainable: () => true });
    const pictures = on.tensor('pictures', [32, 48, 48, 4]);
    const tape = new Tape(new Workspace(on));
    parameters.watch(tape);
    const { out } = quantizeToCodebook(
      tape,
      codec.encode(tape, parameters, pictures, undefined),
      parameters.get(codebookName),
      {
        weight: 1,
      },
    );
    reconstructionLoss(tape, codec.decode(tape, parameters, out, undefined), pictures, {
      edge: 0.5,
      emphasis: 4,
      threshold: 0.1,
      background: [0, 0, 0],
    });
    tape.backward();
    expectTight(await tape.finish('codec'));
    const decoding = new Tape(new Workspace(on));
    decoding.output(codec.decode(decoding, parameters, on.tensor('vectors', [32, 6, 6, 8]), undefined));
    expectTight(await decoding.finish('decode'));
  });
});
