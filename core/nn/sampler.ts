/**
 * Writes texts and draws pictures for many rows at once, on the device from the first token to the last.
 *
 * Phases: prompts are run once each, packed, and their keys and values spread over the rows that continue them; then rows
 * write text, one token per replay of one recorded program, until each has ended with an image start; then all rows
 * draw their codes, a fixed number of replays. A row has its own position, so rows of different lengths share every step
 * without padding. The host reads a few words per row and chunk of text steps, to let ended rows leave the computation and to
 * stop early, and everything else once at the end.
 *
 * A step feeds the last token of a row at its own position; that also holds for the first step after a prefill (the prompt's
 * last token is fed again) and for rows that have ended but fill a step up (their image start is fed again). Writing the same
 * keys twice changes nothing, and so one program serves all of these.
 *
 * Steps of fewer rows than there are cache rows name the cache rows they work on; see step-sizes.ts.
 */
import { runAll, type Program } from '../autograd/program.ts';
import { Tape } from '../autograd/tape.ts';
import type { KeyValueCache } from '../contracts/backbone.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import { createSamplingSettings, sample, type SamplingState } from '../ops/sample.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Prefill } from './prefill.ts';
import {
  collectSequence,
  collectText,
  planEntries,
  type DrawnToken,
  type SampledSequence,
  type SampleEntry,
  type SampleProgress,
  type SampleRequest,
  type SamplerOptions,
  type WriteRequest,
  type WrittenText,
} from './sampling.ts';
import { stepRows } from './step-sizes.ts';

export type {
  RequestFeatures,
  SampledSequence,
  SampleProgress,
  SampleRequest,
  SamplerOptions,
  WriteRequest,
  WrittenText,
} from './sampling.ts';

/** Steps per submit: enough to hide the host, few enough to stop early and to show progress. */
const chunk = 8;

type Phase = 'text' | 'image start' | 'image';
type Report = (phase: 'text' | 'image', step: number, steps: number, rows: number) => void;

/** Where a cache row stands: tokens so far, and the last of them. */
interface RowPosition {
  readonly length: number;
  readonly last: number;
}

export async function createSampler(options: SamplerOptions): Promise<Sampler> {
  const sampler = new Sampler(options);
  await sampler.record();
  return sampler;
}

export class Sampler {
  readonly capacity: number;
  private readonly options: SamplerOptions;
  private readonly cache: KeyValueCache;
  private readonly state: SamplingState;
  private readonly textSettings;
  private readonly imageSettings;
  private readonly prefill: Prefill;
  private readonly programs = new Map<string, Promise<Program>>();
  private readonly made: Tensor[] = [];
  /** By cache row. */
  private places: RowPosition[] = [];

