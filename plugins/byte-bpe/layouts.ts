/** How prompts are laid out around the special tokens. A new model family adds an entry here. */

export interface TextLayout {
  /** The special tokens by their role, as the tokenizer file spells them. */
  readonly tokens: {
    readonly bos: string;
    readonly eos: string;
    readonly pad: string;
    readonly imageStart: string;
    /** Stands between a prompt and its rationale. */
    readonly think: string;
  };
  /**
   * Every text is encoded with one more space in front, which decoding takes away again. A first word then has the
   * same token as anywhere else.
   */
  readonly leadingSpace: boolean;
}

export const layouts = {
  nano: {
    tokens: { bos: '<bos>', eos: '<eos>', pad: '<pad>', imageStart: '<boi>', think: '<think>' },
    leadingSpace: true,
  },
} as const satisfies Record<string, TextLayout>;

/** The order in which a trained file lists the special tokens of a layout. */
export function specialTokensOf({ tokens }: TextLayout): string[] {
  return [tokens.pad, tokens.bos, tokens.eos, tokens.think, tokens.imageStart];
}
