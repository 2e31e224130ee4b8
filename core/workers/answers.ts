/** The other side of a component that workers answer for: questions in, answers out, whatever becomes of them. */
import { tallied } from '../call-tally.ts';
import type { Benchmark } from '../contracts/benchmark.ts';
import type { AnswererIdentity, AnswerService } from '../contracts/executor.ts';
import type { Judge } from '../contracts/judge.ts';
import type { ComponentChoice } from '../contracts/preset.ts';
import type { Reward, Sample } from '../contracts/reward.ts';
import { ReasongenError, reasonOf } from '../errors.ts';
import { frozenCopy } from '../frozen.ts';
import { evidenceToJson } from '../judging/evidence-json.ts';
import { once } from '../once.ts';
import { askReward } from '../rl/ask-reward.ts';
import { checkedVerdicts } from '../rl/verdicts.ts';
import { TryAgainError } from '../try-again.ts';
import { readQuestion, type WorkerAnswer, type WorkerQuestion } from './questions.ts';

/** Questions at a time where the preset does not say. */
const usuallyAtOnce = 8;

type Answerer = Reward | Judge | Benchmark;

/** What a worker offers of a component. Made on a device is what it needs there before its first answer. */
export function answerService(made: Answerer, choice: ComponentChoice, identity: AnswererIdentity): AnswerService {
  const reserve = once(async () => made.reserve?.());
  return {
    identity,
    atOnce: choice.atOnce ?? usuallyAtOnce,
    answer: async (question, signal): Promise<WorkerAnswer> => {
      try {
        await reserve();
        const { value, tally } = await tallied(() => said(made, choice, identity, question, signal));
        return { value: evidenceToJson(value), tally: { ...tally } };
      } catch (error) {
        if (signal.aborted) throw error;
        return failure(error);
      }
    },
  };
}

async function said(
  made: Answerer,
  choice: ComponentChoice,
  { slot, name }: AnswererIdentity,
  question: unknown,
  signal: AbortSignal,
): Promise<unknown> {
  switch (slot) {
    case 'reward': {
      const { samples } = asked(slot, question);
      const named = { name, weight: 1, reward: made as Reward };
      const { plugin } = choice;
      const answers = await askReward(plugin === undefined ? named : { ...named, plugin }, samples, signal);
      return answers.map((answer) => answer ?? null);
    }
    case 'judge': {
      const { method, given } = asked(slot, question);
      const ask = (made as Judge)[method] as ((...all: unknown[]) => Promise<unknown>) | undefined;
      if (ask === undefined) throw new Error(`the judge has no ${method}`);
      return ask(...given, signal);
    }
    case 'benchmark': {
      const { method, samples } = asked(slot, question);
      return judged(made as Benchmark, name, method, samples, signal);
    }
  }
}

async function judged(
  benchmark: Benchmark,
  name: string,
  method: 'judge' | 'gather',
  samples: readonly Sample[],
  signal: AbortSignal,
): Promise<unknown> {
  const [first] = frozenCopy(samples);
  if (method === 'gather' && 'gather' in benchmark && first !== undefined) return benchmark.gather(first, signal);
  if (method === 'judge' && 'judge' in benchmark)
    return checkedVerdicts(name, samples, await benchmark.judge(frozenCopy(samples), signal));
  throw new Error(`the benchmark has no ${method}`);
}

function asked<Slot extends AnswererIdentity['slot']>(slot: Slot, question: unknown): WorkerQuestion<Slot> {
  try {
    return readQuestion(slot, question);
  } catch (cause) {
    throw new ReasongenError({
      code: 'UNREADABLE_QUESTION',
      message: 'what was asked is no question of this program',
      hint: 'run trainer and workers with one version of the program',
      cause,
    });
  }
}

function failure(thrown: unknown): WorkerAnswer {
  // What a reward throws is wrapped; whether it may pass is its own word.
  const error = thrown instanceof Error && thrown.cause instanceof TryAgainError ? thrown.cause : thrown;
  if (error instanceof TryAgainError) {
    const { message, seconds, isUnreachable, place } = error;
    return {
      again: {
        message,
        isUnreachable,
        ...(seconds !== undefined && { seconds }),
        ...(place !== undefined && { place }),
      },
    };
  }
  if (!(error instanceof ReasongenError)) return { failed: { message: reasonOf(error) } };
  const { code, message, place, hint, exitCode } = error;
  return {
    failed: { code, message, exitCode, ...(place !== undefined && { place }), ...(hint !== undefined && { hint }) },
  };
}
