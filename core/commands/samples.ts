import { basename, join, resolve } from 'node:path';
import { exitCodes, ReasongenError } from '../errors.ts';
import { groupBy } from '../evaluation/group-by.ts';
import type { Image } from '../contracts/image.ts';
import { runsIn } from '../io/chain.ts';
import { contactSheet, decodePicture, encodePng, upscale } from '../io/image.ts';
import { readSamplePicture, readSamples, type SampleRecord, sampleSteps } from '../io/records.ts';
import { presetOfRun } from '../run.ts';
import { at } from '../tensor/at.ts';
import type { CommandContext } from './context.ts';
import { writeResult } from './result-file.ts';
import { textTable } from './text-table.ts';

export interface SamplesOptions {
  /** The last one that was saved unless given. */
  readonly step?: number;
  /** `RUN-step-N.png` in the working directory unless given. */
  readonly out?: string;
  /** Whole factor; pictures come to some 200 pixels unless given. */
  readonly scale?: number;
}

/** Pixels across a picture of the sheet, unless `scale` says otherwise. */
const wantedWidth = 200;

/** `samples RUN`: the saved drawings of a step as one picture, a row for each prompt, framed by how they compare with their group. */
export async function showSamples(
  directory: string,
  options: SamplesOptions,
  { write, log }: CommandContext,
): Promise<number> {
  const { path, step, samples } = await savedDrawings(directory, options.step);
  const groups = [...groupBy(samples, ({ id = '', prompt }) => `${promptOf(id)}\n${prompt}`).values()];
  const pictures = await Promise.all(groups.map((group) => Promise.all(group.map((each) => pictureOf(path, each)))));
  const width = pictures[0]?.[0]?.width ?? wantedWidth;
  const scale = options.scale ?? Math.max(1, Math.round(wantedWidth / width));
  const columns = Math.max(...groups.map((group) => group.length));
  const rows = groups.map((group, row) =>
    group.map((sample, column) => framed(upscale(at(at(pictures, row), column), scale), frameColor(sample))),
  );
  const cells = rows.flatMap((row) => [
    ...row,
    ...row.slice(0, 1).flatMap((cell) => blanks(cell, columns - row.length)),
  ]);
  const out = options.out ?? `${basename(resolve(directory))}-step-${step}.png`;
  await writeResult(out, await encodePng(contactSheet(cells, columns), { Software: 'reasongen' }), 'writing the sheet');
  const lines = groups.map((group, index) => [
    `row ${index + 1}`,
    ...group.map(({ total }) => total.toFixed(2)),
    ...Array<string>(columns - group.length).fill(''),
    group[0]?.prompt ?? '',
  ]);
  log.info(`step ${step}: totals by row; blue frames were reinforced, orange ones held back, gray ones neither`);
  for (const line of textTable(lines)) log.info(`  ${line}`);
  write(`${out}\n`);
  return exitCodes.done;
}

/** The drawings that a run has saved of a step, the last one unless told. Throws NO_SAMPLES with the steps there are. */
export async function savedDrawings(
  directory: string,
  wanted?: number,
): Promise<{ readonly path: string; readonly step: number; readonly samples: readonly SampleRecord[] }> {
  presetOfRun(directory);
  const all = await Promise.all(
    (await runsIn(resolve(directory))).map(async (path) => ({ path, steps: await sampleSteps(path) })),
  );
  const found = all.filter(({ steps }) => (wanted === undefined ? steps.length > 0 : steps.includes(wanted))).at(-1);
  const step = wanted ?? found?.steps.at(-1);
  const samples = found === undefined || step === undefined ? [] : await readSamples(found.path, step);
  if (found !== undefined && step !== undefined && samples.length > 0) return { path: found.path, step, samples };
  const isDamaged = found !== undefined;
  const steps = all.flatMap((each) => each.steps).filter((each) => !isDamaged || each !== step);
  throw new ReasongenError({
    code: 'NO_SAMPLES',
    message: isDamaged
      ? `the list of the drawings of step ${step} holds none: it is empty, or damaged`
      : wanted === undefined
        ? 'no drawings have been saved'
        : `the drawings of step ${wanted} have not been saved`,
    place: directory,
    hint:
      steps.length === 0
        ? 'GRPO saves some with samplesEvery'
        : `there are those of the steps ${steps.length > 12 ? `${steps.slice(0, 6).join(', ')}, …, ${steps.slice(-3).join(', ')}` : steps.join(', ')}`,
    exitCode: exitCodes.badPreset,
  });
}

/** `step-3-1-0` → `step-3-1`: the copies of a prompt belong together, also where a prompt comes twice. */
function promptOf(id: string): string {
  return id.slice(0, Math.max(0, id.lastIndexOf('-')));
}

async function pictureOf(path: string, sample: SampleRecord): Promise<Image> {
  const base64 = await readSamplePicture(path, sample);
  try {
    return await decodePicture(Buffer.from(base64, 'base64'));
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new ReasongenError({
      code: 'BAD_RECORD',
      message: base64 === '' ? 'this picture is missing, or no PNG' : `this picture cannot be read: ${cause.message}`,
      place: join(path, sample.image),
      hint: 'choose another step: --step N',
      exitCode: exitCodes.disk,
      cause,
    });
  }
}

type Color = readonly [red: number, green: number, blue: number];

/** Blue and orange of Okabe and Ito, which color-blind people tell apart. */
const colors = { reinforced: [0, 114, 178], heldBack: [230, 159, 0], neither: [170, 170, 170] } as const;

function frameColor({ advantage = 0 }: SampleRecord): Color {
  if (advantage === 0) return colors.neither;
  return advantage > 0 ? colors.reinforced : colors.heldBack;
}

/** White pictures of the same size, to fill a row. */
function blanks({ width, height, data }: Image, count: number): Image[] {
  return Array.from({ length: count }, () => ({ width, height, data: new Uint8Array(data.length).fill(255) }));
}

/** The picture within a frame. */
function framed({ width, height, data }: Image, color: Color, border = 4): Image {
  const [across, down] = [width + 2 * border, height + 2 * border];
  const all = new Uint8Array(across * down * 3);
  for (let pixel = 0; pixel < across * down; pixel++) all.set(color, pixel * 3);
  for (let row = 0; row < height; row++)
    all.set(data.subarray(row * width * 3, (row + 1) * width * 3), ((row + border) * across + border) * 3);
  return { width: across, height: down, data: all };
}
