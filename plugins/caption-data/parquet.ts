/** Parquet files; a block is a row group. https://parquet.apache.org/docs/file-format */
import { ReasongenError, shorten } from '../../core/plugin.ts';
import { ParquetFailure, ParquetThread } from './parquet-thread.ts';
import { UnreadableRow, type RowFile } from './rows.ts';

/** `columns`: those that are wanted; a file that has none of them is refused. `thread` is closed with the file. */
export async function openParquet(path: string, columns: readonly string[], thread: ParquetThread): Promise<RowFile> {
  const layout = await thread.layout(path).catch((cause: unknown) => {
    if (!(cause instanceof ParquetFailure)) throw cause;
    throw new ReasongenError({
      code: 'BAD_PARQUET',
      message: `this is no whole parquet file (${shorten(cause.message, 200)})`,
      place: path,
      hint: 'copy or download the file again',
      exitCode: 6,
      cause,
    });
  });
  const wanted = columns.filter((name) => layout.columns.includes(name));
  if (wanted.length < 2) {
    throw new ReasongenError({
      code: 'NO_COLUMNS',
      message: `the columns are ${shorten(layout.columns.join(', '), 400)}; wanted are ${columns.join(', ')}`,
      place: path,
      hint: 'name the columns in dataset.columns',
      exitCode: 2,
    });
  }
  const blocks = layout.groups.map(({ rows }) => rows);
  let start = 0;
  const starts = blocks.map((rows) => (start += rows) - rows);
  return {
    path,
    blocks,
    async read(block) {
      const [first = 0, count = 0] = [starts[block], blocks[block]];
      try {
        const rows = await thread.rows(path, wanted, [first, first + count], layout.groups[block]?.bytes ?? 0);
        return { row: async (index) => rows[index] ?? new UnreadableRow('it is missing') };
      } catch (cause) {
        if (!(cause instanceof ParquetFailure)) throw cause;
        const all = new UnreadableRow(`its row group cannot be read (${shorten(cause.message, 200)})`);
        return { row: async () => all };
      }
    },
    close: () => thread.close(),
  };
}

/** Texts that may be paths of pictures, up to what cannot be read: who reads the rows says that. */
export async function* parquetTexts(path: string): AsyncGenerator<string> {
  const thread = new ParquetThread();
  try {
    const { groups } = await thread.layout(path);
    for (const [index, { textBytes }] of groups.entries())
      if (textBytes > 0) yield* await thread.texts(path, index, textBytes);
  } catch (cause) {
    if (!(cause instanceof ParquetFailure)) throw cause;
  } finally {
    await thread.close();
  }
}
