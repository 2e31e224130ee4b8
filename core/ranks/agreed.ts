/** What a run looks at between two steps, made the same on every rank: a wish to stop or to save that any of them has heard. */
import type { Communicator } from '../contracts/communicator.ts';
import type { Asked } from '../contracts/recipe.ts';
import type { StepEvent } from '../contracts/hooks.ts';
import { ReasongenError } from '../errors.ts';
import { createStop, type RunStop } from '../stop.ts';
import { rankName } from './launched.ts';
import { gatherJson } from './shares.ts';

/** The stop of a run over ranks, and when it is looked at. */
export interface AgreedStop {
  /** Requested where all ranks know it: what one has heard counts from the next agreement on, what the recipe itself asks for at once. */
  readonly stop: RunStop;
  /** Called on every rank between two steps: agrees on a stop as well. */
  agree(asked: Asked): Promise<Asked>;
}

/** What a rank has heard and the others may not know of. */
type Wish = { readonly reason: string; readonly exitCode: number } | null;

/** `heard`: what signals reach on this rank. */
export function agreedStop(heard: RunStop, communicator: Communicator): AgreedStop {
  if (communicator.size === 1) return { stop: heard, agree: (asked) => Promise.resolve(asked) };
  const agreed = createStop();
  const request: RunStop['request'] = (reason, exitCode) => {
    agreed.request(reason, exitCode);
    heard.request(reason, exitCode);
  };
  const wish = (): Wish => (heard.requested ? { reason: heard.reason, exitCode: heard.exitCode } : null);
  const adopt = (wishes: readonly Wish[]): void => {
    const first = wishes.find((each) => each !== null) ?? null;
    if (first !== null) request(first.reason, first.exitCode);
  };
  return {
    stop: {
      request,
      agree: async () => adopt(await gatherJson(communicator, wish())),
      heard: (listener) => agreed.heard(listener),
      get requested() {
        return agreed.requested;
      },
      get reason() {
        return agreed.reason;
      },
      get exitCode() {
        return agreed.exitCode;
      },
    },
    agree: async (asked) => {
      const all = await gatherJson(communicator, { wish: wish(), asked });
      adopt(all.map((each) => each.wish));
      const { save = false, prompts = [] } = all[0]?.asked ?? {};
      // What is drawn for somebody who looks on lies in the directory of the run.
      return { save, prompts: communicator.rank === 0 ? prompts : [] };
    },
  };
}

/** Throws RANKS_DISAGREE where the numbers of a step are not those of rank 0, times apart. */
export async function refuseDisagreement(communicator: Communicator, { step, metrics }: StepEvent): Promise<void> {
  if (communicator.size === 1) return;
  const own = Object.entries(metrics).filter(([name]) => !/second/i.test(name));
  const texts = Object.fromEntries([['step', String(step)], ...own.map(([name, value]) => [name, String(value)])]);
  const [first = {}, ...others] = await gatherJson<Readonly<Record<string, string>>>(communicator, texts);
  for (const [index, other] of others.entries()) {
    const name = [...new Set([...Object.keys(first), ...Object.keys(other)])].find(
      (each) => first[each] !== other[each],
    );
    if (name === undefined) continue;
    throw new ReasongenError({
      code: 'RANKS_DISAGREE',
      message: `step ${step}: ${name} is ${first[name] ?? 'absent'} on rank 0 and ${other[name] ?? 'absent'} on ${rankName({ rank: index + 1, size: communicator.size })}; they would train two models`,
      hint: 'all ranks need the same files, program and kind of adapter, and extensions that change what is trained on must depend on nothing else',
    });
  }
}
