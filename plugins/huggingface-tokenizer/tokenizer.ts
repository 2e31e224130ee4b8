/** Any `tokenizer.json` with the special tokens of Janus behind the tokenizer contract. */
import { readTokenizerFile, type TokenizerFile } from '../../core/compute.ts';
import { ReasongenError, type Tokenizer } from '../../core/plugin.ts';
import { conversationPieces, promptPieces, systemPrompt, tokens, type TextPiece } from './deepseek.ts';

export interface JanusTokenizerOptions {
  /** What is asked where a rationale is to be written, and where it is not; `{prompt}` stands for the prompt. */
  readonly rationaleQuestion: string;
  readonly directQuestion: string;
  /** In front of conversations about pictures. */
  readonly system?: string;
}

/** ReasonGen-R1 (https://github.com/Franklin-Zhang0/ReasonGen-R1, Janus/cot_generate_inference.py); plain Janus-Pro asks with the prompt alone. */
export const publishedQuestions = {
  rationaleQuestion: 'A photo of {prompt}. Output a richly detailed prompt:',
  directQuestion: '{prompt}',
};

export function janusTokenizer(path: string, options: JanusTokenizerOptions): Tokenizer {
  for (const [name, question] of Object.entries({
    rationaleQuestion: options.rationaleQuestion,
    directQuestion: options.directQuestion,
  })) {
    if (!question.includes('{prompt}'))
      throw new ReasongenError({
        code: 'BAD_QUESTION',
        message: `${name} "${question}" does not contain {prompt}`,
        hint: 'write {prompt} where the prompt goes',
        exitCode: 2,
      });
  }
  const file = readTokenizerFile(path, Object.values(tokens));
  const special = {
    bos: file.idOf(tokens.bos),
    eos: file.idOf(tokens.eos),
    pad: file.idOf(tokens.pad),
    imageStart: file.idOf(tokens.imageStart),
    imageEnd: file.idOf(tokens.imageEnd),
    imagePlaceholder: file.idOf(tokens.imagePlaceholder),
  };
  return {
    vocabularySize: file.vocabularySize,
    special,
    hash: file.hash,
    encode: (text) => file.encode(text),
    decode: (ids) => file.decode(ids),
    prompt(text, mode) {
      if (mode === 'direct')
        return [...spell(file, promptPieces(fill(options.directQuestion, text))), special.imageStart];
      // The question goes on behind the prompt with a full stop of its own.
      return spell(file, promptPieces(fill(options.rationaleQuestion, text.trim().replace(/\.$/, ''))));
    },
    unconditional: (ids) => ids.map((id, index) => (index === 0 || index === ids.length - 1 ? id : special.pad)),
    conversation: (turns) => spell(file, conversationPieces(turns, options.system ?? systemPrompt)),
  };
}

function fill(question: string, prompt: string): string {
  return question.replace('{prompt}', () => prompt.trim());
}

/** Neighboring text is encoded in one go, as it would be in a whole string; a role the file has no token for is text as well. */
function spell(file: TokenizerFile, pieces: readonly TextPiece[]): number[] {
  const ids: number[] = [];
  let text = '';
  const flush = (): void => {
    ids.push(...file.encode(text));
    text = '';
  };
  for (const piece of pieces) {
    if ('text' in piece) text += piece.text;
    else if ('vectors' in piece) {
      flush();
      ids.push(
        file.idOf(tokens.imageStart),
        ...new Array<number>(piece.vectors).fill(file.idOf(tokens.imagePlaceholder)),
        file.idOf(tokens.imageEnd),
      );
    } else {
      const id = file.find(tokens[piece.token]);
      if (id === undefined) text += tokens[piece.token];
      else {
        flush();
        ids.push(id);
      }
    }
  }
  flush();
  return ids;
}
