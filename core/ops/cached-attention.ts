/**
 * Attention of one new token per row over keys and values kept from earlier steps. Inference only.
 * Every row has its own position, so rows of different lengths share a step without padding.
 */
import type { PrefillTarget } from '../contracts/backbone.ts';
import type { Tape } from '../autograd/tape.ts';
import { grid } from '../autograd/program.ts';
import { dimension, type Tensor } from '../tensor/tensor.ts';

export interface CachedAttentionOptions {
  readonly heads: number;
  readonly keyValueHeads: number;
  /** A multiple of 4. */
  readonly headDimension: number;
  readonly capacity: number;
  /** One thread per row and head instead of 64; by default on a software adapter only. */
  readonly isSerial?: boolean;
}

/** keys[r, positions[r], :] = k[r, :], likewise values. k, v f32 [R, D]; positions u32 [R]; keys, values f32 [R, capacity, D]. */
export function appendToCache(tape: Tape, k: Tensor, v: Tensor, positions: Tensor, keys: Tensor, values: Tensor): void {
  const rows = dimension(positions, 0);
  const { capacity, width } = cacheSizes(keys, k);
  if (dimension(keys, 0) < rows) throw new RangeError(`${keys.name} [${keys.shape}] has fewer than ${rows} rows`);
  tape.launch({
    kernel: 'cached-attention/append',
    bindings: { k, v, positions, keys, values },
    params: { rows, width, capacity },
    groups: grid(Math.ceil((rows * width) / 256)),
  });
}

/**
 * f32 [R, heads · headDimension] from q of that shape, keys and values f32 [R, capacity, keyValueHeads · headDimension]
 * and positions u32 [R]: row r attends to its keys 0 … positions[r], scaled by 1 / √headDimension.
 */
export function cachedAttention(tape: Tape, q: Tensor, keys: Tensor, values: Tensor, positions: Tensor, options: CachedAttentionOptions): Tensor {
  const { heads, keyValueHeads, headDimension, capacity } = options;
  const rows = dimension(positions, 0);
  if (headDimension % 4 !== 0 || heads % keyValueHeads !== 0) {
    throw new RangeError(`attention of ${heads} over ${keyValueHeads} heads of ${headDimension}: the heads must divide evenly and their size by 4`);
  }
  if (dimension(q, 1) !== heads * headDimension || dimension(keys, 2) !== keyValueHeads * headDimension || dimension(keys, 1) !== capacity) {
    throw new RangeError(`attention: ${q.name} [${q.shape}] and ${keys.name} [${keys.shape}] do not fit ${JSON.stringify(options)}`);
  }
  const out = tape.empty('attended', [rows, heads * headDimension]);
  const pairs = rows * heads;
  const isSerial = options.isSerial ?? tape.device.adapter.isSoftware;
  tape.launch({
    kernel: isSerial ? 'cached-attention/attend' : 'cached-attention/attend-split',
    constants: { VECTORS: headDimension / 4 },
    bindings: { q, keys, values, positions, out },
    params: { rows, heads, key_value_heads: keyValueHeads, capacity, scale: 1 / Math.sqrt(headDimension) },
    groups: grid(isSerial ? Math.ceil(pairs / 32) : pairs),
  });
  return out;
}

/** Fills layer `layer` of a cache from packed keys and values f32 [N, D]; see PrefillTarget. Rows of length 0 stay as they are. */
export function prefillCache(tape: Tape, k: Tensor, v: Tensor, target: PrefillTarget, layer: number): void {
  const keys = target.cache.keys[layer];
  const values = target.cache.values[layer];
  if (keys === undefined || values === undefined) throw new RangeError(`the cache has no layer ${layer}`);
  const { capacity, width } = cacheSizes(keys, k);
  const { rows } = target.cache;
  tape.launch({
    kernel: 'cached-attention/prefill',
    bindings: { k, v, source: target.source, length: target.length, keys, values },
    params: { rows, width, capacity, tokens: dimension(k, 0) },
    groups: grid(Math.ceil((rows * width) / 256)),
  });
}

function cacheSizes(keys: Tensor, k: Tensor): { capacity: number; width: number } {
  const width = dimension(keys, 2);
  if (width % 4 !== 0 || dimension(k, 1) !== width) throw new RangeError(`${k.name} [${k.shape}] does not fit the cache ${keys.name} [${keys.shape}]`);
  return { capacity: dimension(keys, 1), width };
}
