/** What a judge must keep so that its answers can be kept and compared. */
import type { Image } from '../contracts/image.ts';
import type { Detection, Judge, JudgeCapability } from '../contracts/judge.ts';
import type { Component } from '../contracts/slots.ts';
import { capabilitiesOf, refuseNoJudge } from '../judging/capabilities.ts';
import { ContractError, type ContractSettings, nameOf, openComponent, settled, written, within } from './contract.ts';
import { testSamples } from './stand-ins.ts';

export interface JudgeContract extends ContractSettings {
  /** Pictures it is asked about; those of `testSamples()` unless given. */
  readonly images?: readonly Image[];
  /** Texts, labels, questions and instructions it is asked with. */
  readonly texts?: readonly string[];
  /** False for a judge that may say otherwise when asked again. */
  readonly deterministic?: boolean;
  /** Milliseconds within which a question must end once it is aborted; 1000 unless told. */
  readonly abortWithin?: number;
}

/**
 * Holds a judge to its contract: a title, a fingerprint that stays, and from each of its methods whole evidence with finite numbers within their ranges; the same
 * when asked again and when two questions are under way; and an end soon after an abort.
 * @throws ContractError or ReasongenError, with the cause
 */
export async function checkJudge(component: Component<'judge'>, contract: JudgeContract = {}): Promise<void> {
  const { images = testSamples().map(({ image }) => image), deterministic = true, abortWithin = 1000 } = contract;
  const texts = contract.texts ?? ['a red bird', 'a white wall', 'say "\\boxed{1}" or $& twice'];
  const who = nameOf(component);
  const opened = await openComponent(component, contract);
  const again = await openComponent(component, contract);
  const judge = opened.made;
  refuseNoJudge(judge, who);
  if (JSON.stringify(judge.fingerprint) !== JSON.stringify(again.made.fingerprint))
    throw new ContractError(who, 'has another fingerprint when it is made again: no answer of it could be kept');
  for (const capability of capabilitiesOf(judge)) {
    const ask = (image: Image, signal = new AbortController().signal): Promise<unknown> =>
      questions[capability](judge, image, texts, signal);
    const first = await inTurn(images, async (image) => {
      const evidence = await ask(image);
      const fault = faultOf(capability, evidence, image, texts);
      if (fault !== undefined) throw new ContractError(who, `${capability}: ${fault}`);
      return evidence;
    });
    if (deterministic) {
      const backwards = (await inTurn(images.toReversed(), (image) => ask(image))).reverse();
      compare(who, capability, first, backwards, 'when asked again in another order');
      const atOnce = await Promise.all(images.map((image) => ask(image)));
      compare(
        who,
        capability,
        first,
        atOnce,
        'when several questions are under way: they share state that one of them changes',
      );
    }
    const abort = new AbortController();
    const asked = settled(() => ask(images[0] ?? testSamples()[0]!.image, abort.signal));
    abort.abort(new Error('the run was given up'));
    await within(
      abortWithin,
      asked,
      () => new ContractError(who, `${capability}: it goes on ${abortWithin} ms after its signal was aborted`),
    );
  }
  await opened.dispose();
  await again.dispose();
}

const wholePicture = ({ width, height }: Image): Detection => ({
  label: 'all of it',
  score: 1,
  box: [0, 0, width, height],
});
const spellings = [
  ['yes', 'Yes'],
  ['no', 'No'],
];

const questions: {
  readonly [Name in JudgeCapability]: (
    judge: Judge,
    image: Image,
    texts: readonly string[],
    signal: AbortSignal,
  ) => Promise<unknown>;
} = {
  detect: async (judge, image, _texts, signal) => judge.detect?.(image, signal),
  classify: async (judge, image, texts, signal) =>
    judge.classify?.(image, wholePicture(image), texts, ['a photo of {}'], signal),
  similarity: async (judge, image, texts, signal) => judge.similarity?.(image, texts, signal),
  answer: async (judge, image, texts, signal) => judge.answer?.(image, `Is this ${texts[0]}?`, signal),
  answerProbabilities: async (judge, image, texts, signal) =>
    judge.answerProbabilities?.(image, `Is this ${texts[0]}?`, spellings, signal),
  read: async (judge, image, _texts, signal) => judge.read?.(image, signal),
  depth: async (judge, image, _texts, signal) => judge.depth?.(image, signal),
  write: async (judge, _image, texts, signal) => judge.write?.(`Ask about: ${texts[0]}`, signal),
};

