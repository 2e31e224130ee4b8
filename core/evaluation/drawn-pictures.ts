/**
 * Pictures of a benchmark, drawn into a folder of the run in the layout that the benchmark's original scorer reads. What lies there complete is
 * not drawn again.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { NamedBenchmark, RunContext } from '../contracts/recipe.ts';
import type { Sample } from '../contracts/reward.ts';
import type { Drawer, Drawing } from '../drawing/drawer.ts';
import { underWay } from '../drawing/under-way.ts';
import { DrawingRecords, pictureHash, type DrawingSettings, type KnownDrawing } from '../drawing/records.ts';
import { diskError, replaceFile } from '../io/disk.ts';
import { mkdir } from '../io/files.ts';
import { contactSheet, decodePicture, encodePng } from '../io/image.ts';
import { pictureOfGrid, layoutOf } from './layouts.ts';
import { type Picture, type PictureSource, sampleOf } from './pictures.ts';
import type { EvaluationPlan } from './record.ts';

export interface DrawingPlace {
  readonly named: NamedBenchmark;
  readonly plan: EvaluationPlan;
  /** Relative to the directory of the run. */
  readonly folder: string;
  /** What all drawings of the folder have in common. */
  readonly settings: DrawingSettings;
}

interface Share {
  readonly start: number;
  readonly end: number;
  readonly isThere: boolean;
}

interface DrawnShare extends Pick<Share, 'start' | 'end'> {
  /** Absent where they were there. */
  readonly drawings?: readonly Drawing[];
}

/** Draws what is missing, and gives every picture, prompts in order. Ends early when a stop is requested. */
export async function* drawnPictures(context: RunContext, drawer: Drawer, place: DrawingPlace): PictureSource {
  drawer.refuseTooLong(place.plan.items);
  const folder = await BenchmarkFolder.open(context, place);
  const { items, samplesPerPrompt, seed, label, step, split } = place.plan;
  const progress = context.log.progress(`drawing ${place.named.name} (${split})`, items.length * samplesPerPrompt, {
    unit: 'picture',
    done: folder.count,
  });
  /** Prompts that are there, or that are not. */
  const shares = function* (): Generator<Share> {
    for (let start = 0, end = 0; start < items.length && !context.stop.requested; start = end) {
      const isThere = folder.has(start);
      end = start + 1;
      while (end < items.length && end - start < drawer.prompts && folder.has(end) === isThere) end++;
      yield { start, end, isThere };
    }
  };
  const draw = async ({ start, end, isThere }: Share): Promise<DrawnShare> => {
    if (isThere) return { start, end };
    const purpose = { label, step, phase: 'evaluation' } as const;
    const drawings = await drawer.draw(items.slice(start, end), seed, purpose, start, (now) =>
      progress.advance(0, `${now.phase} token ${now.step} of ${now.steps}`),
    );
    return { start, end, drawings };
  };
  if (folder.count > 0)
    context.log.info(`${folder.count} of ${items.length * samplesPerPrompt} pictures are there already`);
  try {
    for await (const { start, end, drawings } of underWay(shares(), drawer.sharesAhead, draw)) {
      if (drawings === undefined) yield folder.pictures(start, end);
      else {
        yield await folder.save(start, drawings);
        progress.advance(drawings.length);
      }
    }
  } finally {
    progress.end();
  }
}

/** The pictures of one benchmark in the directory of a run. */
class BenchmarkFolder {
  readonly #root: string;
  readonly #place: DrawingPlace;
  readonly #records: DrawingRecords;

  private constructor(root: string, place: DrawingPlace, records: DrawingRecords) {
    this.#root = root;
    this.#place = place;
    this.#records = records;
  }

  static async open({ directory }: RunContext, place: DrawingPlace): Promise<BenchmarkFolder> {
    const { items, samplesPerPrompt } = place.plan;
    const layout = layoutOf(place.named.benchmark);
    const folder = join(directory.path, place.folder);
    try {
      await mkdir(folder, { recursive: true });
    } catch (cause) {
      throw diskError(cause, 'making a folder for pictures', folder);
    }
    const itemOf = (index: number): EvaluationPlan['items'][number] | undefined =>
      items[Math.floor(index / samplesPerPrompt)];
    const records = await DrawingRecords.open({
      folder,
      settings: place.settings,
      prompt: (index) => itemOf(index)?.prompt,
      file: (index) => {
        const item = itemOf(index);
        return item === undefined
          ? ''
          : layout.file(item, Math.floor(index / samplesPerPrompt), index % samplesPerPrompt);
      },
      lines: `${folder}.jsonl`,
    });
    return new BenchmarkFolder(directory.path, place, records);
  }

  get count(): number {
    return this.#records.count;
  }

