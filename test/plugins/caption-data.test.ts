/** Captioned pictures from files: every format gives the same examples, in an order that seed and position decide. */
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BadRow, ExampleSource, StoredDataset, StoredExample } from '../../core/plugin.ts';
import type { Scope } from '../../core/contracts/slots.ts';
import { findHubDataset } from '../../core/io/hub/dataset.ts';
import captionData from '../../plugins/caption-data/index.ts';
import { RowOrder } from '../../plugins/caption-data/order.ts';
import { pictureBytes } from '../../plugins/caption-data/pictures.ts';
import { isOfMachine } from '../../plugins/caption-data/rows.ts';
import { captionRows, picture, writeJsonLines, writeParquet, writeTar, type CaptionRow } from '../support/captions.ts';

let folder: string;
let rows: CaptionRow[];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'reasongen-captions-'));
  rows = await captionRows(300);
  writeParquet(join(folder, 'rows.parquet'), rows, 64);
  await writeTar(join(folder, 'rows.tar'), rows);
  await writeJsonLines(folder, rows);
});
const closing: (() => void | Promise<void>)[] = [];
afterAll(async () => {
  for (const close of closing) await close();
  rmSync(folder, { recursive: true });
});

async function open(
  path: string,
  more: object = {},
  part: 'training' | 'heldout' = 'training',
): Promise<ExampleSource> {
  const [component] = captionData.provides;
  if (component === undefined) throw new Error('no component');
  const scope = {
    get: () => Promise.resolve({ imageSize: { width: 8, height: 8 } }),
    log: { info: () => undefined },
    onDispose: (close: () => void) => void closing.push(close),
  } as unknown as Scope;
  const dataset = (await component.create(component.options.parse({ path, ...more }), scope)) as StoredDataset;
  const source = await dataset.open(part);
  if (source === undefined) throw new Error('nothing is held out');
  return source;
}

const isExample = (found: StoredExample | BadRow): found is StoredExample => 'prompt' in found;

async function texts(source: ExampleSource, count: number, seed = 1): Promise<string[]> {
  const found = await Promise.all(Array.from({ length: count }, (_, position) => source.at(position, seed)));
  return found.map((each) => (isExample(each) ? `${each.prompt} | ${each.rationale}` : `bad: ${each.why}`));
}

describe('formats', () => {
  test.each(['rows.parquet', 'rows.tar', 'rows.jsonl'])(
    '%s: every row, in order where none is shuffled',
    async (name) => {
      const source = await open(join(folder, name), { shuffleWindow: 0, crop: 'center' });
      expect(source.rows).toBe(300);
      const wanted = rows.map(
        ({ brief_caption: prompt, detailed_caption: rationale }) => `${prompt.slice(0, -1)} | ${rationale}`,
      );
      expect(await texts(source, 300)).toEqual(wanted);
      const example = await source.at(2, 1);
      if (!isExample(example)) throw new Error(example.why);
      const image = await example.picture();
      expect([image.width, image.height]).toEqual([8, 8]);
      expect([...image.data.subarray(0, 3)]).toEqual([40, 70, 210]);
    },
  );

  test('the same picture has the same hash in every format', async () => {
    const hashes = await Promise.all(
      ['rows.parquet', 'rows.tar', 'rows.jsonl'].map(async (name) => {
        const example = await (await open(join(folder, name), { shuffleWindow: 0, crop: 'center' })).at(5, 1);
        return isExample(example) ? example.pictureHash : example.why;
      }),
    );
    expect(new Set(hashes).size).toBe(1);
    expect(hashes[0]).toMatch(/^[0-9a-f]{64}$/);
  });

  test('a folder: all its files, or those one asks for', async () => {
    expect((await open(folder)).rows).toBe(900);
    expect((await open(folder, { include: 'parquet' })).rows).toBe(300);
    await expect(open(folder, { include: 'nothing' })).rejects.toMatchObject({ code: 'NO_DATA' });
  });
});

