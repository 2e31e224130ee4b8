/** A backbone of one attention layer, to test what drives backbones without depending on a plugin. */
import type { Tape } from '../../core/autograd/tape.ts';
import type {
  Backbone,
  KeyValueCache,
  PackedTokens,
  ParameterSpec,
  PrefillTarget,
  Weights,
} from '../../core/contracts/backbone.ts';
import { embedPacked } from '../../core/nn/embed-packed.ts';
import { add } from '../../core/ops/add.ts';
import { attention } from '../../core/ops/attention.ts';
import { appendToCache, cachedAttention, prefillCache } from '../../core/ops/cached-attention.ts';
import { embedding } from '../../core/ops/embedding.ts';
import { linear } from '../../core/ops/linear.ts';
import { rotary } from '../../core/ops/rotary.ts';
import type { Tensor } from '../../core/tensor/tensor.ts';

const heads = { heads: 4, keyValueHeads: 2, headDimension: 8 };

export class SmallBackbone implements Backbone {
  readonly name = 'small';
  readonly hiddenSize = 32;
  readonly layers = 1;
  readonly heads = heads.heads;
  readonly keyValueHeads = heads.keyValueHeads;
  readonly headDimension = heads.headDimension;
  readonly textVocabulary = 23;
  readonly imageVocabulary: number = 18;
  readonly parameters: readonly ParameterSpec[] = [
    { name: 'text', shape: [23, 32], init: { normal: 1 } },
    { name: 'image', shape: [18, 32], init: { normal: 1 } },
    { name: 'q', shape: [32, 32], init: { normal: 0.4 } },
    { name: 'k', shape: [16, 32], init: { normal: 0.4 } },
    { name: 'v', shape: [16, 32], init: { normal: 0.4 } },
    { name: 'o', shape: [32, 32], init: { normal: 0.4 } },
    { name: 'text head', shape: [23, 32], init: { normal: 0.2 } },
    { name: 'image head', shape: [18, 32], init: { normal: 0.2 } },
  ];

  hidden(tape: Tape, weights: Weights, tokens: PackedTokens, prefill?: PrefillTarget): Tensor {
    const { positions } = tokens;
    const x = embedPacked(tape, this, weights, tokens);
    const { q, k, v } = this.project(tape, weights, x, positions);
    if (prefill !== undefined) prefillCache(tape, k, v, prefill, 0);
    return this.finish(tape, weights, x, attention(tape, q, k, v, tokens, { ...heads, causal: true }));
  }

  step(tape: Tape, weights: Weights, x: Tensor, positions: Tensor, cache: KeyValueCache): Tensor {
    const { q, k, v } = this.project(tape, weights, x, positions);
    appendToCache(tape, k, v, positions, cache, 0);
    return this.finish(tape, weights, x, cachedAttention(tape, q, positions, cache, 0, heads));
  }

  embedText(tape: Tape, weights: Weights, ids: Tensor): Tensor {
    return embedding(tape, weights.get('text'), ids);
  }

  embedImage(tape: Tape, weights: Weights, codes: Tensor): Tensor {
    return embedding(tape, weights.get('image'), codes);
  }

  textLogits(tape: Tape, weights: Weights, hidden: Tensor): Tensor {
    return linear(tape, hidden, weights.get('text head'));
  }

  imageLogits(tape: Tape, weights: Weights, hidden: Tensor): Tensor {
    return linear(tape, hidden, weights.get('image head'));
  }

  private project(tape: Tape, weights: Weights, x: Tensor, positions: Tensor): { q: Tensor; k: Tensor; v: Tensor } {
    const turn = (name: string, count: number): Tensor =>
      rotary(tape, linear(tape, x, weights.get(name)), positions, {
        heads: count,
        headDimension: heads.headDimension,
        theta: 10_000,
      });
    return { q: turn('q', heads.heads), k: turn('k', heads.keyValueHeads), v: linear(tape, x, weights.get('v')) };
  }

  private finish(tape: Tape, weights: Weights, x: Tensor, attended: Tensor): Tensor {
    return add(tape, x, linear(tape, attended, weights.get('o')));
  }
}
