/**
 * The Janus-Pro class: a LLaMA decoder with its own head for text and, for pictures, a table of code vectors with an MLP into the
 * decoder (aligner) and an MLP out of it (head). Weight names are those of the Hugging Face port. Sizes come from a config alone.
 */
import {
  decoderHidden,
  decoderParameters,
  decoderStep,
  embedding,
  gelu,
  initialSpread,
  linear,
  mergeRows,
  type Backbone,
  type DecoderShape,
  type ParameterSpec,
  type Tape,
  type Tensor,
  type Weights,
} from '../../core/compute.ts';

export interface JanusSizes extends Omit<DecoderShape, 'prefix' | 'headDimension' | 'queryKeyNorm'> {
  /** hidden / heads by default. */
  readonly headDimension?: number | undefined;
  readonly textVocabulary: number;
  readonly imageVocabulary: number;
  /** Length of a code vector. */
  readonly codeDimension: number;
  /** L2-normalised code vectors [imageVocabulary · codeDimension] to start from; small random ones otherwise. */
  readonly codebook?: Float32Array;
}

/** Length of a code vector at the start, from a normalised codebook: components of about unit size for 8 dimensions. */
const codeScale = 2.8;

const decoderPrefix = 'model.language_model.';
const textTable = `${decoderPrefix}embed_tokens.weight`;
const codeTable = 'model.generation_embeddings.weight';

export function janusBackbone(name: string, sizes: JanusSizes): Backbone {
  const { hidden, textVocabulary, imageVocabulary } = sizes;
  const shape: DecoderShape = { ...sizes, prefix: decoderPrefix, headDimension: sizes.headDimension ?? hidden / sizes.heads, queryKeyNorm: false };
  const affine = (tape: Tape, weights: Weights, x: Tensor, layer: string): Tensor =>
    linear(tape, x, weights.get(`model.${layer}.weight`), weights.get(`model.${layer}.bias`));
  const perceptron = (tape: Tape, weights: Weights, x: Tensor, first: string, second: string): Tensor =>
    affine(tape, weights, gelu(tape, affine(tape, weights, x, first)), second);

  const embedText: Backbone['embedText'] = (tape, weights, ids) => embedding(tape, weights.get(textTable), ids);
  const embedImage: Backbone['embedImage'] = (tape, weights, codes) =>
    perceptron(tape, weights, embedding(tape, weights.get(codeTable), codes), 'generation_aligner.fc1', 'generation_aligner.hidden_layers.0');

  return {
    name,
    hiddenSize: hidden,
    layers: shape.layers,
    heads: shape.heads,
    keyValueHeads: shape.keyValueHeads,
    headDimension: shape.headDimension,
    textVocabulary,
    imageVocabulary,
    parameters: janusParameters(sizes, shape),
    embedText,
    embedImage,
    hidden(tape, weights, tokens, prefill) {
      const { count, textIds, textRows, imageCodes, imageRows } = tokens;
      const text = embedText(tape, weights, textIds);
      const x =
        imageCodes === undefined || imageRows === undefined
          ? text
          : mergeRows(tape, text, textRows, embedImage(tape, weights, imageCodes), imageRows, count);
      return decoderHidden(tape, weights, shape, x, tokens, prefill);
    },
    step: (tape, weights, x, positions, cache) => decoderStep(tape, weights, shape, x, positions, cache),
    textLogits: (tape, weights, x) => linear(tape, x, weights.get('lm_head.weight')),
    imageLogits: (tape, weights, x) => perceptron(tape, weights, x, 'generation_head.proj_out', 'generation_head.vision_head'),
  };
}

function janusParameters({ textVocabulary, imageVocabulary, codeDimension, codebook }: JanusSizes, shape: DecoderShape): ParameterSpec[] {
  const { hidden } = shape;
  const matrix = (name: string, rows: number, columns: number): ParameterSpec => ({ name, shape: [rows, columns], init: { normal: initialSpread } });
  const affine = (layer: string, rows: number, columns: number): ParameterSpec[] => [
    matrix(`model.${layer}.weight`, rows, columns),
    { name: `model.${layer}.bias`, shape: [rows], init: { constant: 0 } },
  ];
  const codes = matrix(codeTable, imageVocabulary, codeDimension);
  return [
    matrix(textTable, textVocabulary, hidden),
    ...decoderParameters(shape),
    codebook === undefined ? codes : { ...codes, init: { values: codebook.map((value) => value * codeScale) } },
    ...affine('generation_aligner.fc1', hidden, codeDimension),
    ...affine('generation_aligner.hidden_layers.0', hidden, hidden),
    ...affine('generation_head.proj_out', hidden, hidden),
    ...affine('generation_head.vision_head', imageVocabulary, hidden),
    matrix('lm_head.weight', textVocabulary, hidden),
  ];
}
