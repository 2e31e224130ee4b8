/** Ids of the tokens every sequence is built from; resolved from the tokenizer's strings, never constants. */
export interface SpecialTokens {
  readonly bos: number;
  readonly eos: number;
  /** Ends a text as well, of models that have two such tokens. */
  readonly otherEnd?: number;
  readonly pad: number;
  /** Begin of image: ends the rationale, starts the picture. */
  readonly imageStart: number;
  /** Behind a picture that is looked at, and what stands for each of its vectors; models that cannot look have neither. */
  readonly imageEnd?: number;
  readonly imagePlaceholder?: number;
}

/** A question with the pictures it is about, and its answer unless it is yet to be given. */
export interface Turn {
  readonly question: string;
  /** Vectors of each of the pictures, in their order. */
  readonly pictures: readonly number[];
  readonly answer?: string;
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
  /**
   * What the unconditional branch of guidance, and prompt dropout, has in place of `ids`: everything in front of a picture (prompt,
   * rationale if any, `imageStart`). Ends with `imageStart` and is no longer than `ids`.
   */
  unconditional(ids: readonly number[]): number[];
  /**
   * The ids of a conversation about pictures, up to where the next answer starts. Every picture is `imageStart`, its
   * vectors as that many `imagePlaceholder`, `imageEnd`. Absent where the layout has no conversations.
   */
  readonly conversation?: (turns: readonly Turn[]) => number[];
}
