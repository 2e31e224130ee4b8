/** What the numbers of a GRPO step are called. */
import type { NamedComponents } from '../../contracts/slots.ts';
import type { GrpoOptions } from './options.ts';

/** Those that a step may have with these options; `*` stands for any characters. */
export function grpoMetrics(choice: GrpoOptions, { rewards, benchmarks }: NamedComponents): string[] {
  const { kl, textEntropy, imageEntropy, evaluations, evaluationFiles } = choice;
  const judged = rewards.flatMap((name) => [
    `reward/${name}`,
    `secondsJudging/${name}`,
    ...['std', 'passRate', 'invalidShare', 'cacheShare', 'parts/*'].map((each) => `reward/${name}/${each}`),
  ]);
  const evaluated = [...benchmarks, ...(evaluationFiles.length > 0 ? ['evaluation-files'] : [])];
  return [
    ...['reward', 'passRate', ...judged],
    ...['keptShare', 'groups', 'carriedGroups', 'rounds', 'rationaleTokens', 'forcedShare', 'promptsTooLong'],
    ...['pictures/empty', 'pictures/duplicates', 'pictures/diversity'],
    ...['gradientNorm', 'clipFraction', 'kl', 'ratioDifference', 'text/entropy', 'image/entropy', 'learningRate'],
    ...(textEntropy === undefined ? [] : ['text/entropyCoefficient']),
    ...(imageEntropy === undefined ? [] : ['image/entropyCoefficient']),
    ...(kl === undefined ? [] : ['referenceKl', 'klCoefficient']),
    ...(evaluations === 0 ? [] : evaluated.map((name) => `pass/${name}/*`)),
    ...['secondsSampling', 'secondsWaitingForJudges', 'secondsJudging', 'secondsTraining'],
  ];
}
