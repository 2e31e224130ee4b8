/** Pictures to verdicts: by the benchmark's own look, by the evidence it gathers from judges, or by the rewards of the preset. */
import type { Benchmark, DirectBenchmark, EvidenceBenchmark, PictureFailure, Verdict } from '../contracts/benchmark.ts';
import type { Judgement } from '../contracts/hooks.ts';
import type { NamedBenchmark, NamedReward, RunContext } from '../contracts/recipe.ts';
import type { Sample } from '../contracts/reward.ts';
import { exitCodes, PresetError, ReasongenError, reasonOf } from '../errors.ts';
import { frozenCopy } from '../frozen.ts';
import { isBest } from '../rl/reward-metrics.ts';
import { scoreSamples } from '../rl/score.ts';
import { checkedVerdicts } from '../rl/verdicts.ts';
import type { EvidenceKey, EvidenceLog } from './evidence-log.ts';
import type { MissingPicture, Picture, PicturePlace, PictureSource } from './pictures.ts';

/** A picture with its verdict. */
export interface PictureOutcome extends PicturePlace {
  readonly file?: string;
  readonly verdict: Verdict;
  readonly failure?: PictureFailure;
  /** As it was judged; absent where it could not be read, or was known already and is not kept. */
  readonly sample?: Sample;
  /** What the rewards said of it, where they were asked. */
  readonly judgement?: Judgement;
}

export interface JudgingOptions {
  /** What is known already, and where it is written down. */
  readonly evidence?: EvidenceLog;
  /** Whether the picture itself is wanted in the outcome, whatever room it takes. */
  readonly keeps: (place: PicturePlace) => boolean;
}

/** Bytes of pixels that are held beside those, for what looks at all pictures together. */
const mostBytes = 2 ** 28;

type JudgingContext = Pick<RunContext, 'log' | 'signal' | 'rewards'>;

/** After so many pictures in a row without an answer the judge is taken to be out of order. */
const mostFailuresInARow = 20;
/** Different reasons that are told. */
const mostTold = 20;

/** Of a picture that has no verdict. */
const wrong = (why: string): Verdict => ({ pass: false, why, score: 0 });

/**
 * Judges every picture of the source while the next ones are drawn. A picture that is missing, cannot be read or whose judge fails is wrong,
 * and its outcome says which; failed ones are asked about again at the end. A judge that fails twenty times in a row ends the evaluation.
 */
export async function judgePictures(
  context: JudgingContext,
  named: NamedBenchmark,
  source: PictureSource,
  options: JudgingOptions,
): Promise<PictureOutcome[]> {
  const work = new Judging(context, named, options);
  const outcomes: PictureOutcome[] = [];
  /** By their place, for a judge that is well again at the end. */
  const failed = new Map<string, Picture>();
  const settle = async (pictures: readonly (Picture | MissingPicture)[]): Promise<void> => {
    const judged = await work.judge(pictures);
    outcomes.push(...judged);
    const lost = new Set(judged.filter(({ failure }) => failure === 'judge').map(placeKey));
    for (const picture of pictures)
      if (!('isMissing' in picture) && lost.has(placeKey(picture))) failed.set(placeKey(picture), picture);
  };
  let pending: Promise<void> = Promise.resolve();
  try {
    for await (const pictures of source) {
      await pending;
      pending = settle(pictures);
      // It is awaited in the next round; until then its failure has been noticed.
      pending.catch(() => {});
    }
    await pending;
  } catch (error) {
    await pending.catch(() => {});
    throw error;
  }
  await askAgain(work, outcomes, failed);
  return outcomes.sort((a, b) => a.index - b.index || a.copy - b.copy);
}

/** Rounds in which pictures whose judge failed are put to it again, when all others are judged. */
const furtherRounds = 2;
const askedAgainAtOnce = 32;

async function askAgain(work: Judging, outcomes: PictureOutcome[], failed: Map<string, Picture>): Promise<void> {
  for (let round = 0; round < furtherRounds && failed.size > 0; round++) {
    const pictures = [...failed.values()];
    for (let start = 0; start < pictures.length; start += askedAgainAtOnce) {
      for (const outcome of await work.judge(pictures.slice(start, start + askedAgainAtOnce), { isAgain: true })) {
        if (outcome.failure === 'judge') continue;
        const key = placeKey(outcome);
        failed.delete(key);
        outcomes[outcomes.findIndex((each) => placeKey(each) === key)] = outcome;
      }
    }
  }
}

function placeKey({ index, copy }: Pick<PicturePlace, 'index' | 'copy'>): string {
  return `${index}/${copy}`;
}

