/**
 * A `tokenizer.json` of the Hugging Face layout: text to ids and back, ids of tokens by their string. The only file that knows
 * @huggingface/tokenizers. Text is always text: a special token spelled out in a prompt is read as its characters.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Tokenizer as Library } from '@huggingface/tokenizers';
import { ReasongenError } from '../errors.ts';

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

export interface TokenizerFile {
  readonly path: string;
  /** The largest id and one: rows a text table needs. */
  readonly vocabularySize: number;
  /** sha256 of the file. */
  readonly hash: string;
  /** Tokens that text never turns into: those that were named, as far as there are such, and those the file calls special. */
  readonly commands: readonly string[];
  /** undefined when no token is spelled so. */
  find(token: string): number | undefined;
  /** Throws TOKENIZER_LACKS_TOKEN. */
  idOf(token: string): number;
  encode(text: string): number[];
  /** Commands and ids that no token has are left out. */
  decode(ids: readonly number[]): string;
}

/** `commands` are tokens that text never turns into and that decoding leaves out, beside those the file calls special. */
export function readTokenizerFile(path: string, commands: readonly string[]): TokenizerFile {
  const bytes = readBytes(path);
  const file = parse(bytes.toString('utf8'), path);
  const { ids, added } = file;
  const known = new Set(ids.values());
  const isCommand = ({ content, special }: AddedToken): boolean => special || commands.includes(content);
  const silent = new Set([
    ...commands.flatMap((token) => ids.get(token) ?? []),
    ...added.filter(isCommand).map(({ id }) => id),
  ]);
  const library = new Library(
    { ...file.json, added_tokens: added.filter((token) => !isCommand(token)) },
    { clean_up_tokenization_spaces: false },
  );
  return {
    path,
    vocabularySize: [...ids.values()].reduce((largest, id) => Math.max(largest, id), 0) + 1,
    commands: [
      ...new Set([
        ...commands.filter((token) => ids.has(token)),
        ...added.filter(isCommand).map((token) => token.content),
      ]),
    ],
    hash: createHash('sha256').update(bytes).digest('hex'),
    find: (token) => ids.get(token),
    idOf(token) {
      const id = ids.get(token);
      if (id !== undefined) return id;
      throw new ReasongenError({
        code: 'TOKENIZER_LACKS_TOKEN',
        message: `the tokenizer has no special token "${token}", which the layout needs`,
        place: path,
        hint: 'use the tokenizer.json that came with the model, or the layout this tokenizer was made for',
        exitCode: 2,
      });
    },
    encode: (text) => (text === '' ? [] : library.encode(text, { add_special_tokens: false }).ids),
    decode(tokens) {
      const audible = tokens.filter((id) => known.has(id) && !silent.has(id));
      return audible.length === 0 ? '' : library.decode(audible, { skip_special_tokens: false });
    },
  };
}

function readBytes(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new ReasongenError({
      code: 'BAD_TOKENIZER_FILE',
      message: 'there is no tokenizer file here, or it cannot be read',
      place: path,
      hint: 'give the tokenizer.json that came with the model',
      exitCode: 2,
      cause,
    });
  }
}

/** What of the file is read here; the library reads the rest. */
function parse(
  text: string,
  path: string,
): {
  readonly json: Readonly<Record<string, unknown>>;
  readonly ids: ReadonlyMap<string, number>;
  readonly added: readonly AddedToken[];
} {
  const fail = (message: string, cause?: unknown) =>
    new ReasongenError({
      code: 'BAD_TOKENIZER_FILE',
      message,
      place: path,
      hint: 'give a tokenizer.json of the Hugging Face layout',
      exitCode: 2,
      cause,
    });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw fail('the tokenizer file is not JSON', cause);
  }
  const model = isRecord(json) ? json['model'] : undefined;
  const vocabulary = isRecord(model) ? model['vocab'] : undefined;
  if (!isRecord(json) || !isRecord(vocabulary))
    throw fail('the tokenizer file has no model.vocab: it is not a tokenizer');
  // Unigram models list [token, score] in the order of the ids.
  const entries: [string, unknown][] = Array.isArray(vocabulary)
    ? vocabulary.map((entry: unknown, id) => [Array.isArray(entry) ? String(entry[0]) : '', id])
    : Object.entries(vocabulary);
  const added = json['added_tokens'] ?? [];
  if (
    entries.length === 0 ||
    !Array.isArray(added) ||
    !added.every(isAddedToken) ||
    !entries.every((entry): entry is [string, number] => isId(entry[1]))
  ) {
    throw fail('the tokenizer file is damaged: model.vocab is empty, or an id is not a whole number');
  }
  return { json, ids: new Map([...entries, ...added.map(({ content, id }) => [content, id] as const)]), added };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function isId(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isAddedToken(value: unknown): value is AddedToken {
  return (
    isRecord(value) &&
    isId(value['id']) &&
    typeof value['content'] === 'string' &&
    typeof value['special'] === 'boolean'
  );
}
