/** What an extension must keep: it is called at every hook of a run, and what it hands back is used. */
import type { AdvantagesEvent, EvaluationEvent, Extension, HookName, RewardsEvent } from '../contracts/hooks.ts';
import type { Component } from '../contracts/slots.ts';
import { createHooks, hookList } from '../hooks.ts';
import { ContractError, type ContractSettings, nameOf, openComponent, within } from './contract.ts';
import { testSamples } from './stand-ins.ts';

export interface ExtensionContract extends ContractSettings {
  /** The directory of the run it is told of: a temporary one where it writes. The working directory unless given. */
  readonly directory?: string;
  /** Milliseconds a handler may take; 2000 unless told. */
  readonly handlerWithin?: number;
}

/**
 * Takes an extension through a short run, two steps and an evaluation, and one that fails before its first step: its handlers are of hooks that exist, settle,
 * throw nothing, and hand back whole events with finite numbers.
 * @throws ContractError or ReasongenError, with the cause
 */
export async function checkExtension(
  component: Component<'extension'>,
  contract: ExtensionContract = {},
): Promise<void> {
  const { directory = process.cwd() } = contract;
  for (const fails of [false, true]) {
    const { made, dispose } = await openComponent(component, contract);
    checkTaps(nameOf(component), made);
    await shortRun(component, made, directory, contract.handlerWithin ?? 2000, fails);
    await dispose();
  }
}

function checkTaps(who: string, extension: Extension): void {
  const names = Object.keys(extension);
  if (names.length === 0) throw new ContractError(who, `taps no hook; there are: ${Object.keys(hookList).join(', ')}`);
  for (const name of names) {
    const tap = extension[name as HookName];
    if (typeof (typeof tap === 'object' ? tap.handler : tap) !== 'function')
      throw new ContractError(who, `has no function for the hook ${name}`);
  }
}

async function shortRun(
  component: Component,
  extension: Extension,
  directory: string,
  milliseconds: number,
  fails: boolean,
): Promise<void> {
  const hooks = createHooks([{ name: component.name, extension }]);
  const inTime = <Value>(hook: HookName, fired: Value | Promise<Value>): Promise<Value> =>
    within(
      milliseconds,
      Promise.resolve(fired),
      () => new ContractError(nameOf(component), `does not settle at the hook ${hook}: ${hooks.pending().join(', ')}`),
    );
  await inTime('start', hooks.start({ preset: 'contract', directory, resume: false }));
  if (fails) {
    await inTime('finish', hooks.finish({ outcome: 'failed', directory, error: new Error('the run failed') }));
    return;
  }
  for (const step of [1, 2]) {
    const samples = testSamples().map((sample) => ({ ...sample, step }));
    const items = samples
      .filter(({ copy }) => copy === 0)
      .map(({ prompt, task, specification }) => ({ prompt, task, specification }));
    await inTime('batch', hooks.batch({ step, items }));
    const rollout = { step, groupSize: 2, samples };
    await inTime('rollout', hooks.rollout(rollout));
    const judgements = samples.map((_, index) => ({ total: index / 8, scores: { test: { value: index / 8 } } }));
    const rewarded: RewardsEvent = await inTime('rewards', hooks.rewards({ ...rollout, judgements }));
    const drawn = samples.map(({ codes }) => ({
      rationaleIds: [5, 6],
      codes,
      logProbability: new Array<number>(7).fill(-1),
      entropy: new Array<number>(7).fill(1),
    }));
    const event: AdvantagesEvent = {
      ...rewarded,
      advantages: samples.map((_, index) => (index % 2 === 0 ? 1 : -1)),
      drawn,
    };
    hooks.advantages(event);
    await inTime('step', hooks.step({ step, metrics: { reward: 0.5, loss: 1, learningRate: 1e-4 } }));
  }
  const samples = testSamples();
  const verdicts = samples.map((_, index) => ({ pass: index % 2 === 0, why: 'as it is' }));
  const evaluation: EvaluationEvent = {
    step: 2,
    benchmark: 'test',
    split: 'heldout',
    samples,
    verdicts,
    metrics: { pass: 0.5 },
  };
  await inTime('evaluation', hooks.evaluation(evaluation));
  await inTime('finish', hooks.finish({ outcome: 'done', directory }));
}