describe('order', () => {
  test('every epoch visits each row once, and no two in the same order', () => {
    const order = new RowOrder([[64, 64, 64, 8], [100]], 120);
    const epoch = (number: number): string[] =>
      Array.from({ length: order.rows }, (_, within) => JSON.stringify(order.at(number * order.rows + within, 3)));
    const [first, second] = [epoch(0), epoch(1)];
    expect(new Set(first).size).toBe(300);
    expect(second).not.toEqual(first);
    expect([...second].sort()).toEqual([...first].sort());
    // A position alone decides: the same from a reader that begins in the middle.
    expect(JSON.stringify(new RowOrder([[64, 64, 64, 8], [100]], 120).at(377, 3))).toBe(second[77]);
    expect(epoch(0)).toEqual(first);
  });

  test('rows of one window come from few blocks', () => {
    const order = new RowOrder([Array<number>(50).fill(20)], 100);
    const blocks = new Set(Array.from({ length: 100 }, (_, position) => order.at(position, 9).block));
    expect(blocks.size).toBe(5);
    expect(order.blocksAtOnce(9)).toBe(5);
  });

  test('ranks share the rows: together all, none twice', async () => {
    const shares = await Promise.all(
      [0, 1, 2].map(async (index) => {
        const source = await open(join(folder, 'rows.parquet'), { shard: { index, count: 3 } });
        expect(source.rows).toBe(100);
        const found = await Promise.all(Array.from({ length: 100 }, (_, position) => source.at(position, 4)));
        return found.map((each) => each.place);
      }),
    );
    expect(new Set(shares.flat()).size).toBe(300);
  });
});

test('rows that are held out are the same whatever the seed, and never among the others', async () => {
  const options = { heldOut: 0.2 };
  const file = join(folder, 'rows.parquet');
  const placesOf = async (source: ExampleSource, seed: number): Promise<string[]> =>
    (await Promise.all(Array.from({ length: source.rows }, (_, position) => source.at(position, seed)))).map(
      ({ place }) => place,
    );
  const [training, heldOut] = [await open(file, options), await open(file, options, 'heldout')];
  expect(training.rows + heldOut.rows).toBe(300);
  expect(heldOut.rows).toBeGreaterThan(40);
  expect(heldOut.rows).toBeLessThan(80);
  const kept = await placesOf(heldOut, 1);
  expect(await placesOf(heldOut, 2)).toEqual(kept);
  expect((await placesOf(training, 1)).filter((place) => kept.includes(place))).toEqual([]);
  await expect(open(file, {}, 'heldout')).rejects.toThrow('nothing is held out');
});

describe('texts', () => {
  test('prompts are drawn from every field, anew at every position', async () => {
    const source = await open(join(folder, 'rows.parquet'), {
      prompts: ['short_caption', 'paraphrases', 'varied_captions', 'tags', 'object_prompts'],
      rationales: ['step_by_step', 'object_centric'],
      rationaleShare: 0.5,
    });
    const found = await texts(source, 300);
    const kinds = [/^\w+ it is \|/, /^(one in|all) \w+ \|/, /^\w+, picture \|/, /^paint, \w+ and it \|/];
    for (const kind of kinds) expect(found.filter((text) => kind.test(text)).length).toBeGreaterThan(40);
    expect(found.every((text) => kinds.some((kind) => kind.test(text)))).toBe(true);
    const own = found.filter((text) => /\| paint it \w+ \.$/.test(text)).length;
    expect(own).toBeGreaterThan(100);
    expect(own).toBeLessThan(200);
    expect(await texts(source, 300)).toEqual(found);
  });

  test('random squares differ from position to position and repeat with it; the middle is always the same', async () => {
    const wide = await picture('red', 40, 8);
    const file = join(folder, 'wide', 'rows.jsonl');
    await writeJsonLines(join(folder, 'wide'), [{ ...(rows[0] as CaptionRow), image: wide }]);
    const hashes = async (crop: string): Promise<string[]> => {
      const source = await open(file, { crop });
      return Promise.all(
        [0, 1, 2, 0].map(async (position) => ((await source.at(position, 1)) as StoredExample).pictureHash),
      );
    };
    const [random, center] = [await hashes('random'), await hashes('center')];
    expect(new Set(random).size).toBe(3);
    expect(random[3]).toBe(random[0]);
    expect(new Set(center).size).toBe(1);
    rmSync(join(folder, 'wide'), { recursive: true });
  });
});

