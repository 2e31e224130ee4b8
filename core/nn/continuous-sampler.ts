/**
 * Writes texts and draws pictures for rows that come and go at token boundaries (continuous batching). A row joins as soon as a cache row is
 * free and leaves when it has ended or whoever asked is gone; those beside it go on. A row's tokens depend on its own prompt, seed, key and
 * rules only: its prompt is prefilled by itself, its rule and seed are its own (`createRowSettings`), and no kernel's sums depend on the
 * number of rows. They are the tokens that `Sampler` draws with the same seed, key and rule.
 *
 * Rows that do the same share a step: write text, draw codes, draw codes with guidance. A step computes exactly the rows that have work, so
 * there is a program for each number of rows; it is recorded when it first occurs, and the one of all rows before anything is drawn.
 */
import { runAll, type Program } from '../autograd/program.ts';
import { createRowSettings, putForEnd, type RowSettings } from '../ops/sample.ts';
import { at } from '../tensor/at.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { PromptFeatures } from './features.ts';
import { Prefill } from './prefill.ts';
import { isGuided, type DrawWork, type WriteEnd, type WriteWork } from './row-work.ts';
import { positionOf, type RowNews, type RowPosition, SampledRows } from './sampled-rows.ts';
import { SamplerSteps } from './sampler-steps.ts';
import {
  collectSequence,
  planEntries,
  refuseNotFinite,
  type DrawnToken,
  type SampledSequence,
  type SampleEntry,
  type SamplerOptions,
} from './sampling.ts';

/** Steps per submit: rows join and leave, and texts are told of, between them. */
const textSteps = 4;
const imageSteps = 8;
/** Rows of a step that keeps its logits: those are as wide as the vocabulary. */
const rowsWithLogits = 4;

type Result = WriteEnd | SampledSequence;

/** A row that has work, or waits for it. */
interface Row {
  readonly work: WriteWork | DrawWork;
  readonly entry: SampleEntry;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
  phase: 'text' | 'image start' | 'image';
  /** Drawn behind the head. */
  readonly tokens: DrawnToken[];
  /** Codes among them. */
  codes: number;
  /** Where the unconditional branch stands, while a picture is drawn with guidance. */
  twin?: RowPosition;
}

export class ContinuousSampler {
  private readonly options: SamplerOptions;
  private readonly rows: SampledRows;
  private readonly settings: { readonly text: RowSettings; readonly image: RowSettings };
  private readonly steps: SamplerSteps;
  private readonly prefill: Prefill;
  /** By cache row. */
  private readonly active: (Row | undefined)[];
  private readonly queue: Row[] = [];
  /** Out of the queue and not yet in a cache row: their pictures are looked at. */
  private entering = 0;
  private running: Promise<void> | undefined;
  /** Why nothing will ever be drawn again. */
  private broken: { readonly error: unknown } | undefined;
  private readonly listeners: ((error: unknown) => void)[] = [];

  private constructor(options: SamplerOptions) {
    this.options = options;
    this.rows = new SampledRows(options);
    this.settings = {
      text: createRowSettings(options.device, 'text sampling', options.rows),
      image: createRowSettings(options.device, 'image sampling', options.rows),
    };
    this.steps = new SamplerSteps(options, this.rows, this.settings);
    this.prefill = new Prefill(options.workspace, options.backbone, options.weights, this.rows.cache);
    this.active = Array.from({ length: options.rows }, () => undefined);
  }

  /** Makes the programs of all rows, so that memory does not grow later. */
  static async open(options: SamplerOptions): Promise<ContinuousSampler> {
    const { rows, guidance = false, promptBudget, textBudget, imageCount } = options;
    const sampler = new ContinuousSampler(options);
    await sampler.prefill.reserve(guidance ? promptBudget + textBudget : promptBudget);
    if (textBudget > 0) await sampler.steps.program('text', false, rows);
    if (imageCount === 0) await sampler.steps.textWithLogits(Math.min(rows, rowsWithLogits));
    else for (const phase of ['image start', 'image'] as const) await sampler.steps.program(phase, guidance, rows);
    return sampler;
  }

  /** Rows that are written or drawn now, and those that wait for one of them to end. */
  get load(): { readonly active: number; readonly waiting: number } {
    return {
      active: this.active.filter((row) => row !== undefined).length,
      waiting: this.queue.length + this.entering,
    };
  }

