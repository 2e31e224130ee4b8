/** A model opened to be used, not trained: how every recipe that draws or answers begins. */
import type { ParameterSet, WeightStorage } from '../autograd/parameters.ts';
import { Workspace } from '../autograd/program.ts';
import type { RunContext } from '../contracts/recipe.ts';
import { openParameters } from './weights.ts';

export interface OpenModel {
  readonly workspace: Workspace;
  readonly parameters: ParameterSet;
  /** Content hash of the weights. */
  readonly hash: string;
  close(): void;
}

export async function openModel(context: RunContext, options: { readonly weights: string; readonly storage: WeightStorage }): Promise<OpenModel> {
  const { device, backbone } = context;
  const workspace = new Workspace(device);
  const { parameters, hash } = await openParameters(context, backbone.parameters, options);
  const close = (): void => {
    parameters.close();
    workspace.close();
  };
  return { workspace, parameters, hash, close };
}
