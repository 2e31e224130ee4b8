/** Changed bytes by seed: the same target, seed and number always give the same input. */

/** Uniform numbers in [0, 1): mulberry32. */
export type Random = () => number;

export function randomOf(...seeds: readonly number[]): Random {
  let state = 0x9e3779b9;
  for (const seed of seeds) state = Math.imul(state ^ (seed >>> 0), 0x85ebca6b) ^ (state >>> 13);
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Mutation = (bytes: Buffer, random: Random, seeds: readonly Uint8Array[]) => Buffer;

/** What readers that trust a number trip over. */
const bytesOfInterest = [0, 1, 0x7f, 0x80, 0xfe, 0xff, 0x20, 0x22, 0x2d, 0x30, 0x39, 0x5b, 0x7b] as const;
const wordsOfInterest = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x4000_0000, 0x10_0000, 513] as const;
const textsOfInterest = [
  '-1',
  '0',
  '1e999',
  '99999999999999999999',
  'null',
  'NaN',
  '""',
  '{}',
  '[]',
  '[[[[[[[[[[',
  '__proto__',
  'constructor',
  '../../etc/passwd',
  '\u0000',
  '\uFEFF',
  '\r\n',
  '77777777777',
] as const;

const mutations: readonly Mutation[] = [
  function flipBit(bytes, random) {
    const at = place(bytes, random);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(random() * 8));
    return bytes;
  },
  function setByte(bytes, random) {
    bytes[place(bytes, random)] = random() < 0.5 ? Math.floor(random() * 256) : pick(bytesOfInterest, random);
    return bytes;
  },
  function setWord(bytes, random) {
    if (bytes.length < 4) return bytes;
    const at = Math.floor(random() * (bytes.length - 3));
    const word = pick(wordsOfInterest, random);
    return random() < 0.5 ? (bytes.writeUInt32LE(word, at), bytes) : (bytes.writeUInt32BE(word, at), bytes);
  },
  function fill(bytes, random) {
    const [start, end] = range(bytes, random);
    return bytes.fill(pick(bytesOfInterest, random), start, end);
  },
  function cutOut(bytes, random) {
    const [start, end] = range(bytes, random);
    return Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)]);
  },
  function cutOff(bytes, random) {
    return bytes.subarray(0, place(bytes, random));
  },
  function repeat(bytes, random) {
    const [start, end] = range(bytes, random);
    const times = 1 + Math.floor(random() * 4);
    const part = bytes.subarray(start, end);
    return Buffer.concat([bytes.subarray(0, end), ...Array.from({ length: times }, () => part), bytes.subarray(end)]);
  },
  function insertText(bytes, random) {
    const at = place(bytes, random);
    return Buffer.concat([bytes.subarray(0, at), Buffer.from(pick(textsOfInterest, random)), bytes.subarray(at)]);
  },
  function overwriteText(bytes, random) {
    const text = Buffer.from(pick(textsOfInterest, random));
    text.copy(bytes, place(bytes, random));
    return bytes;
  },
  function changeNumber(bytes, random) {
    const text = bytes.toString('latin1');
    const numbers = [...text.matchAll(/-?\d+/g)].slice(0, 4096);
    if (numbers.length === 0) return bytes;
    const found = pick(numbers, random);
    const other = pick(['-1', '0', '4294967296', '9007199254740993', '1e308', found[0].repeat(3)], random);
    return Buffer.from(text.slice(0, found.index) + other + text.slice(found.index + found[0].length), 'latin1');
  },
  function join(bytes, random, seeds) {
    const other = pick(seeds, random);
    const from = Math.floor(random() * other.length);
    return Buffer.concat([bytes.subarray(0, place(bytes, random)), other.subarray(from)]);
  },
  function move(bytes, random) {
    const [start, end] = range(bytes, random);
    bytes.copyWithin(place(bytes, random), start, end);
    return bytes;
  },
];

/** One to six changes of one of the seeds; number 0 to `seeds.length - 1` are the seeds themselves. */
export function mutate(seeds: readonly Uint8Array[], number: number, seed: number): Uint8Array {
  const whole = seeds[number];
  if (whole !== undefined) return whole;
  const random = randomOf(seed, number);
  let bytes: Buffer = Buffer.from(pick(seeds, random));
  for (let left = 1 + Math.floor(random() ** 2 * 6); left > 0 && bytes.length > 0; left--)
    bytes = Buffer.from(pick(mutations, random)(bytes, random, seeds));
  return new Uint8Array(bytes);
}

/** Often near either end, where headers and footers lie. */
function place(bytes: Uint8Array, random: Random): number {
  const share = random();
  const reach = Math.min(bytes.length, 600);
  const where = random();
  if (where < 0.25) return Math.floor(share * reach);
  if (where < 0.5) return bytes.length - 1 - Math.floor(share * reach);
  return Math.floor(share * bytes.length);
}

function range(bytes: Uint8Array, random: Random): [number, number] {
  const start = place(bytes, random);
  return [start, Math.min(bytes.length, start + 1 + Math.floor(random() ** 3 * Math.min(bytes.length, 2000)))];
}

function pick<Item>(items: readonly Item[], random: Random): Item {
  return items[Math.floor(random() * items.length)] as Item;
}
