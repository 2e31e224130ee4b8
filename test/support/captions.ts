/** Captioned pictures of the world of swatches in files of every format the dataset of files reads. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { pack } from 'tar-stream';
import { encodePng } from '../../core/io/image.ts';
import { colorNames, palette, type ColorName } from './colors.ts';

export interface CaptionRow {
  readonly image: string | Uint8Array;
  readonly brief_caption: string;
  readonly detailed_caption: string;
  readonly augmented_prompts: Readonly<Record<string, unknown>>;
  readonly augmented_cots: Readonly<Record<string, unknown>>;
}

/** Where the dataset of files finds them, unless told otherwise. */
export const captionColumns = {
  image: 'image',
  prompt: 'brief_caption',
  rationale: 'detailed_caption',
  augmentedPrompts: 'augmented_prompts',
  augmentedRationales: 'augmented_cots',
};

/** A picture of one color, wider than high, as a PNG. */
export async function picture(color: ColorName, width = 12, height = 10): Promise<Uint8Array> {
  const data = new Uint8Array(width * height * 3);
  for (let at = 0; at < data.length; at += 3) data.set(palette[color], at);
  return new Uint8Array(await encodePng({ width, height, data }));
}

export async function captionRows(count: number): Promise<CaptionRow[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, index): Promise<CaptionRow> => {
      const color = colorNames[index % colorNames.length] ?? 'red';
      const png = await picture(color);
      return {
        image: `data:image/png;base64,${Buffer.from(png).toString('base64')}`,
        brief_caption: `a ${color} picture.`,
        detailed_caption: `paint it ${color} .`,
        augmented_prompts: {
          short_caption: `${color} it is`,
          paraphrases: [`one in ${color}`, `all ${color}`],
          varied_captions: [],
          tags: [color, 'picture'],
          object_prompts: ['paint', color, 'it'],
        },
        augmented_cots: {
          step_by_step: `a picture paint it ${color} .`,
          object_centric: [`it ${color}`],
          region_descriptions: [],
          tags: [color],
        },
      };
    }),
  );
}

/** As the published data set has it: texts and structs as JSON, in row groups of a given size. */
export function writeParquet(path: string, rows: readonly CaptionRow[], rowGroupSize: number): void {
  const column = (name: keyof CaptionRow): unknown[] => rows.map((row) => row[name]);
  const columnData = [
    { name: 'image', data: column('image'), type: 'STRING' as const },
    { name: 'brief_caption', data: column('brief_caption'), type: 'STRING' as const },
    { name: 'detailed_caption', data: column('detailed_caption'), type: 'STRING' as const },
    { name: 'augmented_prompts', data: column('augmented_prompts'), type: 'JSON' as const },
    { name: 'augmented_cots', data: column('augmented_cots'), type: 'JSON' as const },
    { name: 'aesthetic', data: rows.map((_, index) => index / 10), type: 'DOUBLE' as const },
  ];
  writeFileSync(path, new Uint8Array(parquetWriteBuffer({ columnData, rowGroupSize })));
}

/** JSON Lines with pictures in a folder beside them. */
export async function writeJsonLines(folder: string, rows: readonly CaptionRow[]): Promise<string> {
  mkdirSync(join(folder, 'pictures'), { recursive: true });
  const lines = rows.map((row, index) => {
    const name = `pictures/${index}.png`;
    writeFileSync(join(folder, name), bytesOf(row));
    return JSON.stringify({ ...row, image: name });
  });
  const path = join(folder, 'rows.jsonl');
  writeFileSync(path, `${lines.join('\n')}\n\n`);
  return path;
}

/** A WebDataset archive in a file: NAME.png and NAME.json for each row. */
export async function writeTar(path: string, rows: readonly CaptionRow[]): Promise<void> {
  writeFileSync(path, await tarOf(rows));
}

/** A WebDataset archive: NAME.png and NAME.json for each row. */
export async function tarOf(rows: readonly CaptionRow[]): Promise<Uint8Array> {
  const archive = pack();
  const chunks: Buffer[] = [];
  archive.on('data', (chunk) => void chunks.push(chunk as Buffer));
  const ended = new Promise<void>((resolve) => {
    archive.on('end', () => resolve());
  });
  rows.forEach((row, index) => {
    // Long enough for an extended header now and then.
    const stem = `${index % 3 === 0 ? `${'folder-'.repeat(20)}/` : ''}sample-${String(index).padStart(6, '0')}`;
    archive.entry({ name: `${stem}.png` }, Buffer.from(bytesOf(row)));
    archive.entry({ name: `${stem}.json` }, JSON.stringify({ ...row, image: undefined }));
  });
  archive.finalize();
  await ended;
  return Buffer.concat(chunks);
}

function bytesOf({ image }: CaptionRow): Uint8Array {
  return typeof image === 'string' ? Buffer.from(image.slice(image.indexOf(',') + 1), 'base64') : image;
}
