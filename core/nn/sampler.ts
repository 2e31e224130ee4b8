/**
 * Writes rationales and draws pictures for many rows at once, on the device from the first token to the last.
 *
 * Phases: prompts are run once each, packed, and their keys and values spread over the rows that continue them; then all
 * rows write text, one token per replay of one recorded program, until each has ended with an image start; then all rows
 * draw their codes, a fixed number of replays. A row has its own position, so rows of different lengths share every step
 * without padding. The host reads one word row per chunk of text steps, to stop early, and everything else once at the end.
 *
 * A step feeds the last token of a row at its own position; that also holds for the first step after a prefill (the prompt's
 * last token is fed again) and for rows that have ended (their image start is fed again). Writing the same keys twice
 * changes nothing, and so one program serves all of these.
 */
import { runAll, type Program } from '../autograd/program.ts';
import { Tape } from '../autograd/tape.ts';
import type { KeyValueCache } from '../contracts/backbone.ts';
import { createSamplingSettings, sample, type SamplingState } from '../ops/sample.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Prefill } from './prefill.ts';
import { collectSequence, planEntries, type DrawnToken, type SampledSequence, type SampleEntry, type SampleRequest, type SamplerOptions } from './sampling.ts';

export type { SampledSequence, SampleProgress, SampleRequest, SamplerOptions } from './sampling.ts';

