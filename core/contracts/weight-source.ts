/** How a tensor lies in a file. */
export type StoredType =
  | 'F64'
  | 'F32'
  | 'F16'
  | 'BF16'
  | 'F8_E4M3'
  | 'F8_E5M2'
  | 'I64'
  | 'I32'
  | 'I16'
  | 'I8'
  | 'U64'
  | 'U32'
  | 'U16'
  | 'U8'
  | 'BOOL';

export interface SourceEntry {
  readonly shape: readonly number[];
  readonly type: StoredType;
}

/**
 * Weights that lie in files and are read piece by piece, so that host memory does not grow with the model: one file or many,
 * safetensors or PyTorch, under whatever names the reader has given them.
 */
export interface WeightSource {
  /** File or folder, for messages. */
  readonly origin: string;
  readonly entries: ReadonlyMap<string, SourceEntry>;
  /** Strings the files carry about themselves; empty when they carry none. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The bytes of `count` elements from `first`, row-major, little-endian, as they are stored. At most 256 MiB a call. */
  read(name: string, first: number, count: number): Promise<Uint8Array>;
  close(): Promise<void>;
}
