/** The decoder, both heads, the supervised loss and its gradients against PyTorch (test/golden/janus). */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/program.ts';
import { Tape } from '../../core/autograd/tape.ts';
import type { Weights } from '../../core/contracts/backbone.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { finalNorm, packedBlock } from '../../core/nn/decoder.ts';
import { tokenLogProbability } from '../../core/ops/log-probability.ts';
import { gatherRows } from '../../core/ops/rows.ts';
import type { Tensor } from '../../core/tensor/tensor.ts';
import { at, maximumError, relativeError } from '../../core/testing.ts';
import optimizers from '../../plugins/optimizers/index.ts';
import type { Optimizer } from '../../core/contracts/optimizer.ts';
import type { Scope } from '../../core/contracts/slots.ts';
import { fixtureFolders, fixtureWeights, loadFixture, packTokens, rowOf, type Fixture, type Token } from './support.ts';

// Decoder of two or three layers in f32; logits are of size 5. The fixtures allow 1e-4.
const hiddenTolerance = 2e-5;
const logitTolerance = 2e-5;
const gradientTolerance = 1e-4;

test('fixtures are there', () => expect(fixtureFolders().length).toBeGreaterThanOrEqual(2));

describe.each(fixtureFolders())('$name', ({ folder }) => {
  let device: Device;
  let workspace: Workspace;
  let fixture: Fixture;
  beforeAll(async () => {
    device = await openDevice();
    workspace = new Workspace(device);
    fixture = await loadFixture(folder);
  });
  afterAll(() => device.close());

  const record = async (make: (tape: Tape) => Tensor[]): Promise<Float32Array[]> => {
    const tape = new Tape(workspace);
    const kept = make(tape).map((tensor) => tape.output(tensor));
    const program = await tape.finish('golden');
    program.run();
    const values = await device.read(kept);
    program.dispose();
    return values as Float32Array[];
  };
  const asText = (ids: readonly number[]): Token[] => ids.map((id) => ({ id, isImage: false }));

  /** Rows of a [B, T] group without their padding. */
  const sequencesOf = (group: string): { readonly tokens: Token[]; readonly columns: number[] }[] => {
    const ids = fixture.words(`${group}.ids`);
    const mask = fixture.words(`${group}.attention_mask`);
    const isImage = fixture.words(`${group}.is_image`);
    const [batch = 0, length = 0] = fixture.shape(`${group}.ids`);
    return Array.from({ length: batch }, (_, row) => {
      const columns = Array.from({ length }, (_unused, column) => column).filter((column) => at(mask, row * length + column) === 1);
      return { columns, tokens: columns.map((column) => ({ id: at(ids, row * length + column), isImage: at(isImage, row * length + column) === 1 })) };
    });
  };

  test('text: hidden states and logits, padding left out', async () => {
    const ids = fixture.words('text.input_ids');
    const mask = fixture.words('text.attention_mask');
    const [batch = 0, length = 0] = fixture.shape('text.input_ids');
    const columns = Array.from({ length: batch }, (_, row) => Array.from({ length }, (_unused, column) => column).filter((column) => at(mask, row * length + column) === 1));
    const packed = packTokens(device, columns.map((kept, row) => asText(kept.map((column) => at(ids, row * length + column)))));
    const weights = fixtureWeights(device, fixture, false);
    const [hidden = new Float32Array(), logits = new Float32Array()] = await record((tape) => {
      const states = fixture.backbone.hidden(tape, weights, packed.tokens);
      return [states, fixture.backbone.textLogits(tape, weights, states)];
    });
    const { hiddenSize, textVocabulary } = fixture.backbone;
    columns.forEach((kept, row) =>
      kept.forEach((column, index) => {
        const place = row * length + column;
        expect(maximumError(rowOf(hidden, packed.row(row, index), hiddenSize), rowOf(fixture.floats('text.hidden'), place, hiddenSize))).toBeLessThan(hiddenTolerance);
        expect(maximumError(rowOf(logits, packed.row(row, index), textVocabulary), rowOf(fixture.floats('text.logits'), place, textVocabulary))).toBeLessThan(logitTolerance);
      }),
    );
  });

  test('text: the residual stream after every layer', async () => {
    const [, length = 0] = fixture.shape('text.input_ids');
    const packed = packTokens(device, [asText(fixture.words('text.input_ids').slice(0, length))]);
    const weights = fixtureWeights(device, fixture, false);
    const stream = await record((tape) => {
      let x = fixture.backbone.embedText(tape, weights, packed.tokens.textIds);
      const seen = [x];
      for (let layer = 0; layer < fixture.decoder.layers; layer++) {
        x = packedBlock(tape, weights, fixture.decoder, layer, x, packed.tokens);
        seen.push(layer === fixture.decoder.layers - 1 ? finalNorm(tape, weights, fixture.decoder, x) : x);
      }
      return seen;
    });
    expect(fixture.keys('text.hidden_states.').length).toBe(stream.length);
    stream.forEach((values, index) => expect(maximumError(values, fixture.floats(`text.hidden_states.${index}`))).toBeLessThan(hiddenTolerance));
  });

  test('image: logits with the prompt, without it, and guided', async () => {
    const prompt = fixture.words('image.prompt_ids');
    const codes = fixture.words('image.codes');
    const { bos, boi, pad } = fixture.special;
    const unconditional = prompt.map((id) => (id === bos || id === boi ? id : pad));
    const image = codes.map((id) => ({ id, isImage: true }));
    const packed = packTokens(device, [[...asText(prompt), ...image], [...asText(unconditional), ...image]]);
    const rows = [0, 1].flatMap((sequence) => codes.map((_, index) => packed.row(sequence, prompt.length - 1 + index)));
    const weights = fixtureWeights(device, fixture, false);
    const [logits = new Float32Array()] = await record((tape) => {
      const states = fixture.backbone.hidden(tape, weights, packed.tokens);
      const chosen = gatherRows(tape, states, device.tensor('rows', [rows.length], 'u32', Uint32Array.from(rows)));
      return [fixture.backbone.imageLogits(tape, weights, chosen)];
    });
    const conditional = logits.subarray(0, logits.length / 2);
    const without = logits.subarray(logits.length / 2);
    expect(maximumError(conditional, fixture.floats('image.logits_cond'))).toBeLessThan(logitTolerance);
    expect(maximumError(without, fixture.floats('image.logits_uncond'))).toBeLessThan(logitTolerance);
    const guided = without.map((value, index) => value + 5 * (at(conditional, index) - value));
    expect(maximumError(guided, fixture.floats('image.logits_guided_w5'))).toBeLessThan(9 * logitTolerance);
  });

  interface Scored {
    readonly kind: 'text' | 'image';
    readonly values: Tensor;
    readonly entries: readonly { readonly sequence: number; readonly index: number; readonly token: Token }[];
  }

  /** (log-probability, entropy) of every token but the first of each sequence, by the head that fits it. */
  const score = (tape: Tape, weights: Weights, sequences: readonly (readonly Token[])[], clamp?: number): Scored[] => {
    const packed = packTokens(device, sequences);
    const states = fixture.backbone.hidden(tape, weights, packed.tokens);
    const all = sequences.flatMap((tokens, sequence) => tokens.map((token, index) => ({ sequence, index, token }))).filter(({ index }) => index > 0);
    return (['text', 'image'] as const).map((kind) => {
      const entries = all.filter(({ token }) => token.isImage === (kind === 'image'));
      const words = (name: string, values: number[]): Tensor => device.tensor(name, [values.length], 'u32', Uint32Array.from(values));
      const chosen = gatherRows(tape, states, words('rows', entries.map(({ sequence, index }) => packed.row(sequence, index - 1))));
      const logits = kind === 'image' ? fixture.backbone.imageLogits(tape, weights, chosen) : fixture.backbone.textLogits(tape, weights, chosen);
      const values = tokenLogProbability(tape, logits, words('targets', entries.map(({ token }) => token.id)), { temperature: 1, ...(clamp !== undefined && { clamp }) });
      return { kind, values, entries };
    });
  };

  /** Records the supervised step of the fixture; `loss` reads its value after a run. */
  const recordSft = (tape: Tape, weights: Weights): { loss(): Promise<number> } => {
    const sequences = sequencesOf('sft');
    const [, length = 0] = fixture.shape('sft.ids');
    const isTarget = fixture.words('sft.is_target');
    const count = isTarget.reduce((sum, flag) => sum + flag, 0);
    const { weights: share } = fixture.golden.sft;
    const parts = score(tape, weights, sequences.map(({ tokens }) => tokens)).map(({ kind, values, entries }) => {
      const slopes = entries.map(({ sequence, index, token }) => {
        if (at(isTarget, sequence * length + at(sequences[sequence]?.columns ?? [], index)) === 0) return 0;
        const weight = kind === 'image' ? share.image : token.id === fixture.special.boi ? share.image_start : share.text;
        return -weight / count;
      });
      tape.seed(values, device.tensor('d loss', [entries.length, 2], 'f32', Float32Array.from(slopes.flatMap((slope) => [slope, 0]))));
      return { slopes, kept: tape.output(values) };
    });
    tape.backward();
    return {
      async loss() {
        const values = await device.read(parts.map(({ kept }) => kept));
        return parts.reduce((sum, { slopes }, part) => sum + slopes.reduce((inner, slope, entry) => inner + slope * at(values[part] ?? [], entry * 2), 0), 0);
      },
    };
  };

  test('sft: loss and the gradient of every weight', async () => {
    const weights = fixtureWeights(device, fixture, true);
    const tape = new Tape(workspace);
    weights.watch(tape);
    const { loss } = recordSft(tape, weights);
    const program = await tape.finish('sft');
    program.run();
    expect(Math.abs((await loss()) / fixture.golden.sft.loss - 1)).toBeLessThan(1e-6);
    const gradients = await weights.read('gradients');
    const keys = fixture.keys('sft.grad.');
    expect(keys.length).toBe(gradients.size);
    for (const key of keys) {
      const error = relativeError(gradients.get(key.slice('sft.grad.'.length))?.data ?? [], fixture.floats(key));
      expect(error, key).toBeLessThan(gradientTolerance);
    }
    program.dispose();
  });

  test('sft: ten steps of AdamW', async () => {
    const { losses, grad_norms: norms, optimizer: settings } = fixture.golden.sft_train;
    const component = optimizers.provides.find(({ name }) => name === 'adamw');
    const adamw = (await component?.create(
      { learningRate: settings.lr, betas: settings.betas, epsilon: settings.eps, weightDecay: settings.weight_decay, maxNorm: settings.grad_clip },
      {} as Scope,
    )) as Optimizer;
    const weights = fixtureWeights(device, fixture, true);
    const tape = new Tape(workspace);
    weights.watch(tape);
    const { loss } = recordSft(tape, weights);
    const opened = adamw.open(weights);
    opened.record(tape);
    const program = await tape.finish('sft step');
    for (let step = 1; step <= losses.length; step++) {
      opened.prepare(step, settings.lr);
      program.run();
      expect(Math.abs((await loss()) / at(losses, step - 1) - 1), `loss of step ${step}`).toBeLessThan(1e-4);
      const report = await device.readFloats(opened.report);
      expect(Math.abs(at(report, 0) / at(norms, step - 1) - 1), `gradient norm of step ${step}`).toBeLessThan(1e-3);
    }
    const final = await weights.read();
    for (const key of fixture.keys('sft_train.final.')) {
      const name = key.slice('sft_train.final.'.length);
      expect(relativeError(final.get(name)?.data ?? [], fixture.floats(key)), key).toBeLessThan(1e-3);
    }
    program.dispose();
  });

  test('grpo: log-probabilities and entropies of the responses', async () => {
    const sequences = sequencesOf('grpo');
    const [, length = 0] = fixture.shape('grpo.ids');
    const isResponse = fixture.words('grpo.is_response');
    const weights = fixtureWeights(device, fixture, false);
    let parts: Scored[] = [];
    const values = await record((tape) => {
      parts = score(tape, weights, sequences.map(({ tokens }) => tokens), fixture.golden.grpo.logit_clamp);
      return parts.map((part) => part.values);
    });
    let compared = 0;
    parts.forEach(({ entries }, part) =>
      entries.forEach(({ sequence, index }, entry) => {
        const column = at(sequences[sequence]?.columns ?? [], index);
        if (at(isResponse, sequence * length + column) === 0) return;
        const place = sequence * (length - 1) + column - 1;
        expect(Math.abs(at(values[part] ?? [], entry * 2) - at(fixture.floats('grpo.logp'), place))).toBeLessThan(logitTolerance);
        expect(Math.abs(at(values[part] ?? [], entry * 2 + 1) - at(fixture.floats('grpo.entropy'), place))).toBeLessThan(logitTolerance);
        compared++;
      }),
    );
    expect(compared).toBe(isResponse.reduce((sum, flag) => sum + flag, 0));
  });
});
