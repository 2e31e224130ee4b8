/** A model opened to be used, not trained: how every recipe that draws or answers begins. */
import type { ParameterSet, WeightStorage } from '../weights/parameters.ts';
import { Workspace } from '../autograd/workspace.ts';
import type { Backbone, ParameterSpec } from '../contracts/backbone.ts';
import type { RunContext } from '../contracts/recipe.ts';
import { visionOf } from './vision-input.ts';
import { openBase, randomWeights } from './weights.ts';

export interface OpenModel {
  readonly workspace: Workspace;
  readonly parameters: ParameterSet;
  /** Content hash of the weights. */
  readonly hash: string;
  close(): void;
}

/** What a run will do with a model; what only the rest of it needs is not loaded. */
export interface Uses {
  readonly text: boolean;
  readonly image: boolean;
  readonly looks?: boolean;
}

export async function openModel(
  context: RunContext,
  options: { readonly weights: string; readonly storage: WeightStorage },
  uses: Uses,
): Promise<OpenModel> {
  const workspace = new Workspace(context.device);
  const { weights, storage } = options;
  const { parameters, hash } = await openBase(context, parametersFor(context.backbone, uses), { weights, storage });
  if (weights === randomWeights && !context.device.isPlanning)
    context.log.warn(`the weights are random (seed ${context.seed}): what the model writes and draws means nothing`);
  context.offerModel({ weights: parameters, start: parameters, begunWith: weights });
  const close = (): void => {
    parameters.close();
    workspace.close();
  };
  return { workspace, parameters, hash, close };
}

function parametersFor(backbone: Backbone, { text, image, looks = false }: Uses): ParameterSpec[] {
  const unread = new Set([...(text ? [] : (backbone.textOnly ?? [])), ...(image ? [] : (backbone.imageOnly ?? []))]);
  return [
    ...backbone.parameters.filter(({ name }) => !unread.has(name)),
    ...(looks ? visionOf(backbone).parameters : []),
  ];
}
