/** The policy objective as part of a token program: what it reads, what it writes, and the settings the host fills in. */
import type { Device } from '../../gpu/device.ts';
import type { ByKind, Objective, ObjectivePart, TokenKind } from '../../nn/token-program.ts';
import {
  policyObjective,
  policySettings,
  sequenceRatios,
  type PolicyMethod,
  type PolicyOptions,
  type PolicySettings,
} from '../../ops/policy-objective.ts';
import { dimension, type Tensor } from '../../tensor/tensor.ts';
import type { Aggregation } from './completions.ts';
import type { GrpoOptions } from './options.ts';

/** Tensors of one kind of token, by what they hold. */
interface PartInputs {
  readonly terms: Tensor;
  readonly weights: Tensor;
}

/** `mostDrawings`: of a micro-batch; `settings`: f32 [8] per kind, filled by `writeSettings`. */
export function grpoObjective(
  device: Device,
  choice: Pick<GrpoOptions, 'method' | 'kl'>,
  settings: Readonly<Record<TokenKind, Tensor>>,
  mostDrawings: number,
): Objective {
  const options: PolicyOptions = { method: choice.method, divergence: choice.kl?.estimator ?? 'k3' };
  const tables = (kind: TokenKind, scored: Tensor | undefined): PartInputs | undefined => {
    if (scored === undefined) return undefined;
    const table = (name: string): Tensor => device.tensor(`${kind} ${name}`, [dimension(scored, 0), 4]);
    return { terms: table('policy terms'), weights: table('policy weights') };
  };
  return (tape, scored) => {
    const inputs: ByKind<PartInputs> = { text: tables('text', scored.text), image: tables('image', scored.image) };
    const ranges =
      choice.method === 'sequence' ? device.tensor('sequence ranges', [mostDrawings, 4], 'u32') : undefined;
    const joined = (kind: TokenKind): (PartInputs & { readonly scored: Tensor }) | undefined => {
      const [values, of] = [scored[kind], inputs[kind]];
      return values === undefined || of === undefined ? undefined : { scored: values, ...of };
    };
    const sequences =
      ranges === undefined ? undefined : sequenceRatios(tape, { text: joined('text'), image: joined('image') }, ranges);
    const part = (kind: TokenKind): ObjectivePart | undefined => {
      const from = joined(kind);
      if (from === undefined) return undefined;
      const { terms, weights } = from;
      const { dOut, stats } = policyObjective(
        tape,
        from.scored,
        { terms, weights, settings: settings[kind], ...(sequences !== undefined && { sequences }) },
        options,
      );
      return {
        dOut,
        inputs: { terms, weights, ...(ranges !== undefined && { ranges }) },
        outputs: { stats: tape.output(stats) },
      };
    };
    return { text: part('text'), image: part('image') };
  };
}

export function writeSettings(device: Device, settings: Tensor, values: PolicySettings): void {
  device.write(settings, policySettings(values));
}

/** What each method is published with. */
export function aggregationOf({
  aggregation,
  method,
}: {
  readonly aggregation?: Aggregation | undefined;
  readonly method: PolicyMethod;
}): Aggregation {
  return aggregation ?? (method === 'sequence' ? 'sequence-mean' : 'token-mean');
}
