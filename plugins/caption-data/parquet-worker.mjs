/**
 * The thread in which parquet files are decoded. A file may claim anything, and a decoder may believe it: here it can be ended by a clock, and
 * its memory is its own. It opens no file: the pieces it asks for are read by who asks it. It answers one request after another.
 */
import { parentPort } from 'node:worker_threads';
import { parquetMetadataAsync, parquetRead, parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { leavesOf } from './leaves.mjs';

/**
 * @typedef {{ path: string, size: number, memory: number }} ParquetSource `memory`: bytes that the machine can spare for an answer
 * @typedef {{ kind: 'open' } | { kind: 'read', columns: string[], rowStart: number, rowEnd: number, bytes: number } | { kind: 'texts', group: number, bytes: number }} ParquetQuestion
 * @typedef {ParquetQuestion & ParquetSource} ParquetRequest `bytes`: how many are decoded
 * @typedef {{ kind: 'piece', bytes: ArrayBuffer } | { kind: 'noPiece', why: string, code?: string }} ParquetPiece
 * @typedef {{ columns: string[], groups: { rows: number, bytes: number, textBytes: number }[] }} ParquetLayout `textBytes`: of the columns that `texts` decodes
 * @typedef {{ kind: 'layout', layout: ParquetLayout } | { kind: 'rows', rows: Record<string, unknown>[] } | { kind: 'texts', texts: string[] } | { kind: 'failed', why: string, code?: string }} ParquetAnswer
 * @typedef {{ kind: 'wanted', start: number, end: number }} ParquetWanted
 * @typedef {import('hyparquet').FileMetaData} Metadata
 * @typedef {import('hyparquet').RowGroup} RowGroup
 */

/** Bytes that decoding may take besides so many for each byte of the file: compressed pictures hardly grow, texts by some times. */
const allowance = { bytes: 512 * 2 ** 20, perByte: 16 };
/** What the request under way may still take: a thread answers one at a time. */
const budget = { left: 0, isOfMachine: false };

/** @param {number} bytes */
function spend(bytes) {
  budget.left -= Math.max(0, bytes);
  if (budget.left >= 0) return;
  // The same file may be read where there is more memory: it is not the file that is bad.
  if (budget.isOfMachine) throw failure('decoding it takes more memory than the machine can spare', 'ENOMEM');
  throw new Error('it claims far more than its size can hold');
}

/** @param {string} why @param {string} [code] */
function failure(why, code) {
  return Object.assign(new Error(why), code !== undefined && { code });
}

// A few bytes of a page may claim gigabytes, which lie outside of the memory that a thread can be limited to. This thread does nothing else.
for (const name of /** @type {const} */ ([
  'ArrayBuffer',
  'Uint8Array',
  'Int32Array',
  'Uint32Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
])) {
  const original = globalThis[name];
  const size = 'BYTES_PER_ELEMENT' in original ? original.BYTES_PER_ELEMENT : 1;
  /** @type {any} */
  const counted = new Proxy(original, {
    construct(target, parameters, made) {
      const [length] = parameters;
      if (typeof length === 'number') spend(length * size);
      return Reflect.construct(target, parameters, made === counted ? target : made);
    },
  });
  Object.assign(globalThis, { [name]: counted });
}

/** A page of nothing but nulls is empty, and one byte long where LZ4 compressed it. @type {import('hyparquet').Compressors} */
const decoders = Object.fromEntries(
  Object.entries(compressors).map(([codec, decode]) => [
    codec,
    (/** @type {Uint8Array} */ input, /** @type {number} */ length) =>
      length === 0 ? new Uint8Array() : decode(input, checked(length)),
  ]),
);

/** Decoders beside JavaScript take memory of their own. @param {number} length */
function checked(length) {
  spend(length);
  return length;
}

/** By path: a footer may describe thousands of row groups. @type {Map<string, Metadata>} */
const known = new Map();

/** Pieces that were asked for, in their order. @type {{ resolve: (bytes: ArrayBuffer) => void, reject: (error: Error) => void }[]} */
const wanted = [];

parentPort?.on('message', (/** @type {ParquetRequest | ParquetPiece} */ message) => {
  if (message.kind === 'piece') wanted.shift()?.resolve(message.bytes);
  else if (message.kind === 'noPiece') wanted.shift()?.reject(failure(message.why, message.code));
  else void answer(message);
});

/** Rows that repeat each other take less than a byte; of others a file has no more than bytes. */
const repeatedRows = 2 ** 20;

/** @param {ParquetRequest} request */
async function answer(request) {
  const most = allowance.bytes + (request.kind === 'open' ? 0 : request.bytes * allowance.perByte);
  budget.isOfMachine = request.memory < most;
  budget.left = Math.min(most, request.memory);
  try {
    const found = await answerTo(request);
    parentPort?.postMessage(found, found.kind === 'rows' ? buffersOf(found.rows) : []);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? { code: String(error.code) } : {};
    parentPort?.postMessage({ kind: 'failed', why: error instanceof Error ? error.message : String(error), ...code });
  }
}

/** @param {ParquetRequest} request @returns {Promise<ParquetAnswer>} */
async function answerTo(request) {
  const file = fileOf(request);
  const metadata = known.get(request.path) ?? (await parquetMetadataAsync(file));
  known.set(request.path, metadata);
  if (request.kind === 'open') return { kind: 'layout', layout: layoutOf(metadata, request.size) };
  if (request.kind === 'texts') return { kind: 'texts', texts: await textsOf(request, file, metadata) };
  const { columns, rowStart, rowEnd } = request;
  const how = { file, metadata, compressors: decoders, columns, rowStart, rowEnd, utf8: false };
  return { kind: 'rows', rows: await parquetReadObjects(how) };
}

/** @param {Metadata} metadata @param {number} size @returns {ParquetLayout} */
function layoutOf(metadata, size) {
  const columns = topLevel(metadata.schema);
  const most = Math.max(size, repeatedRows);
  const groups = metadata.row_groups.map((group, index) => {
    const rows = Number(group.num_rows);
    if (!(rows >= 0 && rows <= most)) throw new Error(`row group ${index + 1} claims ${rows} rows`);
    if (group.columns.some((column) => !(bytesOf(column) >= 0 && bytesOf(column) <= size)))
      throw new Error(`row group ${index + 1} claims more bytes than the file has`);
    const sum = (/** @type {RowGroup['columns']} */ some) => some.reduce((bytes, column) => bytes + bytesOf(column), 0);
    return { rows, bytes: sum(group.columns), textBytes: sum(textColumns(group)) };
  });
  if (groups.reduce((sum, { rows }) => sum + rows, 0) > most) throw new Error('it claims more rows than bytes');
  return { columns, groups };
}

/** Compressed. @param {RowGroup['columns'][number]} column */
function bytesOf(column) {
  return Number(column.meta_data?.total_compressed_size ?? 0);
}

/** No system has longer paths. */
const longestPath = 4096;

/** Columns whose values may be paths: those of pictures are larger. @param {RowGroup} group */
function textColumns(group) {
  return group.columns.filter(({ meta_data: column }) => {
    const { type, num_values: values = 0n, total_uncompressed_size: bytes = 0n } = column ?? {};
    return type === 'BYTE_ARRAY' && Number(bytes) <= Number(values) * longestPath;
  });
}

/**
 * Texts in a row group that are no longer than a path, each once, those of inner columns among them.
 *
 * @param {Extract<ParquetRequest, { kind: 'texts' }>} request @param {import('hyparquet').AsyncBuffer} file @param {Metadata} metadata
 * @returns {Promise<string[]>}
 */
async function textsOf(request, file, metadata) {
  const group = metadata.row_groups[request.group];
  if (group === undefined) return [];
  /** @type {Set<string>} */
  const texts = new Set();
  await parquetRead({
    file,
    metadata: { ...metadata, row_groups: [{ ...group, columns: textColumns(group) }] },
    compressors: decoders,
    onPage: ({ columnData }) => {
      for (const leaf of leavesOf(columnData))
        if (typeof leaf === 'string' && leaf.length <= longestPath) texts.add(leaf);
    },
  });
  return [...texts];
}

/** @param {ParquetSource} source @returns {import('hyparquet').AsyncBuffer} */
function fileOf({ size }) {
  return {
    byteLength: size,
    slice(start, end = size) {
      if (!(start >= 0 && end >= start && end <= size)) throw new Error('it points beyond its end');
      spend(end - start);
      return new Promise((resolve, reject) => {
        wanted.push({ resolve, reject });
        parentPort?.postMessage({ kind: 'wanted', start, end });
      });
    },
  };
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
  for (const leaf of leavesOf(value))
    if (ArrayBuffer.isView(leaf) && leaf.buffer instanceof ArrayBuffer) buffers.add(leaf.buffer);
  return [...buffers];
}
