/** The rewards of the nano world, as functions over one sample. */
import type { Reward, Sample, Score } from '../../core/plugin.ts';
import { parseRationale, planNames } from './rationale.ts';
import type { Specification } from './specification.ts';
import { gradeOf, judgeScene, partsOf } from './verdict.ts';
import { createInspector, createReader, planAgreement } from './world.ts';

export interface VerdictOptions {
  /** Exact inventory and no unexplained paint, on top of GenEval's rules. */
  readonly strict: boolean;
  /** The mean of the clauses' atoms instead of pass or fail. */
  readonly graded: boolean;
}

/** Is the picture right? Parts also tell whether it follows its own plan (`plan_picture`). */
export function verdictReward({ strict, graded }: VerdictOptions): Reward {
  const read = createReader();
  const inspect = createInspector();
  return eachSample((sample) => {
    const inspection = inspect(sample);
    const judgement = judgeScene(read(sample), inspection);
    const passes = strict ? judgement.strict : judgement.geneval;
    return {
      value: graded ? gradeOf(judgement, strict) : Number(passes),
      why: judgement.why,
      parts: {
        ...partsOf(judgement),
        ...(sample.rationale === '' ? {} : { plan_picture: planAgreement(sample.rationale, inspection) }),
      },
    };
  });
}

/** Is the rationale a plan in one of the three wordings, ended by itself, that names what the prompt asks for? */
export function formatReward(): Reward {
  const read = createReader();
  return eachSample((sample) => formatScore(sample, read(sample)));
}

/** Has the picture paint in exactly the cells the plan names? */
export function agreementReward(): Reward {
  const inspect = createInspector();
  return eachSample((sample) => {
    const value = planAgreement(sample.rationale, inspect(sample));
    return { value, why: value === 1 ? 'the picture follows the plan' : 'picture and plan differ in their cells' };
  });
}

function formatScore(sample: Sample, specification: Specification): Score {
  const plan = parseRationale(sample.rationale);
  const namesAll = plan !== undefined && planNames(plan, specification);
  const parts = {
    ended: Number(sample.rationaleEnded && sample.rationale !== ''),
    plan: Number(plan !== undefined),
    names: Number(namesAll),
  };
  const faults = [
    sample.rationale === '' ? 'there is no rationale' : undefined,
    sample.rationaleEnded ? undefined : 'the rationale was cut at the length cap',
    plan ? undefined : 'it is not worded as a plan',
    plan && !namesAll ? 'it names other objects than the prompt' : undefined,
  ].filter((fault) => fault !== undefined);
  return {
    value: parts.ended && parts.plan && parts.names,
    why: faults.length === 0 ? 'a readable plan of what the prompt asks for' : faults.join('; '),
    parts,
  };
}

function eachSample(score: (sample: Sample) => Score): Reward {
  return {
    judgesBenchmarks: true,
    score: (samples, signal) =>
      samples.map((sample) => {
        signal.throwIfAborted();
        return score(sample);
      }),
  };
}
