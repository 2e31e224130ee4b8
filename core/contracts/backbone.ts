import type { Tape } from '../autograd/tape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Image } from './image.ts';
import type { PublishedFormat } from './published.ts';

/** One weight of a model, before it exists. */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  /** Normal with this standard deviation, or a constant, or given values. */
  readonly init: { readonly normal: number } | { readonly constant: number } | { readonly values: Float32Array };
  /** Whether weight decay applies; by default to matrices (two or more dimensions) only. */
  readonly decay?: boolean;
  /** A matrix that other ops than `linear` and `embedding` read: it stays f32 however the rest is stored. */
  readonly exact?: true;
}

/** A tree of weights seen by name. Policy, reference and averaged weights are three of these through one backbone. */
export interface Weights {
  get(name: string): Tensor;
  /** Those there are, where that may not be all that a backbone reads. */
  readonly names?: readonly string[];
  /** Whether training changes a weight in place; absent where nobody knows. */
  moves?(name: string): boolean;
  /** A number that changes whenever they may have; absent where nobody counts. */
  version?(): number;
}

/**
 * Sequences laid end to end without padding, N tokens in all. Token i sees the tokens of its own segment up to itself.
 * Text and image tokens are listed apart because they are embedded by different tables; `textRows` and `imageRows`
 * say where among the N tokens each of them stands. Spare entries that only fill a shape up are segments of their own.
 */
export interface PackedTokens {
  readonly count: number;
  /** u32 [Nt] token ids and their rows. */
  readonly textIds: Tensor;
  readonly textRows: Tensor;
  /** u32 [Ni] image codes and their rows; absent when the batch has no image tokens. */
  readonly imageCodes?: Tensor;
  readonly imageRows?: Tensor;
  /** f32 [Nf, vectorSize] vectors of pictures that are looked at and their rows, u32 [Nf]; absent when there are none. */
  readonly features?: Tensor;
  readonly featureRows?: Tensor;
  /** u32 [N], or [N, positionAxes]: position of each token within its segment, the rotary position. */
  readonly positions: Tensor;
  /** u32 [N] row of the first token of the token's segment. */
  readonly segmentStart: Tensor;
  /** u32 [N] row after the last token of the token's segment. */
  readonly segmentEnd: Tensor;
}

/** Keys and values of decoded rows: per layer f32 or f16 [rows, capacity, keyValueHeads · headDimension]. */
export interface KeyValueCache {
  readonly rows: number;
  readonly capacity: number;
  /** u32 [R]: the row of the cache that each row of a step continues. Rows that are finished leave the step, not the cache. */
  readonly cacheRows: Tensor;
  /**
   * u32 [rows], modulo 2³²: by how much the rotary positions of a row of the cache are ahead of its places, where a picture takes fewer
   * positions than it has vectors. Absent where positions have one axis: there they are the places.
   */
  readonly shifts?: Tensor;
  readonly keys: readonly Tensor[];
  readonly values: readonly Tensor[];
}

/** Where a prefill puts its keys and values: row r of the cache gets packed tokens source[r] … source[r] + length[r] - 1 at 0 …. */
export interface PrefillTarget {
  readonly cache: KeyValueCache;
  /** u32 [rows] */
  readonly source: Tensor;
  /** u32 [rows] */
  readonly length: Tensor;
}

/** In pixels. */
export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

/**
 * What a picture is in a sequence: vectors in place of tokens, and where they stand. Of a model whose pictures are tokens like others, vector i
 * stands i positions behind the first and the picture takes as many positions as it has vectors.
 */
export interface PictureSpan {
  readonly vectors: number;
  /** u32 [vectors, axes]: position of each vector on each axis, from where the picture begins. */
  readonly offsets: Uint32Array;
  /** What follows the picture stands so many positions behind its beginning, on every axis. */
  readonly extent: number;
}

/** An input of a vision part, before it is on a device. */
export interface PictureArray {
  readonly shape: readonly number[];
  readonly values: Float32Array | Uint32Array;
}