  /** Whether all pictures of a prompt are there. */
  has(prompt: number): boolean {
    const { samplesPerPrompt } = this.#place.plan;
    return Array.from({ length: samplesPerPrompt }, (_, copy) => prompt * samplesPerPrompt + copy).every((index) =>
      this.#records.has(index),
    );
  }

  /** Pictures of prompts that are there. */
  pictures(start: number, end: number): Picture[] {
    const { samplesPerPrompt } = this.#place.plan;
    return Array.from({ length: (end - start) * samplesPerPrompt }, (_, offset) => {
      const index = start * samplesPerPrompt + offset;
      const known = this.#records.get(index);
      if (known === undefined) throw new RangeError(`drawing ${index} is not there`);
      return this.#picture(index, known.file, known.sha256, () => this.#read(index, known));
    });
  }

  /** Writes drawings, prompts from `start` on, those that are there already among them, and the files beside. */
  async save(start: number, drawings: readonly Drawing[]): Promise<Picture[]> {
    const { items, samplesPerPrompt } = this.#place.plan;
    const layout = layoutOf(this.#place.named.benchmark);
    const pictures: Picture[] = [];
    for (let from = 0; from < drawings.length; from += samplesPerPrompt) {
      const prompt = start + from / samplesPerPrompt;
      const item = items[prompt];
      if (item === undefined) throw new RangeError(`there is no prompt ${prompt}`);
      await this.#writeBeside(layout.beside?.(item, prompt) ?? {});
      const copies = drawings.slice(from, from + samplesPerPrompt);
      const files = layout.grid === undefined ? copies.map((each) => [each]) : [copies];
      for (const [copy, together] of files.entries())
        pictures.push(
          ...(await this.#saveFile(together, prompt * samplesPerPrompt + copy, layout.file(item, prompt, copy))),
        );
    }
    return pictures;
  }

  async #saveFile(drawings: readonly Drawing[], first: number, file: string): Promise<Picture[]> {
    const { settings, named } = this.#place;
    const { grid } = layoutOf(named.benchmark);
    const images = drawings.map(({ sample }) => sample.image);
    const [image] = images;
    const [one] = drawings;
    if (image === undefined || one === undefined) throw new RangeError('unreachable: a file without a drawing');
    const words = Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)]));
    const { prompt } = one.sample;
    const rationale = drawings.map(({ sample }) => sample.rationale).join('\n\n');
    const png = await encodePng(grid === undefined ? image : contactSheet(images, grid.columns, 0), {
      ...words,
      prompt,
      rationale,
    });
    const records = drawings.map(({ sample, sequence }, copy) => ({
      index: first + copy,
      file,
      prompt,
      rationale: sample.rationale,
      rationaleGiven: false,
      rationaleEnded: sample.rationaleEnded,
      settings,
      codes: sequence.codes,
    }));
    await this.#records.add(records, png);
    const hash = pictureHash(png);
    return drawings.map(({ sample }, copy) => this.#picture(first + copy, file, hash, () => Promise.resolve(sample)));
  }

  #picture(index: number, file: string, sha256: string, load: () => Promise<Sample>): Picture {
    const { items, samplesPerPrompt } = this.#place.plan;
    const [prompt, copy] = [Math.floor(index / samplesPerPrompt), index % samplesPerPrompt];
    const item = items[prompt];
    if (item === undefined) throw new RangeError(`there is no prompt ${prompt}`);
    const isGrid = layoutOf(this.#place.named.benchmark).grid !== undefined;
    return {
      index: prompt,
      copy,
      item,
      file: `${this.#place.folder}/${file}`,
      hash: () => (isGrid ? `${sha256}#${copy}` : sha256),
      load,
    };
  }

  async #read(index: number, known: KnownDrawing): Promise<Sample> {
    const { items, samplesPerPrompt, label, step } = this.#place.plan;
    const { grid } = layoutOf(this.#place.named.benchmark);
    const [prompt, copy] = [Math.floor(index / samplesPerPrompt), index % samplesPerPrompt];
    const item = items[prompt];
    if (item === undefined) throw new RangeError(`there is no prompt ${prompt}`);
    const image = await decodePicture(await readFile(join(this.#root, this.#place.folder, known.file)));
    return sampleOf({ index: prompt, copy, item }, grid === undefined ? image : pictureOfGrid(image, grid, copy), {
      ...known,
      id: `${label}-${index}`,
      step,
    });
  }

  async #writeBeside(files: Readonly<Record<string, string>>): Promise<void> {
    for (const [name, text] of Object.entries(files)) {
      const path = join(this.#root, this.#place.folder, name);
      if (existsSync(path)) continue;
      try {
        await mkdir(dirname(path), { recursive: true });
        await replaceFile(path, text);
      } catch (cause) {
        throw diskError(cause, `saving ${name}`, path);
      }
    }
  }
}
