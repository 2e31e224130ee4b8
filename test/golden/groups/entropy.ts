/** The entropy controller against the trace of the published one: the coefficient before every update and after the last. */
import { EntropyController } from '../../../core/rl/entropy-controller.ts';
import { bounds, farthest, type Bench, type Comparison } from '../comparison.ts';
import { MissingValue } from '../fixture.ts';

export async function adaptiveEntropy({ fixture }: Bench): Promise<Comparison[]> {
  const trace = fixture.golden.adaptive_entropy;
  if (trace === undefined) throw new MissingValue('golden.json has no adaptive_entropy');
  const controller = new EntropyController({
    target: trace.target,
    learningRate: trace.lr,
    minimum: trace.bounds[0],
    maximum: trace.bounds[1],
    initial: trace.init,
  });
  const coefficients = [controller.coefficient];
  for (const entropy of trace.entropies) {
    controller.update(entropy);
    coefficients.push(controller.coefficient);
  }
  return Promise.resolve([farthest('adaptive_entropy.alpha', coefficients, trace.alpha, bounds.coefficient)]);
}