  /** Rejects with the reason of its signal, with PROMPT_TOO_LONG, SAMPLE_NOT_FINITE, or with what the device has failed with. */
  async write(work: WriteWork): Promise<WriteEnd> {
    const { imageCount, textBudget } = this.options;
    if (imageCount !== 0) throw new RangeError('this sampler was made to draw');
    if (!(Number.isInteger(work.tokens) && work.tokens >= 1 && work.tokens < textBudget))
      throw new RangeError(`${work.tokens} tokens; this sampler writes ${textBudget - 1}`);
    return (await this.join(work, 'write')) as WriteEnd;
  }

  /** As `write`; with RATIONALE_TOO_LONG, too. */
  async draw(work: DrawWork): Promise<SampledSequence> {
    const { imageCount, guidance = false } = this.options;
    if (imageCount === 0) throw new RangeError('this sampler was made for text only');
    if (isGuided(work) && !guidance) throw new RangeError('this sampler was made without guidance');
    return (await this.join(work, work.rationale)) as SampledSequence;
  }

  /** Calls `listener` with what the device has failed with. */
  onBroken(listener: (error: unknown) => void): void {
    this.listeners.push(listener);
  }

  /** Rejects what is not done and waits for the step that runs. */
  async close(): Promise<void> {
    this.breakWith(new Error('the sampler was closed'));
    await this.running;
    this.steps.close();
    for (const { tensor } of Object.values(this.settings)) this.options.device.destroyTensor(tensor);
    this.prefill.close();
    this.rows.close();
  }

  private join(work: WriteWork | DrawWork, rationale: DrawWork['rationale']): Promise<Result> {
    const { promptIds, seed, key, text, signal } = work;
    signal.throwIfAborted();
    if (this.broken !== undefined) throw this.broken.error;
    const request = { prompts: [promptIds], samplesPerPrompt: 1, seed, rowKeys: [key], text };
    const entry = at(planEntries(this.options, request, typeof rationale === 'string' ? rationale : [rationale]), 0);
    const { promise, resolve, reject } = withResolvers<Result>();
    const row: Row = {
      work,
      entry,
      resolve,
      reject,
      phase: entry.writes ? 'text' : 'image start',
      tokens: [],
      codes: 0,
    };
    const onAbort = (): void => {
      const place = this.queue.indexOf(row);
      // One that has begun leaves between two steps.
      if (place >= 0) this.queue.splice(place, 1);
      reject(signal.reason);
    };
    this.queue.push(row);
    signal.addEventListener('abort', onAbort, { once: true });
    this.running ??= this.goOn();
    return promise.finally(() => signal.removeEventListener('abort', onAbort));
  }

  /** As long as there is anything to do. */
  private async goOn(): Promise<void> {
    try {
      while (this.broken === undefined) {
        for (const cacheRow of this.rowsThat(({ work }) => work.signal.aborted)) this.active[cacheRow] = undefined;
        await this.admit();
        // One may have come while the last one was admitted.
        if (this.load.active === 0 && this.load.waiting === 0) break;
        await this.writeText();
        await this.drawCodes();
      }
    } catch (error) {
      // Closed in the middle of a step, it misses the rows of that.
      const isNew = this.broken === undefined;
      this.breakWith(error);
      if (isNew) for (const listener of this.listeners) listener(error);
    } finally {
      this.running = undefined;
    }
  }

  private rowsThat(isMeant: (row: Row) => boolean): number[] {
    return this.active.flatMap((row, cacheRow) => (row !== undefined && isMeant(row) ? [cacheRow] : []));
  }

  private row(cacheRow: number): Row {
    const row = this.active[cacheRow];
    if (row === undefined) throw new RangeError(`unreachable: cache row ${cacheRow} is free`);
    return row;
  }

