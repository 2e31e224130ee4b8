/** What a judge can be asked, and whether what an author made is one. */
import type { Judge, JudgeCapability } from '../contracts/judge.ts';
import { ReasongenError } from '../errors.ts';

const capabilities = [
  'detect',
  'classify',
  'similarity',
  'answer',
  'answerProbabilities',
  'read',
  'depth',
  'write',
] as const satisfies readonly JudgeCapability[];

/** In the order of the contract. */
export function capabilitiesOf(judge: Judge): JudgeCapability[] {
  return capabilities.filter((capability) => judge[capability] !== undefined);
}

/** Throws BAD_JUDGE, with `place`, for what is no judge: kept answers and results depend on its title and fingerprint. */
export function refuseNoJudge(judge: Judge, place: string): void {
  const bad = (message: string): ReasongenError =>
    new ReasongenError({
      code: 'BAD_JUDGE',
      message,
      place,
      hint: 'a judge has a title, a fingerprint of texts by name, and at least one of its methods',
    });
  const given: unknown = judge;
  if (typeof given !== 'object' || given === null) throw bad('it is no judge');
  if (typeof judge.title !== 'string' || judge.title === '') throw bad('it has no title');
  const fingerprint: unknown = judge.fingerprint;
  if (typeof fingerprint !== 'object' || fingerprint === null || Object.keys(fingerprint).length === 0)
    throw bad('it has no fingerprint');
  const wrong = Object.entries(fingerprint).find(([, value]) => typeof value !== 'string');
  if (wrong !== undefined) throw bad(`"${wrong[0]}" of its fingerprint is no text`);
  if (capabilitiesOf(judge).length === 0) throw bad('it can say nothing: none of its methods is there');
  const broken = capabilitiesOf(judge).find((capability) => typeof judge[capability] !== 'function');
  if (broken !== undefined) throw bad(`its \`${broken}\` is no function`);
}