  constructor(options: SamplerOptions) {
    const { device, backbone, rows, promptBudget, textBudget, imageCount, guidance = false, cache = 'f32' } = options;
    for (const [name, value] of Object.entries({ rows, promptBudget })) {
      if (!Number.isInteger(value) || value < 1) throw new RangeError(`sampler: ${name} is ${value}`);
    }
    for (const [name, value] of Object.entries({ textBudget, imageCount })) {
      if (!Number.isInteger(value) || value < 0) throw new RangeError(`sampler: ${name} is ${value}`);
    }
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
      rows: make('sampled rows', [rows, 4], 'u32'),
      trace: make('sampled tokens', [rows, this.capacity, 4], 'u32'),
      cacheRows,
      current: make('current tokens', [fed], 'u32'),
      positions: make('current positions', [fed], 'u32'),
    };
    this.textSettings = createSamplingSettings(device, 'text sampling');
    this.imageSettings = createSamplingSettings(device, 'image sampling');
    this.made.push(this.textSettings.tensor, this.imageSettings.tensor);
    this.prefill = new Prefill(options.workspace, backbone, options.weights, this.cache);
  }

  /** Makes the programs of full batches, so that no drawing waits for a compiler or needs memory that nobody counted on. */
  async record(): Promise<void> {
    const { guidance = false, promptBudget, textBudget, imageCount, rows, prompts = rows } = this.options;
    await this.prefill.reserve(Math.max(prompts * promptBudget, guidance ? promptBudget + textBudget : 0));
    await Promise.all([
      ...(textBudget > 0 ? [this.program('text', false, rows)] : []),
      ...(imageCount > 0 ? [this.program('image start', guidance, rows), this.program('image', guidance, rows)] : []),
    ]);
  }

  /** The samples of the first prompt, then of the second, …; more than `rows` of them are written in several batches. */
  async sample(request: SampleRequest): Promise<SampledSequence[]> {
    const { seed, text, image, rationale } = request;
    const { imageCount, guidance = false } = this.options;
    const entries = planEntries(this.options, request, rationale);
    const isGuided = (image.guidance ?? 1) !== 1;
    if (imageCount === 0) throw new RangeError('this sampler was made for text only');
    if (isGuided && !guidance) throw new RangeError('this sampler was made without guidance');
    this.textSettings.set(seed, text);
    this.imageSettings.set(seed, image);
    return this.inBatches(entries, request.onProgress, async (batch, report) => {
      await this.begin(batch);
      await this.writeText(batch, report);
      await this.draw(
        batch,
        isGuided ? await this.beginUnconditional(batch, request.unconditional) : undefined,
        report,
      );
      const { tokens, lengths } = await this.read();
      return batch.map((entry, cacheRow) =>
        collectSequence(entry, lengths[cacheRow] ?? 0, imageCount, (position) => tokens(cacheRow, position)),
      );
    });
  }

  /** Text behind each prompt, until the end token or the budget. Only of a sampler made with `imageCount: 0`. */
  async write(request: WriteRequest): Promise<WrittenText[]> {
    if (this.options.imageCount !== 0) throw new RangeError('this sampler was made to draw');
    const entries = planEntries(this.options, request, 'write');
    this.textSettings.set(request.seed, request.text);
    return this.inBatches(entries, request.onProgress, async (batch, report) => {
      const first = batch[0] === undefined ? 0 : entries.indexOf(batch[0]);
      await this.begin(batch);
      await this.writeText(
        batch,
        report,
        request.onText === undefined ? undefined : () => this.tellText(batch, first, request),
      );
      const { tokens, lengths } = await this.read();
      return batch.map((entry, cacheRow) =>
        collectText(entry, lengths[cacheRow] ?? 0, (position) => tokens(cacheRow, position)),
      );
    });
  }

  close(): void {
    for (const program of this.programs.values()) void program.then((made) => made.dispose());
    this.programs.clear();
    this.prefill.close();
    for (const tensor of this.made) this.options.device.destroyTensor(tensor);
    this.made.length = 0;
  }

  private async inBatches<Result>(
    entries: readonly SampleEntry[],
    onProgress: ((progress: SampleProgress) => void) | undefined,
    run: (batch: readonly SampleEntry[], report: Report) => Promise<Result[]>,
  ): Promise<Result[]> {
    const results: Result[] = [];
    for (let start = 0; start < entries.length; start += this.options.rows) {
      const report: Report = (phase, step, steps, rows) =>
        onProgress?.({ phase, step, steps, rows, finished: start, samples: entries.length });
      results.push(...(await run(entries.slice(start, start + this.options.rows), report)));
    }
    return results;
  }

  /** Puts every cache row behind its head: state, keys and values. Cache rows without an entry are done. */
  private async begin(batch: readonly SampleEntry[]): Promise<void> {
    const { device, rows, textBudget } = this.options;
    const state = new Uint32Array(rows * 4);
    for (let cacheRow = 0; cacheRow < rows; cacheRow++) state.set([0, 1, 1, 0], cacheRow * 4);
    batch.forEach(({ head, key, writes }, cacheRow) =>
      state.set([key, head.length, writes ? 0 : 1, head.length + textBudget - 1], cacheRow * 4),
    );
    device.write(this.state.rows, state);
    this.places = Array.from({ length: rows }, (_, cacheRow) => positionOf(batch[cacheRow]?.head ?? [0]));
    await this.prefill.run(batch.map(({ head, features }, row) => ({ row, ids: head.slice(0, -1), features })));
  }

  /** Steps until every text has ended; those that have leave the computation between chunks. */
  private async writeText(
    batch: readonly SampleEntry[],
    report: Report,
    afterChunk?: () => Promise<void>,
  ): Promise<void> {
    const { device, rows, textBudget } = this.options;
    let writing = batch.flatMap(({ writes }, cacheRow) => (writes ? [cacheRow] : []));
    let fed: readonly number[] = [];
    for (let step = 0; writing.length > 0;) {
      if (step >= textBudget) throw new RangeError('a text went on after its budget');
      if (fed.length !== stepRows(writing.length, rows)) fed = this.feed(writing);
      const program = await this.program('text', false, fed.length);
      const count = Math.min(chunk, textBudget - step);
      runAll(new Array<Program>(count).fill(program));
      step += count;
      const [state, current] = (await device.read([this.state.rows, this.state.current])) as [Uint32Array, Uint32Array];
      fed.forEach((cacheRow, row) => {
        this.places[cacheRow] = { length: state[cacheRow * 4 + 1] ?? 1, last: current[row] ?? 0 };
      });
      writing = writing.filter((cacheRow) => state[cacheRow * 4 + 2] === 0);
      report('text', writing.length > 0 ? step : textBudget, textBudget, fed.length);
      await afterChunk?.();
    }
  }

  /** Hands on what every sample of a batch has written so far; `first` is the batch's first sample. */
  private async tellText(batch: readonly SampleEntry[], first: number, { onText }: WriteRequest): Promise<void> {
    const { tokens, lengths } = await this.read();
    batch.forEach(({ head }, cacheRow) => {
      const ids = Array.from(
        { length: Math.max(0, (lengths[cacheRow] ?? 0) - head.length) },
        (_, index) => tokens(cacheRow, head.length + index).id,
      );
      onText?.(first + cacheRow, ids.at(-1) === this.options.special.eos ? ids.slice(0, -1) : ids);
    });
  }

  /** Keys and values of the unconditional branch; returns where each of its rows stands. */
  private async beginUnconditional(
    batch: readonly SampleEntry[],
    unconditional: SampleRequest['unconditional'],
  ): Promise<RowPosition[]> {
    const { rows, special, imageCount } = this.options;
    if (unconditional === undefined) throw new RangeError('guidance needs the unconditional tokens');
    const sequences =
      typeof unconditional === 'function'
        ? (await this.written(batch)).map(unconditional)
        : batch.map(() => unconditional);
    for (const ids of sequences) {
      if (ids.at(-1) !== special.imageStart)
        throw new RangeError('the unconditional tokens must end with the image start');
      if (ids.length > this.capacity - imageCount)
        throw new RangeError(`${ids.length} unconditional tokens; this sampler takes ${this.capacity - imageCount}`);
    }
    await this.prefill.run(sequences.map((ids, index) => ({ row: rows + index, ids: ids.slice(0, -1) })));
    return sequences.map(positionOf);
  }

  /** Prompt, rationale and image start of every row. */
  private async written(batch: readonly SampleEntry[]): Promise<number[][]> {
    if (batch.every(({ writes }) => !writes)) return batch.map(({ head }) => [...head]);
    const { tokens, lengths } = await this.read();
    return batch.map(({ head }, cacheRow) => [
      ...head,
      ...Array.from(
        { length: (lengths[cacheRow] ?? 0) - head.length },
        (_, index) => tokens(cacheRow, head.length + index).id,
      ),
    ]);
  }

  /** `unconditional`: where the rows of that branch stand; none without guidance. */
  private async draw(
    batch: readonly SampleEntry[],
    unconditional: readonly RowPosition[] | undefined,
    report: Report,
  ): Promise<void> {
    const { device, imageCount } = this.options;
    const fed = this.feed(
      batch.map((_, cacheRow) => cacheRow),
      unconditional,
    );
    const isGuided = unconditional !== undefined;
    const [start, next] = await Promise.all([
      this.program('image start', isGuided, fed.length),
      this.program('image', isGuided, fed.length),
    ]);
    let before = Promise.resolve();
    for (let step = 0; step < imageCount; step += chunk) {
      const count = Math.min(chunk, imageCount - step);
      runAll(Array.from({ length: count }, (_, index) => (step + index === 0 ? start : next)));
      // Waiting lets a signal or a progress bar through. It is for the chunk before this one, so that the device always has work.
      const submitted = device.settle();
      // Heard one chunk later; when the wait before it throws, the same failure has been heard already.
      submitted.catch(() => undefined);
      await before;
      if (step > 0) report('image', step, imageCount, fed.length);
      before = submitted;
    }
    await before;
    report('image', imageCount, imageCount, fed.length);
  }

  /** What the next step feeds: the last token of each cache row at its place. Other cache rows fill the step up. Returns the cache rows of its rows. */
  private feed(cacheRows: readonly number[], unconditional?: readonly RowPosition[]): number[] {
    const { device, rows } = this.options;
    const count = stepRows(cacheRows.length, rows);
    const wanted = new Set(cacheRows);
    const idle = this.places.flatMap((_, cacheRow) => (wanted.has(cacheRow) ? [] : [cacheRow]));
    const fed = [...cacheRows, ...idle].slice(0, count);
    const places = fed.map((cacheRow) => this.places[cacheRow] ?? positionOf([0]));
    const twins = unconditional === undefined ? [] : fed.map((cacheRow) => unconditional[cacheRow] ?? positionOf([0]));
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

  private async read(): Promise<{ tokens: (cacheRow: number, position: number) => DrawnToken; lengths: number[] }> {
    const [state, trace] = (await this.options.device.read([this.state.rows, this.state.trace])) as [
      Uint32Array,
      Uint32Array,
    ];
    const floats = new Float32Array(trace.buffer, trace.byteOffset, trace.length);
    return {
      lengths: Array.from({ length: this.options.rows }, (_, cacheRow) => state[cacheRow * 4 + 1] ?? 0),
      tokens: (cacheRow, position) => {
        const at = (cacheRow * this.capacity + position) * 4;
        return {
          id: trace[at] ?? 0,
          forced: trace[at + 1] ?? 0,
          logProbability: floats[at + 2] ?? NaN,
          entropy: floats[at + 3] ?? NaN,
        };
      },
    };
  }

  private program(phase: Phase, guided: boolean, rows: number): Promise<Program> {
    const name = `sample ${phase}${guided ? ' with guidance' : ''}, ${rows} rows`;
    let pending = this.programs.get(name);
    if (pending === undefined) {
      pending = this.recordStep(name, phase, guided, rows);
      this.programs.set(name, pending);
    }
    return pending;
  }

  private recordStep(name: string, phase: Phase, guided: boolean, rows: number): Promise<Program> {
    const { workspace, backbone, weights } = this.options;
    const tape = new Tape(workspace);
    const fed = guided ? 2 * rows : rows;
    const state = {
      ...this.state,
      current: rowsOf(this.state.current, fed),
      positions: rowsOf(this.state.positions, fed),
    };
    const x =
      phase === 'image'
        ? backbone.embedImage(tape, weights, state.current)
        : backbone.embedText(tape, weights, state.current);
    const hidden = backbone.step(tape, weights, x, state.positions, {
      ...this.cache,
      cacheRows: rowsOf(this.cache.cacheRows, fed),
    });
    const isText = phase === 'text';
    const logits = isText ? backbone.textLogits(tape, weights, hidden) : backbone.imageLogits(tape, weights, hidden);
    sample(tape, logits, state, isText ? this.textSettings : this.imageSettings, {
      phase: isText ? 'text' : 'image',
      guided,
      ...this.stops(),
    });
    return tape.finish(name);
  }

  /** In a text-only run the end token is to a text what the image start is to a rationale. */
  private stops(): { imageStart: number; end?: number } {
    const { special, imageCount } = this.options;
    const { imageStart, eos } = special;
    if (imageCount > 0) return eos === undefined ? { imageStart } : { imageStart, end: eos };
    if (eos === undefined) throw new RangeError('a text-only sampler needs an end token');
    return { imageStart: eos };
  }
}

function positionOf(ids: readonly number[]): RowPosition {
  return { length: ids.length, last: ids.at(-1) ?? 0 };
}

/** The first rows of a tensor that lives in a buffer, without a copy. */
function rowsOf(tensor: Tensor, count: number): Tensor {
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
