/** A judge as rewards and benchmarks get it: under the policies and the name that the preset gives it, and with what it says checked. */
import { blamed } from '../blame.ts';
import type { Calls, Question } from '../contracts/calls.ts';
import type { Image } from '../contracts/image.ts';
import type { Judge, JudgeCapability } from '../contracts/judge.ts';
import type { ComponentChoice } from '../contracts/preset.ts';
import { ReasongenError } from '../errors.ts';
import { TryAgainError } from '../try-again.ts';
import { capabilitiesOf, refuseNoJudge } from './capabilities.ts';
import { evidenceFault } from './evidence-fault.ts';

type Method = (...args: unknown[]) => Promise<unknown>;

export function judgePlace({ name, plugin }: ComponentChoice): string {
  return `judge "${name}"${plugin === undefined ? '' : ` of plugin "${plugin}"`}`;
}

export function offeredJudge(made: Judge, choice: ComponentChoice, calls: Calls): Judge {
  const who = judgePlace(choice);
  refuseNoJudge(made, who);
  const { title, changes, byWorkers } = made;
  const fingerprint = Object.freeze({ ...made.fingerprint });
  const judge = blamed(made, who, {
    passes: (error) => error instanceof TryAgainError || error instanceof ReasongenError,
  });
  const ask = (capability: JudgeCapability, ...all: unknown[]): Promise<unknown> => {
    const signal = all.at(-1) as AbortSignal;
    const given = all.slice(0, -1);
    const [first, ...rest] = given;
    const question: Question =
      capability === 'write'
        ? { fingerprint, asked: [capability, ...given] }
        : { image: first as Image, fingerprint, asked: [capability, ...rest] };
    const work = async (inner: AbortSignal): Promise<unknown> => {
      const evidence = await (judge[capability] as Method)(...given, inner);
      const fault = evidenceFault(capability, given, evidence);
      if (fault !== undefined) throw badEvidence(who, capability, fault);
      return evidence;
    };
    return calls.run(work, signal, changes === true ? undefined : question);
  };
  const methods = capabilitiesOf(made).map(
    (capability) => [capability, (...all: unknown[]) => ask(capability, ...all)] as const,
  );
  return {
    title,
    fingerprint,
    name: choice.name,
    ...(changes !== undefined && { changes }),
    ...(byWorkers !== undefined && { byWorkers }),
    ...(judge.reserve !== undefined && { reserve: () => judge.reserve?.() ?? Promise.resolve() }),
    ...(judge.rest !== undefined && { rest: () => judge.rest?.() ?? Promise.resolve() }),
    ...Object.fromEntries(methods),
  };
}

function badEvidence(who: string, capability: JudgeCapability, fault: string): ReasongenError {
  return new ReasongenError({
    code: 'BAD_EVIDENCE',
    message: `what its \`${capability}\` gives is no evidence: ${fault}`,
    place: who,
    hint: 'mend the judge; core/contracts/judge.ts says what each of its methods gives',
  });
}
