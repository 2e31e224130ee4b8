/** Steps of many tokens: any number of tokens of any rows of a cache at a time, and how likely others are behind them. */
import type { Program } from '../autograd/program.ts';
import type { Workspace } from '../autograd/workspace.ts';
import { Tape } from '../autograd/tape.ts';
import type { Backbone, KeyValueCache, Weights } from '../contracts/backbone.ts';
import { languageHead } from '../ops/language-head.ts';
import { tokenLogProbability } from '../ops/log-probability.ts';
import { gatherRows } from '../ops/rows.ts';
import { at } from '../tensor/at.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { stepRows } from './step-sizes.ts';

export interface TokenFeedsOptions {
  readonly workspace: Workspace;
  readonly backbone: Backbone;
  readonly weights: Weights;
  readonly cache: KeyValueCache;
  /** Most tokens that are fed at a time, and most targets; more make a larger program. */
  readonly mostTokens: number;
  readonly mostTargets: number;
}

/** A token of text, the row of the cache that it belongs to and its place there. */
export interface FedToken {
  readonly id: number;
  readonly row: number;
  readonly position: number;
}

/** Whether an id follows a token: how likely is asked. */
export interface FedTarget {
  /** Index among the tokens that are fed. */
  readonly behind: number;
  readonly id: number;
}

interface Feed {
  readonly ids: Tensor;
  readonly positions: Tensor;
  readonly cacheRows: Tensor;
  readonly targets?: { readonly rows: Tensor; readonly ids: Tensor; readonly scored: Tensor };
  readonly program: Program;
}

export class TokenFeeds {
  private readonly options: TokenFeedsOptions;
  private readonly bySize = new Map<string, Promise<Feed>>();

  constructor(options: TokenFeedsOptions) {
    this.options = options;
  }

  /** Makes the largest program, so that memory does not grow later. */
  async reserve(): Promise<void> {
    await this.program(this.options.mostTokens, this.options.mostTargets);
  }

  /** Tokens of a row in the order of their places. Returns the log-probability of each target. */
  async run(tokens: readonly FedToken[], targets: readonly FedTarget[]): Promise<number[]> {
    const last = tokens.at(-1);
    if (last === undefined) return [];
    const { device } = this.options.workspace;
    const feed = await this.program(tokens.length, targets.length);
    // The last token fills the step up: it is computed again, and what is written again is the same.
    const fill = (tensor: Tensor, value: (token: FedToken) => number): void =>
      device.write(
        tensor,
        Uint32Array.from({ length: at(tensor.shape, 0) }, (_, index) => value(tokens[index] ?? last)),
      );
    fill(feed.ids, ({ id }) => id);
    fill(feed.positions, ({ position }) => position);
    fill(feed.cacheRows, ({ row }) => row);
    if (feed.targets === undefined) {
      feed.program.run();
      return [];
    }
    const { rows, ids, scored } = feed.targets;
    const listed = (value: (target: FedTarget) => number): Uint32Array =>
      Uint32Array.from({ length: at(rows.shape, 0) }, (_, index) => {
        const target = targets[index];
        return target === undefined ? 0 : value(target);
      });
    device.write(
      rows,
      listed(({ behind }) => behind),
    );
    device.write(
      ids,
      listed(({ id }) => id),
    );
    feed.program.run();
    const values = await device.readFloats(scored);
    return targets.map((_, index) => at(values, 2 * index));
  }

  async close(): Promise<void> {
    const { device } = this.options.workspace;
    for (const pending of this.bySize.values()) {
      const { program, ids, positions, cacheRows, targets } = await pending;
      program.dispose();
      for (const tensor of [ids, positions, cacheRows, ...(targets === undefined ? [] : Object.values(targets))])
        device.destroyTensor(tensor);
    }
    this.bySize.clear();
  }

  /** For at least so many tokens and targets: few sizes, and so few programs. */
  private program(tokens: number, targets: number): Promise<Feed> {
    const { mostTokens, mostTargets } = this.options;
    const rows = Math.max(tokens, stepRows(tokens, mostTokens));
    const count = targets === 0 ? 0 : Math.max(targets, stepRows(targets, mostTargets));
    const key = `${rows} ${count}`;
    const known = this.bySize.get(key) ?? this.record(rows, count);
    this.bySize.set(key, known);
    return known;
  }

  private async record(rows: number, count: number): Promise<Feed> {
    const { workspace, backbone, weights, cache } = this.options;
    const words = (name: string, size: number): Tensor => workspace.device.tensor(name, [size], 'u32');
    const made = {
      ids: words('fed tokens', rows),
      positions: words('their places', rows),
      cacheRows: words('their rows', rows),
    };
    const tape = new Tape(workspace);
    const x = backbone.embedText(tape, weights, made.ids);
    const hidden = backbone.step(tape, weights, x, made.positions, { ...cache, cacheRows: made.cacheRows });
    const name = `feed ${rows} tokens`;
    // Keys and values are all there is to it.
    if (count === 0) return { ...made, program: await tape.finish(name) };
    const targets = { rows: words('target rows', count), ids: words('targets', count) };
    const states = gatherRows(tape, hidden, targets.rows);
    const head = backbone.textHead?.(tape, weights, states);
    const options = { temperature: 1 };
    const scored = tape.output(
      head === undefined
        ? tokenLogProbability(tape, backbone.textLogits(tape, weights, states), targets.ids, options)
        : languageHead(tape, head.states, head.weight, head.bias, targets.ids, options),
    );
    return { ...made, targets: { ...targets, scored }, program: await tape.finish(`${name}, ${count} targets`) };
  }
}
