/**
 * The thread in which parquet files are decoded. A file may claim anything, and a decoder may believe it: here it can be ended by a clock, and
 * its memory is its own. It answers one request after another.
 */
import { open } from 'node:fs/promises';
import { parentPort } from 'node:worker_threads';
import { parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';

/**
 * @typedef {{ kind: 'open', path: string } | { kind: 'read', path: string, columns: string[], rowStart: number, rowEnd: number }} ParquetRequest
 * @typedef {{ columns: string[], groups: { rows: number, bytes: number }[] }} ParquetLayout
 * @typedef {{ kind: 'layout', layout: ParquetLayout } | { kind: 'rows', rows: Record<string, unknown>[] } | { kind: 'failed', why: string }} ParquetAnswer
 * @typedef {import('hyparquet').FileMetaData} Metadata
 */

/** A page of nothing but nulls is empty, and one byte long where LZ4 compressed it. @type {import('hyparquet').Compressors} */
const decoders = Object.fromEntries(
  Object.entries(compressors).map(([codec, decode]) => [
    codec,
    (/** @type {Uint8Array} */ input, /** @type {number} */ length) =>
      length === 0 ? new Uint8Array() : decode(input, length),
  ]),
);

/** By path: a footer may describe thousands of row groups. @type {Map<string, Metadata>} */
const known = new Map();

parentPort?.on('message', (/** @type {ParquetRequest} */ request) => void answer(request));

/** @param {ParquetRequest} request */
async function answer(request) {
  try {
    const found = await (request.kind === 'open' ? layoutOf(request.path) : rowsOf(request));
    parentPort?.postMessage(found, found.kind === 'rows' ? buffersOf(found.rows) : []);
  } catch (error) {
    parentPort?.postMessage({ kind: 'failed', why: error instanceof Error ? error.message : String(error) });
  }
}

/** @param {string} path @returns {Promise<ParquetAnswer>} */
async function layoutOf(path) {
  return withFile(path, async (file) => {
    const metadata = await parquetMetadataAsync(file);
    const columns = topLevel(metadata.schema);
    const groups = metadata.row_groups.map((group, index) => {
      const rows = Number(group.num_rows);
      // A row of captions takes a byte at least; more rows would only fill memory.
      if (!(rows >= 0 && rows <= file.byteLength)) throw new Error(`row group ${index + 1} claims ${rows} rows`);
      const sizes = group.columns.map(({ meta_data: column }) => Number(column?.total_compressed_size ?? 0));
      if (sizes.some((size) => !(size >= 0 && size <= file.byteLength)))
        throw new Error(`row group ${index + 1} claims more bytes than the file has`);
      return { rows, bytes: sizes.reduce((sum, size) => sum + size, 0) };
    });
    if (groups.reduce((sum, { rows }) => sum + rows, 0) > file.byteLength)
      throw new Error('it claims more rows than bytes');
    known.set(path, metadata);
    return { kind: 'layout', layout: { columns, groups } };
  });
}

/** @param {Extract<ParquetRequest, { kind: 'read' }>} request @returns {Promise<ParquetAnswer>} */
async function rowsOf({ path, columns, rowStart, rowEnd }) {
  return withFile(path, async (file) => {
    const metadata = known.get(path) ?? (await parquetMetadataAsync(file));
    known.set(path, metadata);
    const rows = await parquetReadObjects({
      file,
      metadata,
      compressors: decoders,
      columns,
      rowStart,
      rowEnd,
      utf8: false,
    });
    return { kind: 'rows', rows };
  });
}

/** @template Result @param {string} path @param {(file: import('hyparquet').AsyncBuffer) => Promise<Result>} use @returns {Promise<Result>} */
async function withFile(path, use) {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    return await use({
      byteLength: size,
      async slice(start, end = size) {
        if (!(start >= 0 && end >= start && end <= size)) throw new Error('it points beyond its end');
        const bytes = new Uint8Array(end - start);
        for (let done = 0; done < bytes.length;) {
          const { bytesRead } = await handle.read(bytes, done, bytes.length - done, start + done);
          if (bytesRead === 0) throw new Error('the file ends too early');
          done += bytesRead;
        }
        return bytes.buffer;
      },
    });
  } finally {
    await handle.close();
  }
}

/** Names of the columns below the root: an element is followed by its descendants. @param {Metadata['schema']} schema @returns {string[]} */
function topLevel(schema) {
  const names = [];
  /** Elements that are still to come on each level above. */
  const pending = [schema[0]?.num_children ?? 0];
  for (const element of schema.slice(1)) {
    while (pending.length > 0 && pending.at(-1) === 0) pending.pop();
    if (pending.length === 0) break;
    if (pending.length === 1) names.push(element.name);
    pending[pending.length - 1] = (pending.at(-1) ?? 0) - 1;
    pending.push(element.num_children ?? 0);
  }
  return names;
}

/** What is handed over instead of copied. @param {unknown} value @returns {ArrayBuffer[]} */
function buffersOf(value) {
  /** @type {Set<ArrayBuffer>} */
  const buffers = new Set();
  const waiting = [value];
  while (waiting.length > 0) {
    const next = waiting.pop();
    if (ArrayBuffer.isView(next)) {
      if (next.buffer instanceof ArrayBuffer) buffers.add(next.buffer);
    } else if (Array.isArray(next)) for (const each of next) waiting.push(each);
    else if (typeof next === 'object' && next !== null) for (const each of Object.values(next)) waiting.push(each);
  }
  return [...buffers];
}
