/** safetensors files as tests look into them: by the reader that runs use, all of a file at once. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { elementsOf } from '../../core/io/weight-files/element-types.ts';
import { floatsOf } from '../../core/io/weight-files/floats.ts';
import { openSafetensors } from '../../core/io/weight-files/safetensors-source.ts';

/** Half precision is widened to f32; `dtype` remembers what it was. Row-major. */
export type StoredTensor = { readonly shape: readonly number[] } & (
  | { readonly dtype: 'F32' | 'F16' | 'BF16'; readonly data: Float32Array }
  | { readonly dtype: 'U32'; readonly data: Uint32Array }
  | { readonly dtype: 'I32'; readonly data: Int32Array }
  | { readonly dtype: 'I64'; readonly data: BigInt64Array }
  | { readonly dtype: 'U8'; readonly data: Uint8Array }
);

export interface ReadSafetensors {
  readonly tensors: Map<string, StoredTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The tensors of a file, by name. */
export async function readSafetensors(path: string): Promise<Map<string, StoredTensor>> {
  return (await readSafetensorsFile(path)).tensors;
}

/** The same with the file's own metadata. */
export async function readSafetensorsFile(path: string): Promise<ReadSafetensors> {
  const source = await openSafetensors(path);
  try {
    const tensors = new Map<string, StoredTensor>();
    for (const [name, entry] of source.entries) {
      const bytes = await source.read(name, 0, elementsOf(entry));
      tensors.set(name, { shape: entry.shape, dtype: entry.type, data: valuesOf(bytes, entry.type) } as StoredTensor);
    }
    return { tensors, metadata: source.metadata };
  } finally {
    await source.close();
  }
}

/** The same of bytes, which lie in a file meanwhile. */
export async function parseSafetensors(bytes: Uint8Array): Promise<ReadSafetensors> {
  const folder = mkdtempSync(join(tmpdir(), 'reasongen-safetensors-'));
  try {
    const path = join(folder, 'file.safetensors');
    writeFileSync(path, bytes);
    return await readSafetensorsFile(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function valuesOf(bytes: Uint8Array, type: string): StoredTensor['data'] {
  const { buffer } = bytes;
  switch (type) {
    case 'F32':
    case 'F16':
    case 'BF16':
      return floatsOf(bytes, type) ?? new Float32Array(0);
    case 'U32':
      return new Uint32Array(buffer);
    case 'I32':
      return new Int32Array(buffer);
    case 'I64':
      return new BigInt64Array(buffer);
    default:
      return bytes;
  }
}
