/** What a benchmark must keep so that its numbers mean the same wherever they are measured. */
import { leadsOutside } from '../io/record-file.ts';
import type { Benchmark, JudgedPicture, Verdict } from '../contracts/benchmark.ts';
import type { PromptItem } from '../contracts/dataset.ts';
import type { Sample } from '../contracts/reward.ts';
import type { Component } from '../contracts/slots.ts';
import { frozenCopy } from '../frozen.ts';
import { checkedVerdicts } from '../rl/verdicts.ts';
import { ContractError, type ContractSettings, nameOf, openComponent, settled, written, within } from './contract.ts';
import { testSamples } from './stand-ins.ts';

export interface BenchmarkContract extends ContractSettings {
  /** Prompts asked for; 8 unless told. */
  readonly count?: number;
  /** Tasks with so few prompts that none is held out: both splits share them. */
  readonly sharedTasks?: readonly string[];
  /** Drawings of the prompts; those of `testSamples()` unless given, one each. */
  readonly draw?: (item: PromptItem, index: number) => Partial<Sample>;
  /** False for a judge that may say otherwise when asked again. */
  readonly deterministic?: boolean;
  readonly abortWithin?: number;
}

/**
 * Holds a benchmark to its contract: the same prompts for the same arguments, of its tasks, as JSON; none of the held-out ones among those
 * that training may use; a whole verdict for every drawing, from evidence that JSON can hold where it asks judges, the same in another order and company; and an end soon after an abort.
 * @throws ContractError or ReasongenError, with the cause
 */
export async function checkBenchmark(
  component: Component<'benchmark'>,
  contract: BenchmarkContract = {},
): Promise<void> {
  const { count = 8, deterministic = true, abortWithin = 1000, seed = 1, sharedTasks = [] } = contract;
  const who = nameOf(component);
  const { made, dispose } = await openComponent(component, contract);
  const splits = made.splits ?? (['seen', 'heldout'] as const);
  if (splits.length === 0 || splits.some((split) => !['seen', 'heldout'].includes(split)))
    throw new ContractError(
      who,
      `declares the splits ${written(splits)}; there are "seen" and "heldout", and it has one at least`,
    );
  const bySplit = new Map(splits.map((split) => [split, checkPrompts(who, made, split, count, seed)]));
  const [seen = [], heldout = []] = [bySplit.get('seen'), bySplit.get('heldout')];
  const both = heldout.find(
    ({ prompt, task }) => !sharedTasks.includes(task) && seen.some((item) => item.prompt === prompt),
  );
  if (both !== undefined)
    throw new ContractError(
      who,
      `has the prompt "${both.prompt}" in both splits: what is held out may not be trained on`,
    );
  for (const items of bySplit.values()) checkLayout(who, made, items);
  const items = [...seen, ...heldout].slice(0, count);
  const samples = items.map((item, index): Sample => {
    const template = testSamples()[index % 8] ?? testSamples()[0]!;
    return {
      ...template,
      id: `drawing-${index}`,
      group: index,
      copy: 0,
      phase: 'evaluation',
      ...item,
      ...contract.draw?.(item, index),
    };
  });
  const signal = new AbortController().signal;
  const judge = async (some: readonly Sample[]): Promise<readonly Verdict[]> =>
    checkedVerdicts(component.name, some, await verdictsOf(who, made, frozenCopy(some), signal));
  const first = await judge(samples);
  if (deterministic) {
    const same = (verdicts: readonly (Verdict | undefined)[], when: string): void => {
      samples.forEach(({ prompt }, index) => {
        if (!isSame(verdicts[index], first[index]))
          throw new ContractError(
            who,
            `says ${said(first[index])} on drawing ${index} ("${prompt}"), and ${said(verdicts[index])} ${when}`,
          );
      });
    };
    same(await judge(samples), 'when asked again');
    same((await judge(samples.toReversed())).toReversed(), 'when asked in another order');
    const alone: (Verdict | undefined)[] = [];
    for (const sample of samples) alone.push((await judge([sample]))[0]);
    same(alone, 'when asked about it alone');
  }
  checkMeasure(who, made, samples);
  checkSummary(who, made, samples, first);
  const abort = new AbortController();
  const asked = settled(() => verdictsOf(who, made, samples, abort.signal));
  abort.abort(new Error('the run was given up'));
  await within(
    abortWithin,
    asked,
    () => new ContractError(who, `goes on ${abortWithin} ms after its signal was aborted`),
  );
  await dispose();
}

