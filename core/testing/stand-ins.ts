/** Small things for tests: pictures, samples, and tokenizers that stand for those of a preset. */
import type { Image } from '../contracts/image.ts';
import type { ImageTokenizer } from '../contracts/image-tokenizer.ts';
import type { Sample } from '../contracts/reward.ts';
import type { Tokenizer } from '../contracts/tokenizer.ts';
import { randomStream } from './arrays.ts';

/** A picture from a function of the pixel: red, green and blue from 0 to 255. 16 x 16 unless told. */
export function testImage(
  color: (x: number, y: number) => readonly [number, number, number],
  { width, height }: { readonly width: number; readonly height: number } = { width: 16, height: 16 },
): Image {
  const data = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++)
    data.set(color(pixel % width, Math.floor(pixel / width)), pixel * 3);
  return { width, height, data };
}

/** A sample with whatever is given; the rest is that of a plain drawing. */
export function testSample(given: Partial<Sample> = {}): Sample {
  return {
    id: 'sample-0',
    group: 0,
    copy: 0,
    step: 1,
    phase: 'train',
    prompt: 'a photo of two cakes',
    task: 'test',
    specification: null,
    rationale: 'two cakes side by side',
    rationaleEnded: true,
    image: testImage(() => [200, 120, 60]),
    codes: [1, 2, 3, 4],
    ...given,
  };
}

/** Prompts of common and of awkward kinds: what a judge that works on them should work on. */
const prompts = [
  'a photo of two cakes',
  'a photo of a red bird left of a blue cup',
  'say "\\boxed{1}" or $& twice',
  'ein Foto von drei Äpfeln 🍎',
];
const rationales = [
  '',
  'two cakes side by side',
  'a red bird, to its right a blue cup. \\boxed{0}',
  `so ${'very '.repeat(60)}long`,
];

/** Eight samples that differ in every respect: four prompts, each drawn twice. The same at every call. */
export function testSamples(): Sample[] {
  const random = randomStream(7);
  const pictures = [
    testImage(() => [255, 255, 255]),
    testImage((x, y) => [x * 16, y * 16, 128]),
    testImage((x, y) => (((x >> 2) + (y >> 2)) % 2 === 0 ? [220, 30, 30] : [20, 20, 40])),
    testImage(() => [random() * 256, random() * 256, random() * 256]),
  ];
  return prompts.flatMap((prompt, group) =>
    [0, 1].map((copy) =>
      testSample({
        id: `sample-${2 * group + copy}`,
        group,
        copy,
        prompt,
        task: group < 2 ? 'objects' : 'odd',
        rationale: rationales[(group + copy) % rationales.length] ?? '',
        rationaleEnded: (group + copy) % 4 !== 3,
        image: pictures[(group + 2 * copy) % pictures.length] ?? testImage(() => [0, 0, 0]),
        codes: [group, copy, 3, 4],
      }),
    ),
  );
}

const letters = ' abcdefghijklmnopqrstuvwxyz'.split('');

/** A token for each letter, behind five special ones: 32 ids. */
export function standInTokenizer(): Tokenizer {
  const encode = (text: string): number[] =>
    text
      .toLowerCase()
      .split('')
      .map((letter) => 5 + Math.max(0, letters.indexOf(letter)));
  return {
    vocabularySize: 5 + letters.length,
    special: { pad: 0, bos: 1, eos: 2, imageStart: 3 },
    hash: 'stand-in-letters',
    encode,
    decode: (ids) => ids.map((id) => letters[id - 5] ?? '').join(''),
    prompt: (text, mode) => [1, ...encode(text), mode === 'rationale' ? 4 : 3],
    unconditional: () => [1, 3],
  };
}

/** Four gray levels in a grid of 2 x 2, pictures of 8 x 8. */
export function standInImageTokenizer(): ImageTokenizer {
  const size = { width: 8, height: 8 };
  return {
    grid: { rows: 2, columns: 2 },
    imageSize: size,
    vocabularySize: 19,
    embeddingDimension: 8,
    hash: 'stand-in-codes',
    encode: async (images) =>
      images.map(({ data }) => [0, 4, 32, 36].map((pixel) => Math.min(18, Math.floor((data[pixel * 3] ?? 0) / 14)))),
    decode: async (codes) =>
      codes.map((four) =>
        testImage((x, y) => {
          const gray = (four[(y >> 2) * 2 + (x >> 2)] ?? 0) * 14;
          return [gray, gray, gray];
        }, size),
      ),
    codebook: () => Float32Array.from({ length: 19 * 8 }, (_, index) => ((index >> 3) % 8 === index % 8 ? 1 : 0)),
  };
}
