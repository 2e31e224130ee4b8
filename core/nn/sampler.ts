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
import { createSamplingSettings, type SamplingSettings } from '../ops/sample.ts';
import { at } from '../tensor/at.ts';
import { Prefill, type PrefillRow } from './prefill.ts';
import { positionOf, type RowPosition, SampledRows } from './sampled-rows.ts';
import { SamplerSteps } from './sampler-steps.ts';
import {
  collectSequence,
  collectText,
  planEntries,
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

type Report = (phase: 'text' | 'image', step: number, steps: number, rows: number) => void;

/** Rows of a cache that others use as well, and what puts prompts into them; whoever made them closes them. */
export interface SharedRows {
  readonly rows: SampledRows;
  readonly heads: Pick<Prefill, 'reserve'> & { run(rows: readonly PrefillRow[]): Promise<unknown> };
}

/** `shared`: instead of rows of its own. */
export async function createSampler(options: SamplerOptions, shared?: SharedRows): Promise<Sampler> {
  const sampler = new Sampler(options, shared);
  await sampler.record();
  return sampler;
}

export class Sampler {
  readonly capacity: number;
  private readonly options: SamplerOptions;
  private readonly rows: SampledRows;
  private readonly settings: { readonly text: SamplingSettings; readonly image: SamplingSettings };
  private readonly steps: SamplerSteps;
  private readonly heads: SharedRows['heads'];
  private readonly closeOwn: () => void;

  constructor(options: SamplerOptions, shared?: SharedRows) {
    const { rows, promptBudget, textBudget, imageCount } = options;
    for (const [name, value] of Object.entries({ rows, promptBudget })) {
      if (!Number.isInteger(value) || value < 1) throw new RangeError(`sampler: ${name} is ${value}`);
    }
    for (const [name, value] of Object.entries({ textBudget, imageCount })) {
      if (!Number.isInteger(value) || value < 0) throw new RangeError(`sampler: ${name} is ${value}`);
    }
    this.options = options;
    this.rows = shared?.rows ?? new SampledRows(options);
    this.capacity = this.rows.capacity;
    this.settings = {
      text: createSamplingSettings(options.device, 'text sampling'),
      image: createSamplingSettings(options.device, 'image sampling'),
    };
    this.steps = new SamplerSteps(options, this.rows, this.settings);
    if (shared !== undefined) {
      this.heads = shared.heads;
      this.closeOwn = () => undefined;
      return;
    }
    const prefill = new Prefill(options.workspace, options.backbone, options.weights, this.rows.cache);
    this.heads = prefill;
    this.closeOwn = () => {
      prefill.close();
      this.rows.close();
    };
  }

  /** Makes the programs of full batches, so that no drawing waits for a compiler or needs memory that nobody counted on. */
  async record(): Promise<void> {
    const { guidance = false, promptBudget, textBudget, imageCount, rows, prompts = rows } = this.options;
    await this.heads.reserve(Math.max(prompts * promptBudget, guidance ? promptBudget + textBudget : 0));
    await Promise.all([
      ...(textBudget > 0 ? [this.steps.program('text', false, rows)] : []),
      ...(imageCount > 0
        ? [this.steps.program('image start', guidance, rows), this.steps.program('image', guidance, rows)]
        : []),
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
    this.settings.text.set(seed, text);
    this.settings.image.set(seed, image);
    return this.inBatches(entries, request.onProgress, async (batch, report) => {
      await this.begin(batch);
      await this.writeText(batch, report);
      await this.draw(
        batch,
        isGuided ? await this.beginUnconditional(batch, request.unconditional) : undefined,
        report,
      );
      const { token, lengths } = await this.rows.read();
      return batch.map((entry, cacheRow) =>
        collectSequence(entry, at(lengths, cacheRow), imageCount, (position) => token(cacheRow, position)),
      );
    });
  }

  /** Text behind each prompt, until the end token or the budget. Only of a sampler made with `imageCount: 0`. */
  async write(request: WriteRequest): Promise<WrittenText[]> {
    if (this.options.imageCount !== 0) throw new RangeError('this sampler was made to draw');
    const entries = planEntries(this.options, request, 'write');
    this.settings.text.set(request.seed, request.text);
    return this.inBatches(entries, request.onProgress, async (batch, report) => {
      const first = batch[0] === undefined ? 0 : entries.indexOf(batch[0]);
      await this.begin(batch);
      await this.writeText(
        batch,
        report,
        request.onText === undefined ? undefined : () => this.tellText(batch, first, request),
      );
      const { token, lengths } = await this.rows.read();
      return batch.map((entry, cacheRow) =>
        collectText(entry, at(lengths, cacheRow), (position) => token(cacheRow, position)),
      );
    });
  }

  close(): void {
    this.steps.close();
    for (const { tensor } of Object.values(this.settings)) this.options.device.destroyTensor(tensor);
    this.closeOwn();
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

  /** Puts every cache row behind its head: state, keys and values. */
  private async begin(batch: readonly SampleEntry[]): Promise<void> {
    await this.steps.begin();
    this.rows.begin(batch);
    await this.heads.run(batch.map(({ head, features }, row) => ({ row, ids: head.slice(0, -1), features })));
  }

  /** Steps until every text has ended; those that have leave the computation between chunks. */
  private async writeText(
    batch: readonly SampleEntry[],
    report: Report,
    afterChunk?: () => Promise<void>,
  ): Promise<void> {
    const { rows, textBudget } = this.options;
    let writing = batch.flatMap(({ writes }, cacheRow) => (writes ? [cacheRow] : []));
    let fed: readonly number[] = [];
    for (let step = 0; writing.length > 0;) {
      if (step >= textBudget) throw new RangeError('a text went on after its budget');
      if (fed.length !== stepRows(writing.length, rows)) fed = this.rows.feed(writing);
      const program = await this.steps.program('text', false, fed.length);
      const count = Math.min(chunk, textBudget - step);
      runAll(new Array<Program>(count).fill(program));
      step += count;
      writing = await this.rows.follow(fed, writing);
      report('text', writing.length > 0 ? step : textBudget, textBudget, fed.length);
      await afterChunk?.();
    }
  }

  /** Hands on what every sample of a batch has written so far; `first` is the batch's first sample. */
  private async tellText(batch: readonly SampleEntry[], first: number, { onText }: WriteRequest): Promise<void> {
    const { token, lengths } = await this.rows.read();
    batch.forEach(({ head }, cacheRow) => {
      const ids = Array.from(
        { length: Math.max(0, at(lengths, cacheRow) - head.length) },
        (_, index) => token(cacheRow, head.length + index).id,
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
    await this.heads.run(sequences.map((ids, index) => ({ row: rows + index, ids: ids.slice(0, -1) })));
    return sequences.map(positionOf);
  }

  /** Prompt, rationale and image start of every row. */
  private async written(batch: readonly SampleEntry[]): Promise<number[][]> {
    if (batch.every(({ writes }) => !writes)) return batch.map(({ head }) => [...head]);
    const { token, lengths } = await this.rows.read();
    return batch.map(({ head }, cacheRow) => [
      ...head,
      ...Array.from(
        { length: at(lengths, cacheRow) - head.length },
        (_, index) => token(cacheRow, head.length + index).id,
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
    const fed = this.rows.feed(
      batch.map((_, cacheRow) => cacheRow),
      unconditional,
    );
    const isGuided = unconditional !== undefined;
    const [start, next] = await Promise.all([
      this.steps.program('image start', isGuided, fed.length),
      this.steps.program('image', isGuided, fed.length),
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
}
