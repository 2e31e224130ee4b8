/**
 * Cache rows whose prompts begin with a picture. Keys and values of everything up to the end of the picture are computed once for all prompts
 * that begin so, and a row keeps them until it is needed for another beginning: questions that come later go on behind them.
 *
 * What stands behind the picture is fed as rows of one step, a token each, whatever prompts they are of: all are put into the cache before any
 * of them attends, and each sees its row up to its own place, as if they had come one after the other. Nothing that a token is computed from depends on what
 * else is fed: beginnings are packed at multiples of eight rows, where tiles of keys begin.
 */
import type { Program } from '../autograd/program.ts';
import { Tape } from '../autograd/tape.ts';
import type { Device } from '../gpu/device.ts';
import { copyCacheRows } from '../ops/cached-attention.ts';
import { at } from '../tensor/at.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Prefill, type PrefillRow } from './prefill.ts';
import { TokenFeeds, type FedTarget, type FedToken, type TokenFeedsOptions } from './token-feeds.ts';

export interface PrefixedRowsOptions extends TokenFeedsOptions {
  /** Whether the weights stay as they are, so that what a row begins with may be used again later. */
  readonly remembers: boolean;
}

/** A prompt's row, and what it begins with. */
export interface PlacedName {
  readonly row: number;
  readonly name: string | undefined;
}

/** What has been computed so far. */
export interface PrefixWork {
  /** Passes over beginnings, and tokens in them. */
  readonly passes: number;
  readonly passTokens: number;
  /** Tokens behind beginnings. */
  readonly fedTokens: number;
}

/** Copies beginnings from row to row. */
interface Copy {
  readonly source: Tensor;
  readonly length: Tensor;
  readonly program: Program;
}

export class PrefixedRows {
  private readonly options: PrefixedRowsOptions;
  private readonly device: Device;
  private readonly prefill: Prefill;
  private copy: Promise<Copy> | undefined;
  private readonly feeds: TokenFeeds;
  /** What each row of the cache begins with. */
  private readonly held: (string | undefined)[];
  /** When each row was last used. */
  private readonly used: number[];
  private time = 0;
  private done = { passes: 0, passTokens: 0, fedTokens: 0 };

  private constructor(options: PrefixedRowsOptions) {
    const { workspace, backbone, weights, cache } = options;
    this.options = options;
    this.device = workspace.device;
    this.prefill = new Prefill(workspace, backbone, weights, cache, { startsAt: 8 });
    this.feeds = new TokenFeeds(options);
    this.held = new Array<undefined>(cache.rows).fill(undefined);
    this.used = new Array<number>(cache.rows).fill(0);
  }

  /** Makes the largest programs, so that memory does not grow later. `longest`: tokens of a beginning. */
  static async open(options: PrefixedRowsOptions, longest: number): Promise<PrefixedRows> {
    const rows = new PrefixedRows(options);
    await rows.reserve(longest);
    await rows.feeds.reserve();
    rows.copy = rows.recordCopy();
    await rows.copy;
    return rows;
  }

  get work(): PrefixWork {
    return this.done;
  }

  /** As `Prefill.reserve`. */
  reserve(tokens: number): Promise<void> {
    return this.prefill.reserve(tokens);
  }

  /** A row of the cache for each prompt by what it begins with: one that has this already, or the one that has not been needed for longest. */
  choose(names: readonly (string | undefined)[]): number[] {
    const free = new Set(this.held.keys());
    if (names.length > free.size) throw new RangeError(`${names.length} prompts for ${free.size} rows`);
    const take = (row: number): number => {
      free.delete(row);
      return row;
    };
    const known = names.map((name) => {
      const row = [...free].find((each) => this.holds(each, name));
      return row === undefined ? undefined : take(row);
    });
    return known.map((row) => row ?? take([...free].reduce((a, b) => (this.isStaler(b, a) ? b : a))));
  }

  /** Whether what each prompt begins with must be computed, and so looked at. */
  areNew(prompts: readonly PlacedName[]): boolean[] {
    return this.origins(prompts).map((origin) => origin === undefined);
  }

  private holds(row: number, name: string | undefined): boolean {
    return this.options.remembers && name !== undefined && this.held[row] === name;
  }

