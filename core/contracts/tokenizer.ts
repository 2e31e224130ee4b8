/** Ids of the tokens every sequence is built from; resolved from the tokenizer's strings, never constants. */
export interface SpecialTokens {
  readonly bos: number;
  readonly eos: number;
  readonly pad: number;
  /** Begin of image: ends the rationale, starts the picture. */
  readonly imageStart: number;
}

/** Text to ids and back, and the one place that knows how a prompt is laid out around them. */
export interface Tokenizer {
  /** Rows a text embedding needs: every id is below it. */
  readonly vocabularySize: number;
  readonly special: SpecialTokens;
  /** Content hash of the tokenizer file; part of a checkpoint. */
  readonly hash: string;
  /** Plain text, no special tokens added. */
  encode(text: string): number[];
  /** Special tokens are left out. */
  decode(ids: readonly number[]): string;
  /**
   * The ids in front of what the model writes.
   * `rationale`: up to where the rationale starts. `direct`: no rationale, ends with `imageStart`.
   */
  prompt(text: string, mode: 'rationale' | 'direct'): number[];
  /** The unconditional branch of guidance and of prompt dropout, `imageStart` included. */
  unconditional(): number[];
}
