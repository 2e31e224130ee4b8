/** Hidden states and logits of text, and the residual stream after every layer. */
import { finalNorm, packedBlock } from '../../../core/nn/decoder.ts';
import { gatherRows } from '../../../core/ops/rows.ts';
import { at } from '../../../core/testing.ts';
import { bounds, compute, farthest, type Bench, type Comparison } from '../comparison.ts';
import { packTokens } from '../../../core/testing/packed.ts';
import { imageTokens, rowsOf, sequencesOf, textTokens } from '../tokens.ts';

export async function text(bench: Bench): Promise<Comparison[]> {
  const { fixture, device } = bench;
  const { hiddenSize, textVocabulary } = fixture.backbone;
  const [, length = 0] = fixture.shape('text.input_ids');
  const sequences = sequencesOf(fixture, 'text', 'input_ids');
  const packed = packTokens(
    device,
    sequences.map(({ tokens }) => tokens),
  );
  const weights = await fixture.weights(device, false);
  const [hidden = new Float32Array(), logits = new Float32Array()] = await compute(bench, (tape) => {
    const states = fixture.backbone.hidden(tape, weights, packed.tokens);
    return [states, fixture.backbone.textLogits(tape, weights, states)];
  });
  weights.close();
  // Places of the fixture's table that are not padding, in packed order.
  const places = sequences.flatMap(({ columns }, row) => columns.map((column) => row * length + column));
  const chosen = (key: string, width: number): Float32Array => {
    const all = fixture.floats(key);
    return Float32Array.from(places.flatMap((place) => [...all.subarray(place * width, (place + 1) * width)]));
  };
  return [
    farthest('text.hidden', hidden, chosen('text.hidden', hiddenSize), bounds.hidden),
    farthest('text.logits', logits, chosen('text.logits', textVocabulary), bounds.logits),
  ];
}

export async function hiddenStates(bench: Bench): Promise<Comparison[]> {
  const { fixture, device } = bench;
  const packed = packTokens(device, [textTokens(rowsOf(fixture, 'text.input_ids')[0] ?? [])]);
  const weights = await fixture.weights(device, false);
  const { decoder, backbone } = fixture;
  const stream = await compute(bench, (tape) => {
    let x = backbone.embedText(tape, weights, packed.tokens.textIds);
    const seen = [x];
    for (let layer = 0; layer < decoder.layers; layer++) {
      x = packedBlock(tape, weights, decoder, layer, x, packed.tokens);
      seen.push(layer === decoder.layers - 1 ? finalNorm(tape, weights, decoder, x) : x);
    }
    return seen;
  });
  weights.close();
  return stream.map((values, index) =>
    farthest(`text.hidden_states.${index}`, values, fixture.floats(`text.hidden_states.${index}`), bounds.hidden),
  );
}

/** Logits of the image head: with the prompt, without it, and guided. */
export async function image(bench: Bench): Promise<Comparison[]> {
  const { fixture, device } = bench;
  const prompts = rowsOf(fixture, 'image.prompt_ids');
  const codes = rowsOf(fixture, 'image.codes');
  const weights = await fixture.weights(device, false);
  const logits = async (heads: readonly (readonly number[])[]): Promise<Float32Array> => {
    const sequences = heads.map((head, row) => [...textTokens(head), ...imageTokens(codes[row] ?? [])]);
    const packed = packTokens(device, sequences);
    const rows = heads.flatMap((head, row) =>
      (codes[row] ?? []).map((_, index) => packed.row(row, head.length - 1 + index)),
    );
    const [values = new Float32Array()] = await compute(bench, (tape) => {
      const states = fixture.backbone.hidden(tape, weights, packed.tokens);
      const chosen = gatherRows(tape, states, device.tensor('rows', [rows.length], 'u32', Uint32Array.from(rows)));
      return [fixture.backbone.imageLogits(tape, weights, chosen)];
    });
    return values;
  };
  const conditional = await logits(prompts);
  const without = await logits(prompts.map((ids) => unconditional(ids, fixture.special.pad)));
  weights.close();
  const guided = without.map((value, index) => value + 5 * (at(conditional, index) - value));
  return [
    farthest('image.logits_cond', conditional, fixture.floats('image.logits_cond'), bounds.logits),
    farthest('image.logits_uncond', without, fixture.floats('image.logits_uncond'), bounds.logits),
    farthest('image.logits_guided_w5', guided, fixture.floats('image.logits_guided_w5'), bounds.guided),
  ];
}

/** Everything between the first token and the image start replaced by padding, which is attended to. */
export function unconditional(ids: readonly number[], pad: number): number[] {
  return ids.map((id, index) => (index === 0 || index === ids.length - 1 ? id : pad));
}
