/** Folders of pictures: where each lies, and which of a benchmark's prompts it was drawn for. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Benchmark } from '../contracts/benchmark.ts';
import type { PromptItem } from '../contracts/dataset.ts';
import type { Image } from '../contracts/image.ts';
import type { NamedBenchmark } from '../contracts/recipe.ts';
import { PresetError } from '../errors.ts';
import type { LocatedPicture, PictureFolder, PictureGrid, PictureLayout } from '../contracts/picture-layout.ts';
import { diskError } from '../io/disk.ts';
import { decodeText, readBounded } from '../io/text.ts';

/** Where a benchmark without a layout of its own has its pictures: `00012/0003.png`. */
const plainLayout: PictureLayout = {
  file: (_item, index, copy) => `${digits(index, 5)}/${digits(copy, 4)}.png`,
  locate: (folder) => Promise.resolve(numberedPictures(folder.paths, /^(\d+)\/(\d+)\.(?:png|jpe?g|webp)$/i)),
};

export function layoutOf({ layout = plainLayout }: Benchmark): PictureLayout {
  return layout;
}

function digits(value: number, length: number): string {
  return String(value).padStart(length, '0');
}

/** Pictures whose path holds the number of the prompt and their own, in groups 1 and 2 of the pattern; own numbers are counted through from 0. */
export function numberedPictures(paths: readonly string[], pattern: RegExp): LocatedPicture[] {
  const found = paths.flatMap((path) => {
    const [, index, copy] = pattern.exec(path) ?? [];
    return index === undefined || copy === undefined ? [] : [{ path, index: Number(index), number: Number(copy) }];
  });
  found.sort((a, b) => a.index - b.index || a.number - b.number || (a.path < b.path ? -1 : 1));
  const copies = new Map<number, number>();
  return found.map(({ path, index }) => {
    const copy = copies.get(index) ?? 0;
    copies.set(index, copy + 1);
    return { path, index, copy };
  });
}

/** The pictures that a layout finds in a folder; by the names that it would give them, where it does not look by itself. */
export async function locatePictures(
  layout: PictureLayout,
  folder: PictureFolder,
  items: readonly PromptItem[],
): Promise<readonly LocatedPicture[]> {
  if (layout.locate !== undefined) return layout.locate(folder, items);
  const there = new Set(folder.paths);
  return items.flatMap((item, index) => {
    const found: LocatedPicture[] = [];
    for (let copy = 0; ; copy++) {
      const path = layout.file(item, index, copy);
      // A layout may give all pictures of a prompt one name: there is then one.
      if (!there.has(path) || path === found[0]?.path) return found;
      found.push({ path, index, copy });
      if (layout.grid !== undefined) return found;
    }
  });
}

/** Throws SHARED_PICTURE where two of the pictures to be drawn would have one name, and so one would lie where the other did. */
export function refuseSharedNames({ name, benchmark }: NamedBenchmark, items: readonly PromptItem[], copies = 1): void {
  const layout = layoutOf(benchmark);
  const owners = new Map<string, number>();
  for (const [index, item] of items.entries())
    for (let copy = 0; copy < (layout.grid === undefined ? copies : 1); copy++) {
      const file = layout.file(item, index, copy);
      const owner = owners.get(file);
      if (owner !== undefined) {
        const whose = owner === index ? `prompt ${index}` : `prompts ${owner} and ${index}`;
        throw new PresetError({
          code: 'SHARED_PICTURE',
          message: `benchmark "${name}": two pictures of ${whose}, counted from 0, would have one name: ${file}`,
          hint: 'a file of prompts names each with an id of its own; a layout gives every prompt and every copy another name',
        });
      }
      owners.set(file, index);
    }
}

/** Names of folders within folders that are looked at; deeper ones are no layout of anyone's. */
const deepest = 4;

/** The files of a folder; links are followed, hidden files are left out. Throws what a disk does wrong. */
export async function readPictureFolder(path: string): Promise<PictureFolder> {
  const list = async (inside: string, levels: number): Promise<string[]> => {
    const names = (await readdir(join(path, inside))).filter((name) => !name.startsWith('.')).toSorted();
    const files: string[] = [];
    for (const name of names) {
      const own = inside === '' ? name : `${inside}/${name}`;
      const status = await stat(join(path, own));
      if (status.isFile()) files.push(own);
      else if (status.isDirectory() && levels > 1) files.push(...(await list(own, levels - 1)));
    }
    return files;
  };
  try {
    const paths = await list('', deepest);
    return { paths, text: async (name) => decodeText(await readBounded(join(path, name), 'reading what was drawn')) };
  } catch (cause) {
    throw diskError(cause, 'reading a folder of pictures', path);
  }
}

/** What is wrong with the size of a grid; undefined when it is whole pictures. */
export function gridProblem(
  { width, height }: Pick<Image, 'width' | 'height'>,
  { rows, columns, tile }: PictureGrid,
): string | undefined {
  const isWhole = width % columns === 0 && height % rows === 0;
  const isTile = tile === undefined || (width === tile * columns && height === tile * rows);
  if (isWhole && isTile) return undefined;
  const wanted = tile === undefined ? 'of one size' : `of ${tile} x ${tile}`;
  return `${width} x ${height} pixels are no ${columns} x ${rows} pictures ${wanted}`;
}

/** Picture `copy` of a grid, counted row by row. RangeError where the grid has no whole pictures. */
export function pictureOfGrid(image: Image, grid: PictureGrid, copy: number): Image {
  const problem = gridProblem(image, grid);
  if (problem !== undefined) throw new RangeError(problem);
  const { rows, columns } = grid;
  const [width, height] = [image.width / columns, image.height / rows];
  const data = new Uint8Array(width * height * 3);
  const [left, top] = [(copy % columns) * width, Math.floor(copy / columns) * height];
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * image.width + left) * 3;
    data.set(image.data.subarray(from, from + width * 3), y * width * 3);
  }
  return { width, height, data };
}
