/** The tokenizer of a Qwen-VL model, from the tokenizer.json and the chat template in its folder. */
import { createHash } from 'node:crypto';
import { readTokenizerFile } from '../../core/compute.ts';
import type { Tokenizer, Turn } from '../../core/plugin.ts';
import { cannotDraw } from './backbone.ts';
import { chatTokens, type ChatLayout } from './chat.ts';

/** What is needed of a file of tokens. */
interface Speller {
  readonly vocabularySize: number;
  readonly hash: string;
  /** Tokens that text never turns into. */
  readonly commands: readonly string[];
  idOf(token: string): number;
  encode(text: string): number[];
  decode(ids: readonly number[]): string;
}

/** `file`: a tokenizer.json. Throws BAD_TOKENIZER_FILE and TOKENIZER_LACKS_TOKEN. */
export function qwenTokenizer(file: string, layout: ChatLayout): Tokenizer {
  return tokenizerOf(readTokenizerFile(file, Object.values(chatTokens)), layout);
}

/** For a model of which only the sizes are there: every byte is a token, so that a plan counts no fewer tokens than a run will have. */
export function bytesTokenizer(layout: ChatLayout): Tokenizer {
  const commands = Object.values(chatTokens);
  const speller: Speller = {
    vocabularySize: 256 + commands.length,
    hash: createHash('sha256').update('every byte a token').digest('hex'),
    commands,
    idOf: (token) => 256 + commands.findIndex((each) => each === token),
    encode: (text) => [...Buffer.from(text)],
    decode: (ids) => Buffer.from(ids.filter((id) => id < 256)).toString('utf8'),
  };
  return tokenizerOf(speller, layout);
}

function tokenizerOf(speller: Speller, layout: ChatLayout): Tokenizer {
  const { vocabularySize, hash } = speller;
  const id = (name: keyof typeof chatTokens): number => speller.idOf(chatTokens[name]);
  return {
    vocabularySize,
    special: {
      bos: id('start'),
      eos: id('end'),
      otherEnd: id('endOfText'),
      pad: id('endOfText'),
      imageStart: id('pictureStart'),
      imageEnd: id('pictureEnd'),
      imagePlaceholder: id('vector'),
    },
    hash,
    encode: (text) => speller.encode(text),
    decode: (ids) => speller.decode(ids),
    prompt: () => cannotDraw('the layout of Qwen-VL'),
    unconditional: () => cannotDraw('the layout of Qwen-VL'),
    conversation: (turns) => spell(speller, layout, turns),
  };
}

/** Special tokens of the layout by their ids, a picture's as often as it has vectors; everything between two of them is encoded in one go. */
function spell(speller: Speller, layout: ChatLayout, turns: readonly Turn[]): number[] {
  const { commands } = speller;
  const vectors = turns.flatMap(({ pictures }) => pictures);
  const ids: number[] = [];
  let shown = 0;
  let text = '';
  const flush = (): void => {
    ids.push(...speller.encode(text));
    text = '';
  };
  for (const piece of layout(turns)) {
    if ('text' in piece) {
      text += piece.text;
      continue;
    }
    for (const part of splitAt(piece.layout, commands)) {
      if (!commands.includes(part)) {
        text += part;
        continue;
      }
      flush();
      const count = part === chatTokens.vector ? (vectors[shown++] ?? 0) : 1;
      ids.push(...new Array<number>(count).fill(speller.idOf(part)));
    }
  }
  flush();
  return ids;
}

/** A text cut before and behind each of the tokens that are spelled out in it. */
function splitAt(text: string, spelled: readonly string[]): string[] {
  const longestFirst = spelled.toSorted((a, b) => b.length - a.length);
  const pattern = longestFirst.map((token) => token.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)).join('|');
  return text.split(new RegExp(`(${pattern})`)).filter((part) => part !== '');
}
