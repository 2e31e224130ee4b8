/** What tokenizers, of texts and of pictures, must keep: weights are trained on their ids. */
import type { Image } from '../contracts/image.ts';
import type { ImageTokenizer } from '../contracts/image-tokenizer.ts';
import type { Component } from '../contracts/slots.ts';
import type { Tokenizer } from '../contracts/tokenizer.ts';
import { ContractError, type ContractSettings, nameOf, openComponent } from './contract.ts';
import { testImage } from './stand-ins.ts';

export interface TokenizerContract extends ContractSettings {
  /** Texts that come back as they were. */
  readonly texts?: readonly string[];
}

const texts = ['a photo of two cakes', 'red bird'];
/** What a user may type that looks like a command of some vocabulary. */
const commands = ['<s>', '</s>', '<pad>', '<|endoftext|>', '<begin_of_image>', '[BOS]'];

/**
 * Holds a tokenizer to its contract: ids within its vocabulary, texts that come back, special ids that no text makes, prompts that hold their text and lead to a
 * picture, and a hash that stays.
 * @throws ContractError, with the cause
 */
export async function checkTokenizer(
  component: Component<'tokenizer'>,
  contract: TokenizerContract = {},
): Promise<void> {
  const who = nameOf(component);
  const opened = await openComponent(component, contract);
  const again = await openComponent(component, contract);
  const { made } = opened;
  checkHash(who, made.hash, again.made.hash);
  const special = Object.entries(made.special).filter(([, id]) => id !== undefined) as [string, number][];
  for (const [name, id] of special) checkId(who, made, id, `its special token ${name}`);
  checkSpecial(who, made);
  for (const text of [...(contract.texts ?? texts), ...commands]) {
    const ids = made.encode(text);
    for (const id of ids) checkId(who, made, id, `"${text}"`);
    const [name] = special.find(([, id]) => ids.includes(id)) ?? [];
    if (name !== undefined)
      throw new ContractError(
        who,
        `makes its special token ${name} out of the text "${text}": text is never a command`,
      );
  }
  for (const text of contract.texts ?? texts) {
    const back = made.decode(made.encode(text));
    if (back !== text)
      throw new ContractError(who, `gives "${back}" back for "${text}"; name texts that it can hold: \`texts\``);
    checkLayout(who, made, text);
  }
  checkPrompts(who, made, contract.texts ?? texts);
  const decoded = made.decode(special.map(([, id]) => id));
  if (decoded !== '') throw new ContractError(who, `writes special tokens as "${decoded}"; \`decode\` leaves them out`);
  await opened.dispose();
  await again.dispose();
}

function checkHash(who: string, hash: string, again: string): void {
  if (typeof hash !== 'string' || hash === '')
    throw new ContractError(who, 'has no `hash`: checkpoints tell by it whether ids mean the same');
  if (hash !== again)
    throw new ContractError(who, 'has another hash when it is made again: no checkpoint could be gone on with');
}

/** What pads and what ends a text may be one token, as in published vocabularies. */
function checkSpecial(who: string, { special }: Tokenizer): void {
  for (const name of ['bos', 'eos', 'pad', 'imageStart'] as const)
    if (special[name] === undefined) throw new ContractError(who, `has no special token \`${name}\``);
  const same = (['eos', 'otherEnd'] as const).find((name) => special[name] === special.imageStart);
  if (same !== undefined)
    throw new ContractError(
      who,
      `has one id, ${special.imageStart}, for its special tokens imageStart and ${same}: a rationale could not end otherwise than by a picture`,
    );
}

function checkId(who: string, { vocabularySize }: Tokenizer, id: number, of: string): void {
  if (!Number.isInteger(id) || id < 0 || id >= vocabularySize)
    throw new ContractError(
      who,
      `gives ${of} the id ${id}; ids are whole numbers below its vocabularySize, ${vocabularySize}`,
    );
}

/** Texts that are not alike make prompts that are not alike: a model learns nothing of a prompt that it is not shown. */
function checkPrompts(who: string, tokenizer: Tokenizer, all: readonly string[]): void {
  for (const mode of ['direct', 'rationale'] as const) {
    const textOf = new Map<string, string>();
    for (const text of all) {
      const ids = tokenizer.prompt(text, mode).join();
      const other = textOf.get(ids);
      if (other !== undefined && other !== text)
        throw new ContractError(who, `lays out "${other}" and "${text}" as one prompt: the text is not in it`);
      textOf.set(ids, text);
    }
  }
}

