/** The JSON header of a safetensors file, and everything that can be wrong with it. */
import type { StoredType } from '../contracts/weight-source.ts';
import { exitCodes, ReasongenError } from '../errors.ts';
import { fileElementBytes } from './weight-files/element-types.ts';

/** Bytes, as the reference reader has it; a longer header is an attack or not a header. */
export const longestHeader = 100_000_000;

/** Where a tensor lies: bytes [begin, end) counted from the end of the header. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: StoredType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface Header {
  /** In the order of the data. */
  readonly entries: readonly TensorEntry[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** `dataBytes`: what follows the header in the file. Throws BAD_SAFETENSORS with the name of the tensor at fault. */
export function parseHeader(header: Uint8Array, dataBytes: number, file: string): Header {
  const fail = (message: string, hint = 'copy or download the file again'): never => {
    throw new ReasongenError({ code: 'BAD_SAFETENSORS', message, place: file, hint, exitCode: exitCodes.disk });
  };
  const json = parseJson(header);
  if (!isRecord(json)) return fail('the header is not a JSON object');
  const { __metadata__, ...tensors } = json;
  // The reference reader takes null for none.
  const metadata = __metadata__ ?? {};
  if (!isRecord(metadata) || !Object.values(metadata).every((value) => typeof value === 'string')) {
    return fail('"__metadata__" in the header must hold texts only');
  }
  const entries = Object.entries(tensors).map(([name, value]) => parseEntry(name, value, fail));
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);

  let position = 0;
  for (const { name, begin, end } of entries) {
    if (end > dataBytes) {
      fail(`tensor "${name}" ends at byte ${end} of the data, but there are only ${dataBytes}: the file was cut off`);
    }
    if (begin < position) fail(`tensor "${name}" overlaps the one before it at byte ${begin} of the data`);
    if (begin > position) fail(`${begin - position} bytes before tensor "${name}" belong to no tensor`);
    position = end;
  }
  if (position !== dataBytes) fail(`${dataBytes - position} bytes at the end belong to no tensor`);
  return { entries, metadata: metadata as Record<string, string> };
}

function parseEntry(name: string, value: unknown, fail: (message: string, hint?: string) => never): TensorEntry {
  if (!isRecord(value)) return fail(`tensor "${name}" is not described by an object`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string') return fail(`tensor "${name}" has no dtype`);
  if (!Object.hasOwn(fileElementBytes, dtype)) {
    const known = Object.keys(fileElementBytes).join(', ');
    return fail(`tensor "${name}" has dtype ${dtype}, which is not read here`, `convert it to one of ${known}`);
  }
  if (!isSizes(shape)) return fail(`tensor "${name}" has no valid shape`);
  if (!isSizes(offsets) || offsets.length !== 2) return fail(`tensor "${name}" has no valid data_offsets`);
  const [begin, end] = offsets as [number, number];
  const bytes = shape.reduce((product, n) => product * n, fileElementBytes[dtype as StoredType]);
  if (end - begin !== bytes) {
    return fail(`tensor "${name}" [${shape}] of ${dtype} takes ${bytes} bytes, but its offsets span ${end - begin}`);
  }
  return { name, dtype: dtype as StoredType, shape, begin, end };
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && (n as number) >= 0);
}
