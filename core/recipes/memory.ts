/** What a run will need on the device, from shapes alone: `check` says it before a device is opened. */
import { storedBytes, storedType, type WeightStorage } from '../autograd/parameters.ts';
import type { Plan, PlanContext } from '../contracts/recipe.ts';
import { sizeOf } from '../tensor/tensor.ts';

export interface MemoryNeed {
  /** Tokens of one forward (and backward) pass. */
  readonly tokens: number;
  readonly trained: boolean;
  /** How matrices are kept; f32 unless told. */
  readonly storage?: WeightStorage;
  /** Rows the sampler decodes at once, and tokens each may hold. */
  readonly sampler?: { readonly rows: number; readonly capacity: number };
  readonly lines: readonly string[];
}

export function memoryPlan(context: PlanContext, need: MemoryNeed): Plan {
  const { backbone } = context;
  const parameters = backbone.parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const weights = backbone.parameters.map((spec) => storedBytes(spec.shape, storedType(spec, need.storage ?? 'f32', need.trained)));
  const mlp = Math.max(backbone.hiddenSize, ...backbone.parameters.map(({ shape }) => (shape[1] === backbone.hiddenSize ? (shape[0] ?? 0) : 0)));
  // Saved per token and layer: the residual stream and norms, q, k, v and attention, the MLP's gate, up and product; once more for gradients in flight.
  const perToken = need.trained ? backbone.layers * (8 * backbone.hiddenSize + 3 * Math.min(mlp, 8 * backbone.hiddenSize)) : 12 * backbone.hiddenSize;
  const logits = need.tokens * (backbone.imageVocabulary + backbone.textVocabulary) * (need.trained ? 2 : 1);
  const cache = need.sampler === undefined ? 0 : 2 * backbone.layers * need.sampler.rows * need.sampler.capacity * backbone.keyValueHeads * backbone.headDimension;
  const optimizer = need.trained ? parameters * context.optimizer.stateBytesPerParameter : 0;
  return {
    lines: [`${backbone.name}: ${(parameters / 1e6).toFixed(2)} M parameters, ${backbone.layers} layers, width ${backbone.hiddenSize}`, ...need.lines],
    bytes: {
      weights: weights.reduce((sum, bytes) => sum + bytes, 0),
      gradients: need.trained ? parameters * 4 : 0,
      optimizer,
      activations: need.tokens * perToken * 4 + logits * 4,
      'key-value cache': cache * 4,
    },
    largestBinding: Math.max(...weights, 4 * need.tokens * Math.max(mlp, backbone.imageVocabulary, backbone.textVocabulary), (4 * cache) / Math.max(1, 2 * backbone.layers)),
  };
}