/** Every picture has a name of its own within the folder: one that two share would be drawn over the other. */
function checkLayout(who: string, { layout, samplesPerPrompt = 1 }: Benchmark, items: readonly PromptItem[]): void {
  if (layout === undefined) return;
  const copies = layout.grid === undefined ? Math.max(2, samplesPerPrompt) : 1;
  const taken = new Map<string, string>();
  for (const [index, item] of items.entries())
    for (let copy = 0; copy < copies; copy++) {
      const name = layout.file(item, index, copy);
      const whose = `picture ${copy} of "${item.prompt}"`;
      if (leadsOutside(name)) throw new ContractError(who, `puts ${whose} at ${name}, outside of its folder`);
      const other = taken.get(name);
      if (other !== undefined) throw new ContractError(who, `gives ${other} and ${whose} one name: ${name}`);
      taken.set(name, whose);
    }
}

/** However it judges; where rewards do, each drawing passes. */
async function verdictsOf(
  who: string,
  benchmark: Benchmark,
  samples: readonly Sample[],
  signal: AbortSignal,
): Promise<readonly Verdict[]> {
  if ('judge' in benchmark) return benchmark.judge(samples, signal);
  if ('judgedByRewards' in benchmark) return samples.map(() => ({ pass: true, why: 'rewards judge it' }));
  if ((await benchmark.judges()).length === 0)
    throw new ContractError(who, 'gathers evidence and names no judge: `judges` tells results who was asked');
  const verdicts: Verdict[] = [];
  for (const sample of samples) {
    const evidence = await benchmark.gather(sample, signal);
    if (losesValues(evidence))
      throw new ContractError(who, `gathers evidence on "${sample.prompt}" that JSON cannot hold: it is kept on disk`);
    const [once, again] = [benchmark.verdict(sample, evidence), benchmark.verdict(sample, structuredClone(evidence))];
    if (JSON.stringify(once) !== JSON.stringify(again))
      throw new ContractError(
        who,
        `gives another verdict on "${sample.prompt}" from the same evidence: a verdict is a function of prompt and evidence`,
      );
    verdicts.push(once);
  }
  return verdicts;
}

/** It is made again of resampled prompts, in any order. */
function checkSummary(
  who: string,
  benchmark: Benchmark,
  samples: readonly Sample[],
  verdicts: readonly Verdict[],
): void {
  if (benchmark.aggregate === undefined) return;
  const pictures = samples.map((sample, index): JudgedPicture => {
    const verdict = verdicts[index] ?? { pass: false, why: '' };
    const { prompt, task, specification, copy } = sample;
    return {
      prompt,
      task,
      specification,
      index,
      copy,
      verdict: { ...verdict, score: verdict.score ?? Number(verdict.pass) },
    };
  });
  const { headline, scores } = benchmark.aggregate(pictures);
  for (const [name, value] of [[headline.name, headline.value] as const, ...Object.entries(scores)])
    if (!Number.isFinite(value)) throw new ContractError(who, `reports ${name} = ${value}; a score is a finite number`);
  const turned = benchmark.aggregate(pictures.toReversed()).headline.value;
  if (!(Math.abs(turned - headline.value) < 1e-9))
    throw new ContractError(
      who,
      `reports ${headline.name} = ${headline.value}, and ${turned} of the same pictures in another order`,
    );
}

