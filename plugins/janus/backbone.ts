/**
 * The Janus-Pro class: a LLaMA decoder with its own head for text and, for pictures, a table of code vectors with an MLP into the
 * decoder (aligner) and an MLP out of it (head). Weight names are those of the Hugging Face port. Sizes come from a config alone.
 */
import {
  decoderHidden,
  decoderParameters,
  decoderStep,
  embedding,
  embedPacked,
  initialSpread,
  lastLayer,
  linear,
  perceptron,
  perceptronParameters,
  siglipVision,
  workingHeads,
  type Backbone,
  type DecoderShape,
  type ParameterSpec,
  type Perceptron,
  type SiglipSizes,
} from '../../core/compute.ts';

export interface JanusSizes extends Omit<DecoderShape, 'prefix' | 'headDimension' | 'queryKeyNorm'> {
  /** hidden / heads by default. */
  readonly headDimension?: number | undefined;
  readonly textVocabulary: number;
  readonly imageVocabulary: number;
  /** Length of a code vector. */
  readonly codeDimension: number;
  /** L2-normalized code vectors [imageVocabulary · codeDimension] to start from; small random ones otherwise. */
  readonly codebook?: Float32Array;
  /** Linear layers between code vectors and decoder; 2 by default. */
  readonly codeAlignerLayers?: number;
  /** Sizes of the tower that looks at pictures; a model without one only draws. */
  readonly vision?: Omit<SiglipSizes, 'hidden'> | undefined;
}

/** Length of a code vector at the start, from a normalized codebook: components of about unit size for 8 dimensions. */
const codeScale = 2.8;

const decoderPrefix = 'model.language_model.';
const textTable = `${decoderPrefix}embed_tokens.weight`;
const textHead = 'lm_head.weight';
const codeTable = 'model.generation_embeddings.weight';

export function janusBackbone(name: string, sizes: JanusSizes): Backbone {
  const { hidden, textVocabulary, imageVocabulary } = sizes;
  const shape = janusDecoder(sizes);
  const { aligner, head } = perceptrons(sizes);
  const embedText: Backbone['embedText'] = (tape, weights, ids) => embedding(tape, weights.get(textTable), ids);
  const embedImage: Backbone['embedImage'] = (tape, weights, codes) =>
    perceptron(tape, weights, aligner, embedding(tape, weights.get(codeTable), codes));

  return {
    name,
    hiddenSize: hidden,
    layers: shape.layers,
    heads: shape.heads,
    keyValueHeads: shape.keyValueHeads,
    headDimension: workingHeads(shape).headDimension,
    textVocabulary,
    imageVocabulary,
    parameters: janusParameters(sizes, shape),
    textOnly: [textHead],
    imageOnly: [
      codeTable,
      ...[...perceptronParameters(aligner), ...perceptronParameters(head)].map((spec) => spec.name),
    ],
    ...(sizes.vision !== undefined && { vision: siglipVision({ ...sizes.vision, hidden }) }),
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
    textLogits: (tape, weights, x) => linear(tape, x, weights.get(textHead)),
    imageLogits: (tape, weights, x) => perceptron(tape, weights, head, x),
    textHead: (_tape, weights, x) => ({ states: x, weight: weights.get(textHead) }),
    imageHead: (tape, weights, x) => lastLayer(tape, weights, head, x),
  };
}

export function janusDecoder(sizes: JanusSizes): DecoderShape {
  return {
    ...sizes,
    prefix: decoderPrefix,
    headDimension: sizes.headDimension ?? sizes.hidden / sizes.heads,
    queryKeyNorm: false,
  };
}

/** The way of code vectors into the decoder, and of its hidden states out to codes. */
function perceptrons({ hidden, imageVocabulary, codeDimension, codeAlignerLayers = 2 }: JanusSizes): {
  readonly aligner: Perceptron;
  readonly head: Perceptron;
} {
  return {
    aligner: {
      name: 'model.generation_aligner',
      first: 'fc1',
      from: codeDimension,
      hidden,
      to: hidden,
      depth: codeAlignerLayers,
    },
    head: {
      name: 'model.generation_head',
      first: 'proj_out',
      last: 'vision_head',
      from: hidden,
      hidden,
      to: imageVocabulary,
      depth: 2,
    },
  };
}

function janusParameters(sizes: JanusSizes, shape: DecoderShape): ParameterSpec[] {
  const { textVocabulary, imageVocabulary, codeDimension, codebook } = sizes;
  const { aligner, head } = perceptrons(sizes);
  const matrix = (name: string, rows: number, columns: number): ParameterSpec => ({
    name,
    shape: [rows, columns],
    init: { normal: initialSpread },
  });
  const codes = matrix(codeTable, imageVocabulary, codeDimension);
  return [
    matrix(textTable, textVocabulary, shape.hidden),
    ...decoderParameters(shape),
    codebook === undefined ? codes : { ...codes, init: { values: codebook.map((value) => value * codeScale) } },
    ...perceptronParameters(aligner, initialSpread),
    ...perceptronParameters(head, initialSpread),
    matrix(textHead, textVocabulary, shape.hidden),
  ];
}
