/** Pictures of a benchmark that some other tool has made: found in a folder, looked at before any judge is asked, read one by one. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PromptItem } from '../contracts/dataset.ts';
import type { LocatedPicture, PictureGrid } from '../contracts/picture-layout.ts';
import type { NamedBenchmark, RunContext } from '../contracts/recipe.ts';
import type { Sample } from '../contracts/reward.ts';
import { PresetError } from '../errors.ts';
import { pictureHash } from '../drawing/records.ts';
import { decodePicture, pictureSize } from '../io/image.ts';
import { groupBy } from './group-by.ts';
import {
  gridProblem,
  layoutOf,
  locatePictures,
  pictureOfGrid,
  readPictureFolder,
  refuseSharedNames,
} from './layouts.ts';
import { type MissingPicture, type Picture, type PictureSource, sampleOf } from './pictures.ts';

export interface GivenPictures {
  /** Prompts in order, as the folder has them. */
  readonly items: readonly PromptItem[];
  readonly samplesPerPrompt: number;
  /** In what the folder departs from the benchmark. */
  readonly departures: readonly string[];
  readonly source: PictureSource;
}

export interface GivenOptions {
  readonly folder: string;
  readonly items: readonly PromptItem[];
  /** Prompts without any picture are left out instead of counting as wrong. */
  readonly isPartial: boolean;
}

/** Pictures of one prompt that are looked at together. */
const promptsAtOnce = 16;
/** Files that are named in one message. */
const mostNamed = 5;

/** Throws NO_PICTURES where there is none of this benchmark, BAD_PICTURES for files that are no pictures or of a wrong size. */
export async function givenPictures(
  context: RunContext,
  named: NamedBenchmark,
  { folder, items: wanted, isPartial }: GivenOptions,
): Promise<GivenPictures> {
  const { name, benchmark } = named;
  refuseSharedNames(named, wanted);
  const layout = layoutOf(benchmark);
  const located = await locatePictures(layout, await readPictureFolder(folder), wanted);
  const known = located.filter(({ index, item }) => item !== undefined || wanted[index] !== undefined);
  if (known.length === 0) {
    const first = wanted[0] === undefined ? '' : layout.file(wanted[0], 0, 0);
    throw new PresetError({
      code: 'NO_PICTURES',
      message: `no picture in this folder belongs to a prompt of benchmark "${name}"`,
      place: folder,
      hint: `the first of them would be ${first}`,
    });
  }
  await refuseBad(folder, known, layout.grid);
  const { grid } = layout;
  const files = groupBy(known, ({ index }) => index);
  const copies =
    grid === undefined
      ? copiesOf(
          [...files.values()].map(({ length }) => length),
          benchmark.samplesPerPrompt,
        )
      : grid.rows * grid.columns;
  const numbers = [...new Set([...(isPartial ? [] : wanted.keys()), ...files.keys()])].toSorted((a, b) => a - b);
  const items = numbers
    .map((number) => files.get(number)?.[0]?.item ?? wanted[number])
    .filter((item) => item !== undefined);
  const reworded = numbers.filter((number, at) => items[at]?.prompt !== wanted[number]?.prompt).length;
  const extra = grid === undefined ? known.filter(({ copy }) => copy >= copies).length : 0;
  const departures = [
    ...(reworded === 0 ? [] : [`${reworded} of ${items.length} prompts are worded otherwise in the folder`]),
    ...(extra === 0 ? [] : [`${extra} pictures beyond ${copies} of their prompt are left out`]),
  ];
  async function* source(): PictureSource {
    const progress = context.log.progress(`judging ${name}`, items.length * copies, { unit: 'picture' });
    try {
      for (let start = 0; start < numbers.length && !context.stop.requested; start += promptsAtOnce) {
        const pictures = await Promise.all(
          numbers.slice(start, start + promptsAtOnce).flatMap((number, offset) => {
            const item = items[start + offset];
            if (item === undefined) throw new RangeError(`there is no prompt ${start + offset}`);
            return Array.from({ length: copies }, (_, copy) => {
              const file =
                grid === undefined ? files.get(number)?.find((each) => each.copy === copy) : files.get(number)?.[0];
              const place = { index: start + offset, copy, item };
              return file === undefined
                ? Promise.resolve({ ...place, isMissing: true as const })
                : pictureIn(folder, file, place, grid);
            });
          }),
        );
        yield pictures;
        progress.advance(pictures.length);
      }
    } finally {
      progress.end();
    }
  }
  return { items, samplesPerPrompt: copies, departures, source: source() };
}

/**
 * Pictures of each prompt that count: as many as the benchmark wants, where some prompt has them, or the most that any has; more only where most prompts have
 * more. One that lies there by mistake is thus no demand on all other prompts.
 */
export function copiesOf(counts: readonly number[], wanted = Infinity): number {
  const most = Math.max(...counts);
  const sorted = counts.toSorted((a, b) => a - b);
  const usual = sorted[Math.floor((sorted.length - 1) / 2)] ?? most;
  return Math.max(usual, Math.min(most, wanted));
}

async function pictureIn(
  folder: string,
  { path }: LocatedPicture,
  place: Omit<MissingPicture, 'isMissing'>,
  grid: PictureGrid | undefined,
): Promise<Picture> {
  const bytes = await readFile(join(folder, path));
  const hash = pictureHash(bytes);
  return {
    ...place,
    file: join(folder, path),
    hash: () => (grid === undefined ? hash : `${hash}#${place.copy}`),
    load: async (): Promise<Sample> => {
      const image = await decodePicture(bytes);
      return sampleOf(place, grid === undefined ? image : pictureOfGrid(image, grid, place.copy));
    },
  };
}

/** Files that begin like no picture, and grids that hold no whole pictures: all of them are found before any judge is asked. */
async function refuseBad(
  folder: string,
  located: readonly LocatedPicture[],
  grid: PictureGrid | undefined,
): Promise<void> {
  const bad: string[] = [];
  for (const path of new Set(located.map((each) => each.path))) {
    try {
      const size = await pictureSize(join(folder, path));
      const problem = grid === undefined ? undefined : gridProblem(size, grid);
      if (problem !== undefined) bad.push(`${path}: ${problem}`);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      bad.push(`${path}: ${error.message}`);
    }
  }
  if (bad.length === 0) return;
  const more = bad.length > mostNamed ? `; and ${bad.length - mostNamed} more` : '';
  throw new PresetError({
    code: 'BAD_PICTURES',
    message: `${bad.length} of ${located.length} pictures cannot be judged: ${bad.slice(0, mostNamed).join('; ')}${more}`,
    place: folder,
    hint: 'make them again, or take them away: a picture that is missing counts as wrong',
  });
}
