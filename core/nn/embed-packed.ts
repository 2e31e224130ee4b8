/** The embeddings of packed tokens: text by one table, codes by another, features as they are, each at its row. */
import type { Tape } from '../autograd/tape.ts';
import type { Backbone, PackedTokens, Weights } from '../contracts/backbone.ts';
import { mergeRows, type PlacedRows } from '../ops/rows.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** f32 [N, hiddenSize]; gradients go back into both tables and the features. */
export function embedPacked(
  tape: Tape,
  backbone: Pick<Backbone, 'embedText' | 'embedImage'>,
  weights: Weights,
  tokens: PackedTokens,
): Tensor {
  const { count, textIds, textRows, imageCodes, imageRows, features, featureRows } = tokens;
  const text = backbone.embedText(tape, weights, textIds);
  const parts: PlacedRows[] = [{ x: text, rows: textRows }];
  if (imageCodes !== undefined && imageRows !== undefined)
    parts.push({ x: backbone.embedImage(tape, weights, imageCodes), rows: imageRows });
  if (features !== undefined && featureRows !== undefined) parts.push({ x: features, rows: featureRows });
  // Text alone lies in order.
  return parts.length === 1 ? text : mergeRows(tape, parts, count);
}
