/** Token sequences by the model on this device: what the default executor gives, what others are compared with, and what a worker does. */
import type { Workspace } from '../autograd/workspace.ts';
import type { Backbone, Weights } from '../contracts/backbone.ts';
import type { DrawRequest, DrawSizes, SequenceDrawer } from '../contracts/executor.ts';
import type { Tokenizer } from '../contracts/tokenizer.ts';
import type { Log } from '../log.ts';
import { openProducts } from '../matrix-trial.ts';
import { createSampler } from '../nn/sampler.ts';

/** What draws: a model on a device. */
export interface DrawingModel {
  readonly workspace: Workspace;
  readonly backbone: Backbone;
  /** Read whenever something is drawn. */
  readonly weights: Weights;
  readonly tokenizer: Tokenizer;
  /** Told how products are computed where it is not in f32. */
  readonly log?: Pick<Log, 'info' | 'warn'>;
}

/** Makes the programs of the largest requests; smaller ones are drawn by the same. */
export async function openSequenceDrawer(model: DrawingModel, sizes: DrawSizes): Promise<SequenceDrawer> {
  const { workspace, backbone, weights, tokenizer, log } = model;
  const { device } = workspace;
  const products = await openProducts(device, sizes.precision, log);
  const sampler = await createSampler({
    device,
    workspace: workspace.with(products),
    backbone,
    weights,
    rows: sizes.rows,
    prompts: sizes.prompts,
    promptBudget: sizes.promptTokens,
    textBudget: sizes.textTokens,
    imageCount: sizes.codes,
    guidance: sizes.isGuided,
    cache: sizes.cache,
    special: tokenizer.special,
  });
  return {
    draw: (request: DrawRequest, onProgress) =>
      sampler.sample({
        ...request,
        ...(onProgress !== undefined && { onProgress }),
        unconditional: (ids) => tokenizer.unconditional(ids),
      }),
    ...(products !== undefined && { takeCounts: () => products.takeCounts() }),
    close: () => {
      sampler.close();
      products?.close();
    },
  };
}
