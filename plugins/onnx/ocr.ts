/** Text that stands in a picture, by the two models of PP-OCR: one finds lines, the other reads each. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fingerprint, resizeBilinear } from '../../core/compute.ts';
import { decodeText, readBounded, z, type Box, type Image, type TextLine } from '../../core/plugin.ts';
import { checkedOnce, knownPicturesOption, readKnownPictures, unknown } from './known-pictures.ts';
import { badModel, modelHash, requireInterface } from './model-folder.ts';
import { modelOption, threadsOption, type JudgeThat } from './options.ts';
import { bare } from './quoted.ts';
import type { OnnxRuntime } from './runtime.ts';
import { cornersOf, textRegions, type TextRegion } from './text-regions.ts';
import { cropRegion, filledUp, howFound, howRead, quarterTurn, reversedPixels } from './line-pixels.ts';
import type { OnnxTensor } from './worker.mjs';

export const ocrOptions = z.strictObject({
  model: modelOption('the two models of PP-OCR, with det and rec in their names, and their list of characters'),
  title: z.string().min(1).optional().describe('what results call the judge; PP-OCR unless told'),
  longestSide: z
    .number()
    .int()
    .min(32)
    .default(960)
    .describe('pixels to which a larger picture is shrunk before lines are looked for'),
  floor: z.number().min(0).max(1).default(0.5).describe('lines that are read with less certainty are left out'),
  threads: threadsOption,
  knownPictures: knownPicturesOption,
});

type OcrOptions = z.output<typeof ocrOptions>;

interface OcrModel {
  readonly detection: string;
  readonly recognition: string;
  /** By class; the first stands for nothing. */
  readonly characters: readonly string[];
  readonly dictionaryHash: string;
}

/** The finder takes whole steps of its strides only. */
const stride = 32;
/** What the reader takes: [1, 3, 48, width]. Shorter lines are filled up with gray, longer ones squeezed beyond the last. */
const line = { height: 48, shortest: 320, longest: 4096 };

export async function openOcr(options: OcrOptions, runtime: OnnxRuntime): Promise<JudgeThat<'read'>> {
  const model = await readOcr(options.model);
  const known =
    options.knownPictures === undefined ? [] : await readKnownPictures(options.knownPictures, expectedSchema);
  const look = (image: Image, signal: AbortSignal): Promise<TextLine[]> => read(model, options, runtime, image, signal);
  const ready = checkedOnce((signal) => checkKnown(known, look, signal));
  return {
    title: options.title ?? 'PP-OCR',
    fingerprint: {
      detectionSha256: await modelHash(model.detection),
      recognitionSha256: await modelHash(model.recognition),
      dictionarySha256: model.dictionaryHash,
      longestSide: String(options.longestSide),
      floor: String(options.floor),
      threads: String(runtime.threads),
      'onnxruntime-node': runtime.version,
    },
    read: async (image, signal) => {
      await ready(signal);
      return look(image, signal);
    },
  };
}

async function readOcr(folder: string): Promise<OcrModel> {
  if (!statSync(folder).isDirectory()) throw badModel(folder, 'it is a file, not the folder of a model');
  const names = readdirSync(folder);
  const one = (what: string, pattern: RegExp): string => {
    const found = names.filter((name) => pattern.test(name));
    if (found.length === 1) return join(folder, found[0] ?? '');
    throw badModel(
      folder,
      found.length === 0
        ? `the folder has no ${what}, only ${names.slice(0, 8).join(', ') || 'nothing'}`
        : `the folder has more than one ${what}: ${found.join(', ')}`,
      'give a folder with one model …det….onnx, one …rec….onnx and the characters of the latter in one …keys….txt or …dict….txt',
    );
  };
  const detection = one('model with det in its name', /(^|[^a-z])det([^a-z].*)?\.onnx$/i);
  const recognition = one('model with rec in its name', /(^|[^a-z])rec([^a-z].*)?\.onnx$/i);
  const dictionary = one('list of characters', /(keys|dict).*\.txt$/i);
  const text = decodeText(await readBounded(dictionary, 'reading the characters of a judge'));
  const characters = text.split(/\r?\n/);
  if (characters.at(-1) === '') characters.pop();
  return {
    detection,
    recognition,
    characters: ['', ...characters, ' '],
    dictionaryHash: (await fingerprint(dictionary)).sha256,
  };
}

async function read(
  model: OcrModel,
  { longestSide, floor }: OcrOptions,
  runtime: OnnxRuntime,
  image: Image,
  signal: AbortSignal,
): Promise<TextLine[]> {
  const regions = await findRegions(model, longestSide, runtime, image, signal);
  const lines: TextLine[] = [];
  for (const region of regions) {
    const { text, score } = await readUpright(model, runtime, cropRegion(image, region), signal);
    if (text.trim() !== '' && score >= floor) lines.push({ text, score, box: boxAround(region) });
  }
  return inReadingOrder(lines);
}

async function findRegions(
  { detection }: OcrModel,
  longestSide: number,
  runtime: OnnxRuntime,
  image: Image,
  signal: AbortSignal,
): Promise<TextRegion[]> {
  const scale = Math.min(1, longestSide / Math.max(image.width, image.height));
  const side = (length: number): number => Math.max(stride, Math.round((length * scale) / stride) * stride);
  const [width, height] = [side(image.width), side(image.height)];
  const map = await runOnly(runtime, detection, reversedPixels(resizeBilinear(image, width, height), howFound), signal);
  if (map.dims.length !== 4 || map.dims[2] !== height || map.dims[3] !== width)
    throw badModel(
      detection,
      `it gives a map of [${map.dims.join(', ')}] for a picture of ${width} x ${height} pixels`,
    );
  return textRegions(map.data as Float32Array, width, height).map((region) =>
    stretched(region, image.width / width, image.height / height),
  );
}

