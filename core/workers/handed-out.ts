/** A component that workers answer for, as a run gets it: the same contract, under the policies of its entry in the preset. */
import { countAll, tallied, type CallTally } from '../call-tally.ts';
import type { Benchmark } from '../contracts/benchmark.ts';
import type { Calls } from '../contracts/calls.ts';
import type { AnswererIdentity, Executor } from '../contracts/executor.ts';
import type { Judge, JudgeCapability } from '../contracts/judge.ts';
import type { Reward, RewardAnswer, Sample } from '../contracts/reward.ts';
import { PresetError, ReasongenError } from '../errors.ts';
import { capabilitiesOf } from '../judging/capabilities.ts';
import { evidenceFromJson } from '../judging/evidence-json.ts';
import { TryAgainError } from '../try-again.ts';
import { aboutEvidenceJson, aboutSamplesJson, workerAnswerSchema } from './questions.ts';
import type { AnswerChecks } from './recheck.ts';

export interface HandingOut {
  readonly identity: AnswererIdentity;
  /** Absent where the preset names none. */
  readonly executor: Executor | undefined;
  readonly calls: Calls;
  /** Looks at what workers say; absent where only they can judge. */
  readonly checks?: AnswerChecks | undefined;
}

type Ask = NonNullable<Executor['ask']>;

/** What a component says, with what it asked of others for that. */
interface Said {
  readonly value: unknown;
  readonly tally: CallTally;
}

/** Throws NO_QUEUE where nobody could be asked. */
function askerOf({
  identity,
  executor,
  calls,
  checks,
}: HandingOut): (question: unknown, signal: AbortSignal) => Promise<Said> {
  const ask: Ask | undefined = executor?.ask?.bind(executor);
  const who = `${identity.slot} "${identity.name}"`;
  if (ask === undefined) throw nobodyToAsk(who);
  return async (question, signal) => {
    const { worker, answer } = await ask(identity, question, signal, checks?.of(question, signal));
    const said = settled(answer, `${who}, worker ${worker}`);
    calls.spend(said.tally.tokens);
    return said;
  };
}

/** Only questions go out: what it makes on a device is made where it answers. */
export function handedOutReward(made: Reward, parts: HandingOut): Reward {
  const ask = askerOf(parts);
  const sees = made.sees ?? 'batch';
  const { judgesBenchmarks } = made;
  return {
    sees,
    ...(judgesBenchmarks !== undefined && { judgesBenchmarks }),
    score: async (samples, signal) => {
      const answers = new Map<Sample, RewardAnswer>();
      await allOrNone(sharesOf(samples, sees), signal, async (share, either) => {
        const question = aboutSamplesJson('score', share);
        const said = await asked(parts.calls, (inner) => ask(question, inner), either);
        if (!Array.isArray(said) || said.length !== share.length)
          throw new Error(`a worker did not answer for ${share.length} samples`);
        share.forEach((sample, index) => answers.set(sample, said[index] as RewardAnswer));
      });
      return samples.map((sample) => answers.get(sample) ?? null);
    },
  };
}

/** The runtime makes the calls: it is offered as any other judge. */
export function handedOutJudge(made: Judge, parts: HandingOut): Judge {
  const ask = askerOf(parts);
  const { title, fingerprint, changes } = made;
  const methods = capabilitiesOf(made).map((capability: JudgeCapability) => {
    const method = async (...all: unknown[]): Promise<unknown> =>
      (await ask(aboutEvidenceJson(capability, all.slice(0, -1)), all.at(-1) as AbortSignal)).value;
    return [capability, method] as const;
  });
  return { title, fingerprint, ...(changes !== undefined && { changes }), ...Object.fromEntries(methods) };
}

/** Its prompts and scores are its own; what it says of pictures comes from workers. */
export function handedOutBenchmark(made: Benchmark, parts: HandingOut): Benchmark {
  if ('judgedByRewards' in made) throw judgedByRewards(parts.identity.name);
  const ask = askerOf(parts);
  const look = (method: 'judge' | 'gather', samples: readonly Sample[], signal: AbortSignal): Promise<unknown> => {
    const question = aboutSamplesJson(method, samples);
    return asked(parts.calls, (inner) => ask(question, inner), signal);
  };
  const replaced = new Map<PropertyKey, unknown>([
    ['reserve', undefined],
    ['gather', (sample: Sample, signal: AbortSignal) => look('gather', [sample], signal)],
    ['judge', (samples: readonly Sample[], signal: AbortSignal) => look('judge', samples, signal)],
  ]);
  return new Proxy(made, {
    get: (target, key) => {
      if (replaced.has(key)) return key in target ? replaced.get(key) : undefined;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
    },
  });
}

/** Asks under the policies of the run. What counts as a question is what the component asks of others, there as here. */
async function asked(calls: Calls, ask: (signal: AbortSignal) => Promise<Said>, signal: AbortSignal): Promise<unknown> {
  const { value: said } = await tallied(() => calls.run(ask, signal));
  countAll(said.tally);
  return said.value;
}

/** What must be judged together goes out together. */
function sharesOf(samples: readonly Sample[], sees: NonNullable<Reward['sees']>): readonly (readonly Sample[])[] {
  if (sees === 'batch') return [samples];
  if (sees === 'sample') return samples.map((sample) => [sample]);
  const numbers = [...new Set(samples.map(({ group }) => group))];
  return numbers.map((number) => samples.filter(({ group }) => group === number));
}

/** All at a time; the first failure ends the others. */
async function allOrNone<Item>(
  items: readonly Item[],
  signal: AbortSignal,
  work: (item: Item, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  try {
    await Promise.all(items.map((item) => work(item, either)));
  } catch (error) {
    failed.abort(error);
    throw error;
  }
}

/** The value of an answer; its failure is thrown as if the component had failed here. */
function settled(json: unknown, place: string): Said {
  const parsed = workerAnswerSchema.safeParse(json);
  if (!parsed.success)
    throw new ReasongenError({
      code: 'BAD_ANSWER',
      message: `what a worker returned is no answer: ${parsed.error.issues[0]?.message ?? 'it is of another form'}`,
      place,
      hint: 'run trainer and workers with one version of the program',
    });
  const answer = parsed.data;
  if ('value' in answer) return { value: evidenceFromJson(answer.value), tally: answer.tally };
  if ('again' in answer) throw new TryAgainError(answer.again.message, { ...answer.again, place });
  const { failed } = answer;
  if (failed.code === undefined) throw new Error(`${failed.message} (${place})`);
  // It was one when it was thrown there.
  throw metThere(failed as ReasongenError, place);
}

function metThere({ code, message, place, hint, exitCode }: ReasongenError, there: string): ReasongenError {
  return new ReasongenError({
    code,
    message,
    place: place === undefined ? there : `${place}, of ${there}`,
    hint,
    exitCode,
  });
}

function nobodyToAsk(place: string): PresetError {
  return new PresetError({
    code: 'NO_QUEUE',
    message: 'workers are to answer for it, and the preset names no executor that has any',
    place,
    hint: 'name one with a queue: executor: bullmq, or --set executor=bullmq; or leave out byWorkers',
  });
}

function judgedByRewards(name: string): PresetError {
  return new PresetError({
    code: 'NOTHING_TO_ASK',
    message: 'its pictures are judged by the rewards, so there is nothing that workers could be asked of it',
    place: `benchmark "${name}"`,
    hint: 'write byWorkers: true at the rewards',
  });
}
