/** The verdicts of a benchmark, checked where they enter. */
import type { Atom, Verdict } from '../contracts/benchmark.ts';
import { ReasongenError } from '../errors.ts';

/** Throws BAD_VERDICTS, naming benchmark and sample, unless there is one whole verdict per sample. */
export function checkedVerdicts(
  name: string,
  samples: readonly { readonly prompt: string }[],
  verdicts: readonly Verdict[],
): readonly Verdict[] {
  const bad = (message: string): ReasongenError =>
    new ReasongenError({
      code: 'BAD_VERDICTS',
      message,
      place: `benchmark "${name}"`,
      hint: 'a benchmark returns `{ pass, why }` for every sample, in the order of the samples; `score` and the scores of `atoms` are 0 to 1, parts are finite numbers by name',
    });
  if (!Array.isArray(verdicts)) throw bad('it did not return a list of verdicts');
  if (verdicts.length !== samples.length)
    throw bad(`it returned ${verdicts.length} verdicts for ${samples.length} samples`);
  samples.forEach((sample, index) => {
    const verdict = verdicts[index];
    const which = `sample ${index} ("${sample.prompt}")`;
    if (typeof verdict?.pass !== 'boolean' || typeof verdict.why !== 'string')
      throw bad(`its verdict on ${which} has no \`pass\` (true or false) with its \`why\` (a text)`);
    if (verdict.score !== undefined && !isShare(verdict.score))
      throw bad(`the score of its verdict on ${which} is ${String(verdict.score)}; a score is 0 to 1`);
    for (const [part, value] of Object.entries(verdict.parts ?? {}))
      if (typeof value !== 'number' || !Number.isFinite(value))
        throw bad(
          `part "${part}" of its verdict on ${which} is ${String(value)}; a part is a finite number, left out where it does not apply`,
        );
    const atom = (verdict.atoms ?? []).find(
      (each: Partial<Atom>) => typeof each?.id !== 'string' || !isShare(each.score),
    );
    if (atom !== undefined)
      throw bad(
        `an atom of its verdict on ${which} is ${JSON.stringify(atom)}; an atom has an \`id\` and a \`score\` from 0 to 1`,
      );
  });
  return verdicts;
}

function isShare(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value <= 1;
}