/** A region of a picture of other proportions: both its directions are stretched, and the line stays its line. */
function stretched({ center, along, width, height }: TextRegion, x: number, y: number): TextRegion {
  const [ax, ay] = [along[0] * x, along[1] * y];
  const length = Math.hypot(ax, ay);
  return {
    center: [center[0] * x, center[1] * y],
    along: [ax / length, ay / length],
    width: width * length,
    height: height * Math.hypot(along[1] * x, along[0] * y),
  };
}

interface ReadLine {
  readonly text: string;
  readonly score: number;
}

/** A line that stands is read from top to bottom and from bottom to top; the surer reading counts. */
async function readUpright(model: OcrModel, runtime: OnnxRuntime, crop: Image, signal: AbortSignal): Promise<ReadLine> {
  if (crop.height < 1.5 * crop.width) return readLine(model, runtime, crop, signal);
  const turned = quarterTurn(crop);
  const down = await readLine(model, runtime, turned, signal);
  const up = await readLine(model, runtime, quarterTurn(quarterTurn(turned)), signal);
  return up.score > down.score ? up : down;
}

async function readLine(
  { recognition, characters }: OcrModel,
  runtime: OnnxRuntime,
  crop: Image,
  signal: AbortSignal,
): Promise<ReadLine> {
  const natural = Math.ceil((line.height * crop.width) / crop.height);
  const width = Math.max(1, Math.min(line.longest, natural));
  const pixels = reversedPixels(resizeBilinear(crop, width, line.height), howRead);
  const { data, dims } = await runOnly(runtime, recognition, filledUp(pixels, line.shortest), signal);
  const [, steps = 0, classes = 0] = dims;
  // Dictionaries come with the space and without.
  const known = classes === characters.length - 1 ? characters.slice(0, -1) : characters;
  if (classes !== known.length)
    throw badModel(
      recognition,
      `it tells ${classes} characters apart, and the list beside it has ${characters.length - 2}`,
      'use the list of characters that came with this model',
    );
  return decodeSteps(data as Float32Array, steps, known);
}

/** The likeliest class of each step; repeated ones are one, and the first class separates (greedy CTC). Score: the mean of those kept. */
export function decodeSteps(probabilities: Float32Array, steps: number, characters: readonly string[]): ReadLine {
  const classes = characters.length;
  let [text, sum, count, before] = ['', 0, 0, 0];
  for (let step = 0; step < steps; step++) {
    const row = probabilities.subarray(step * classes, (step + 1) * classes);
    let best = 0;
    for (let index = 1; index < classes; index++) if ((row[index] ?? 0) > (row[best] ?? 0)) best = index;
    if (best !== 0 && best !== before) {
      text += characters[best] ?? '';
      sum += row[best] ?? 0;
      count += 1;
    }
    before = best;
  }
  return { text, score: count === 0 ? 0 : sum / count };
}

/** A model of one input and one output, whatever they are called. */
async function runOnly(
  runtime: OnnxRuntime,
  file: string,
  tensor: OnnxTensor,
  signal: AbortSignal,
): Promise<OnnxTensor> {
  const found = await runtime.open(file, signal);
  const [input = '', output = ''] = [found.inputs[0]?.name, found.outputs[0]?.name];
  if (found.inputs.length !== 1 || found.outputs.length !== 1)
    throw badModel(file, `it takes ${found.inputs.length} values and gives ${found.outputs.length}, not one each`);
  requireInterface(file, found, { inputs: [input], outputs: [output] }, 'model of PP-OCR');
  const values = await runtime.run(file, { [input]: tensor }, [output], signal);
  return values[output] as OnnxTensor;
}

function boxAround(region: TextRegion): Box {
  const corners = cornersOf(region);
  const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

/** From top to bottom; what stands beside each other, by at least half of its height, from left to right. */
export function inReadingOrder(lines: readonly TextLine[]): TextLine[] {
  const rows: TextLine[][] = [];
  for (const each of lines.toSorted((a, b) => a.box[1] + a.box[3] - b.box[1] - b.box[3])) {
    const row = rows.at(-1);
    const [first] = row ?? [];
    const shared = first === undefined ? 0 : Math.min(first.box[3], each.box[3]) - Math.max(first.box[1], each.box[1]);
    const height = Math.min(each.box[3] - each.box[1], (first?.box[3] ?? 0) - (first?.box[1] ?? 0));
    if (row !== undefined && shared > height / 2) row.push(each);
    else rows.push([each]);
  }
  return rows.flatMap((row) => row.sort((a, b) => a.box[0] - b.box[0]));
}

const expectedSchema = z.strictObject({ text: z.string() });

async function checkKnown(
  known: Awaited<ReturnType<typeof readKnownPictures<typeof expectedSchema>>>,
  look: (image: Image, signal: AbortSignal) => Promise<TextLine[]>,
  signal: AbortSignal,
): Promise<void> {
  for (const { image, expected, place } of known) {
    const found = (await look(image, signal)).map(({ text }) => text).join(' ');
    if (bare(found) !== bare(expected.text))
      throw unknown(place, `"${found}" is read in a picture that is known to say "${expected.text}"`);
  }
}