/** A judge that computes in another company may round otherwise. */
const tolerance = 1e-5;

function isSame(a: Verdict | undefined, b: Verdict | undefined): boolean {
  const [ours, theirs] = [resultsOf(a), resultsOf(b)] as const;
  return (
    ours.words === theirs.words &&
    ours.numbers.every((value, index) => Math.abs(value - (theirs.numbers[index] ?? Number.NaN)) <= tolerance)
  );
}

/** What results are made of. */
function resultsOf({ pass = false, score, atoms = [] }: Partial<Verdict> = {}): {
  readonly words: string;
  readonly numbers: readonly number[];
} {
  return {
    words: JSON.stringify([pass, score === undefined, atoms.map(({ id }) => id)]),
    numbers: [score ?? 0, ...atoms.map((atom) => atom.score)],
  };
}

function said(verdict: Verdict | undefined): string {
  const { pass = false, score, atoms } = verdict ?? {};
  const rounded = (value: number): number => Number(value.toPrecision(6));
  return [
    pass ? '"pass"' : '"fail"',
    ...(score === undefined ? [] : [`with the score ${rounded(score)}`]),
    ...(atoms === undefined ? [] : [`for ${atoms.map((atom) => `${atom.id} ${rounded(atom.score)}`).join(', ')}`]),
  ].join(' ');
}

function checkPrompts(
  who: string,
  benchmark: Benchmark,
  split: 'seen' | 'heldout',
  count: number,
  seed: number,
): readonly PromptItem[] {
  const items = benchmark.prompts(split, count, seed);
  if (items.length === 0 || items.length > count)
    throw new ContractError(who, `gives ${items.length} prompts where ${count} of the split ${split} are asked for`);
  checkItems(who, items, benchmark.tasks);
  const again = benchmark.prompts(split, count, seed);
  if (JSON.stringify(again) !== JSON.stringify(items))
    throw new ContractError(
      who,
      `gives other prompts of the split ${split} when asked again with the same count and seed: draw them from the seed alone`,
    );
  return items;
}

/** Prompts as a preset, a record and a judge need them. Also for those of a dataset. */
export function checkItems(who: string, items: readonly PromptItem[], tasks: readonly string[]): void {
  for (const { prompt, task, specification } of items) {
    if (typeof prompt !== 'string' || prompt.trim() === '')
      throw new ContractError(who, `has a prompt ${written(prompt)}; a prompt is a text`);
    if (!tasks.includes(task))
      throw new ContractError(
        who,
        `has the prompt "${prompt}" of the task ${written(task)}, which is not in its \`tasks\` (${tasks.join(', ')})`,
      );
    const kept: unknown = specification === undefined ? undefined : JSON.parse(JSON.stringify(specification));
    if (
      specification === undefined ||
      JSON.stringify(kept) !== JSON.stringify(specification) ||
      losesValues(specification)
    )
      throw new ContractError(
        who,
        `has the prompt "${prompt}" with a specification that JSON cannot hold; null where there is none`,
      );
  }
}

/** Whether JSON would drop or change something within: functions, undefined, NaN, maps, dates. */
function losesValues(value: unknown): boolean {
  if (typeof value === 'number') return !Number.isFinite(value);
  if (Array.isArray(value)) return value.some(losesValues);
  if (typeof value === 'object' && value !== null)
    return Object.getPrototypeOf(value) !== Object.prototype || Object.values(value).some(losesValues);
  return value !== null && typeof value !== 'string' && typeof value !== 'boolean';
}

function checkMeasure(who: string, benchmark: Benchmark, samples: readonly Sample[]): void {
  for (const [name, value] of Object.entries(benchmark.measure?.(frozenCopy(samples)) ?? {}))
    if (!Number.isFinite(value))
      throw new ContractError(who, `measures ${name} = ${String(value)}; a measurement is a finite number`);
}
