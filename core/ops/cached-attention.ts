/**
 * Attention of one new token per row over keys and values kept from earlier steps. Inference only.
 * Every row has its own position and its own row of the cache (`cache rows`), so rows of different lengths share a step without
 * padding, and rows that are finished leave it. The cache is f32 or f16; all is computed in f32.
 */
import type { KeyValueCache, PrefillTarget } from '../contracts/backbone.ts';
import type { Tape } from '../autograd/tape.ts';
import { grid } from '../autograd/launch.ts';
import { dimension, type Tensor } from '../tensor/tensor.ts';
import { rotaryPowers } from './rotary.ts';

export interface CachedAttentionOptions {
  readonly heads: number;
  readonly keyValueHeads: number;
  /** A multiple of 4. */
  readonly headDimension: number;
  /** 1 / √headDimension by default. */
  readonly scale?: number;
  /** One thread per row and head instead of a workgroup; by default on a software adapter only. */
  readonly isSerial?: boolean;
}

/** u32 [R]: the rotary position of each row of a step, which is its place in the cache moved by the shift of its row of the cache. Inference only. */
export function rotaryPositions(tape: Tape, positions: Tensor, { cacheRows, shifts }: KeyValueCache): Tensor {
  if (shifts === undefined) return positions;
  const rows = dimension(positions, 0);
  const out = tape.empty('rotary positions', [rows], 'u32');
  tape.launch({
    kernel: 'cached-attention/positions',
    bindings: { positions, cache_rows: cacheRows, shifts, out },
    params: { rows },
    groups: grid(Math.ceil(rows / 64)),
  });
  return out;
}

/** keys[cache rows[r], positions[r], :] = k[r, :] of layer `layer`, likewise values. k, v f32 [R, D]; positions u32 [R]. Inference only. */
export function appendToCache(
  tape: Tape,
  k: Tensor,
  v: Tensor,
  positions: Tensor,
  cache: KeyValueCache,
  layer: number,
): void {
  const rows = dimension(positions, 0);
  const { keys, values, width, Entry } = cacheLayer(cache, layer);
  if (dimension(k, 1) !== width)
    throw new RangeError(`${k.name} [${k.shape}] does not fit the cache ${keys.name} [${keys.shape}]`);
  refuseFewCacheRows(cache, rows);
  tape.launch({
    kernel: 'cached-attention/append',
    constants: { Entry },
    bindings: { k, v, positions, cache_rows: cache.cacheRows, keys, values },
    params: { rows, width, capacity: cache.capacity },
    groups: grid(Math.ceil((rows * width) / 256)),
  });
}

/** Rows first … of the columns of a projection: q, k and v may lie side by side in one tensor. */
export interface CacheColumns {
  /** f32 [R, at least first + width] */
  readonly from: Tensor;
  readonly first: number;
}

/**
 * Turns queries and keys to their positions (half-split rotary) and puts keys and values into the cache, in one launch:
 * `rotary` twice and `appendToCache`, bit for bit. Returns the turned queries f32 [R, heads · headDimension]. Inference only.
 */
export function turnIntoCache(
  tape: Tape,
  { q, k, v }: { readonly q: Tensor; readonly k: CacheColumns; readonly v: CacheColumns },
  positions: Tensor,
  cache: KeyValueCache,
  layer: number,
  options: CachedAttentionOptions & { readonly theta: number },
): Tensor {
  const { heads, keyValueHeads, headDimension, theta } = options;
  const rows = dimension(positions, 0);
  const { keys, values, width, Entry } = cacheLayer(cache, layer);
  const columns = [dimension(q, 1), k.first, v.first, dimension(k.from, 1), dimension(v.from, 1)];
  if (
    headDimension % 8 !== 0 ||
    headDimension > 512 ||
    width !== keyValueHeads * headDimension ||
    columns.some((count) => count % 4 !== 0)
  ) {
    throw new RangeError(
      `${q.name} [${q.shape}] is not heads of ${headDimension} (a multiple of 8, at most 512) that fit the cache ${keys.name} [${keys.shape}]`,
    );
  }
  refuseFewCacheRows(cache, rows);
  const isSerial = options.isSerial ?? tape.device.adapter.isSoftware;
  const PER_THREAD = isSerial ? Math.max(heads, keyValueHeads) : 1;
  const halfWidth = headDimension / 8;
  const out = tape.empty('q turned', [rows, heads * headDimension]);
  tape.launch({
    kernel: 'cached-attention/turn',
    constants: { Entry, PER_THREAD },
    bindings: { q, k: k.from, v: v.from, positions, cache_rows: cache.cacheRows, out, keys, values },
    params: {
      rows,
      heads,
      key_value_heads: keyValueHeads,
      half_width: halfWidth,
      capacity: cache.capacity,
      q_stride: dimension(q, 1) / 4,
      k_stride: dimension(k.from, 1) / 4,
      v_stride: dimension(v.from, 1) / 4,
      k_first: k.first / 4,
      v_first: v.first / 4,
      ...rotaryPowers(theta, headDimension),
    },
    groups: grid(Math.ceil((rows * Math.ceil(Math.max(heads, keyValueHeads) / PER_THREAD) * halfWidth) / 64)),
  });
  return out;
}

