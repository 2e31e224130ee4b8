/**
 * Truncated importance weights (TIS: Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training"; the truncation is
 * that of Ionides 2008): where another policy drew than the one that is trained, the policy term of a token is multiplied by
 *
 *   w = min(exp(l - l_drawn), cap)
 *
 * l its log-probability under the policy before the updates of the step, by the scorer; l_drawn the one that the sampler noted when it drew. The
 * ratio that is clipped is measured from l. With `sequence` (GSPO) the exponent is the mean over the chosen tokens of the drawing.
 */
import { mean } from '../../rl/statistics.ts';
import { at } from '../../tensor/at.ts';
import { chosenTokens, type Completion } from './completions.ts';
import type { GrpoOptions } from './options.ts';

export interface Importance {
  /** By drawing, then by token. */
  readonly weights: readonly Float32Array[];
  /** Over the tokens that the policy chose. */
  readonly metrics: Readonly<Record<'importance/mean' | 'importance/truncatedShare' | 'importance/staleShare', number>>;
}

type ImportanceChoice = Pick<
  GrpoOptions,
  'method' | 'importanceCap' | 'textTemperature' | 'imageTemperature' | 'rationale'
>;

export function importanceOf(
  completions: readonly Completion[],
  noted: readonly ArrayLike<number>[],
  scored: readonly ArrayLike<number>[],
  choice: ImportanceChoice,
  step: number,
): Importance {
  const { method, importanceCap: cap } = choice;
  let [tokens, sum, truncated] = [0, 0, 0];
  const weights = completions.map((completion, index) => {
    const list = new Float32Array(completion.sequence.logProbability.length).fill(1);
    const chosen = chosenTokens(completion, choice);
    const difference = (token: number): number => at(at(scored, index), token) - at(at(noted, index), token);
    const whole = method === 'sequence' ? mean(chosen.map(difference)) : undefined;
    for (const token of chosen) {
      const ratio = Math.exp(whole ?? difference(token));
      list[token] = Math.min(ratio, cap);
      tokens += 1;
      sum += Math.min(ratio, cap);
      if (ratio > cap) truncated += 1;
    }
    return list;
  });
  const stale = completions.filter((completion) => completion.step < step).length;
  return {
    weights,
    metrics: {
      'importance/mean': sum / Math.max(1, tokens),
      'importance/truncatedShare': truncated / Math.max(1, tokens),
      'importance/staleShare': stale / Math.max(1, completions.length),
    },
  };
}
