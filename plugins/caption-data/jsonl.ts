/** JSON Lines: a row a line. The file is scanned once for where its lines begin; pictures may lie in files beside it. */
import { open } from 'node:fs/promises';
import { evenBlocks, rowsPerBlock, UnreadableRow, type Row, type RowFile } from './rows.ts';

export async function openJsonLines(path: string): Promise<RowFile> {
  const handle = await open(path, 'r');
  try {
    const { starts, count, size } = await scan(handle);
    const blocks = evenBlocks(count);
    return {
      path,
      blocks,
      async read(block) {
        const [start = 0, end = size] = [starts[block], starts[block + 1]];
        const bytes = Buffer.alloc(end - start);
        await handle.read(bytes, 0, bytes.length, start);
        const lines = bytes
          .toString('utf8')
          .split('\n')
          .filter((line) => line.trim() !== '');
        return lines.map(parse);
      },
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Where every block of lines begins, and how many lines that are not blank there are. */
async function scan(
  handle: Awaited<ReturnType<typeof open>>,
): Promise<{ starts: number[]; count: number; size: number }> {
  const piece = Buffer.alloc(2 ** 20);
  const starts: number[] = [];
  let [count, size, lineStart] = [0, 0, 0];
  let isBlank = true;
  const endLine = (next: number): void => {
    if (!isBlank && count++ % rowsPerBlock === 0) starts.push(lineStart);
    [isBlank, lineStart] = [true, next];
  };
  for (;;) {
    const { bytesRead } = await handle.read(piece, 0, piece.length, size);
    if (bytesRead === 0) break;
    for (let at = 0; at < bytesRead; at++) {
      const byte = piece[at] ?? 0;
      if (byte === 10) endLine(size + at + 1);
      else if (byte !== 32 && byte !== 13 && byte !== 9) isBlank = false;
    }
    size += bytesRead;
  }
  endLine(size);
  return { starts, count, size };
}

function parse(line: string): Row | UnreadableRow {
  try {
    const row = JSON.parse(line) as unknown;
    if (typeof row === 'object' && row !== null && !Array.isArray(row)) return row as Row;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  return new UnreadableRow('it is not a JSON object');
}
