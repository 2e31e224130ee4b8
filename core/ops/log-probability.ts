import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import type { Scalar } from '../gpu/device.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { shareRows } from '../gpu/row-groups.ts';

export interface LogProbabilityOptions {
  /** A number, or a scalar that may change between replays; above zero. */
  readonly temperature: number | Scalar;
  /** Logits divided by the temperature are cut to ± this; no gradient passes where they were. No cut by default. */
  readonly clamp?: number;
}

/**
 * logits [M, V], targets u32 [M] → [M, 2]: the log-probability (nats) of each row's target and the row's entropy (nats)
 * under softmax(clamp(logits / temperature)). Backward recomputes the probabilities; none are stored.
 * A loss starts here: seed the tape with its derivative [M, 2] by both numbers.
 */
export function tokenLogProbability(
  tape: Tape,
  logits: Tensor,
  targets: Tensor,
  options: LogProbabilityOptions,
): Tensor {
  const columns = dimension(logits, -1);
  const rows = sizeOf(logits.shape) / columns;
  if (sizeOf(targets.shape) !== rows)
    throw new RangeError(`tokenLogProbability: ${sizeOf(targets.shape)} targets for ${rows} rows`);
  const { temperature } = options;
  const isScalar = typeof temperature !== 'number';
  const share = shareRows(tape.device);
  const out = tape.empty('log-probability and entropy', [rows, 2]);
  const constants = { TEMPERATURE_IN_BUFFER: isScalar };
  // Without a scalar the kernel does not read the binding; it gets bytes that are bound anyway.
  const read = { logits, targets, temperature: isScalar ? temperature.tensor : logits };
  const params = { rows, columns, temperature: isScalar ? 1 : temperature, limit: options.clamp ?? 3e38 };
  tape.launch({
    kernel: 'log-probability/forward',
    constants: { ...constants, ...share.constants },
    bindings: { ...read, out },
    params,
    groups: grid(share.groups(rows)),
  });
  tape.differentiable([logits], out, (dOut) => {
    const dLogits = tape.empty('d logits', logits.shape);
    tape.launch({
      kernel: 'log-probability/gradient',
      constants,
      bindings: { ...read, out, d_out: dOut, d_logits: dLogits },
      params,
      groups: grid(rows),
    });
    return [dLogits];
  });
  return out;
}
