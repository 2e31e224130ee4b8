/** The run's side of the queue: a request becomes a job, its result is looked at, and the sequences come back. */
import { randomInt } from 'node:crypto';
import { ReasongenError, type DrawnModel, type DrawRequest, type Log, type SequenceDrawer } from '../../core/plugin.ts';
import type { BullmqOptions } from './options.ts';
import { sequencesOf, type DrawnSequence } from './shares.ts';
import type { QueueClient } from './client.ts';
import { drawJobId, type DrawJob, type DrawResult } from './protocol.ts';
import type { WeightPublisher } from './weights.ts';

/** How often weights are handed out again for a worker that does not find them. */
const mostPublished = 3;

/** Requests that are in the queue at a time. */
const mostUnderWay = 256;

/** Results of refused workers that are drawn again by others before the run does it itself. */
const mostRefused = 3;

type Published = Awaited<ReturnType<WeightPublisher['publish']>>;

export interface QueuedDrawerOptions {
  readonly client: QueueClient<DrawResult>;
  /** So many sequences of a worker were taken. */
  readonly count: (worker: string, sequences: number) => void;
  /** Makes the weights findable as they are; one call at a time. */
  readonly publish: WeightPublisher['publish'];
  readonly model: DrawnModel;
  readonly choice: BullmqOptions;
  readonly run: string;
  readonly log: Log;
  /** Takes the weights back. */
  readonly withdraw: () => Promise<void>;
}

export class QueuedDrawer implements SequenceDrawer {
  private readonly options: QueuedDrawerOptions;
  readonly atOnce = mostUnderWay;
  /** The device draws one thing at a time. */
  private drawnHere: Promise<unknown> = Promise.resolve();

  constructor(options: QueuedDrawerOptions) {
    this.options = options;
  }

  async draw(request: DrawRequest, onProgress?: Parameters<SequenceDrawer['draw']>[1]): Promise<DrawnSequence[]> {
    const sequences = await this.drawnByWorkers(request, await this.options.publish(), { isAhead: false });
    if (sequences === undefined) return this.drawHere(request);
    const samples = request.rowKeys.length;
    onProgress?.({ phase: 'image', step: 1, steps: 1, rows: samples, finished: samples, samples });
    return sequences;
  }

  async ahead(request: DrawRequest): Promise<() => Promise<DrawnSequence[] | undefined>> {
    const drawing = this.drawnByWorkers(request, await this.options.publish(), { isAhead: true });
    // Told when it is asked for.
    drawing.catch(() => undefined);
    return () => drawing;
  }

  refuse(worker: string, why: string): Promise<void> {
    return this.options.client.refuse(worker, why);
  }

  /**
   * undefined where the run had better draw them itself, when it can. `isAhead`: its weights may change meanwhile, so that it can neither look at
   * what was drawn nor hand out again what is missing.
   */
  private async drawnByWorkers(
    request: DrawRequest,
    published: Published,
    { isAhead }: { readonly isAhead: boolean },
  ): Promise<DrawnSequence[] | undefined> {
    const { client, choice, model, run, log } = this.options;
    const route = choice.weights === undefined ? 'redis' : 'directory';
    const job: DrawJob = { run, weights: published.list, route, sizes: model.sizes, request };
    let repeated = 0;
    try {
      for (let attempt = 0, refused = 0; refused < mostRefused; attempt++) {
        const result = await client.result(drawJobId(job, attempt), job);
        if (client.isRefused(result.worker)) {
          refused += 1;
          continue;
        }
        // What fails everywhere fails here, in words of its own.
        if ('fails' in result) break;
        if ('missingWeights' in result) {
          if (isAhead) break;
          if (++repeated > mostPublished) throw weightsMissing(result.worker, result.missingWeights, choice.weights);
          await (await this.options.publish()).release();
          continue;
        }
        const looked = await this.lookAt(request, result, isAhead);
        // Another of its results may have been found wrong meanwhile.
        if (typeof looked !== 'string' && !client.isRefused(result.worker)) {
          this.options.count(result.worker, request.rowKeys.length);
          return looked;
        }
        refused += 1;
        if (typeof looked !== 'string') continue;
        log.warn(
          `worker ${result.worker} is refused: ${looked}; what it returns is drawn again, what it returned before may have been trained on`,
        );
        await client.refuse(result.worker, looked);
      }
    } finally {
      // What is left behind goes by itself after a while.
      await published.release().catch(() => undefined);
    }
    return undefined;
  }

