/** What the numbers of a GRPO step are called. */
import type { NamedComponents } from '../../contracts/slots.ts';
import { operandMetrics } from '../../training/operands.ts';
import { drawnIn, type GrpoOptions } from './options.ts';

/** What the files of `evaluationFiles` are called among benchmarks. */
export const evaluationFilesName = 'evaluation-files';

export function passRateName(benchmark: string, split: string): string {
  return `pass/${benchmark}/${split}`;
}

/** Those that a step may have with these options; `*` stands for any characters. */
export function grpoMetrics(choice: GrpoOptions, { rewards, benchmarks }: NamedComponents): string[] {
  const { kl, staleness, textEntropy, imageEntropy, evaluations, evaluationFiles, pool } = choice;
  const judged = rewards.flatMap((name) => [
    `reward/${name}`,
    `secondsJudging/${name}`,
    ...['std', 'passRate', 'invalidShare', 'cacheShare', 'parts/*'].map((each) => `reward/${name}/${each}`),
  ]);
  // Which of them a benchmark has is known when it is made (`evaluation.ts`).
  const splits = ['heldout', 'seen', ...(pool > 0 ? ['pool'] : [])];
  const evaluated = benchmarks.flatMap((name) => splits.map((split) => passRateName(name, split)));
  if (evaluationFiles.length > 0) evaluated.push(passRateName(evaluationFilesName, 'heldout'));
  return [
    ...['reward', 'passRate', ...judged],
    ...['keptShare', 'groups', 'carriedGroups', 'rounds', 'rationaleTokens', 'forcedShare', 'promptsTooLong'],
    ...['pictures/empty', 'pictures/duplicates', 'pictures/diversity'],
    ...['gradientNorm', 'clipFraction', 'kl', 'ratioDifference', 'text/entropy', 'image/entropy', 'learningRate'],
    ...(textEntropy === undefined ? [] : ['text/entropyCoefficient']),
    ...(imageEntropy === undefined ? [] : ['image/entropyCoefficient']),
    ...(choice.precision === 'f32' ? [] : operandMetrics('training')),
    ...(drawnIn(choice) === 'f32' ? [] : operandMetrics('drawing')),
    ...(kl === undefined ? [] : ['referenceKl', 'klCoefficient']),
    ...(staleness === 0 ? [] : ['mean', 'truncatedShare', 'staleShare'].map((each) => `importance/${each}`)),
    ...(evaluations === 0 ? [] : evaluated),
    ...['secondsSampling', 'secondsWaitingForJudges', 'secondsJudging', 'secondsTraining'],
  ];
}