  /** Gives free cache rows to those that wait, in the order in which they came. Neighbors with one prompt, the choices of a request, share its pass. */
  private async admit(): Promise<void> {
    for (;;) {
      const free = this.active.flatMap((row, cacheRow) => (row === undefined ? [cacheRow] : []));
      const [first] = this.queue;
      if (first === undefined || free.length === 0) return;
      const others = this.queue.findIndex(({ work }) => work.promptIds !== first.work.promptIds);
      const together = this.queue.splice(0, Math.min(free.length, others < 0 ? this.queue.length : others));
      let features: PromptFeatures | undefined;
      this.entering = together.length;
      try {
        features = await first.work.features?.();
      } catch (error) {
        for (const { reject } of together) reject(error);
        continue;
      } finally {
        this.entering = 0;
      }
      const { textBudget } = this.options;
      const isIdle = this.active.every((row) => row === undefined);
      const placed = together.map((row, index) => {
        const { work, entry } = row;
        const cacheRow = at(free, index);
        const { length } = entry.head;
        this.rows.place(cacheRow, { ...entry, features }, length + ('tokens' in work ? work.tokens : textBudget - 1));
        this.settings.text.set(cacheRow, work.seed, work.text);
        if ('image' in work) this.settings.image.set(cacheRow, work.seed, work.image);
        this.active[cacheRow] = row;
        return { row: cacheRow, ids: entry.head.slice(0, -1), features };
      });
      // While rows are written their weights stay.
      if (isIdle) await this.steps.begin();
      await this.prefill.run(placed);
    }
  }

  private async writeText(): Promise<void> {
    const writing = this.rowsThat(({ phase }) => phase === 'text');
    const withLogits = writing.filter((cacheRow) => wantsLogits(this.row(cacheRow)));
    const others = writing.filter((cacheRow) => !withLogits.includes(cacheRow));
    if (others.length > 0) {
      const left = others.map((cacheRow) => {
        const { work, tokens } = this.row(cacheRow);
        return ('tokens' in work ? work.tokens : this.options.textBudget) - tokens.length;
      });
      const steps = Math.min(textSteps, Math.max(...left));
      const program = await this.steps.program('text', false, others.length);
      const { rows } = await this.run(program, others, steps);
      others.forEach((cacheRow, index) => this.hear(cacheRow, at(rows, index)));
    }
    for (let start = 0; start < withLogits.length; start += rowsWithLogits) {
      const some = withLogits.slice(start, start + rowsWithLogits);
      const { program, logits } = await this.steps.textWithLogits(some.length);
      const { rows, others: read } = await this.run(program, some, 1, logits);
      const all = at(read, 0) as Float32Array;
      const width = all.length / some.length;
      some.forEach((cacheRow, index) =>
        this.hear(cacheRow, at(rows, index), all.slice(index * width, (index + 1) * width)),
      );
    }
  }

  /** A step or several of some rows that do the same. */
  private run(
    program: Program,
    cacheRows: readonly number[],
    steps: number,
    ...others: readonly Tensor[]
  ): ReturnType<SampledRows['news']> {
    const twins = cacheRows.flatMap((cacheRow) => this.row(cacheRow).twin ?? []);
    this.rows.feedOnly(cacheRows, twins);
    runAll(Array.from({ length: steps }, () => program));
    return this.rows.news(cacheRows, steps, others);
  }

  /** What a row has written in the last steps. */
  private hear(cacheRow: number, { tokens, done }: RowNews, logits?: Float32Array): void {
    const row = this.row(cacheRow);
    if (!('tokens' in row.work)) {
      row.tokens.push(...tokens);
      if (done) row.phase = 'image start';
      return;
    }
    const { work } = row;
    // The last one of a text that is done is its end, or stands where its budget was used up.
    const written = done ? tokens.slice(0, -1) : tokens;
    const taken = written.slice(0, work.tokens - row.tokens.length);
    row.tokens.push(...taken);
    this.attempt(cacheRow, () => {
      refuseNotFinite(taken);
      const wantsMore =
        taken.length === 0 ||
        work.onTokens(logits === undefined ? taken : taken.map((token) => ({ ...token, logits })));
      // Whether an end would have followed the last token of the budget depends on how many steps were taken: it is not looked at.
      const end = !wantsMore ? 'told' : row.tokens.length === work.tokens ? 'budget' : done ? 'model' : undefined;
      const last = tokens.at(-1);
      if (end === 'model' && last !== undefined && logits !== undefined)
        work.onEnd?.({ ...last, id: this.drawnEnd(last), logits });
      if (end !== undefined) this.settle(cacheRow, end);
    });
  }