describe('what is wrong with a row is said, with its place', () => {
  test('texts, pictures and lines', async () => {
    const good = rows[0] as CaptionRow;
    const lines = [
      JSON.stringify(good),
      '{"image":',
      JSON.stringify({ ...good, detailed_caption: '' }),
      JSON.stringify({ ...good, image: 'nowhere.png' }),
      JSON.stringify({ ...good, image: '../../etc/passwd' }),
      JSON.stringify({ ...good, image: 5 }),
      JSON.stringify({ ...good, image: 'data:image/svg+xml;utf8,<svg/>' }),
    ];
    const file = join(folder, 'bad.jsonl');
    writeFileSync(file, lines.join('\n'));
    const source = await open(file, { shuffleWindow: 0 });
    const found = await Promise.all(lines.map((_, position) => source.at(position, 1)));
    expect(found.map((each) => (isExample(each) ? (each.whyNoRationale ?? 'good') : each.why))).toEqual([
      'good',
      'it is not a JSON object',
      'detailed_caption is empty',
      expect.stringMatching(/^its picture cannot be read \(ENOENT/) as string,
      'its picture lies outside the folder of the data: ../../etc/passwd',
      'it has no picture',
      'its picture is a data URI of another kind than image/…;base64',
    ]);
    expect(found[3]?.place).toBe(`${file}, row 4`);
    rmSync(file);
  });

  test.runIf(existsSync('/proc/self/mem'))('a disk that fails is nothing that is wrong with a row', async () => {
    // Its first page belongs to nobody.
    await expect(pictureBytes('mem', '/proc/self/rows.jsonl')).rejects.toMatchObject({
      code: 'DISK_FAILURE',
      place: '/proc/self/mem',
    });
    for (const code of ['EIO', 'EMFILE', 'ESTALE'])
      expect(isOfMachine(Object.assign(new Error(code), { code }))).toBe(true);
    for (const code of ['ENOENT', 'EISDIR', 'ENAMETOOLONG'])
      expect(isOfMachine(Object.assign(new Error(code), { code }))).toBe(false);
  });

  test('files that are cut off, empty or without the columns', async () => {
    const cut = join(folder, 'cut.parquet');
    writeFileSync(cut, readFileSync(join(folder, 'rows.parquet')));
    truncateSync(cut, 5000);
    await expect(open(cut)).rejects.toMatchObject({ code: 'BAD_PARQUET', place: cut });
    const tar = join(folder, 'cut.tar');
    writeFileSync(tar, readFileSync(join(folder, 'rows.tar')).subarray(0, 10_500));
    await expect(open(tar)).rejects.toMatchObject({ code: 'BAD_TAR', place: tar });
    await expect(
      open(join(folder, 'rows.parquet'), {
        columns: {
          image: 'picture',
          prompt: 'short',
          rationale: 'long',
          augmentedPrompts: 'x',
          augmentedRationales: 'y',
        },
      }),
    ).rejects.toMatchObject({
      code: 'NO_COLUMNS',
      message: expect.stringMatching(/the columns are image, brief_caption, detailed_caption/) as string,
    });
    await expect(open(join(folder, 'nowhere'))).rejects.toMatchObject({ code: 'DATASET_NOT_FOUND', exitCode: 2 });
    for (const file of [cut, tar]) rmSync(file);
  });

  test('a data set that was never fetched from a hub', () => {
    expect(() => findHubDataset('Someone/Pictures', { HF_HUB_CACHE: folder })).toThrow(
      expect.objectContaining({
        code: 'NOT_IN_CACHE',
        hint: expect.stringContaining('hf download Someone/Pictures --repo-type dataset') as string,
      }) as Error,
    );
  });
});
