/** What a reward must keep so that a run can rely on it. */
import type { Reward, Sample } from '../contracts/reward.ts';
import type { Component } from '../contracts/slots.ts';
import { reasonOf } from '../errors.ts';
import { scoreSamples } from '../rl/score.ts';
import { ContractError, type ContractSettings, nameOf, openComponent, settled, within } from './contract.ts';
import { testSamples } from './stand-ins.ts';

export interface RewardContract extends ContractSettings {
  /** What it is asked about; `testSamples()` unless given. At least two, of at least two groups. */
  readonly samples?: readonly Sample[];
  /** Lowest and highest score it may give. */
  readonly range?: readonly [number, number];
  /** What a score may depend on: the sample alone (unless told), the samples of its group, or all samples of a call. */
  readonly compares?: 'nothing' | 'group' | 'batch';
  /** False for a judge that may say otherwise when asked again. */
  readonly deterministic?: boolean;
  /** Milliseconds within which a call must end once it is aborted; 1000 unless told. */
  readonly abortWithin?: number;
}

/**
 * Holds a reward to its contract: a finite score (or null) for every sample, within the range; the same when asked again, in another order, in
 * another company and twice at once; nothing for nothing; and an end soon after an abort.
 * @throws ContractError or ReasongenError, with the cause
 */
export async function checkReward(component: Component<'reward'>, contract: RewardContract = {}): Promise<void> {
  const { samples = testSamples(), compares = 'nothing', deterministic = true, abortWithin = 1000 } = contract;
  const who = nameOf(component);
  const { made, dispose } = await openComponent(component, contract);
  const ask = (some: readonly Sample[]): Promise<Values> => valuesOf(component.name, made, some);
  checkSight(who, made, samples, compares);
  const first = await ask(samples);
  if ([...first.values()].every((value) => value === undefined))
    throw new ContractError(
      who,
      'scores none of the samples it is asked about: give the check `samples` it applies to',
    );
  checkRange(who, samples, first, contract.range);
  await checkNothing(who, made);
  if (deterministic) {
    const same = (when: string, values: Values, why: string): void => compare(who, samples, first, values, when, why);
    same(
      'when asked again',
      await ask(samples),
      'it draws random numbers, reads a clock, or remembers what it was asked; where that is meant, give the check `deterministic: false`',
    );
    same(
      'when asked in another order',
      await ask(reordered(samples, compares)),
      'it takes its answers from places in the list; where it compares the samples of a call, give the check `compares`',
    );
    if (compares !== 'batch')
      same(
        `when ${compares === 'group' ? 'its group' : 'each sample'} is asked about alone`,
        await askApart(ask, samples, compares),
        'it depends on what else is in the call; where it compares samples, give the check `compares`',
      );
    const halves =
      compares === 'nothing'
        ? [samples.slice(0, samples.length >> 1), samples.slice(samples.length >> 1)]
        : [samples, samples];
    const together = await Promise.all(halves.map(ask));
    same(
      'when two calls are under way',
      new Map(together.flatMap((each) => [...each])),
      'calls share state that one of them changes',
    );
  }
  await checkAbort(who, made, samples, abortWithin);
  await dispose();
}

/** How much each needs beside a sample. */
const reach = { nothing: 0, sample: 0, group: 1, batch: 2 } as const;

/** What a run hands it at a time holds what it compares, and so do the samples of the check. */
function checkSight(
  who: string,
  { sees = 'batch' }: Reward,
  samples: readonly Sample[],
  compares: NonNullable<RewardContract['compares']>,
): void {
  if (reach[compares] > reach[sees])
    throw new ContractError(
      who,
      `compares the samples of a ${compares} and says \`sees: '${sees}'\`: a run asks it about less at a time`,
    );
  if (new Set(samples.map(({ group }) => group)).size < 2)
    throw new ContractError(who, 'is asked about samples of fewer than two groups: give the check more `samples`');
}

type Values = ReadonlyMap<string, number | undefined>;

/** Scores by id; what is wrong with the answers is said as a run says it. */
async function valuesOf(name: string, reward: Reward, samples: readonly Sample[]): Promise<Values> {
  const judgements = await scoreSamples([{ name, weight: 1, reward }], samples, new AbortController().signal);
  return new Map(samples.map(({ id }, index) => [id, judgements[index]?.scores[name]?.value]));
}

function checkRange(who: string, samples: readonly Sample[], values: Values, range: RewardContract['range']): void {
  if (range === undefined) return;
  const [lowest, highest] = range;
  for (const { id, prompt } of samples) {
    const value = values.get(id);
    if (value !== undefined && !(value >= lowest && value <= highest))
      throw new ContractError(
        who,
        `scores ${value} for ${id} ("${prompt}"), out of the range from ${lowest} to ${highest}`,
      );
  }
}

async function checkNothing(who: string, reward: Reward): Promise<void> {
  let answers: unknown;
  try {
    answers = await reward.score([], new AbortController().signal);
  } catch (cause) {
    throw new ContractError(who, `fails when it is asked about no samples: ${reasonOf(cause)}`);
  }
  if (!Array.isArray(answers) || answers.length > 0)
    throw new ContractError(who, 'gives answers when it is asked about no samples; it should return []');
}

/** The other way round; groups stay together where they are compared. */
function reordered(samples: readonly Sample[], compares: RewardContract['compares']): Sample[] {
  if (compares !== 'group') return samples.toReversed();
  const groups = [...new Set(samples.map(({ group }) => group))].reverse();
  return groups.flatMap((group) => samples.filter((sample) => sample.group === group));
}

async function askApart(
  ask: (some: readonly Sample[]) => Promise<Values>,
  samples: readonly Sample[],
  compares: RewardContract['compares'],
): Promise<Values> {
  const parts =
    compares === 'group'
      ? [...new Set(samples.map(({ group }) => group))].map((group) =>
          samples.filter((sample) => sample.group === group),
        )
      : samples.map((sample) => [sample]);
  const values = new Map<string, number | undefined>();
  for (const part of parts) for (const [id, value] of await ask(part)) values.set(id, value);
  return values;
}

function compare(
  who: string,
  samples: readonly Sample[],
  before: Values,
  after: Values,
  when: string,
  why: string,
): void {
  for (const { id, prompt } of samples) {
    const [was, is] = [before.get(id), after.get(id)];
    if (
      was === is ||
      (was !== undefined && is !== undefined && Math.abs(was - is) <= 1e-6 * Math.max(1, Math.abs(was)))
    )
      continue;
    throw new ContractError(
      who,
      `scores ${was ?? 'nothing'} for ${id} ("${prompt}"), and ${is ?? 'nothing'} ${when}: ${why}`,
    );
  }
}

/** A call that is aborted may still give its answers, or fail; it may not go on. */
async function checkAbort(
  who: string,
  reward: Reward,
  samples: readonly Sample[],
  milliseconds: number,
): Promise<void> {
  const abort = new AbortController();
  const asked = settled(async () => reward.score(samples, abort.signal));
  abort.abort(new Error('the run was given up'));
  await within(
    milliseconds,
    asked,
    () =>
      new ContractError(
        who,
        `goes on ${milliseconds} ms after its signal was aborted: hand the signal to what it waits for, such as fetch(url, { signal })`,
      ),
  );
}
