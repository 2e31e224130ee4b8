/**
 * Low-rank adapters in files, in the layout of Hugging Face PEFT: `adapter_model.safetensors` with names under `base_model.model.`,
 * and `adapter_config.json` (https://huggingface.co/docs/peft/developer_guides/checkpoint). And adapters added into the weights
 * they belong to, piece by piece while those are read.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WeightSource } from '../../contracts/weight-source.ts';
import { diskError, hasCode } from '../disk.ts';
import type { NameRule } from '../../tensor/name-rules.ts';
import { parseAdapterConfig, type AdapterConfig } from './adapter-config.ts';
import { placeAdapters, type Delta } from './adapter-places.ts';
import { badWeights } from './errors.ts';
import { floatsOf } from './floats.ts';
import { openFile } from './open.ts';
import { assembledSource, layered, whole } from './pieces.ts';
import { at } from '../../tensor/at.ts';

/** What is written about adapters of this program. */
export interface LowRankConfig {
  readonly rank: number;
  readonly alpha: number;
  readonly dropout: number;
  /** Where the weights came from that the adapters belong to; a path. */
  readonly base: string;
  /** Content hash of those weights; not part of PEFT's layout. */
  readonly baseHash?: string;
}

/** The text of adapter_config.json. `modules`: names of the adapted weights without `.weight`. */
export function adapterConfigText(
  { rank, alpha, dropout, base, baseHash }: LowRankConfig,
  modules: readonly string[],
): string {
  const config = {
    peft_type: 'LORA',
    base_model_name_or_path: base,
    base_model_sha256: baseHash ?? null,
    task_type: null,
    r: rank,
    lora_alpha: alpha,
    lora_dropout: dropout,
    target_modules: modules,
    bias: 'none',
    fan_in_fan_out: false,
    init_lora_weights: true,
    use_rslora: false,
    use_dora: false,
    modules_to_save: null,
    inference_mode: true,
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

const prefix = 'base_model.model.';

/** The same tensors under PEFT's names (`save`) or ours (`load`). */
export function peftNames(source: WeightSource, direction: 'save' | 'load'): WeightSource {
  const rename = (name: string): string =>
    direction === 'save' ? `${prefix}${name}` : name.startsWith(prefix) ? name.slice(prefix.length) : name;
  const tensors = new Map([...source.entries].map(([name, entry]) => [rename(name), whole(source, name, entry)]));
  return assembledSource(source.origin, tensors, source.metadata, () => source.close());
}

export interface StoredAdapter {
  readonly config: AdapterConfig;
  /** Under the names of its own layout, without PEFT's prefix. */
  readonly source: WeightSource;
  /** The file of the adapters. */
  readonly file: string;
}

/** In this order of preference: a format that cannot hold code comes first. */
const fileNames = ['adapter_model.safetensors', 'adapter_model.bin'];

/** The adapters of a folder; undefined when it has no `adapter_config.json`. */
export async function openAdapter(folder: string): Promise<StoredAdapter | undefined> {
  const configFile = join(folder, 'adapter_config.json');
  const text = await readFile(configFile, 'utf8').catch((cause: unknown) => {
    if (hasCode(cause, 'ENOENT', 'ENOTDIR')) return undefined;
    throw diskError(cause, 'reading the configuration of adapters', configFile);
  });
  if (text === undefined) return undefined;
  const config = parseAdapterConfig(text, configFile);
  const name = fileNames.find((each) => existsSync(join(folder, each)));
  if (name === undefined)
    throw badWeights(
      folder,
      `there is an adapter_config.json, but neither ${fileNames.join(' nor ')}`,
      'copy or download the whole folder of the adapters',
    );
  const file = join(folder, name);
  return { config, file, source: peftNames(await openFile(file), 'load') };
}

/**
 * The weights of `base`, whose names are those of the port, with adapters added: weight + scale · up · down, and with what was trained
 * and saved as a whole in place of the base's. `names`: the table by which names of another layout are read. Adapted weights come
 * out as F32, the others as they are stored. Closing it closes both. Throws BAD_WEIGHTS for what does not belong to the base.
 */
export function mergedSource(
  base: WeightSource,
  adapter: StoredAdapter,
  names: readonly NameRule[] = [],
): WeightSource {
  const { source } = adapter;
  const { deltas, replaced } = placeAdapters(adapter, base, names);
  const below = layered(replaced, base);
  const factors = new Map<Delta, Promise<Factors>>();
  const factorsOf = (delta: Delta): Promise<Factors> => {
    const pending = factors.get(delta) ?? readFactors(source, delta);
    // Tensors are read one after the other: the factors of the last one are enough.
    factors.clear();
    factors.set(delta, pending);
    return pending;
  };
  return {
    origin: `${base.origin} with the adapters of ${source.origin}`,
    entries: new Map(
      [...below.entries].map(([name, entry]) => [name, deltas.has(name) ? { ...entry, type: 'F32' } : entry]),
    ),
    metadata: base.metadata,
    async read(name, first, count) {
      const bytes = await below.read(name, first, count);
      const delta = deltas.get(name);
      const type = below.entries.get(name)?.type;
      if (delta === undefined || type === undefined) return bytes;
      const values = floatsOf(bytes, type);
      if (values === undefined) throw badWeights(base.origin, `"${name}" holds ${type}, not weights`);
      const merged = Float32Array.from(values);
      addProduct(merged, first, await factorsOf(delta), delta);
      return new Uint8Array(merged.buffer);
    },
    close: () => below.close(),
  };
}

/** Row-major: [rank, columns] and [rows, rank]. */
interface Factors {
  readonly down: Float32Array;
  readonly up: Float32Array;
}

async function readFactors(source: WeightSource, { down, up, rank, columns }: Delta): Promise<Factors> {
  const ups = await readFloats(source, up.name, up.first, up.count);
  const downs = down === undefined ? Float32Array.of(1) : await readFloats(source, down.name, down.first, down.count);
  // Embeddings are looked up, not multiplied, so PEFT keeps both factors the other way round.
  return up.isTransposed
    ? { down: transposed(downs, columns, rank), up: transposed(ups, rank, ups.length / rank) }
    : { down: downs, up: ups };
}

/** Of a matrix of `rows` rows. */
function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) result[column * rows + row] = at(values, row * columns + column);
  return result;
}

/** values[i] += scale · (up · down) at flat element first + i; sums in f64. */
function addProduct(
  values: Float32Array,
  first: number,
  { down, up }: Factors,
  { rank, scale, columns }: Pick<Delta, 'rank' | 'scale' | 'columns'>,
): void {
  for (let start = 0; start < values.length;) {
    const row = Math.floor((first + start) / columns);
    const column = (first + start) % columns;
    const length = Math.min(columns - column, values.length - start);
    const sums = new Float64Array(length);
    for (let r = 0; r < rank; r++) {
      const factor = scale * at(up, row * rank + r);
      const offset = r * columns + column;
      for (let i = 0; i < length; i++) sums[i] = at(sums, i) + factor * at(down, offset + i);
    }
    for (let i = 0; i < length; i++) values[start + i] = at(values, start + i) + at(sums, i);
    start += length;
  }
}

async function readFloats(source: WeightSource, name: string, first: number, count: number): Promise<Float32Array> {
  const type = source.entries.get(name)?.type;
  const values = type === undefined ? undefined : floatsOf(await source.read(name, first, count), type);
  if (values === undefined) throw badWeights(source.origin, `"${name}" holds no weights`);
  return values;
}
