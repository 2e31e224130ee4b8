/** What several rewards say of a sample, as one number. Arithmetic on the host, no device. */
import type { NamedReward } from '../contracts/recipe.ts';

/** Its weight at a step: that of its schedule where it has one. */
export function weightAt({ weight, schedule }: Pick<NamedReward, 'weight' | 'schedule'>, step: number): number {
  const [first] = schedule ?? [];
  if (schedule === undefined || first === undefined) return weight;
  const next = schedule.findIndex(([at]) => at > step);
  const [after, before] = [schedule[next], schedule[next - 1]];
  if (after === undefined) return schedule.at(-1)?.[1] ?? weight;
  if (before === undefined) return first[1];
  const share = (step - before[0]) / (after[0] - before[0]);
  return before[1] + share * (after[1] - before[1]);
}

/** The rewards with the weights that they have at a step. */
export function rewardsAt(rewards: readonly NamedReward[], step: number): NamedReward[] {
  return rewards.map((named) => ({ ...named, weight: weightAt(named, step) }));
}

/** Those that training maximizes. */
export function isTrainedOn({ heldOut }: NamedReward): boolean {
  return heldOut !== true;
}

/**
 * The weighted sum of the values, times the value of every gate; the gates alone where nothing else has a value. `values`: by reward, undefined
 * where it has none. Undefined when no reward that is trained on has one.
 */
export function totalOf(rewards: readonly NamedReward[], values: readonly (number | undefined)[]): number | undefined {
  let sum: number | undefined;
  let gates: number | undefined;
  rewards.forEach((named, index) => {
    const value = values[index];
    if (value === undefined || !isTrainedOn(named)) return;
    if (named.gate === true) gates = (gates ?? 1) * value;
    else sum = (sum ?? 0) + named.weight * value;
  });
  return sum === undefined ? gates : sum * (gates ?? 1);
}

/** Whether any total of the first `steps` steps depends on what a reward says. Gates alone make one, and so does any other reward with a weight. */
export function isAnyTrainedOn(rewards: readonly NamedReward[], steps: number): boolean {
  const trained = rewards.filter(isTrainedOn);
  const added = trained.filter(({ gate }) => gate !== true);
  if (added.length === 0) return trained.length > 0;
  const all = Array.from({ length: steps }, (_, index) => index + 1);
  return added.some((named) => all.some((step) => weightAt(named, step) !== 0));
}

/** The best total there is, where every reward is 1 at best. */
export function bestTotal(rewards: readonly NamedReward[]): number {
  return (
    totalOf(
      rewards,
      rewards.map(({ weight, gate }) => (gate === true || weight > 0 ? 1 : 0)),
    ) ?? 0
  );
}
