/** The policy objective over a packed batch against PyTorch: value, parts, and the gradient of every weight. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ParameterSet } from '../../core/autograd/parameters.ts';
import { Workspace } from '../../core/autograd/program.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { createPackedInputs, packSequences, type PackedBatch, type Sequence } from '../../core/nn/packing.ts';
import { tokenLogProbability } from '../../core/ops/log-probability.ts';
import { policyObjective } from '../../core/ops/policy-objective.ts';
import { gatherRows } from '../../core/ops/rows.ts';
import { groupAdvantages } from '../../core/rl/advantages.ts';
import { at, maximumError, relativeError } from '../../core/testing.ts';
import { fixtureFolders, fixtureWeights, loadFixture, type Fixture } from './support.ts';

interface GrpoScalars {
  readonly clip: number;
  readonly beta: number;
  readonly text_entropy_coefficient: number;
  readonly image_entropy_coefficient: number;
  readonly logit_clamp: number;
  readonly pg_loss: number;
  readonly kl_k3: number;
  readonly text_entropy: number;
  readonly image_entropy: number;
  readonly total: number;
  readonly clip_fraction: number;
  readonly ppo_kl: number;
  readonly rewards: readonly number[];
}

const kinds = ['text', 'image'] as const;

describe.each(fixtureFolders())('$name', ({ folder }) => {
  const golden = (JSON.parse(readFileSync(new URL('golden.json', folder), 'utf8')) as { grpo: GrpoScalars }).grpo;
  let device: Device;
  let workspace: Workspace;
  let fixture: Fixture;
  let batch: PackedBatch;
  let length: number;
  beforeAll(async () => {
    device = await openDevice();
    workspace = new Workspace(device);
    fixture = await loadFixture(folder);
    length = fixture.shape('grpo.ids')[1] ?? 0;
    batch = packSequences(sequences());
  });
  afterAll(() => device.close());

  /** Rows of the fixture as prompt and rationale, codes, end token: padding left out. */
  function sequences(): Sequence[] {
    const [ids, mask, isImage, isResponse] = ['ids', 'attention_mask', 'is_image', 'is_response'].map((name) => fixture.words(`grpo.${name}`)) as [number[], number[], number[], number[]];
    return Array.from({ length: ids.length / length }, (_, row) => {
      const columns = Array.from({ length }, (_unused, column) => row * length + column).filter((place) => at(mask, place) === 1);
      const codes = columns.filter((place) => at(isImage, place) === 1);
      const text = columns.filter((place) => place < (codes[0] ?? Infinity));
      const trailing = columns.filter((place) => place > (codes.at(-1) ?? Infinity));
      const firstTarget = text.findIndex((place) => at(isResponse, place) === 1);
      // Every token behind the prompt is scored, so that a target list needs no mask of its own.
      expect([...codes, ...trailing, ...text.slice(firstTarget)].every((place) => at(isResponse, place) === 1)).toBe(true);
      const [textIds, codeIds, trailingIds] = [text, codes, trailing].map((places) => places.map((place) => at(ids, place)));
      return { text: textIds ?? [], firstTarget, codes: codeIds ?? [], trailing: trailingIds ?? [] };
    });
  }

  /** A [B, T - 1] table of the fixture as one value per target of a kind, filler 0. */
  function perTarget(kind: 'text' | 'image', value: (row: number, place: number) => number): Float32Array {
    const { count, used, owner, position } = batch[kind];
    return Float32Array.from({ length: count }, (_, i) => (i < used ? value(at(owner, i), at(owner, i) * (length - 1) + at(position, i) - 1) : 0));
  }

  async function step(): Promise<{ weights: ParameterSet; scored: Record<'text' | 'image', Float32Array>; stats: Record<'text' | 'image', Float32Array> }> {
    const weights = fixtureWeights(device, fixture, true);
    const tape = new Tape(workspace);
    weights.watch(tape);
    const inputs = createPackedInputs(device, batch);
    inputs.fill(batch);
    const hidden = fixture.backbone.hidden(tape, weights, inputs.tokens);
    const total = batch.text.used + batch.image.used;
    const kept = kinds.map((kind) => {
      const { rows, ids } = kind === 'text' ? inputs.textTargets : inputs.imageTargets;
      const states = gatherRows(tape, hidden, rows);
      const logits = kind === 'text' ? fixture.backbone.textLogits(tape, weights, states) : fixture.backbone.imageLogits(tape, weights, states);
      const scored = tokenLogProbability(tape, logits, ids, { temperature: 1, clamp: golden.logit_clamp });
      const column = (name: string, value: (row: number, place: number) => number) => device.tensor(name, [batch[kind].count], 'f32', perTarget(kind, value));
      const coefficient = kind === 'text' ? golden.text_entropy_coefficient : golden.image_entropy_coefficient;
      const { dOut, stats } = policyObjective(
        tape,
        scored,
        {
          oldLogProbability: column('old', (_, place) => at(fixture.floats('grpo.old_logp'), place)),
          advantage: column('advantage', (row) => at(fixture.floats('grpo.advantages'), row)),
          weight: column('weight', () => 1 / total),
          referenceLogProbability: column('reference', (_, place) => at(fixture.floats('grpo.ref_logp'), place)),
        },
        {
          clipLow: device.scalar('low', golden.clip),
          clipHigh: device.scalar('high', golden.clip),
          klCoefficient: device.scalar('beta', golden.beta),
          // The entropy term is a mean over its own kind of token, the weight one over both.
          entropyCoefficient: device.scalar('entropy', (coefficient * total) / batch[kind].used),
        },
      );
      tape.seed(scored, dOut);
      return { scored: tape.output(scored), stats: tape.output(stats) };
    });
    tape.backward();
    const program = await tape.finish('grpo');
    program.run();
    const [textScored, imageScored, textStats, imageStats] = (await device.read([...kept.map(({ scored }) => scored), ...kept.map(({ stats }) => stats)])) as [Float32Array, Float32Array, Float32Array, Float32Array];
    program.dispose();
    inputs.close();
    return { weights, scored: { text: textScored, image: imageScored }, stats: { text: textStats, image: imageStats } };
  }

  test('advantages of the rewards, in groups whose rewards differ (to the other one the fixture gives made-up ones)', () => {
    const { rewards } = golden;
    const prompts = sequences().map(({ text, firstTarget }) => text.slice(0, firstTarget).join());
    const computed = groupAdvantages(rewards, prompts.length / new Set(prompts).size, { estimator: 'grpo' });
    const informative = rewards.flatMap((_, row) => (rewards.some((reward, other) => prompts[other] === prompts[row] && reward !== rewards[row]) ? [row] : []));
    expect(informative.length).toBeGreaterThan(0);
    for (const row of informative) expect(Math.abs(at(computed, row) - at(fixture.floats('grpo.advantages'), row))).toBeLessThan(1e-6);
  });

  test('objective, divergence, entropies and the gradient of every weight', async () => {
    const { weights, scored, stats } = await step();
    const gather = (value: (kind: 'text' | 'image', i: number) => number): number =>
      kinds.reduce((sum, kind) => sum + Array.from({ length: batch[kind].used }, (_, i) => value(kind, i)).reduce((a, b) => a + b, 0), 0);
    const total = batch.text.used + batch.image.used;
    for (const kind of kinds) {
      const used = batch[kind].used;
      const column = (index: number): Float32Array => Float32Array.from({ length: used }, (_, i) => at(scored[kind], i * 2 + index));
      expect(maximumError(column(0), perTarget(kind, (_, place) => at(fixture.floats('grpo.logp'), place)).slice(0, used))).toBeLessThan(2e-5);
      expect(maximumError(column(1), perTarget(kind, (_, place) => at(fixture.floats('grpo.entropy'), place)).slice(0, used))).toBeLessThan(2e-5);
    }
    const entropy = (kind: 'text' | 'image'): number => Array.from({ length: batch[kind].used }, (_, i) => at(scored[kind], i * 2 + 1)).reduce((a, b) => a + b, 0) / batch[kind].used;
    const policy = gather((kind, i) => at(stats[kind], i * 4)) / total;
    const divergence = gather((kind, i) => at(stats[kind], i * 4 + 3)) / total;
    expect(policy).toBeCloseTo(golden.pg_loss, 6);
    expect(divergence).toBeCloseTo(golden.kl_k3, 6);
    expect(entropy('text')).toBeCloseTo(golden.text_entropy, 5);
    expect(entropy('image')).toBeCloseTo(golden.image_entropy, 5);
    expect(gather((kind, i) => at(stats[kind], i * 4 + 1)) / total).toBeCloseTo(golden.clip_fraction, 7);
    expect(gather((kind, i) => at(perTarget(kind, (_, place) => at(fixture.floats('grpo.old_logp'), place)), i) - at(scored[kind], i * 2)) / total).toBeCloseTo(golden.ppo_kl, 5);
    const sum = policy + golden.text_entropy_coefficient * entropy('text') + golden.image_entropy_coefficient * entropy('image') + golden.beta * divergence;
    expect(sum).toBeCloseTo(golden.total, 6);

    const gradients = await weights.read('gradients');
    const keys = fixture.keys('grpo.grad.');
    expect(keys.length).toBe(gradients.size);
    for (const key of keys) {
      expect(relativeError(gradients.get(key.slice('grpo.grad.'.length))?.data ?? [], fixture.floats(key)), key).toBeLessThan(1e-4);
    }
    weights.close();
  });
});
