/**
 * The family of Emu3, Liquid and Chameleon: one table and one head over a vocabulary of text tokens and image codes together,
 * queries and keys normalized per head. Image code c is entry imageStart + c of both.
 *
 * Text logits are the head's text rows, image logits its image rows, each a distribution over its own range: what kind of token
 * comes next is the sequence layout's business, so no probability is spent on the other kind.
 */
import {
  decoderHidden,
  decoderParameters,
  decoderStep,
  embedding,
  embedPacked,
  initialSpread,
  linear,
  weightRows,
  workingHeads,
  type Backbone,
  type DecoderShape,
} from '../../core/compute.ts';

export interface UnifiedSizes extends Omit<DecoderShape, 'prefix' | 'headDimension'> {
  /** hidden / heads by default. */
  readonly headDimension?: number | undefined;
  readonly textVocabulary: number;
  readonly imageVocabulary: number;
}

const table = 'model.embed_tokens.weight';
const head = 'lm_head.weight';
/** Bytes at whose multiples a part of a weight can start, be it stored as f32 or as f16. */
const alignment = 256;

export function unifiedBackbone(name: string, sizes: UnifiedSizes): Backbone {
  const { hidden, textVocabulary, imageVocabulary } = sizes;
  const shape: DecoderShape = {
    ...sizes,
    prefix: 'model.',
    headDimension: sizes.headDimension ?? hidden / sizes.heads,
  };
  const imageStart = alignedRows(textVocabulary, hidden);
  const rows = imageStart + imageVocabulary;

  const embedText: Backbone['embedText'] = (tape, weights, ids) => embedding(tape, weights.get(table), ids);
  const embedImage: Backbone['embedImage'] = (tape, weights, codes) =>
    embedding(tape, weightRows(tape, weights.get(table), imageStart, imageVocabulary), codes);

  return {
    name,
    hiddenSize: hidden,
    layers: shape.layers,
    heads: shape.heads,
    keyValueHeads: shape.keyValueHeads,
    headDimension: workingHeads(shape).headDimension,
    textVocabulary,
    imageVocabulary,
    parameters: [
      { name: table, shape: [rows, hidden], init: { normal: initialSpread } },
      ...decoderParameters(shape),
      { name: head, shape: [rows, hidden], init: { normal: initialSpread } },
    ],
    embedText,
    embedImage,
    hidden: (tape, weights, tokens, prefill) =>
      decoderHidden(
        tape,
        weights,
        shape,
        embedPacked(tape, { embedText, embedImage }, weights, tokens),
        tokens,
        prefill,
      ),
    step: (tape, weights, x, positions, cache) => decoderStep(tape, weights, shape, x, positions, cache),
    textLogits: (tape, weights, x) => linear(tape, x, weightRows(tape, weights.get(head), 0, textVocabulary)),
    imageLogits: (tape, weights, x) =>
      linear(tape, x, weightRows(tape, weights.get(head), imageStart, imageVocabulary)),
  };
}

/** The first row at or after `rows` that starts at a multiple of the alignment in half precision, and so in f32 too. */
function alignedRows(rows: number, hidden: number): number {
  let aligned = rows;
  while ((aligned * hidden * 2) % alignment !== 0) aligned++;
  return aligned;
}
