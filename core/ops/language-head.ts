import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { linear } from './linear.ts';
import { tokenLogProbability, type LogProbabilityOptions } from './log-probability.ts';
import { shareRows } from '../gpu/row-groups.ts';
import { weightRows } from './weight-rows.ts';

export interface LanguageHeadOptions extends LogProbabilityOptions {
  /** Columns at a time, a multiple of 128 (views of a weight must start at 256 bytes); 4096 by default. */
  readonly chunk?: number;
}

const defaultChunk = 4096;

/**
 * hidden [M, H], weight [V, H] (+ bias [V]), ids u32 [M] → [M, 2]: (log-probability, entropy) in nats, what
 * `tokenLogProbability(linear(hidden, weight, bias), ids)` gives, without the [M, V] logits: they are made `chunk` columns at a time,
 * forward keeps three running sums per row (online softmax), backward makes each chunk again and turns it into its gradient in place.
 * A chunk is a view of rows of the weight, so every type of weight that `linear` reads will do. The chunk does not depend on M, nor
 * does a row's result: it is summed in the order of the columns.
 * Where a tape keeps activations in f16, `hidden` stays in f32: logits that are made again from what was rounded would not add up to the sums of the forward
 * pass.
 */
export function languageHead(
  tape: Tape,
  hidden: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  ids: Tensor,
  options: LanguageHeadOptions,
): Tensor {
  const columns = dimension(weight, 0);
  const rows = sizeOf(hidden.shape) / dimension(hidden, -1);
  const { chunk = defaultChunk } = options;
  if (sizeOf(ids.shape) !== rows) throw new RangeError(`languageHead: ${sizeOf(ids.shape)} targets for ${rows} rows`);
  if (chunk % 128 !== 0 || chunk <= 0)
    throw new RangeError(`languageHead: a chunk of ${chunk} columns is not a multiple of 128`);
  // What fits one chunk is smaller kept than made twice.
  if (columns <= chunk) return tokenLogProbability(tape, linear(tape, hidden, weight, bias), ids, options);

  const chunks = Array.from({ length: Math.ceil(columns / chunk) }, (_, index): Chunk => {
    const first = index * chunk;
    const count = Math.min(chunk, columns - first);
    const logits = (): Tensor =>
      linear(
        tape,
        hidden,
        weightRows(tape, weight, first, count),
        bias === undefined ? undefined : weightRows(tape, bias, first, count),
      );
    return { first, count, logits };
  });
  const { temperature } = options;
  const isScalar = typeof temperature !== 'number';
  const constants = { TEMPERATURE_IN_BUFFER: isScalar };
  const read = { targets: ids, temperature: isScalar ? temperature.tensor : hidden };
  const params = { rows, temperature: isScalar ? 1 : temperature, limit: options.clamp ?? 3e38 };
  const share = shareRows(tape.device);
  const state = tape.empty('language head state', [rows, 4]);
  tape.forwardOnly(() => {
    for (const { first, count, logits } of chunks) {
      tape.launch({
        kernel: 'language-head/accumulate',
        constants: { ...constants, ...share.constants },
        bindings: { ...read, logits: logits(), state },
        params: { ...params, columns: count, first },
        groups: grid(share.groups(rows)),
      });
    }
  });
  const out = tape.empty('log-probability and entropy', [rows, 2]);
  const normalizer = tape.empty('language head normalizer', [rows, 2]);
  tape.launch({
    kernel: 'language-head/finish',
    bindings: { state, out, normalizer },
    params: { rows },
    groups: grid(Math.ceil(rows / 64)),
  });
  const { adapter } = weight;
  const inputs = [
    hidden,
    weight,
    ...(bias === undefined ? [] : [bias]),
    ...(adapter === undefined ? [] : [adapter.down, adapter.up]),
  ];
  tape.keepExact(hidden);
  tape.differentiable(inputs, out, (dOut) => {
    for (const { first, count, logits } of chunks) {
      tape.backwardThrough(() => {
        const dLogits = logits();
        tape.launch({
          kernel: 'language-head/gradient',
          constants,
          bindings: { ...read, logits: dLogits, out, normalizer, d_out: dOut },
          params: { ...params, columns: count, first },
          groups: grid(rows * Math.ceil(count / 256)),
        });
        tape.seed(dLogits, dLogits);
      });
    }
    return [];
  });
  return out;
}

interface Chunk {
  /** Its first column. */
  readonly first: number;
  readonly count: number;
  /** Records the product that makes its logits. */
  readonly logits: () => Tensor;
}
