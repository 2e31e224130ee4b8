/**
 * The rows of a sampler on the device: cache, state and trace of every cache row, and what the next step feeds. A row of a step and
 * a row of the cache are two things: a step of fewer rows names the cache rows it works on.
 */
import type { KeyValueCache } from '../contracts/backbone.ts';
import { exitCodes, ReasongenError } from '../errors.ts';
import { sampledColumns, type SamplingState } from '../ops/sample.ts';
import { at } from '../tensor/at.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { DrawnToken, SampleEntry, SamplerOptions } from './sampling.ts';
import { stepRows } from './step-sizes.ts';

/** Where a cache row stands: tokens so far, and the last of them. */
export interface RowPosition {
  readonly length: number;
  readonly last: number;
}

/** What the device has noted of all cache rows. */
export interface Notes {
  /** Tokens of each cache row, its head included. */
  readonly lengths: readonly number[];
  readonly token: (cacheRow: number, position: number) => DrawnToken;
}

const { state: stateColumns, trace: traceColumns } = sampledColumns;

export class SampledRows {
  readonly capacity: number;
  readonly cache: KeyValueCache;
  readonly state: SamplingState;
  private readonly options: SamplerOptions;
  private readonly made: Tensor[] = [];
  /** By cache row. */
  private places: RowPosition[] = [];

  constructor(options: SamplerOptions) {
    const { device, backbone, rows, promptBudget, textBudget, imageCount, guidance = false, cache = 'f32' } = options;
    if (cache === 'f16' && !device.has('shader-f16')) throw halfCacheUnsupported(device.adapter.description);
    this.options = options;
    this.capacity = promptBudget + textBudget + imageCount;
    const fed = guidance ? 2 * rows : rows;
    const make = (name: string, shape: readonly number[], type: 'f32' | 'f16' | 'u32'): Tensor => {
      const tensor = device.tensor(name, shape, type);
      this.made.push(tensor);
      return tensor;
    };
    const width = backbone.keyValueHeads * backbone.headDimension;
    const layers = (name: string): Tensor[] =>
      Array.from({ length: backbone.layers }, (_, layer) =>
        make(`${name} of layer ${layer}`, [fed, this.capacity, width], cache),
      );
    const cacheRows = make('cache rows', [fed], 'u32');
    this.cache = { rows: fed, capacity: this.capacity, cacheRows, keys: layers('keys'), values: layers('values') };
    this.state = {
      rows: make('sampled rows', [rows, stateColumns.count], 'u32'),
      trace: make('sampled tokens', [rows, this.capacity, traceColumns.count], 'u32'),
      cacheRows,
      current: make('current tokens', [fed], 'u32'),
      positions: make('current positions', [fed], 'u32'),
    };
  }

  /** Puts every cache row behind its head. Cache rows without an entry are done. */
  begin(batch: readonly SampleEntry[]): void {
    const { device, rows, textBudget } = this.options;
    const state = new Uint32Array(rows * stateColumns.count);
    for (let cacheRow = 0; cacheRow < rows; cacheRow++) {
      const entry = batch[cacheRow];
      const start = cacheRow * stateColumns.count;
      const length = entry?.head.length ?? 1;
      state[start + stateColumns.key] = entry?.key ?? 0;
      state[start + stateColumns.length] = length;
      state[start + stateColumns.done] = entry?.writes === true ? 0 : 1;
      state[start + stateColumns.lastText] = entry === undefined ? 0 : length + textBudget - 1;
    }
    device.write(this.state.rows, state);
    this.places = Array.from({ length: rows }, (_, cacheRow) => positionOf(batch[cacheRow]?.head ?? idle));
  }

  /** What the next step feeds: the last token of each cache row at its place. Other cache rows fill the step up. Returns the cache rows of its rows. */
  feed(cacheRows: readonly number[], unconditional?: readonly RowPosition[]): number[] {
    const { device, rows } = this.options;
    const count = stepRows(cacheRows.length, rows);
    const wanted = new Set(cacheRows);
    const others = this.places.flatMap((_, cacheRow) => (wanted.has(cacheRow) ? [] : [cacheRow]));
    const fed = [...cacheRows, ...others].slice(0, count);
    const places = fed.map((cacheRow) => at(this.places, cacheRow));
    // Cache rows without an entry have no unconditional twin.
    const twins = unconditional === undefined ? [] : fed.map((cacheRow) => unconditional[cacheRow] ?? positionOf(idle));
    const fill = (tensor: Tensor, values: readonly number[]): void =>
      device.write(rowsOf(tensor, values.length), Uint32Array.from(values));
    fill(this.state.cacheRows, unconditional === undefined ? fed : [...fed, ...fed.map((cacheRow) => rows + cacheRow)]);
    fill(
      this.state.current,
      [...places, ...twins].map(({ last }) => last),
    );
    fill(
      this.state.positions,
      [...places, ...twins].map(({ length }) => length - 1),
    );
    return fed;
  }

  /** Reads where the rows of a step of text have come to. Returns those of `writing` that have not ended. */
  async follow(fed: readonly number[], writing: readonly number[]): Promise<number[]> {
    const { state, options } = this;
    const [rows, current] = (await options.device.read([state.rows, state.current])) as [Uint32Array, Uint32Array];
    const of = (cacheRow: number, column: number): number => at(rows, cacheRow * stateColumns.count + column);
    fed.forEach((cacheRow, row) => {
      this.places[cacheRow] = { length: of(cacheRow, stateColumns.length), last: at(current, row) };
    });
    return writing.filter((cacheRow) => of(cacheRow, stateColumns.done) === 0);
  }

  async read(): Promise<Notes> {
    const { device, rows } = this.options;
    const [state, trace] = (await device.read([this.state.rows, this.state.trace])) as [Uint32Array, Uint32Array];
    const floats = new Float32Array(trace.buffer, trace.byteOffset, trace.length);
    return {
      lengths: Array.from({ length: rows }, (_, cacheRow) =>
        at(state, cacheRow * stateColumns.count + stateColumns.length),
      ),
      token: (cacheRow, position) => {
        const start = (cacheRow * this.capacity + position) * traceColumns.count;
        return {
          id: at(trace, start + traceColumns.token),
          forced: at(trace, start + traceColumns.forced),
          logProbability: at(floats, start + traceColumns.logProbability),
          entropy: at(floats, start + traceColumns.entropy),
        };
      },
    };
  }

  close(): void {
    for (const tensor of this.made) this.options.device.destroyTensor(tensor);
    this.made.length = 0;
  }
}

/** What a cache row without an entry is fed. */
const idle: readonly number[] = [0];

export function positionOf(ids: readonly number[]): RowPosition {
  return { length: ids.length, last: at(ids, ids.length - 1) };
}

/** The first rows of a tensor that lives in a buffer, without a copy. */
export function rowsOf(tensor: Tensor, count: number): Tensor {
  return { ...tensor, shape: [count, ...tensor.shape.slice(1)] };
}

function halfCacheUnsupported(adapter: string): ReasongenError {
  return new ReasongenError({
    code: 'NO_HALF_CACHE',
    message: `keys and values cannot be kept as f16: the adapter "${adapter}" does not offer shader-f16`,
    hint: 'set cache to f32',
    exitCode: exitCodes.badPreset,
  });
}