/** The inputs of a vision part by name, f32 or u32. */
export interface PictureInputs {
  get(name: string): Tensor;
}

/** The part of a backbone that looks at pictures. Its weights are apart, so that a run which only draws does not load them. */
export interface Vision {
  readonly parameters: readonly ParameterSpec[];
  /** Values of a vector: `hiddenSize`, and more where some are added behind later layers. */
  readonly vectorSize: number;
  /** The size at which a picture becomes the most vectors: what room is made for where pictures are not known yet. */
  readonly largest: PictureSize;
  /** The size at which a picture of this size is looked at. Throws PICTURE_SHAPE where there is none. */
  fittedSize(size: PictureSize): PictureSize;
  /** The picture as it is looked at. Throws PICTURE_SHAPE. */
  fit(image: Image): Image;
  /** What a fitted picture is in a sequence. */
  span(fitted: PictureSize): PictureSpan;
  /** Fitted pictures laid out, one behind the other. Their shapes depend on the pictures' sizes alone. */
  layOut(fitted: readonly Image[]): Readonly<Record<string, PictureArray>>;
  /** f32 [vectors of all pictures, vectorSize]: what stands at their places in the sequence (`PackedTokens.features`). */
  features(tape: Tape, weights: Weights, pictures: PictureInputs): Tensor;
}

/** The last matrix of a head and what it multiplies: logits are states · weightᵀ + bias. */
export interface Head {
  /** f32 [M, width] */
  readonly states: Tensor;
  /** [vocabulary, width] */
  readonly weight: Tensor;
  /** f32 [vocabulary] */
  readonly bias?: Tensor | undefined;
}

/** A decoder that writes text and image tokens in one sequence. A function of weights: it owns none. */
export interface Backbone {
  readonly name: string;
  readonly hiddenSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  /** Width of a head as the cache holds it. */
  readonly headDimension: number;
  /** Axes of a position; 1 unless told. All agree where there is only text. */
  readonly positionAxes?: number;
  /** Ids a text logit row and an image logit row range over. */
  readonly textVocabulary: number;
  readonly imageVocabulary: number;
  readonly parameters: readonly ParameterSpec[];
  /** Parameters that are read only where text is written, or only where pictures are drawn: a run that never does needs none of them. */
  readonly textOnly?: readonly string[];
  readonly imageOnly?: readonly string[];
  /** How models of this class are published, and the folder of the one this is; absent when they are not. */
  readonly published?: { readonly format: PublishedFormat; readonly folder?: string };
  /** Absent when the model cannot look at pictures. */
  readonly vision?: Vision;
  /** Hidden states after the final norm, f32 [N, hiddenSize]; fills a cache when asked to. */
  hidden(tape: Tape, weights: Weights, tokens: PackedTokens, prefill?: PrefillTarget): Tensor;
  /** One decode step for R rows: x f32 [R, H], positions u32 [R] (each row's own). Appends to the cache, returns f32 [R, H]. */
  step(tape: Tape, weights: Weights, x: Tensor, positions: Tensor, cache: KeyValueCache): Tensor;
  /** f32 [R, H] from u32 [R]. */
  embedText(tape: Tape, weights: Weights, ids: Tensor): Tensor;
  embedImage(tape: Tape, weights: Weights, codes: Tensor): Tensor;
  /** f32 [M, textVocabulary] and [M, imageVocabulary] from hidden states [M, H]. */
  textLogits(tape: Tape, weights: Weights, hidden: Tensor): Tensor;
  imageLogits(tape: Tape, weights: Weights, hidden: Tensor): Tensor;
  /** The same heads without their last product, so that a large vocabulary can be scored without keeping its logits. */
  textHead?(tape: Tape, weights: Weights, hidden: Tensor): Head;
  imageHead?(tape: Tape, weights: Weights, hidden: Tensor): Head;
}
