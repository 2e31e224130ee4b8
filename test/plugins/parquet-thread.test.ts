/** The thread that decodes parquet files: what it meets, and what may happen to it, ends in one named message. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { Faults } from '../../core/faults.ts';
import { makeReadsFaulty } from '../../core/io/faulty-files.ts';
import { ReasongenError } from '../../core/plugin.ts';
import { openFiles } from '../../plugins/caption-data/files.ts';
import { openParquet } from '../../plugins/caption-data/parquet.ts';
import { ParquetThread, type ParquetThreadOptions } from '../../plugins/caption-data/parquet-thread.ts';
import { CaptionSource } from '../../plugins/caption-data/source.ts';
import { UnreadableRow } from '../../plugins/caption-data/rows.ts';
import { captionColumns as columns, captionRows, writeParquet } from '../support/captions.ts';

let folder: string;
let path: string;
const faults = new Faults();
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'reasongen-thread-'));
  path = join(folder, 'rows.parquet');
  writeParquet(path, await captionRows(12), 4);
  makeReadsFaulty(faults);
});
afterEach(() => faults.arm(undefined));
afterAll(() => rmSync(folder, { recursive: true }));

async function prompts(): Promise<string[]> {
  const source = new CaptionSource(await openFiles(path, undefined, columns), {
    size: 8,
    crop: 'center',
    imageColumn: 'image',
    texts: { columns, promptFields: [], rationaleFields: [], rationaleShare: 0 },
    shuffleWindow: 0,
    heldOut: { share: 0, isRead: false },
    shard: { index: 0, count: 1 },
  });
  try {
    const found: string[] = [];
    for (let position = 0; position < source.rows; position++) {
      const row = await source.at(position, 0);
      found.push('why' in row ? row.why : row.prompt);
    }
    return found;
  } finally {
    await source.close();
  }
}

test('every read of it meets faults: a disk that fails is named and no row is passed over, a short read is gone on with', async () => {
  faults.arm(undefined);
  const undisturbed = await prompts();
  const { read = 0 } = faults.outcome.counts;
  expect(undisturbed).toHaveLength(12);
  // The footer, and each row group.
  expect(read).toBe(4);
  for (let occurrence = 1; occurrence <= read; occurrence++) {
    faults.arm({ point: 'read', occurrence, kind: 'EIO' });
    const error = await prompts().catch((cause: unknown) => cause);
    expect(error, `read ${occurrence}`).toBeInstanceOf(ReasongenError);
    expect(error).toMatchObject({ code: 'DISK_FAILURE', exitCode: 6 });
    expect((error as ReasongenError).place).toContain('rows.parquet');
    faults.arm({ point: 'read', occurrence, kind: 'short' });
    expect(await prompts(), `read ${occurrence}`).toEqual(undisturbed);
  }
});

/** A thread that answers the first question by `program`. */
async function refusal(program: string, options: Partial<ParquetThreadOptions> = {}): Promise<unknown> {
  const file = join(folder, `${Math.random()}.mjs`);
  writeFileSync(
    file,
    `import { parentPort } from 'node:worker_threads';\nparentPort.on('message', () => { ${program} });\n`,
  );
  const thread = new ParquetThread({ ...options, program: pathToFileURL(file) });
  return openParquet(path, Object.values(columns), thread).catch((cause: unknown) => cause);
}

test.each<[string, string, RegExp]>([
  ['throws', "throw new Error('out of order')", /\(out of order\)/],
  ['ends itself', 'process.exit(3)', /\(the thread that decodes it ended\)/],
  [
    'takes memory without an end',
    'const all = []; for (;;) all.push({ all });',
    /\(decoding it takes too much memory\)/,
  ],
  ['answers what cannot be sent', 'parentPort.postMessage(() => 0)', /\(the thread that decodes it failed\)/],
])('a thread that %s: one message with the file', async (_, program, why) => {
  const error = await refusal(program, { heap: 24 });
  expect(error).toBeInstanceOf(ReasongenError);
  expect(error).toMatchObject({ code: 'BAD_PARQUET', place: path, exitCode: 6 });
  expect((error as ReasongenError).message).toMatch(why);
});

test('after a thread has ended another one answers', async () => {
  const thread = new ParquetThread({ heap: 24 });
  const before = await thread.layout(path);
  await thread.close();
  expect(await thread.layout(path)).toEqual(before);
  await thread.close();
});

test('whatever a file claims, an answer takes no more memory than the machine can spare; that is no fault of the file', async () => {
  const large = join(folder, 'large.parquet');
  const data = [new Uint8Array(3_000_000)];
  const named = ['image', 'caption'].map((name) => ({ name, data, type: 'BYTE_ARRAY' as const }));
  writeFileSync(large, new Uint8Array(parquetWriteBuffer({ columnData: named, codec: 'UNCOMPRESSED' })));
  const read = async (memory: number): Promise<unknown> => {
    const file = await openParquet(large, ['image', 'caption'], new ParquetThread({ memory: () => memory }));
    try {
      return await (await file.read(0)).row(0);
    } finally {
      await file.close();
    }
  };
  expect(await read(2 ** 30)).not.toBeInstanceOf(UnreadableRow);
  await expect(read(4_000_000)).rejects.toMatchObject({ code: 'ENOMEM' });
});