  /** Puts prompts into their rows. Log-probabilities of `wanted` tokens behind each. */
  async run(prompts: readonly PrefillRow[], wanted: readonly (readonly number[])[] = []): Promise<number[][]> {
    await this.begin(prompts);
    const tokens: FedToken[] = [];
    const targets: FedTarget[] = [];
    prompts.forEach(({ row, ids, ...prompt }, index) => {
      const first = beginningOf(prompt);
      ids.slice(first).forEach((id, place) => tokens.push({ row, id, position: first + place }));
      targets.push(...(wanted[index] ?? []).map((id) => ({ id, behind: tokens.length - 1 })));
    });
    this.done = { ...this.done, fedTokens: this.done.fedTokens + tokens.length };
    const values = await this.feeds.run(tokens, targets);
    let next = 0;
    return wanted.map((ids) => ids.map(() => at(values, next++)));
  }

  async close(): Promise<void> {
    await this.feeds.close();
    if (this.copy !== undefined) {
      const { program, source, length } = await this.copy;
      program.dispose();
      for (const tensor of [source, length]) this.device.destroyTensor(tensor);
    }
    this.prefill.close();
  }

  private isStaler(a: number, b: number): boolean {
    const [of, other] = [a, b].map((row) => (this.held[row] === undefined ? -1 : at(this.used, row)));
    return (of ?? 0) < (other ?? 0);
  }

  /** Where each prompt has what it begins with: in its row, or in another one that stays as it is; undefined where it must be computed. */
  private origins(prompts: readonly PlacedName[]): (number | undefined)[] {
    const changing = new Set(prompts.filter(({ row, name }) => !this.holds(row, name)).map(({ row }) => row));
    return prompts.map(({ row, name }) => {
      if (this.holds(row, name)) return row;
      const other = this.held.findIndex((_, each) => !changing.has(each) && this.holds(each, name));
      return other < 0 ? undefined : other;
    });
  }

  private async begin(prompts: readonly PrefillRow[]): Promise<void> {
    this.time += 1;
    const begun = prompts.filter((prompt) => beginningOf(prompt) > 0);
    const origins = this.origins(prompts.map(placedName));
    const originOf = new Map(prompts.map(({ row }, index) => [row, origins[index]]));
    const copied = begun.filter(({ row }) => originOf.get(row) !== undefined && originOf.get(row) !== row);
    const fresh = begun.filter(({ row }) => originOf.get(row) === undefined);
    for (const { row } of prompts) {
      this.used[row] = this.time;
      if (originOf.get(row) !== row) this.held[row] = undefined;
    }
    if (copied.length > 0) await this.copyBeginnings(copied, originOf);
    if (fresh.length > 0) {
      const beginnings = fresh.map((prompt) => ({ ...prompt, ids: prompt.ids.slice(0, beginningOf(prompt)) }));
      const { count, tokens } = await this.prefill.run(beginnings);
      const { passes, passTokens } = this.done;
      this.done = { ...this.done, passes: passes + count, passTokens: passTokens + tokens };
    }
    for (const { row, features } of [...copied, ...fresh]) this.held[row] = features?.name;
  }

  private async copyBeginnings(
    prompts: readonly PrefillRow[],
    originOf: ReadonlyMap<number, number | undefined>,
  ): Promise<void> {
    const source = new Uint32Array(this.held.length);
    const length = new Uint32Array(this.held.length);
    for (const prompt of prompts) {
      source[prompt.row] = originOf.get(prompt.row) ?? 0;
      length[prompt.row] = beginningOf(prompt);
    }
    const copy = await (this.copy ??= this.recordCopy());
    this.device.write(copy.source, source);
    this.device.write(copy.length, length);
    copy.program.run();
  }

  private async recordCopy(): Promise<Copy> {
    const { workspace, cache } = this.options;
    const words = (name: string): Tensor => this.device.tensor(name, [cache.rows], 'u32');
    const target = { cache, source: words('row to copy'), length: words('places to copy') };
    const tape = new Tape(workspace);
    cache.keys.forEach((_, layer) => copyCacheRows(tape, target, layer));
    return { source: target.source, length: target.length, program: await tape.finish('copy beginnings') };
  }
}

function placedName({ row, features }: PrefillRow): PlacedName {
  return { row, name: features?.name };
}

/** Tokens up to the end of the last picture. */
function beginningOf({ features }: Pick<PrefillRow, 'features'>): number {
  return (features?.at.at(-1) ?? -1) + 1;
}