/** The rewards that are asked about a benchmark's pictures: all where it has no judges but them, else those that can judge any prompt. */
export function rewardsFor(benchmark: Benchmark, rewards: readonly NamedReward[]): readonly NamedReward[] {
  if ('judgedByRewards' in benchmark) return rewards;
  // Nothing was drawn.
  if (benchmark.picture !== undefined) return [];
  return rewards.filter(({ reward }) => reward.judgesBenchmarks === true);
}

class Judging {
  readonly #context: JudgingContext;
  readonly #named: NamedBenchmark;
  readonly #options: JudgingOptions;
  readonly #rewards: readonly NamedReward[];
  #failuresInARow = 0;
  #lastFailure: unknown;
  #heldBytes = 0;
  /** Reasons of failures that have been told. */
  readonly #told = new Set<string>();

  constructor(context: JudgingContext, named: NamedBenchmark, options: JudgingOptions) {
    this.#context = context;
    this.#named = named;
    this.#options = options;
    this.#rewards = rewardsFor(named.benchmark, context.rewards);
    if ('judgedByRewards' in named.benchmark && this.#rewards.length === 0) throw noRewards(named.name);
  }

  /** `isAgain`: these are pictures that failed while others were answered, so that many failures in a row tell nothing of the judge. */
  async judge(
    pictures: readonly (Picture | MissingPicture)[],
    { isAgain = false }: { readonly isAgain?: boolean } = {},
  ): Promise<PictureOutcome[]> {
    const loaded = await Promise.all(pictures.map((picture) => this.#load(picture)));
    const readable = loaded.flatMap(({ sample }) => sample ?? []);
    const judgements =
      this.#rewards.length === 0 || readable.length === 0
        ? []
        : await scoreSamples(this.#rewards, readable, this.#context.signal, (message) =>
            this.#context.log.warn(message),
          );
    const judgementOf = new Map(readable.map((sample, index) => [sample, judgements[index]]));
    const outcomes = await this.#verdicts(loaded, judgementOf);
    if (!isAgain) this.#countFailures(outcomes);
    return outcomes.map(({ sample, ...outcome }) => ({
      ...outcome,
      ...(sample !== undefined && (this.#holds(sample) || this.#options.keeps(outcome)) && { sample }),
      ...(sample !== undefined && judgementOf.get(sample) && { judgement: judgementOf.get(sample) as Judgement }),
    }));
  }

  /** Of pictures that were judged together the failures end first: one answer among them shows that the judge is there. */
  #countFailures(outcomes: readonly PictureOutcome[]): void {
    const failed = outcomes.filter(({ failure }) => failure === 'judge').length;
    this.#failuresInARow = failed < outcomes.length ? 0 : this.#failuresInARow + failed;
    if (this.#lastFailure !== undefined && this.#failuresInARow >= mostFailuresInARow)
      throw this.#explained(this.#lastFailure);
  }

  #holds({ image }: Sample): boolean {
    this.#heldBytes += image.data.length;
    return this.#heldBytes <= mostBytes;
  }

  async #load(picture: Picture | MissingPicture): Promise<Loaded> {
    const { index, copy, item } = picture;
    const place = { index, copy, item };
    if ('isMissing' in picture)
      return { place, failed: { verdict: wrong('the picture is missing'), failure: 'missing' } };
    const known = { place, picture, ...(picture.file !== undefined && { file: picture.file }) };
    const isKnown = this.#options.evidence?.has(keyOf(picture)) === true;
    const isLookedAt = this.#rewards.length > 0 || this.#named.benchmark.measure !== undefined;
    if (isKnown && !isLookedAt && !this.#options.keeps(picture)) return known;
    try {
      return { ...known, sample: await picture.load() };
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      const name = picture.file ?? `picture ${copy} of "${item.prompt}"`;
      this.#context.log.warn(`${name} cannot be read and counts as wrong: ${error.message}`);
      return { ...known, failed: { verdict: wrong(`unreadable: ${error.message}`), failure: 'unreadable' } };
    }
  }

  async #verdicts(
    loaded: readonly Loaded[],
    judgementOf: ReadonlyMap<Sample, Judgement | undefined>,
  ): Promise<PictureOutcome[]> {
    const { benchmark, name } = this.#named;
    if ('gather' in benchmark) return Promise.all(loaded.map((each) => this.#fromEvidence(benchmark, each)));
    const samples = loaded.flatMap(({ sample }) => sample ?? []);
    const verdicts =
      'judge' in benchmark
        ? await directVerdicts(name, benchmark, samples, this.#context.signal)
        : samples.map((sample) => rewardedVerdict(this.#rewards, judgementOf.get(sample)));
    const verdictOf = new Map(samples.map((sample, index) => [sample, verdicts[index]]));
    return loaded.map((each) => {
      const verdict = each.sample && verdictOf.get(each.sample);
      if (verdict === undefined || each.sample === undefined) return outcomeOf(each, each.failed ?? unjudged);
      const isUnjudged = judgementOf.get(each.sample)?.unjudged === true && 'judgedByRewards' in benchmark;
      return outcomeOf(each, isUnjudged ? unjudged : { verdict });
    });
  }

  async #fromEvidence(benchmark: EvidenceBenchmark, loaded: Loaded): Promise<PictureOutcome> {
    const { picture, sample, failed, place } = loaded;
    if (failed !== undefined || picture === undefined) return outcomeOf(loaded, failed ?? unjudged);
    const { evidence: log } = this.#options;
    const key = log === undefined ? undefined : keyOf(picture);
    let evidence: unknown;
    if (log !== undefined && key !== undefined && log.has(key)) evidence = log.get(key);
    else {
      try {
        if (sample === undefined) throw new RangeError('unreachable: a picture without evidence is loaded');
        evidence = asJson(await benchmark.gather(frozenCopy(sample), this.#context.signal));
      } catch (error) {
        return outcomeOf(loaded, this.#refused(place, error));
      }
      if (log !== undefined && key !== undefined) await log.add(key, evidence);
    }
    const [verdict] = checkedVerdicts(this.#named.name, [place.item], [benchmark.verdict(place.item, evidence)]);
    return outcomeOf(loaded, verdict === undefined ? unjudged : { verdict });
  }

  /** A judge that gave no answer. Mistakes of the user, and a judge that answers nothing at all, end the evaluation. */
  #refused({ item, copy }: PicturePlace, error: unknown): Decided {
    this.#context.signal.throwIfAborted();
    this.#lastFailure = error;
    if (error instanceof ReasongenError && error.exitCode === exitCodes.badPreset) throw error;
    // The result says how many pictures have no verdict, and each verdict why.
    const why = reasonOf(error);
    if (!this.#told.has(why) && this.#told.size < mostTold)
      this.#context.log.warn(
        `no verdict on picture ${copy} of "${item.prompt}", and perhaps on others for the same reason: ${why}`,
      );
    this.#told.add(why);
    return { verdict: wrong(`no verdict: ${why}`), failure: 'judge' };
  }

  #explained(cause: unknown): unknown {
    if (cause instanceof ReasongenError) return cause;
    return new ReasongenError({
      code: 'NO_EVIDENCE',
      message: `its judges failed ${this.#failuresInARow} times in a row: ${reasonOf(cause)}`,
      place: `benchmark "${this.#named.name}"`,
      hint: 'what was judged so far is kept: mend the judge and resume the run',
      cause,
    });
  }
}

interface Loaded {
  readonly place: PicturePlace;
  readonly picture?: Picture;
  readonly file?: string;
  readonly sample?: Sample;
  readonly failed?: Decided;
}

interface Decided {
  readonly verdict: Verdict;
  readonly failure?: PictureFailure;
}

const unjudged: Decided = { verdict: wrong('no verdict'), failure: 'judge' };

function outcomeOf({ place, file, sample }: Loaded, decided: Decided): PictureOutcome {
  return { ...place, ...decided, ...(file !== undefined && { file }), ...(sample !== undefined && { sample }) };
}

function keyOf(picture: Picture): EvidenceKey {
  return { prompt: picture.item.prompt, specification: picture.item.specification, picture: picture.hash() };
}

/** What will be read of a file when the run is resumed: the verdict is made of the same thing now. */
function asJson(evidence: unknown): unknown {
  return JSON.parse(JSON.stringify(evidence ?? null)) as unknown;
}

async function directVerdicts(
  name: string,
  benchmark: DirectBenchmark,
  samples: readonly Sample[],
  signal: AbortSignal,
): Promise<readonly Verdict[]> {
  if (samples.length === 0) return [];
  return checkedVerdicts(name, samples, await benchmark.judge(frozenCopy(samples), signal));
}

function rewardedVerdict(rewards: readonly NamedReward[], judgement: Judgement | undefined): Verdict {
  const { total = 0, scores = {}, withoutVerdict = {} } = judgement ?? {};
  const silent = Object.entries(withoutVerdict);
  const isUnparsed = silent.length > 0 || Object.values(scores).some(({ unparsed }) => unparsed === true);
  return {
    pass: silent.length === 0 && isBest(rewards, total),
    why: [
      ...Object.entries(scores).map(
        ([name, { value, why }]) => `${name} ${value}${why === undefined ? '' : `: ${why}`}`,
      ),
      ...silent.map(([name, why]) => `${name}: no verdict, ${why}`),
    ].join('; '),
    parts: { reward: total },
    ...(isUnparsed && { unparsed: true as const }),
  };
}

function noRewards(name: string): PresetError {
  return new PresetError({
    code: 'NO_JUDGES',
    message: `the rewards of the preset judge the pictures of benchmark "${name}", and there is none`,
    hint: 'name rewards in the preset, and give --judge where `evaluate` takes a preset or a run',
  });
}