/** What is wrong with evidence, in words; undefined where it is whole. */
function faultOf(
  capability: JudgeCapability,
  evidence: unknown,
  image: Image,
  texts: readonly string[],
): string | undefined {
  const wanted = capability === 'answerProbabilities' ? spellings.length : texts.length;
  if (capability === 'answer' || capability === 'write')
    return typeof evidence === 'string' ? undefined : `it answers ${written(evidence)}, which is no text`;
  if (capability === 'depth') return depthFault(evidence);
  if (!Array.isArray(evidence)) return `it gives ${written(evidence)}, which is no list`;
  if (capability === 'detect') return boxFault(evidence, 'label', image) ?? orderFault(evidence);
  if (capability === 'read') return boxFault(evidence, 'text', image);
  if (evidence.length !== wanted) return `it gives ${evidence.length} numbers for ${wanted} texts`;
  const lowest = capability === 'answerProbabilities' ? 0 : -1;
  const wrong: unknown = evidence.find(
    (value) => typeof value !== 'number' || !(value >= lowest - 1e-6 && value <= 1 + 1e-6),
  );
  if (wrong === undefined || (capability === 'classify' && typeof wrong === 'number' && Number.isFinite(wrong)))
    return undefined;
  return `it gives ${written(wrong)}; ${capability === 'similarity' ? 'a cosine' : 'a probability'} lies between ${lowest} and 1`;
}

function boxFault(found: readonly unknown[], name: 'label' | 'text', { width, height }: Image): string | undefined {
  for (const each of found as readonly Partial<Record<'label' | 'text' | 'score' | 'box', unknown>>[]) {
    if (typeof each[name] !== 'string' || each[name] === '') return `something it found has no ${name}`;
    if (typeof each.score !== 'number' || !(each.score >= 0 && each.score <= 1))
      return `"${each[name]}" has the score ${written(each.score)}; it lies between 0 and 1`;
    const [x1, y1, x2, y2] = (Array.isArray(each.box) ? each.box : []) as number[];
    // Detectors may look a little over the edge.
    const [overX, overY] = [0.25 * width, 0.25 * height];
    const isBox = x1 !== undefined && y1 !== undefined && x2 !== undefined && y2 !== undefined && x1 <= x2 && y1 <= y2;
    if (!isBox || !(x1 >= -overX && y1 >= -overY && x2 <= width + overX && y2 <= height + overY))
      return `"${each[name]}" has the box ${written(each.box)}; a box is left, top, right and bottom edge in pixels of a picture of ${width} x ${height}`;
  }
  return undefined;
}

function orderFault(found: readonly Detection[]): string | undefined {
  const risen = found.findIndex(({ score }, index) => score > (found[index - 1]?.score ?? 1));
  return risen < 0 ? undefined : `"${found[risen]?.label}" stands behind something less sure; the surest comes first`;
}

function depthFault(evidence: unknown): string | undefined {
  const {
    width = 0,
    height = 0,
    values,
  } = (evidence ?? {}) as { width?: number; height?: number; values?: Float32Array };
  if (!(values instanceof Float32Array) || width < 1 || values.length !== width * height)
    return 'it gives no map of width x height values';
  return values.every(Number.isFinite) ? undefined : 'its map has values that are not finite';
}

function compare(
  who: string,
  capability: string,
  first: readonly unknown[],
  second: readonly unknown[],
  when: string,
): void {
  const text = (evidence: unknown): string =>
    JSON.stringify(evidence, (_key, value: unknown) =>
      typeof value === 'number' ? Number(value.toPrecision(5)) : value,
    );
  first.forEach((evidence, index) => {
    if (text(evidence) !== text(second[index]))
      throw new ContractError(who, `${capability}: it gives other evidence of picture ${index} ${when}`);
  });
}

async function inTurn<Item, Result>(items: readonly Item[], work: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  for (const item of items) results.push(await work(item));
  return results;
}