function checkLayout(who: string, tokenizer: Tokenizer, text: string): void {
  const { imageStart } = tokenizer.special;
  const layouts = (): number[][] => [tokenizer.prompt(text, 'direct'), tokenizer.prompt(text, 'rationale')];
  const [direct = [], rationale = []] = layouts();
  if (JSON.stringify(layouts()) !== JSON.stringify([direct, rationale]))
    throw new ContractError(who, `lays out the prompt "${text}" otherwise when asked again`);
  for (const id of [...direct, ...rationale]) checkId(who, tokenizer, id, `the prompt "${text}"`);
  if (direct.at(-1) !== imageStart)
    throw new ContractError(
      who,
      `lays out the prompt "${text}" without a rationale so that it does not end with imageStart`,
    );
  if (rationale.includes(imageStart))
    throw new ContractError(who, `puts imageStart into the prompt "${text}", whose rationale is yet to be written`);
  for (const ids of [direct, [...rationale, ...tokenizer.encode(text), imageStart]]) {
    const bare = tokenizer.unconditional(ids);
    if (bare.at(-1) !== imageStart || bare.length > ids.length)
      throw new ContractError(
        who,
        `gives \`unconditional\` ids that ${bare.length > ids.length ? 'are longer than those they replace' : 'do not end with imageStart'}`,
      );
  }
}

export interface ImageTokenizerContract extends ContractSettings {
  /** Pictures of its size; a few plain ones unless given. */
  readonly images?: readonly Image[];
}

/**
 * Holds an image tokenizer to its contract: a whole grid of codes within its vocabulary for every picture, pictures of its size for codes, each
 * the same alone and in company, a code book of finite vectors of length 1, and a hash that stays.
 * @throws ContractError, with the cause
 */
export async function checkImageTokenizer(
  component: Component<'imageTokenizer'>,
  contract: ImageTokenizerContract = {},
): Promise<void> {
  const who = nameOf(component);
  const opened = await openComponent(component, contract);
  const again = await openComponent(component, contract);
  const { made } = opened;
  checkHash(who, made.hash, again.made.hash);
  const images = contract.images ?? plainImages(made);
  const codes = await made.encode(images);
  if (codes.length !== images.length)
    throw new ContractError(who, `gives ${codes.length} lists of codes for ${images.length} pictures`);
  const { rows, columns } = made.grid;
  codes.forEach((list, index) => {
    if (list.length !== rows * columns)
      throw new ContractError(who, `gives picture ${index} ${list.length} codes; its grid is ${rows} x ${columns}`);
    const wrong = list.find((code) => !Number.isInteger(code) || code < 0 || code >= made.vocabularySize);
    if (wrong !== undefined)
      throw new ContractError(
        who,
        `gives picture ${index} the code ${wrong}; codes are whole numbers below ${made.vocabularySize}`,
      );
  });
  const decoded = await made.decode(codes);
  if (decoded.length !== codes.length)
    throw new ContractError(who, `gives ${decoded.length} pictures for ${codes.length} lists of codes`);
  const { width, height } = made.imageSize;
  decoded.forEach((image, index) => {
    if (image.width !== width || image.height !== height || image.data.length !== width * height * 3)
      throw new ContractError(
        who,
        `decodes picture ${index} to ${image.width} x ${image.height} with ${image.data.length} bytes; its imageSize is ${width} x ${height}`,
      );
  });
  for (const [index, image] of images.entries()) {
    const [alone] = await made.encode([image]);
    if (alone?.join() !== codes[index]?.join())
      throw new ContractError(who, `gives picture ${index} other codes when it is encoded alone`);
    const [picture] = await made.decode([codes[index] ?? []]);
    if (!Buffer.from(picture?.data ?? []).equals(Buffer.from(decoded[index]?.data ?? [])))
      throw new ContractError(who, `decodes picture ${index} otherwise when it is decoded alone`);
  }
  checkCodebook(who, made);
  await opened.dispose();
  await again.dispose();
}

function plainImages({ imageSize }: ImageTokenizer): Image[] {
  return [
    testImage(() => [255, 255, 255], imageSize),
    testImage((x, y) => [(255 * x) / imageSize.width, (255 * y) / imageSize.height, 90], imageSize),
    testImage((x) => (x < imageSize.width / 2 ? [200, 30, 30] : [30, 40, 200]), imageSize),
  ];
}

function checkCodebook(who: string, tokenizer: ImageTokenizer): void {
  const { vocabularySize, embeddingDimension } = tokenizer;
  const vectors = tokenizer.codebook();
  if (vectors.length !== vocabularySize * embeddingDimension)
    throw new ContractError(
      who,
      `has a code book of ${vectors.length} values; ${vocabularySize} codes of ${embeddingDimension} are ${vocabularySize * embeddingDimension}`,
    );
  for (let code = 0; code < vocabularySize; code++) {
    const vector = vectors.subarray(code * embeddingDimension, (code + 1) * embeddingDimension);
    const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
    if (!(Math.abs(length - 1) < 1e-3))
      throw new ContractError(
        who,
        `has code ${code} with a vector of length ${length}; the vectors of its code book have length 1`,
      );
  }
}