  /** The token by which a text was ended, of models that have two such. */
  private drawnEnd({ id, forced }: DrawnToken): number {
    return forced === putForEnd ? (this.options.special.otherEnd ?? id) : id;
  }

  private async drawCodes(): Promise<void> {
    for (const cacheRow of this.rowsThat(({ phase, work }) => phase === 'image start' && isGuided(work)))
      await this.beginUnconditional(cacheRow);
    // A row may have ended with an error; those that begin now go on with the others.
    for (const phase of ['image start', 'image'] as const)
      for (const guided of [false, true]) {
        const drawing = this.rowsThat((row) => row.phase === phase && isGuided(row.work) === guided);
        if (drawing.length > 0) await this.drawSome(drawing, phase, guided);
      }
  }

  private async drawSome(cacheRows: readonly number[], phase: 'image start' | 'image', guided: boolean): Promise<void> {
    const { imageCount } = this.options;
    const left = cacheRows.map((cacheRow) => imageCount - this.row(cacheRow).codes);
    const steps = phase === 'image start' ? 1 : Math.min(imageSteps, ...left);
    const program = await this.steps.program(phase, guided, cacheRows.length);
    const { rows } = await this.run(program, cacheRows, steps);
    cacheRows.forEach((cacheRow, index) => {
      const row = this.row(cacheRow);
      const { tokens } = at(rows, index);
      row.phase = 'image';
      row.tokens.push(...tokens);
      row.codes += tokens.length;
      if (row.twin !== undefined)
        row.twin = { length: row.twin.length + steps, last: at(tokens, tokens.length - 1).id };
      if (row.codes < imageCount) return;
      this.attempt(cacheRow, () => {
        const { length } = row.entry.head;
        this.settle(
          cacheRow,
          collectSequence(row.entry, length + row.tokens.length, imageCount, (position) =>
            at(row.tokens, position - length),
          ),
        );
      });
    });
  }

  /** Keys and values of the branch that guidance leads away from, in the second half of the cache. */
  private async beginUnconditional(cacheRow: number): Promise<void> {
    const { rows, special, imageCount } = this.options;
    const row = this.row(cacheRow);
    let ids: readonly number[] = [];
    this.attempt(cacheRow, () => {
      const { head } = row.entry;
      ids = (row.work as DrawWork).unconditional([...head, ...row.tokens.map(({ id }) => id)]);
      if (ids.at(-1) !== special.imageStart)
        throw new RangeError('the unconditional tokens must end with the image start');
      if (ids.length > this.rows.capacity - imageCount)
        throw new RangeError(
          `${ids.length} unconditional tokens; this sampler takes ${this.rows.capacity - imageCount}`,
        );
    });
    if (this.active[cacheRow] !== row) return;
    row.twin = positionOf(ids);
    await this.prefill.run([{ row: rows + cacheRow, ids: ids.slice(0, -1) }]);
  }

  private settle(cacheRow: number, result: Result): void {
    this.row(cacheRow).resolve(result);
    this.active[cacheRow] = undefined;
  }

  /** What goes wrong with one row ends that row. */
  private attempt(cacheRow: number, act: () => void): void {
    const row = this.row(cacheRow);
    try {
      act();
    } catch (error) {
      row.reject(error);
      this.active[cacheRow] = undefined;
    }
  }

  private breakWith(error: unknown): void {
    this.broken ??= { error };
    for (const row of [...this.active, ...this.queue]) row?.reject(this.broken.error);
    this.active.fill(undefined);
    this.queue.length = 0;
  }
}

function wantsLogits({ work }: Row): boolean {
  return 'tokens' in work && work.wantsLogits === true;
}

/** Of a later Node's Promise. */
function withResolvers<Value>(): {
  readonly promise: Promise<Value>;
  readonly resolve: (value: Value) => void;
  readonly reject: (reason: unknown) => void;
} {
  let settle: Pick<ReturnType<typeof withResolvers<Value>>, 'resolve' | 'reject'> | undefined;
  const promise = new Promise<Value>((resolve, reject) => {
    settle = { resolve, reject };
  });
  if (settle === undefined) throw new RangeError('unreachable: an executor runs at once');
  return { promise, ...settle };
}
