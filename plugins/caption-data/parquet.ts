/** Parquet files; a block is a row group. https://parquet.apache.org/docs/file-format */
import { open } from 'node:fs/promises';
import { parquetMetadataAsync, parquetReadObjects, type AsyncBuffer } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { ReasongenError } from '../../core/plugin.ts';
import { UnreadableRow, type Row, type RowFile } from './rows.ts';

/** `columns`: those that are wanted; a file that has none of them is refused. */
export async function openParquet(path: string, columns: readonly string[]): Promise<RowFile> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const file: AsyncBuffer = {
      byteLength: size,
      async slice(start, end = size) {
        const bytes = new Uint8Array(end - start);
        let done = 0;
        while (done < bytes.length) {
          const { bytesRead } = await handle.read(bytes, done, bytes.length - done, start + done);
          if (bytesRead === 0) throw new Error('the file ends too early');
          done += bytesRead;
        }
        return bytes.buffer;
      },
    };
    const metadata = await parquetMetadataAsync(file).catch((cause: unknown) => {
      throw new ReasongenError({
        code: 'BAD_PARQUET',
        message: `this is no whole parquet file (${explain(cause)})`,
        place: path,
        hint: 'copy or download the file again',
        exitCode: 6,
        cause,
      });
    });
    const [root, ...elements] = metadata.schema;
    const names = topLevel(root?.num_children ?? 0, elements);
    const wanted = columns.filter((name) => names.includes(name));
    if (wanted.length < 2) {
      throw new ReasongenError({
        code: 'NO_COLUMNS',
        message: `the columns are ${names.join(', ')}; wanted are ${columns.join(', ')}`,
        place: path,
        hint: 'name the columns in dataset.columns',
        exitCode: 2,
      });
    }
    const blocks = metadata.row_groups.map(({ num_rows: rows }) => Number(rows));
    const starts = blocks.map((_, index) => blocks.slice(0, index).reduce((sum, rows) => sum + rows, 0));
    return {
      path,
      blocks,
      async read(block) {
        const [rowStart = 0, count = 0] = [starts[block], blocks[block]];
        const read = (from: number, to: number): Promise<Row[]> =>
          parquetReadObjects({ file, metadata, compressors, columns: wanted, rowStart: from, rowEnd: to, utf8: false });
        try {
          const rows = await read(rowStart, rowStart + count);
          return { row: async (index) => rows[index] ?? new UnreadableRow('it is missing') };
        } catch (cause) {
          const all = new UnreadableRow(`its row group cannot be read (${explain(cause)})`);
          return { row: async () => all };
        }
      },
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Names of the columns below the root: an element is followed by its descendants. */
function topLevel(
  count: number,
  elements: readonly { readonly name: string; readonly num_children?: number }[],
): string[] {
  const names: string[] = [];
  let at = 0;
  const skip = (): void => {
    const children = elements[at++]?.num_children ?? 0;
    for (let child = 0; child < children; child++) skip();
  };
  for (let index = 0; index < count; index++) {
    names.push(elements[at]?.name ?? '');
    skip();
  }
  return names;
}

function explain(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
