/** Finds a judge that can say what a reward or a benchmark asks. */
import type { Judge, JudgeCapability, JudgeWith } from '../contracts/judge.ts';
import type { Scope } from '../contracts/slots.ts';
import { PresetError } from '../errors.ts';
import { capabilitiesOf } from './capabilities.ts';

/**
 * The judge called `name`, or else the first of the preset that has the capability. Throws MISSING_JUDGE when there is none such.
 * Call it in `create`, so that a preset without the judge is refused before anything is trained.
 */
export async function judgeFor<Capability extends JudgeCapability>(
  scope: Pick<Scope, 'getAll'>,
  capability: Capability,
  name?: string,
): Promise<JudgeWith<Capability>> {
  const judges = await scope.getAll('judge');
  const named = name === undefined ? judges : judges.filter((judge) => judge.name === name);
  const found = named.find((judge) => judge[capability] !== undefined);
  // Whether it has the capability was asked above; its name was set when it was made.
  if (found !== undefined) return found as JudgeWith<Capability>;
  throw missing(judges, named, capability, name);
}

function missing(
  judges: readonly Judge[],
  named: readonly Judge[],
  capability: JudgeCapability,
  name: string | undefined,
): PresetError {
  const listed = judges.map((judge) => `${judge.name ?? judge.title} (${capabilitiesOf(judge).join(', ')})`).join('; ');
  const message =
    named[0] !== undefined && name !== undefined
      ? `the judge "${name}" has no \`${capability}\`, only ${capabilitiesOf(named[0]).join(', ')}`
      : name === undefined
        ? `a judge with \`${capability}\` is needed, and the preset has none`
        : `the preset has no judge called "${name}"`;
  return new PresetError({
    code: 'MISSING_JUDGE',
    message,
    hint: `add one to \`judges\`; \`npx reasongen describe judge\` lists what there is${listed === '' ? '' : `; the preset has ${listed}`}`,
  });
}
