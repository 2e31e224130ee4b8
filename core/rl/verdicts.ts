/** The verdicts of a benchmark, checked where they enter. */
import type { Verdict } from '../contracts/benchmark.ts';
import type { Sample } from '../contracts/reward.ts';
import { ReasongenError } from '../errors.ts';

/** Throws BAD_VERDICTS, naming benchmark and sample, unless there is one whole verdict per sample. */
export function checkedVerdicts(
  name: string,
  samples: readonly Sample[],
  verdicts: readonly Verdict[],
): readonly Verdict[] {
  const bad = (message: string): ReasongenError =>
    new ReasongenError({
      code: 'BAD_VERDICTS',
      message,
      place: `benchmark "${name}"`,
      hint: 'a benchmark returns `{ pass, why }` for every sample, in the order of the samples; parts are finite numbers by name',
    });
  if (!Array.isArray(verdicts)) throw bad('it did not return a list of verdicts');
  if (verdicts.length !== samples.length)
    throw bad(`it returned ${verdicts.length} verdicts for ${samples.length} samples`);
  samples.forEach((sample, index) => {
    const verdict = verdicts[index];
    const which = `sample ${index} ("${sample.prompt}")`;
    if (typeof verdict?.pass !== 'boolean' || typeof verdict.why !== 'string')
      throw bad(`its verdict on ${which} has no \`pass\` (true or false) with its \`why\` (a text)`);
    for (const [part, value] of Object.entries(verdict.parts ?? {}))
      if (typeof value !== 'number' || !Number.isFinite(value))
        throw bad(`part "${part}" of its verdict on ${which} is ${String(value)}; a part is a finite number`);
  });
  return verdicts;
}
