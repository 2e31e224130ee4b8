/**
 * Sampling on the device: one launch draws a token for every row, notes it with its log-probability and entropy, and
 * leaves what the next decode step is fed. Nothing comes back to the host. The rule is in `kernels/sample/sample.wgsl`.
 */
import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import type { Device } from '../gpu/device.ts';
import { dimension, rowsOf, type Tensor } from '../tensor/tensor.ts';

/** How one kind of token is drawn. */
export interface SamplingRule {
  /** 0 takes the likeliest token (log-probability and entropy are then 0: nothing is left to chance). */
  readonly temperature: number;
  /** Only the k likeliest tokens; 0 for all. Ties at the border are kept. */
  readonly topK: number;
  /** Only the likeliest tokens that together hold this probability, in (0, 1]; 1 for all. Applied after top k. */
  readonly topP: number;
  /** w in u + w (c - u); read only where the step was recorded with guidance. */
  readonly guidance?: number;
}

/** Rules on the device, changeable between replays. */
export interface SamplingTable {
  /** u32 [6]: one rule for all rows, or [S, 6]: one for each cache row. */
  readonly tensor: Tensor;
}

/** One rule and one seed for all rows. */
export interface SamplingSettings extends SamplingTable {
  set(seed: number, rule: SamplingRule): void;
}

/** A rule and a seed for each cache row. A row's token has the bits that it has where its rule is that of all rows. */
export interface RowSettings extends SamplingTable {
  set(cacheRow: number, seed: number, rule: SamplingRule): void;
}

/** In a trace: the image start was put there instead of drawn, because the text's budget was used up. */
export const forcedByBudget = 1;

/** In a trace: the image start stands in the place of `SampleOptions.end`, which was drawn. */
export const putForEnd = 2;

/** Columns of the tables that the host fills and reads, as `kernels/sample` has them. */
export const sampledColumns = {
  state: { key: 0, length: 1, done: 2, lastText: 3, count: 4 },
  trace: { token: 0, forced: 1, logProbability: 2, entropy: 3, count: 4 },
} as const;

/** S cache rows that are written to by steps of R rows; with guidance another R rows follow that are fed the same tokens. */
export interface SamplingState {
  /** u32 [S, 4] by cache row: key, length (tokens so far), done, last position a text token may take. */
  readonly rows: Tensor;
  /** u32 [S, capacity, 4] by cache row and position: token, forced, bits of log-probability, bits of entropy. */
  readonly trace: Tensor;
  /** u32 [at least R]: the cache row of each row. */
  readonly cacheRows: Tensor;
  /** u32 [R or 2R]: the token to feed next and its position. */
  readonly current: Tensor;
  readonly positions: Tensor;
}

export interface SampleOptions {
  readonly phase: 'text' | 'image';
  /** Logits are [2R, V]: conditional rows, then unconditional ones. */
  readonly guided: boolean;
  readonly imageStart: number;
  /** A text token that ends the text as the image start does. */
  readonly end?: number;
  /** Threads that share a row, a power of two up to 256; by default 1 on a software adapter, 64 or, for large vocabularies, 256 elsewhere. */
  readonly lanes?: number;
}

/** The two words a seed becomes: low and high half of an integer up to 2^53. */
export function seedWords(seed: number): readonly [number, number] {
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new RangeError(`a seed is an integer from 0 to 2^53 - 1, not ${seed}`);
  return [seed % 2 ** 32, Math.floor(seed / 2 ** 32)];
}

export function createSamplingSettings(device: Device, name: string): SamplingSettings {
  const tensor = device.tensor(name, [settingWords], 'u32');
  return { tensor, set: (seed, rule) => device.write(tensor, wordsOf(seed, rule)) };
}

export function createRowSettings(device: Device, name: string, cacheRows: number): RowSettings {
  const tensor = device.tensor(name, [cacheRows, settingWords], 'u32');
  return { tensor, set: (cacheRow, seed, rule) => device.write(rowsOf(tensor, 1, cacheRow), wordsOf(seed, rule)) };
}

/** Words of a rule and its seed, as `kernels/sample` has them. */
const settingWords = 6;

function wordsOf(seed: number, { temperature, topK, topP, guidance = 1 }: SamplingRule): Uint32Array {
  if (!(temperature >= 0 && Number.isFinite(temperature)))
    throw new RangeError(`temperature is ${temperature}; it must be 0 or more`);
  if (!(Number.isInteger(topK) && topK >= 0))
    throw new RangeError(`top k is ${topK}; it must be a whole number, 0 for all`);
  if (!(topP > 0 && topP <= 1)) throw new RangeError(`top p is ${topP}; it must be above 0 and at most 1`);
  if (!Number.isFinite(guidance)) throw new RangeError(`guidance is ${guidance}`);
  const bits = new Uint32Array(Float32Array.of(temperature, topP, guidance).buffer);
  return Uint32Array.of(...seedWords(seed), topK, ...bits);
}

/** Draws the next token of every row from logits f32 [R, V] ([2R, V] with guidance); rows that are done stay as they are. */
export function sample(
  tape: Tape,
  logits: Tensor,
  state: SamplingState,
  settings: SamplingTable,
  options: SampleOptions,
): void {
  const { phase, guided, imageStart, end } = options;
  const fed = dimension(logits, 0);
  const rows = guided ? fed / 2 : fed;
  if (!Number.isInteger(rows) || dimension(state.current, 0) !== fed || dimension(state.cacheRows, 0) < rows) {
    throw new RangeError(
      `sampling ${rows} rows${guided ? ' with guidance' : ''} from ${logits.name} [${logits.shape}]`,
    );
  }
  const PER_ROW = settings.tensor.shape.length === 2;
  if (PER_ROW && dimension(settings.tensor, 0) !== dimension(state.rows, 0))
    throw new RangeError(
      `${settings.tensor.name} [${settings.tensor.shape}] are no rules of ${state.rows.name} [${state.rows.shape}]`,
    );
  const LANES = options.lanes ?? lanesFor(tape.device.adapter.isSoftware, dimension(logits, 1));
  const THREADS = Math.max(16, LANES);
  tape.launch({
    kernel: 'sample/sample',
    constants: { LANES, THREADS, GUIDED: guided, TEXT: phase === 'text', PER_ROW },
    bindings: {
      logits,
      settings: settings.tensor,
      cache_rows: state.cacheRows,
      row_state: state.rows,
      trace: state.trace,
      current: state.current,
      positions: state.positions,
    },
    params: {
      rows,
      vocabulary: dimension(logits, 1),
      capacity: dimension(state.trace, 1),
      image_start: imageStart,
      end: end ?? 0xffffffff,
    },
    groups: grid(Math.ceil((rows * LANES) / THREADS)),
  });
}

/** Never by the number of rows: a row's token must not depend on its batch. */
function lanesFor(isSoftware: boolean, vocabulary: number): number {
  if (isSoftware) return 1;
  return vocabulary < 8192 ? 64 : 256;
}
