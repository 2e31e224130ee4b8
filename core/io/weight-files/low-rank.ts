/**
 * Low-rank adapters in files, in the layout of Hugging Face PEFT: `adapter_model.safetensors` with names under `base_model.model.`,
 * and `adapter_config.json` (https://huggingface.co/docs/peft/developer_guides/checkpoint). And adapters added into the weights
 * they belong to, piece by piece while those are read.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SourceEntry, WeightSource } from '../../contracts/weight-source.ts';
import { diskError, hasCode } from '../disk.ts';
import { elementsOf } from './element-types.ts';
import { badWeights } from './errors.ts';
import { floatsOf } from './floats.ts';
import { assembledSource, whole } from './pieces.ts';
import { openSafetensors } from './safetensors-source.ts';

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
  const rename = (name: string): string => (direction === 'save' ? `${prefix}${name}` : name.replace(prefix, ''));
  const tensors = new Map([...source.entries].map(([name, entry]) => [rename(name), whole(source, name, entry)]));
  return assembledSource(source.origin, tensors, source.metadata, () => source.close());
}

export interface StoredAdapter {
  readonly config: LowRankConfig;
  /** Under our names. */
  readonly source: WeightSource;
}

/** The adapters of a folder; undefined when it has no `adapter_config.json`. */
export async function openAdapter(folder: string): Promise<StoredAdapter | undefined> {
  const configFile = join(folder, 'adapter_config.json');
  const text = await readFile(configFile, 'utf8').catch((cause: unknown) => {
    if (hasCode(cause, 'ENOENT', 'ENOTDIR')) return undefined;
    throw diskError(cause, 'reading the configuration of adapters', configFile);
  });
  if (text === undefined) return undefined;
  const source = await openSafetensors(join(folder, 'adapter_model.safetensors'));
  return { config: parseConfig(text, configFile), source: peftNames(source, 'load') };
}

/**
 * The weights of `base` with adapters added: weight + alpha / rank · up · down. Adapted weights come out as F32, the others as they
 * are stored. Closing it closes both. Throws BAD_WEIGHTS when an adapter belongs to no weight of that shape.
 */
export function mergedSource(base: WeightSource, { config, source }: StoredAdapter): WeightSource {
  const scale = config.alpha / config.rank;
  const adapted = new Map<string, { readonly stem: string; readonly entry: SourceEntry }>();
  for (const name of source.entries.keys()) {
    const stem = /^(.*)\.lora_[AB]\.weight$/.exec(name)?.[1];
    if (stem === undefined)
      throw badWeights(
        source.origin,
        `"${name}" is no part of a low-rank adapter`,
        'use adapters without further trained modules',
      );
    const entry = base.entries.get(`${stem}.weight`);
    const [down, up] = [source.entries.get(`${stem}.lora_A.weight`), source.entries.get(`${stem}.lora_B.weight`)];
    const fits =
      entry?.shape.length === 2 &&
      down?.shape.join() === `${config.rank},${entry.shape[1]}` &&
      up?.shape.join() === `${entry.shape[0]},${config.rank}`;
    if (!fits)
      throw badWeights(
        source.origin,
        `the adapter "${stem}" fits no weight of ${base.origin}`,
        'use the weights these adapters were trained on',
      );
    adapted.set(`${stem}.weight`, { stem, entry: { shape: entry.shape, type: 'F32' } });
  }
  const factors = new Map<string, Promise<{ readonly down: Float32Array; readonly up: Float32Array }>>();
  const factorsOf = (stem: string): Promise<{ readonly down: Float32Array; readonly up: Float32Array }> => {
    const pending =
      factors.get(stem) ??
      Promise.all([readFloats(source, `${stem}.lora_A.weight`), readFloats(source, `${stem}.lora_B.weight`)]).then(
        ([down, up]) => ({ down, up }),
      );
    factors.clear();
    factors.set(stem, pending);
    return pending;
  };
  return {
    origin: `${base.origin} with the adapters of ${source.origin}`,
    entries: new Map([...base.entries].map(([name, entry]) => [name, adapted.get(name)?.entry ?? entry])),
    metadata: base.metadata,
    async read(name, first, count) {
      const bytes = await base.read(name, first, count);
      const found = adapted.get(name);
      const type = base.entries.get(name)?.type;
      if (found === undefined || type === undefined) return bytes;
      const values = floatsOf(bytes, type);
      if (values === undefined) throw badWeights(base.origin, `"${name}" holds ${type}, not weights`);
      const merged = Float32Array.from(values);
      addProduct(merged, first, found.entry.shape[1] ?? 1, await factorsOf(found.stem), config.rank, scale);
      return new Uint8Array(merged.buffer);
    },
    async close() {
      await source.close();
      await base.close();
    },
  };
}

/** values[i] += scale · (up · down) at flat element first + i of a matrix of `inner` columns; sums in f64. */
function addProduct(
  values: Float32Array,
  first: number,
  inner: number,
  { down, up }: { readonly down: Float32Array; readonly up: Float32Array },
  rank: number,
  scale: number,
): void {
  for (let start = 0; start < values.length;) {
    const row = Math.floor((first + start) / inner);
    const column = (first + start) % inner;
    const length = Math.min(inner - column, values.length - start);
    const sums = new Float64Array(length);
    for (let r = 0; r < rank; r++) {
      const factor = scale * (up[row * rank + r] ?? 0);
      const offset = r * inner + column;
      for (let i = 0; i < length; i++) sums[i] = (sums[i] ?? 0) + factor * (down[offset + i] ?? 0);
    }
    for (let i = 0; i < length; i++) values[start + i] = (values[start + i] ?? 0) + (sums[i] ?? 0);
    start += length;
  }
}

async function readFloats(source: WeightSource, name: string): Promise<Float32Array> {
  const entry = source.entries.get(name);
  const values = entry === undefined ? undefined : floatsOf(await source.read(name, 0, elementsOf(entry)), entry.type);
  if (values === undefined) throw badWeights(source.origin, `"${name}" holds no weights`);
  return values;
}

function parseConfig(text: string, place: string): LowRankConfig {
  let config: Readonly<Record<string, unknown>>;
  try {
    config = JSON.parse(text) as typeof config;
  } catch (cause) {
    throw badWeights(place, 'it is not JSON', 'copy the folder of the adapters again', cause);
  }
  const {
    r,
    lora_alpha: alpha,
    lora_dropout: dropout,
    base_model_name_or_path: base,
    base_model_sha256: baseHash,
  } = config;
  if (
    config['peft_type'] !== 'LORA' ||
    !Number.isSafeInteger(r) ||
    typeof alpha !== 'number' ||
    typeof base !== 'string'
  ) {
    throw badWeights(
      place,
      'it describes no low-rank adapters (peft_type LORA with r, lora_alpha and base_model_name_or_path)',
      'use adapters that PEFT or this program has saved',
    );
  }
  for (const unread of ['use_dora', 'use_rslora', 'fan_in_fan_out']) {
    if (config[unread] === true)
      throw badWeights(place, `${unread} is not understood here`, 'merge these adapters with PEFT first');
  }
  return {
    rank: Number(r),
    alpha,
    dropout: typeof dropout === 'number' ? dropout : 0,
    base,
    ...(typeof baseHash === 'string' && { baseHash }),
  };
}
