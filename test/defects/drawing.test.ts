/** Defects of the published code that concern drawing and scoring; the numbers are those of the study's list. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ParameterSet } from '../../core/weights/parameters.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { packSequences, type Sequence } from '../../core/nn/packing.ts';
import { createPackedInputs } from '../../core/nn/packed-inputs.ts';
import { createSampler, type SampleProgress } from '../../core/nn/sampler.ts';
import { TokenPrograms } from '../../core/nn/token-program.ts';
import { gatherRows } from '../../core/ops/rows.ts';
import { at } from '../../core/testing.ts';
import { SmallBackbone } from '../support/small-backbone.ts';

const backbone = new SmallBackbone();
const special = { imageStart: 3, eos: 1 };
let device: Device;
let workspace: Workspace;
let weights: ParameterSet;
beforeAll(async () => {
  device = await openDevice();
  workspace = new Workspace(device);
  weights = new ParameterSet(device, backbone.parameters, { seed: 4 });
});
afterAll(() => device.close());

/** Image logits of every code of every sequence, one packed pass without any guidance. */
async function imageLogits(sequences: readonly Sequence[]): Promise<number[][]> {
  const batch = packSequences(sequences);
  const inputs = createPackedInputs(device, batch);
  inputs.fill(batch);
  const tape = new Tape(workspace);
  const hidden = backbone.hidden(tape, weights, inputs.tokens);
  const kept = tape.output(backbone.imageLogits(tape, weights, gatherRows(tape, hidden, inputs.imageTargets.rows)));
  const program = await tape.finish('logits');
  program.run();
  const values = await device.readFloats(kept);
  program.dispose();
  inputs.close();
  return Array.from({ length: batch.image.used }, (_, i) => [
    ...values.slice(i * backbone.imageVocabulary, (i + 1) * backbone.imageVocabulary),
  ]);
}

test('defect 1: a guided score mixes the two branches of one token, not neighboring tokens', async () => {
  const guidance = 3;
  const codes = [
    [4, 9, 1, 16],
    [2, 2, 7, 11],
    [17, 0, 5, 5],
  ];
  const conditional = codes.map((each, index): Sequence => ({
    text: [0, 5 + index, 8, ...(index === 1 ? [9, 10] : []), 3],
    firstTarget: 3,
    codes: each,
    trailing: [],
  }));
  const unconditional = conditional.map((sequence): Sequence => ({ ...sequence, text: [0, 3], firstTarget: 2 }));
  const [c, u] = [await imageLogits(conditional), await imageLogits(unconditional)];
  const one = device.scalar('temperature', 1);
  const programs = new TokenPrograms({
    name: 'guided',
    workspace,
    backbone,
    parameters: weights,
    temperature: { text: one, image: one },
    guidance: { weight: device.scalar('guidance', guidance), detach: false },
  });
  const batch = packSequences(conditional.map((sequence) => ({ ...sequence, unconditional: [0, 3] })));
  const { program, scored } = await programs.prepare(batch);
  program.run();
  const values = await device.readFloats(scored.image ?? device.tensor('none', [1]));
  codes.flat().forEach((code, i) => {
    const mixed = (c[i] ?? []).map((value, id) => (u[i]?.[id] ?? NaN) + guidance * (value - (u[i]?.[id] ?? NaN)));
    const largest = Math.max(...mixed);
    const total = Math.log(mixed.reduce((sum, value) => sum + Math.exp(value - largest), 0)) + largest;
    expect(at(values, 2 * i)).toBeCloseTo((mixed[code] ?? NaN) - total, 4);
  });
  await programs.close();
});

describe('defect 2: what is configured reaches the sampler', () => {
  const draw = async (image: {
    temperature: number;
    topK: number;
    topP: number;
  }): Promise<{ codes: number[]; entropy: number }> => {
    const sampler = await createSampler({
      device,
      workspace,
      backbone,
      weights,
      rows: 8,
      promptBudget: 4,
      textBudget: 0,
      imageCount: 12,
      special,
    });
    const samples = await sampler.sample({
      prompts: [[0, 7, 8, 3]],
      samplesPerPrompt: 8,
      seed: 5,
      text: image,
      image,
      rationale: 'skip',
    });
    sampler.close();
    const entropies = samples.flatMap(({ entropy }) => [...entropy]);
    return {
      codes: samples.flatMap(({ codes }) => [...codes]),
      entropy: entropies.reduce((sum, value) => sum + value, 0) / entropies.length,
    };
  };

  test('temperature, top k and top p change what is drawn and how sure it is', async () => {
    const whole = { temperature: 1, topK: 0, topP: 1 };
    const plain = await draw(whole);
    for (const other of [
      { ...whole, temperature: 0.3 },
      { ...whole, topK: 3 },
      { ...whole, topP: 0.5 },
    ]) {
      const drawn = await draw(other);
      expect(drawn.codes).not.toEqual(plain.codes);
      expect(drawn.entropy).toBeLessThan(plain.entropy * 0.9);
    }
    expect((await draw({ ...whole, topK: 3 })).entropy).toBeLessThanOrEqual(Math.log(3) + 1e-6);
  });
});

test('defect 18: a row whose text has ended is not computed until the slowest one has', async () => {
  const rows: number[] = [];
  const sampler = await createSampler({
    device,
    workspace,
    backbone,
    weights,
    rows: 24,
    promptBudget: 4,
    textBudget: 40,
    imageCount: 2,
    special,
  });
  const whole = { temperature: 1, topK: 0, topP: 1 };
  await sampler.sample({
    prompts: [[0, 7, 8, 9]],
    samplesPerPrompt: 24,
    seed: 5,
    text: whole,
    image: whole,
    rationale: 'write',
    onProgress: (progress: SampleProgress) => void (progress.phase === 'text' && rows.push(progress.rows)),
  });
  sampler.close();
  expect(rows.length).toBeGreaterThan(1);
  expect(rows.at(-1)).toBeLessThan(at(rows, 0));
});

test('defect 27: a padding token inside a rationale is a token like any other', () => {
  const pad = 2;
  const sequence = (rationale: readonly number[]): Sequence => ({
    text: [0, 7, 8, ...rationale, 3],
    firstTarget: 3,
    codes: [1, 2],
    trailing: [],
  });
  const [with_, without] = [packSequences([sequence([9, pad, 9])]), packSequences([sequence([9, 10, 9])])];
  expect(with_.positions).toEqual(without.positions);
  expect(with_.segmentStart).toEqual(without.segmentStart);
  expect(with_.text.used).toBe(without.text.used);
  expect([...with_.text.ids.slice(0, 4)]).toEqual([9, pad, 9, 3]);
});