/** Steps per submit: enough to hide the host, few enough to stop early and to show progress. */
const chunk = 8;

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

  constructor(options: SamplerOptions) {
    const { device, backbone, rows, promptBudget, textBudget, imageCount, guidance = false } = options;
    for (const [name, value] of Object.entries({ rows, promptBudget, imageCount })) {
      if (!Number.isInteger(value) || value < 1) throw new RangeError(`sampler: ${name} is ${value}`);
    }
    if (!Number.isInteger(textBudget) || textBudget < 0) throw new RangeError(`sampler: textBudget is ${textBudget}`);
    this.options = options;
    this.capacity = promptBudget + textBudget + imageCount;
    const fed = guidance ? 2 * rows : rows;
    const make = (name: string, shape: readonly number[], type: 'f32' | 'u32'): Tensor => {
      const tensor = device.tensor(name, shape, type);
      this.made.push(tensor);
      return tensor;
    };
    const width = backbone.keyValueHeads * backbone.headDimension;
    const layers = (name: string): Tensor[] => Array.from({ length: backbone.layers }, (_, layer) => make(`${name} of layer ${layer}`, [fed, this.capacity, width], 'f32'));
    this.cache = { rows: fed, capacity: this.capacity, keys: layers('keys'), values: layers('values') };
    this.state = {
      rows: make('sampled rows', [rows, 4], 'u32'),
      trace: make('sampled tokens', [rows, this.capacity, 4], 'u32'),
      current: make('current tokens', [fed], 'u32'),
      positions: make('current positions', [fed], 'u32'),
    };
    this.textSettings = createSamplingSettings(device, 'text sampling');
    this.imageSettings = createSamplingSettings(device, 'image sampling');
    this.made.push(this.textSettings.tensor, this.imageSettings.tensor);
    this.prefill = new Prefill(options.workspace, backbone, options.weights, this.cache);
  }

  /** Makes the programs a run will replay, so that no drawing waits for a compiler. */
  async record(): Promise<void> {
    const { guidance = false, textBudget } = this.options;
    await Promise.all([
      ...(textBudget > 0 ? [this.program('text', false)] : []),
      this.program('image start', guidance),
      this.program('image', guidance),
    ]);
  }

  /** The samples of the first prompt, then of the second, …; more than `rows` of them are written in several batches. */
  async sample(request: SampleRequest): Promise<SampledSequence[]> {
    const { seed, text, image, rationale } = request;
    const entries = planEntries(this.options, request);
    const isGuided = (image.guidance ?? 1) !== 1;
    if (isGuided && !this.options.guidance) throw new RangeError('this sampler was made without guidance');
    this.textSettings.set(seed, text);
    this.imageSettings.set(seed, image);
    const results: SampledSequence[] = [];
    for (let start = 0; start < entries.length; start += this.options.rows) {
      const batch = entries.slice(start, start + this.options.rows);
      const report = (phase: 'text' | 'image', step: number, steps: number): void =>
        request.onProgress?.({ phase, step, steps, finished: start, samples: entries.length });
      await this.begin(batch, rationale === 'write');
      if (rationale === 'write') await this.write(report);
      if (isGuided) await this.beginUnconditional(batch, request.unconditional);
      await this.draw(isGuided, report);
      const { tokens, lengths } = await this.read();
      batch.forEach((entry, row) => results.push(collectSequence(entry, lengths[row] ?? 0, this.options.imageCount, (position) => tokens(row, position))));
    }
    return results;
  }

  close(): void {
    for (const program of this.programs.values()) void program.then((made) => made.dispose());
    this.programs.clear();
    this.prefill.close();
    for (const tensor of this.made) this.options.device.destroyTensor(tensor);
    this.made.length = 0;
  }

  /** Puts every row behind its head: state, what is fed next, keys and values. Rows without an entry are done. */
  private async begin(batch: readonly SampleEntry[], isWriting: boolean): Promise<void> {
    const { device, rows, textBudget } = this.options;
    const state = new Uint32Array(rows * 4);
    for (let row = 0; row < rows; row++) state.set([0, 1, 1, 0], row * 4);
    batch.forEach(({ head, key }, row) => state.set([key, head.length, isWriting ? 0 : 1, head.length + textBudget - 1], row * 4));
    device.write(this.state.rows, state);
    this.feed(batch.map(({ head }) => head), 0);
    await this.prefill.run(batch.map(({ head }, row) => ({ row, ids: head.slice(0, -1) })));
  }

  private async beginUnconditional(batch: readonly SampleEntry[], unconditional: SampleRequest['unconditional']): Promise<void> {
    const { rows, special } = this.options;
    if (unconditional === undefined) throw new RangeError('guidance needs the unconditional tokens');
    let sequences: readonly (readonly number[])[];
    if (typeof unconditional === 'function') {
      const { tokens, lengths } = await this.read();
      sequences = batch.map(({ head }, row) => {
        const written = Array.from({ length: (lengths[row] ?? 0) - head.length }, (_, index) => tokens(row, head.length + index).id);
        return unconditional([...head, ...written]);
      });
    } else sequences = batch.map(() => unconditional);
    sequences.forEach((ids) => {
      if (ids.at(-1) !== special.imageStart) throw new RangeError('the unconditional tokens must end with the image start');
      if (ids.length > this.capacity - this.options.imageCount) throw new RangeError(`${ids.length} unconditional tokens; this sampler takes ${this.capacity - this.options.imageCount}`);
    });
    this.feed(sequences, rows);
    await this.prefill.run(sequences.map((ids, index) => ({ row: rows + index, ids: ids.slice(0, -1) })));
  }

  /** What the next step feeds from row `first` on: the last token of each sequence, at its place. */
  private feed(sequences: readonly (readonly number[])[], first: number): void {
    const { device, rows } = this.options;
    const fill = (tensor: Tensor, values: readonly number[]): void => {
      const all = new Uint32Array(rows);
      all.set(values);
      device.write(rowsOf(tensor, first, rows), all);
    };
    fill(this.state.current, sequences.map((ids) => ids.at(-1) ?? 0));
    fill(this.state.positions, sequences.map((ids) => ids.length - 1));
  }

  private async write(report: (phase: 'text', step: number, steps: number) => void): Promise<void> {
    const { device, textBudget } = this.options;
    const program = await this.program('text', false);
    for (let step = 0; step < textBudget; ) {
      const count = Math.min(chunk, textBudget - step);
      runAll(new Array<Program>(count).fill(program));
      step += count;
      const state = await device.readWords(this.state.rows);
      const isWriting = state.some((value, index) => index % 4 === 2 && value === 0);
      report('text', isWriting ? step : textBudget, textBudget);
      if (!isWriting) return;
    }
    throw new RangeError('a text went on after its budget');
  }

  private async draw(isGuided: boolean, report: (phase: 'image', step: number, steps: number) => void): Promise<void> {
    const { device, imageCount } = this.options;
    const [start, next] = await Promise.all([this.program('image start', isGuided), this.program('image', isGuided)]);
    for (let step = 0; step < imageCount; ) {
      const count = Math.min(chunk, imageCount - step);
      runAll(Array.from({ length: count }, (_, index) => (step + index === 0 ? start : next)));
      step += count;
      // Waiting lets a signal or a progress bar through; the last chunk is waited for by the read-back.
      if (step < imageCount) await device.settle();
      report('image', step, imageCount);
    }
  }

  private async read(): Promise<{ tokens: (row: number, position: number) => DrawnToken; lengths: number[] }> {
    const [state, trace] = (await this.options.device.read([this.state.rows, this.state.trace])) as [Uint32Array, Uint32Array];
    const floats = new Float32Array(trace.buffer, trace.byteOffset, trace.length);
    return {
      lengths: Array.from({ length: this.options.rows }, (_, row) => state[row * 4 + 1] ?? 0),
      tokens: (row, position) => {
        const at = (row * this.capacity + position) * 4;
        return { id: trace[at] ?? 0, forced: trace[at + 1] ?? 0, logProbability: floats[at + 2] ?? NaN, entropy: floats[at + 3] ?? NaN };
      },
    };
  }

  private program(phase: 'text' | 'image start' | 'image', guided: boolean): Promise<Program> {
    const name = `sample ${phase}${guided ? ' with guidance' : ''}`;
    let pending = this.programs.get(name);
    if (pending === undefined) {
      pending = this.recordStep(name, phase, guided);
      this.programs.set(name, pending);
    }
    return pending;
  }

  private recordStep(name: string, phase: 'text' | 'image start' | 'image', guided: boolean): Promise<Program> {
    const { workspace, backbone, weights, rows, special } = this.options;
    const tape = new Tape(workspace);
    const fed = guided ? 2 * rows : rows;
    const cache: KeyValueCache = {
      rows: fed,
      capacity: this.capacity,
      keys: this.cache.keys.map((keys) => rowsOf(keys, 0, fed)),
      values: this.cache.values.map((values) => rowsOf(values, 0, fed)),
    };
    const state = { ...this.state, current: rowsOf(this.state.current, 0, fed), positions: rowsOf(this.state.positions, 0, fed) };
    const x = phase === 'image' ? backbone.embedImage(tape, weights, state.current) : backbone.embedText(tape, weights, state.current);
    const hidden = backbone.step(tape, weights, x, state.positions, cache);
    const isText = phase === 'text';
    const logits = isText ? backbone.textLogits(tape, weights, hidden) : backbone.imageLogits(tape, weights, hidden);
    const end = special.eos === undefined ? {} : { end: special.eos };
    sample(tape, logits, state, isText ? this.textSettings : this.imageSettings, { phase: isText ? 'text' : 'image', guided, imageStart: special.imageStart, ...end });
    return tape.finish(name);
  }
}

/** Rows first … first + count - 1 of a tensor that lives in a buffer, without a copy. */
function rowsOf(tensor: Tensor, first: number, count: number): Tensor {
  if (!('buffer' in tensor.memory)) throw new RangeError(`${tensor.name} is not in a buffer`);
  const [, ...rest] = tensor.shape;
  const offset = tensor.memory.offset + first * rest.reduce((product, n) => product * n, 4);
  return { ...tensor, shape: [count, ...rest], memory: { buffer: tensor.memory.buffer, offset } };
}