/**
 * f32 [R, heads · headDimension] from q of that shape and positions u32 [R]: row r attends to keys 0 … positions[r] of its row of
 * the cache. Inference only.
 */
export function cachedAttention(
  tape: Tape,
  q: Tensor,
  positions: Tensor,
  cache: KeyValueCache,
  layer: number,
  options: CachedAttentionOptions,
): Tensor {
  const { heads, keyValueHeads, headDimension } = options;
  const rows = dimension(positions, 0);
  const { keys, values, width, Entry } = cacheLayer(cache, layer);
  if (headDimension % 4 !== 0 || heads % keyValueHeads !== 0) {
    throw new RangeError(
      `attention of ${heads} over ${keyValueHeads} heads of ${headDimension}: the heads must divide evenly and their size by 4`,
    );
  }
  if (dimension(q, 1) !== heads * headDimension || width !== keyValueHeads * headDimension) {
    throw new RangeError(
      `attention: ${q.name} [${q.shape}] and ${keys.name} [${keys.shape}] do not fit ${JSON.stringify(options)}`,
    );
  }
  refuseFewCacheRows(cache, rows);
  const out = tape.empty('attended', [rows, heads * headDimension]);
  const pairs = rows * heads;
  const isSerial = options.isSerial ?? tape.device.adapter.isSoftware;
  tape.launch({
    kernel: isSerial ? 'cached-attention/attend' : 'cached-attention/attend-split',
    constants: { VECTORS: headDimension / 4, Entry, ...(!isSerial && { THREADS: splitThreads(headDimension / 4) }) },
    bindings: { q, keys, values, positions, cache_rows: cache.cacheRows, out },
    params: {
      rows,
      heads,
      key_value_heads: keyValueHeads,
      capacity: cache.capacity,
      scale: options.scale ?? 1 / Math.sqrt(headDimension),
    },
    groups: grid(isSerial ? Math.ceil(pairs / 32) : pairs),
  });
  return out;
}

/** Fills layer `layer` of a cache from packed keys and values f32 [N, D]; see PrefillTarget. Rows of length 0 stay as they are. Inference only. */
export function prefillCache(tape: Tape, k: Tensor, v: Tensor, target: PrefillTarget, layer: number): void {
  const { keys, values, width, Entry } = cacheLayer(target.cache, layer);
  if (dimension(k, 1) !== width)
    throw new RangeError(`${k.name} [${k.shape}] does not fit the cache ${keys.name} [${keys.shape}]`);
  const { rows, capacity } = target.cache;
  tape.launch({
    kernel: 'cached-attention/prefill',
    constants: { Entry },
    bindings: { k, v, source: target.source, length: target.length, keys, values },
    params: { rows, width, capacity, tokens: dimension(k, 0) },
    groups: grid(Math.ceil((rows * width) / 256)),
  });
}

/**
 * Row r of layer `layer` of a cache takes the first length[r] places of row source[r]; both u32 [rows of the cache]. Rows of length 0 stay as they
 * are, and only such may be taken from. Inference only.
 */
export function copyCacheRows(tape: Tape, { cache, source, length }: PrefillTarget, layer: number): void {
  const { keys, values, width, Entry } = cacheLayer(cache, layer);
  const { rows, capacity } = cache;
  tape.launch({
    kernel: 'cached-attention/copy',
    constants: { Entry },
    bindings: { source, length, keys, values },
    params: { rows, width, capacity },
    groups: grid(Math.ceil((rows * width) / 256)),
  });
}

function cacheLayer(
  { keys, values, capacity }: KeyValueCache,
  layer: number,
): { keys: Tensor; values: Tensor; width: number; Entry: string } {
  const [ofKeys, ofValues] = [keys[layer], values[layer]];
  if (ofKeys === undefined || ofValues === undefined) throw new RangeError(`the cache has no layer ${layer}`);
  const width = dimension(ofKeys, 2);
  if (width % 4 !== 0 || dimension(ofKeys, 1) !== capacity)
    throw new RangeError(`${ofKeys.name} [${ofKeys.shape}] is no cache of ${capacity} places`);
  return { keys: ofKeys, values: ofValues, width, Entry: ofKeys.type === 'f16' ? 'vec4<f16>' : 'vec4<f32>' };
}

/** Never by the number of rows: a row's result must not depend on its batch. */
function splitThreads(vectors: number): number {
  return vectors <= 16 ? 64 : vectors <= 64 ? 128 : 256;
}

function refuseFewCacheRows({ cacheRows }: KeyValueCache, rows: number): void {
  if (dimension(cacheRows, 0) < rows)
    throw new RangeError(`${rows} rows are fed, the cache names rows for ${dimension(cacheRows, 0)}`);
}