  /** The sequences of a result; or, in words, why these cannot be those. */
  private async lookAt(
    request: DrawRequest,
    result: Exclude<DrawResult, { readonly fails: string } | { readonly missingWeights: string }>,
    isAhead: boolean,
  ): Promise<DrawnSequence[] | string> {
    const { model, choice } = this.options;
    if ('malformed' in result) return `what it returned is no result (${result.malformed})`;
    const sequences = sequencesOf(result.sequences, request, model.sizes, model.vocabulary);
    if (typeof sequences === 'string') return sequences;
    if (result.adapter !== model.identity.adapter) {
      if (!choice.otherAdapters) return 'it draws on another adapter than it says';
      // Such are measured by what they say of their tokens, not by their bits.
      return sequences.map((sequence) => ({ ...sequence, drawnBy: result.worker }));
    }
    return (isAhead ? undefined : await this.spotCheck(request, sequences)) ?? sequences;
  }

  close(): void {
    this.options.model.local.close();
    void this.options.withdraw();
  }

  /** By chance: draws a request again and compares. Returns what differs. */
  private async spotCheck(request: DrawRequest, sequences: readonly DrawnSequence[]): Promise<string | undefined> {
    const { spotCheck } = this.options.choice;
    if (spotCheck === 0 || randomInt(spotCheck) !== 0) return undefined;
    const own = await this.drawHere(request);
    const index = own.findIndex((sequence, place) => !isSame(sequence, sequences[place]));
    if (index < 0) return undefined;
    return `of row key ${request.rowKeys[index]} and seed ${request.seed} it returned ${whatDiffers(own[index], sequences[index])} than this process draws`;
  }

  private async drawHere(request: DrawRequest): Promise<DrawnSequence[]> {
    const drawing = this.drawnHere.then(() => this.options.model.local.draw(request));
    this.drawnHere = drawing.catch(() => undefined);
    return drawing;
  }
}

function isSame(one: DrawnSequence, other: DrawnSequence | undefined): boolean {
  return other !== undefined && whatDiffers(one, other) === undefined;
}

function whatDiffers(one: DrawnSequence | undefined, other: DrawnSequence | undefined): string | undefined {
  if (one === undefined || other === undefined) return 'fewer sequences';
  const tokens = (of: DrawnSequence): string =>
    JSON.stringify([of.rationaleIds, of.codes, of.imageStartForced, of.rationaleEnded, of.steps]);
  if (tokens(one) !== tokens(other)) return 'other tokens';
  const bits = ({ buffer, byteOffset, byteLength }: Float32Array): Buffer =>
    Buffer.from(buffer, byteOffset, byteLength);
  if (!bits(one.logProbability).equals(bits(other.logProbability))) return 'other log-probabilities';
  return bits(one.entropy).equals(bits(other.entropy)) ? undefined : 'other entropies';
}

function weightsMissing(worker: string, what: string, folder: string | undefined): ReasongenError {
  return new ReasongenError({
    code: 'WEIGHTS_NOT_FOUND',
    message: `worker ${worker} does not find what it was to draw with: ${what}`,
    hint:
      folder === undefined
        ? 'Redis throws away what it should keep: raise maxmemory and set maxmemory-policy noeviction, or name a shared folder: executor.weights'
        : `see that ${folder} is the same folder on all machines`,
  });
}
