/**
 * The rows of a sampler on the device: cache, state and trace of every cache row, and what the next step feeds. A row of a step and
 * a row of the cache are two things: a step of fewer rows names the cache rows it works on.
 */
import type { KeyValueCache } from '../contracts/backbone.ts';
import { exitCodes, ReasongenError } from '../errors.ts';
import { sampledColumns, type SamplingState } from '../ops/sample.ts';
import { at } from '../tensor/at.ts';
import { rowsOf, type Tensor } from '../tensor/tensor.ts';
import type { PromptFeatures } from './features.ts';
import type { DrawnToken, SampleEntry, SamplerOptions } from './sampling.ts';
import { stepRows } from './step-sizes.ts';

/** Where a cache row stands: tokens so far, and the last of them. */
export interface RowPosition {
  readonly length: number;
  readonly last: number;
}

/** What a row of a step has come to. */
export interface RowNews {
  /** Drawn since the steps before. */
  readonly tokens: readonly DrawnToken[];
  /** Whether its text has ended. */
  readonly done: boolean;
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
    const hasShifts = (backbone.positionAxes ?? 1) > 1;
    this.cache = {
      rows: fed,
      capacity: this.capacity,
      cacheRows,
      ...(hasShifts && { shifts: make('shifts of positions', [fed], 'u32') }),
      keys: layers('keys'),
      values: layers('values'),
    };
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
    if (this.cache.shifts !== undefined) {
      // The unconditional branch looks at no pictures.
      const shifts = new Uint32Array(this.cache.rows);
      batch.forEach(({ features }, cacheRow) => (shifts[cacheRow] = features === undefined ? 0 : shiftOf(features)));
      device.write(this.cache.shifts, shifts);
    }
    this.places = Array.from({ length: rows }, (_, cacheRow) => positionOf(batch[cacheRow]?.head ?? idle));
  }

  /** Puts one cache row behind its head; the others stay as they are. `lastText`: the last position that a token of its text may take. */
  place(cacheRow: number, { head, key, writes, features }: SampleEntry, lastText: number): void {
    const { device } = this.options;
    device.write(rowsOf(this.state.rows, 1, cacheRow), Uint32Array.of(key, head.length, writes ? 0 : 1, lastText));
    if (this.cache.shifts !== undefined)
      device.write(
        rowsOf(this.cache.shifts, 1, cacheRow),
        Uint32Array.of(features === undefined ? 0 : shiftOf(features)),
      );
    this.places[cacheRow] = positionOf(head);
  }

  /** As `feed`, of these cache rows only: nothing fills the step up. `twins` stand for the unconditional branch of each. */
  feedOnly(cacheRows: readonly number[], twins: readonly RowPosition[] = []): void {
    const { rows } = this.options;
    const places = [...cacheRows.map((cacheRow) => at(this.places, cacheRow)), ...twins];
    const fed = twins.length === 0 ? cacheRows : [...cacheRows, ...cacheRows.map((cacheRow) => rows + cacheRow)];
    this.fill(fed, places);
  }

  /** Reads where the rows of a step have come to in its last `steps`, and with that whatever else the step has left. */
  async news(
    fed: readonly number[],
    steps: number,
    others: readonly Tensor[] = [],
  ): Promise<{
    readonly rows: readonly RowNews[];
    readonly others: readonly (Float32Array | Uint32Array | Uint16Array)[];
  }> {
    const { state, options, capacity } = this;
    const spans = fed.map((cacheRow) => {
      const { length } = at(this.places, cacheRow);
      return rowsOf(
        { ...state.trace, shape: [options.rows * capacity, traceColumns.count] },
        Math.min(steps, capacity - length),
        cacheRow * capacity + length,
      );
    });
    const [words, current, ...read] = await options.device.read([state.rows, state.current, ...others, ...spans]);
    const of = (cacheRow: number, column: number): number =>
      at(words as Uint32Array, cacheRow * stateColumns.count + column);
    const rows = fed.map((cacheRow, row): RowNews => {
      const length = of(cacheRow, stateColumns.length);
      const trace = at(read, others.length + row) as Uint32Array;
      const floats = new Float32Array(trace.buffer, trace.byteOffset, trace.length);
      const drawn = length - at(this.places, cacheRow).length;
      this.places[cacheRow] = { length, last: at(current as Uint32Array, row) };
      return {
        tokens: Array.from({ length: drawn }, (_, index) => drawnToken(trace, floats, index)),
        done: of(cacheRow, stateColumns.done) !== 0,
      };
    });
    return { rows, others: read.slice(0, others.length) };
  }

  /** What the next step feeds: the last token of each cache row at its place. Other cache rows fill the step up. Returns the cache rows of its rows. */
  feed(cacheRows: readonly number[], unconditional?: readonly RowPosition[]): number[] {
    const { rows } = this.options;
    const count = stepRows(cacheRows.length, rows);
    const wanted = new Set(cacheRows);
    const others = this.places.flatMap((_, cacheRow) => (wanted.has(cacheRow) ? [] : [cacheRow]));
    const fed = [...cacheRows, ...others].slice(0, count);
    const places = fed.map((cacheRow) => at(this.places, cacheRow));
    // Cache rows without an entry have no unconditional twin.
    const twins = unconditional === undefined ? [] : fed.map((cacheRow) => unconditional[cacheRow] ?? positionOf(idle));
    this.fill(unconditional === undefined ? fed : [...fed, ...fed.map((cacheRow) => rows + cacheRow)], [
      ...places,
      ...twins,
    ]);
    return fed;
  }

  private fill(cacheRows: readonly number[], places: readonly RowPosition[]): void {
    const { cacheRows: named, current, positions } = this.state;
    const write = (tensor: Tensor, values: readonly number[]): void =>
      this.options.device.write(rowsOf(tensor, values.length), Uint32Array.from(values));
    write(named, cacheRows);
    write(
      current,
      places.map(({ last }) => last),
    );
    write(
      positions,
      places.map(({ length }) => length - 1),
    );
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
      token: (cacheRow, position) => drawnToken(trace, floats, cacheRow * this.capacity + position),
    };
  }

  close(): void {
    for (const tensor of this.made) this.options.device.destroyTensor(tensor);
    this.made.length = 0;
  }
}

/** By how much positions are ahead of places behind a prompt with pictures; as u32, a negative one modulo 2³². */
function shiftOf({ positions: { positions, axes, next } }: PromptFeatures): number {
  return (next - positions.length / axes) >>> 0;
}

/** Entry `index` of a trace. */
function drawnToken(trace: Uint32Array, floats: Float32Array, index: number): DrawnToken {
  const start = index * traceColumns.count;
  return {
    id: at(trace, start + traceColumns.token),
    forced: at(trace, start + traceColumns.forced),
    logProbability: at(floats, start + traceColumns.logProbability),
    entropy: at(floats, start + traceColumns.entropy),
  };
}

/** What a cache row without an entry is fed. */
const idle: readonly number[] = [0];

export function positionOf(ids: readonly number[]): RowPosition {
  return { length: ids.length, last: at(ids, ids.length - 1) };
}

function halfCacheUnsupported(adapter: string): ReasongenError {
  return new ReasongenError({
    code: 'NO_HALF_CACHE',
    message: `keys and values cannot be kept as f16: the adapter "${adapter}" does not offer shader-f16`,
    hint: 'set cache to f32',
    exitCode: exitCodes.badPreset,
  });
}
