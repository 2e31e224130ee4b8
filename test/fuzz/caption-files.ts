/** Reads a file of captioned pictures as a run does: the files it names, then every row, its texts and its picture. */
import { namedFiles } from '../../core/io/named-files.ts';
import { openFiles, textsOfFile } from '../../plugins/caption-data/files.ts';
import { CaptionSource } from '../../plugins/caption-data/source.ts';
import { promptFields, rationaleFields } from '../../plugins/caption-data/texts.ts';
import { captionColumns as columns } from '../support/captions.ts';

export async function readAll(path: string): Promise<void> {
  await namedFiles(path, textsOfFile);
  const files = await openFiles(path, undefined, columns);
  const source = new CaptionSource(files, {
    size: 8,
    crop: 'random',
    imageColumn: columns.image,
    texts: { columns, promptFields, rationaleFields, rationaleShare: 0.5 },
    shuffleWindow: 100,
    heldOut: { share: 0, isRead: false },
    shard: { index: 0, count: 1 },
  });
  try {
    for (let position = 0; position < Math.min(source.rows, 64); position++) {
      const found = await source.at(position, 3);
      if ('why' in found) continue;
      await found.picture().catch((error: unknown) => {
        if (!(error instanceof RangeError)) throw error;
      });
    }
  } finally {
    await source.close();
  }
}
