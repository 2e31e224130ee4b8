/**
 * The picture of the first page, drawn from the records of a run: the first held-out prompt of each task, none chosen by its result, with
 * what the model wrote and drew before and after training, and the verdict. The letters are of the system's fonts (DejaVu Sans and DejaVu Sans Mono).
 *   npm run docs:picture -- [RUN-DIRECTORY] [FILE]
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp, { type OverlayOptions } from 'sharp';
import type { Evaluation, EvaluationSample } from '../../core/contracts/evaluation.ts';
import { pngChunk } from '../../core/io/image.ts';
import { readRunRecords, type RunRecords } from '../../core/io/records.ts';
import { choosePairs, compare, pairSamples, type SamplePair } from '../../core/report/summary.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** All lengths in pixels; pages show the picture at about half of its size. */
const columns = 3;
const side = 192;
const gap = 20;
const padding = 16;
const card = { width: 2 * side + gap + 2 * padding, text: 78, line: 23, verdict: 36 };
/** Letters of 17 pixels of a monospaced font are 10.2 wide. */
const lettersInLine = 18;

interface Point {
  readonly left: number;
  readonly top: number;
}

interface Box extends Point {
  readonly height: number;
}

/** The picture as a PNG whose text chunks say what it was drawn from. */
export async function drawBeforeAfter(records: RunRecords): Promise<Buffer> {
  const comparison = compare(records.evaluations)[0];
  if (comparison?.before === undefined) throw new Error('the run holds no evaluation before and after training');
  const { before, after } = comparison;
  const pairs = choosePairs(pairSamples({ ...comparison, before }), Object.keys(after.tasks).length);
  const rows = chunks(pairs, columns);
  const lines = rows.map((row) => Math.max(...row.flatMap(rationaleLines)));
  const heights = lines.map((count) => card.text + count * card.line + side + card.verdict + padding);
  const tops = heights.map(
    (_height, row) => gap + heights.slice(0, row).reduce((sum, height) => sum + height + gap, 0),
  );
  const width = gap + columns * (card.width + gap);
  const height = gap + heights.reduce((sum, each) => sum + each + gap, 0);

  const boxes = rows.flatMap((row, number) =>
    row.map((_pair, column) => ({
      left: gap + column * (card.width + gap),
      top: at(tops, number),
      height: at(heights, number),
    })),
  );
  const cards = pairs.map((pair, index) => ({ pair, box: at(boxes, index) }));
  const drawings = await Promise.all(cards.flatMap(({ pair, box }) => sidesOf(pair, box)).map(enlarged));
  const page = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">
<rect width="${width}" height="${height}" fill="#f7f7f5"/>
${cards.map(({ pair, box }) => cardMarkup(pair, box)).join('\n')}
</svg>`;
  // 256 colors keep it small; what they lose cannot be seen.
  const png = await sharp(Buffer.from(page))
    .composite(drawings)
    .removeAlpha()
    .png({ palette: true, quality: 100, dither: 0, effort: 10 })
    .toBuffer();
  return withText(png, provenance(records, before, after));
}

/** Text chunks (Latin-1) behind the header, where `readPngText` finds them. */
function withText(png: Buffer, text: Readonly<Record<string, string>>): Buffer {
  const afterHeader = 8 + 8 + 13 + 4;
  const written = Object.entries(text).map(([key, value]) =>
    pngChunk('tEXt', Buffer.from(`${key}\0${value}`, 'latin1')),
  );
  return Buffer.concat([png.subarray(0, afterHeader), ...written, png.subarray(afterHeader)]);
}

function provenance({ run }: RunRecords, before: Evaluation, after: Evaluation): Record<string, string> {
  const rate = ({ overall }: Evaluation): string => `${overall.passes} of ${overall.total}`;
  return {
    run: run.name,
    steps: String(after.step),
    seed: String(run.seeds['run']),
    split: after.split,
    before: rate(before),
    after: rate(after),
    adapter: run.adapter['description'] ?? '',
  };
}

interface Side {
  readonly sample: EvaluationSample;
  readonly label: string;
  /** Where its column begins. */
  readonly column: Point;
  /** Where its drawing lies. */
  readonly drawing: Point;
}

/** Prompt, rationale, picture, verdict: in the order in which they come about. */
function sidesOf({ before, after }: SamplePair, { left, top, height }: Box): [Side, Side] {
  if (before === undefined) throw new Error(`"${after.prompt}" was not drawn before`);
  const column = (index: number): Pick<Side, 'column' | 'drawing'> => {
    const start = left + padding + index * (side + gap);
    return {
      column: { left: start, top },
      drawing: { left: start, top: top + height - padding - card.verdict - side },
    };
  };
  return [
    { sample: before, label: 'before', ...column(0) },
    { sample: after, label: 'after', ...column(1) },
  ];
}

async function enlarged({ sample, drawing }: Side): Promise<OverlayOptions> {
  const bytes = Buffer.from(sample.image, 'base64');
  return { input: await sharp(bytes).resize(side, side, { kernel: 'nearest' }).png().toBuffer(), ...drawing };
}

function rationaleLines({ before, after }: SamplePair): number[] {
  return [before, after].map((sample) => wrap(sample?.rationale ?? '').length);
}

function cardMarkup(pair: SamplePair, box: Box): string {
  const { left, top, height } = box;
  return `<rect x="${left}" y="${top}" width="${card.width}" height="${height}" rx="8" fill="#ffffff" stroke="#d9dad6"/>
${letters({ left: left + padding, top: top + 32 }, pair.after.prompt, { size: 18, color: '#1d1f23', bold: true })}
${sidesOf(pair, box).map(sideMarkup).join('\n')}`;
}

function sideMarkup({ sample, label, column, drawing }: Side): string {
  const [verdict, color] = sample.pass ? ['✓ right', '#17663a'] : ['✗ wrong', '#9c2b22'];
  return [
    letters({ ...column, top: column.top + 57 }, label, { size: 17, color: '#5f6570' }),
    ...wrap(sample.rationale).map((line, number) =>
      letters({ ...column, top: column.top + card.text + (number + 0.2) * card.line }, line, {
        size: 17,
        color: '#3a3e45',
        mono: true,
      }),
    ),
    letters({ ...drawing, top: drawing.top + side + 26 }, verdict, { size: 19, color, bold: true }),
  ].join('\n');
}

interface Letters {
  readonly size: number;
  readonly color: string;
  readonly bold?: boolean;
  readonly mono?: boolean;
}

/** `start` is where the base line begins. */
function letters(start: Point, text: string, { size, color, bold = false, mono = false }: Letters): string {
  const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return `<text x="${start.left}" y="${start.top}" font-family="DejaVu Sans${mono ? ' Mono' : ''}" font-size="${size}" font-weight="${bold ? 'bold' : 'normal'}" fill="${color}">${escaped}</text>`;
}

/** Lines of whole words. */
function wrap(text: string): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? '';
    if (line !== '' && line.length + 1 + word.length > lettersInLine) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines;
}

function at<Item>(items: readonly Item[], index: number): Item {
  const item = items[index];
  if (item === undefined) throw new RangeError(`item ${index} of ${items.length}`);
  return item;
}

function chunks<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_each, index) =>
    items.slice(index * size, (index + 1) * size),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [directory = join(root, 'runs/quickstart'), file = join(root, 'presets/quickstart.png')] =
    process.argv.slice(2);
  const png = await drawBeforeAfter(await readRunRecords(directory));
  writeFileSync(file, png);
  process.stdout.write(`${file}: ${Math.ceil(png.length / 1024)} KiB\n`);
}
