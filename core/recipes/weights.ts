/** Weights into a model, refused when they were trained with another tokenizer or codec: the ids would mean other things. */
import type { ParameterSet, WeightStorage } from '../autograd/parameters.ts';
import type { RunContext } from '../contracts/recipe.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import { loadWeights } from '../io/checkpoint.ts';
import type { StoredTensor } from '../io/safetensors.ts';
import { z } from '../plugin.ts';

const storages = ['f32', 'f16'] as const satisfies readonly WeightStorage[];

/** For recipes that only read weights. */
export const storageOption = {
  storage: z.enum(storages).default('f32').describe('how matrices are kept on the device; f16 halves their memory and rounds them, and all is still computed in f32'),
};

/** Loads a checkpoint, a run's newest or a bare safetensors file, and notes its hash in the record of the run. Returns the hash. */
export async function openWeights(context: RunContext, parameters: ParameterSet, from: string): Promise<string> {
  const { weights, path, hash, metadata } = await loadWeights(from);
  const current = trainedWith(context);
  for (const [what, expected] of Object.entries(current)) {
    const found = metadata[what];
    if (found === undefined || found === expected) continue;
    throw new ReasongenError({
      code: 'OTHER_VOCABULARY',
      message: `these weights were trained with another ${what} (${found.slice(0, 12)}…) than the preset names (${expected.slice(0, 12)}…)`,
      place: path,
      cure: `name the ${what} of the run that made the weights`,
      exitCode: exitCodes.badPreset,
    });
  }
  parameters.load(floats(weights, path), path);
  await context.directory.describe({ hashes: { weights: hash } });
  return hash;
}

/** Hashes of what gives token ids their meaning; stored with every checkpoint. */
export function trainedWith(context: RunContext): Record<string, string> {
  return {
    ...(context.has('tokenizer') && { tokenizer: context.tokenizer.hash }),
    ...(context.has('imageTokenizer') && { imageTokenizer: context.imageTokenizer.hash }),
  };
}

/** Tensors as a `ParameterSet` takes them. */
export function floats(tensors: ReadonlyMap<string, StoredTensor>, path: string): Map<string, { shape: readonly number[]; data: Float32Array }> {
  const result = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const [name, { shape, data }] of tensors) {
    if (!(data instanceof Float32Array)) throw new ReasongenError({ code: 'CHECKPOINT_TYPE', message: `"${name}" holds integers, not weights`, place: path });
    result.set(name, { shape, data });
  }
  return result;
}
