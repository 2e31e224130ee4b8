import type { Image } from './image.ts';

/** Pictures to codes and back. Sizes are known without a device; the device is asked for at the first `encode` or `decode`. */
export interface ImageTokenizer {
  /** Codes per picture, raster order. */
  readonly grid: { readonly rows: number; readonly columns: number };
  readonly imageSize: { readonly width: number; readonly height: number };
  readonly vocabularySize: number;
  readonly embeddingDimension: number;
  /** Content hash of the weights; part of every checkpoint made with these codes. */
  readonly hash: string;
  encode(images: readonly Image[]): Promise<number[][]>;
  decode(codes: readonly (readonly number[])[]): Promise<Image[]>;
  /** L2-normalized code vectors, [vocabularySize × embeddingDimension]: the start of a model's own code embedding. */
  codebook(): Float32Array;
}
