/** Looking: the vision tower with its aligner, then text logits with its vectors at the placeholders. */
import { createPictureInputs } from '../../../core/nn/picture-inputs.ts';
import { siglipInputs } from '../../../core/nn/siglip.ts';
import { bounds, compute, farthest, type Bench, type Comparison } from '../comparison.ts';
import { packTokens } from '../../../core/testing/packed.ts';
import { rowsOf } from '../tokens.ts';

export async function understand(bench: Bench): Promise<Comparison[]> {
  const { fixture, device } = bench;
  const { vision, backbone, special } = fixture;
  const [pictures = 0] = fixture.shape('understand.pixel_values');
  const { imageSize: side } = fixture.tower;
  const values = fixture.floats('understand.pixel_values');
  // [B, 3, side, side]
  const valueAt = (picture: number, channel: number, y: number, x: number): number =>
    values[((picture * 3 + channel) * side + y) * side + x] ?? Number.NaN;
  const inputs = createPictureInputs(device, siglipInputs(fixture.tower, pictures, valueAt));
  const sequences = rowsOf(fixture, 'understand.input_ids').map((ids) =>
    ids.map((id) => ({ id, isImage: false, isFeature: id === special.image_placeholder })),
  );
  const weights = await fixture.seeingWeights(device);
  const [features = new Float32Array(), logits = new Float32Array()] = await compute(bench, (tape) => {
    const seen = vision.features(tape, weights, inputs);
    const packed = packTokens(device, sequences, seen);
    return [seen, backbone.textLogits(tape, weights, backbone.hidden(tape, weights, packed.tokens))];
  });
  weights.close();
  return [
    farthest('understand.features', features, fixture.floats('understand.features'), bounds.logits),
    farthest('understand.logits', logits, fixture.floats('understand.logits'), bounds.logits),
  ];
}
