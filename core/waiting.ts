/** Answers of plugins that are waited for, and how they are given up when they will never come. */

/** How each is given up, and when it was asked: what one asks for while it works comes later. */
const waiting = new Map<(error: unknown) => void, bigint>();

/** The time in nanoseconds; to be taken before a plugin is asked, where what it asks for itself is to be told from it. */
export function takeTurn(): bigint {
  return process.hrtime.bigint();
}

/** What the work of a plugin gives; fails with an error that strayed meanwhile, because the answer may never come. */
export async function unlessStray<Value>(work: Value | Promise<Value>, turn = takeTurn()): Promise<Value> {
  let giveUp = (_error: unknown): void => {};
  const gone = new Promise<never>((_, reject) => {
    giveUp = reject;
    waiting.set(reject, turn);
  });
  try {
    return await Promise.race([work, gone]);
  } finally {
    waiting.delete(giveUp);
  }
}

/** Gives up all work of plugins that is waited for. Returns false when there is none. */
export function giveUpWaiting(error: unknown): boolean {
  const all = [...waiting.keys()];
  waiting.clear();
  for (const giveUp of all) giveUp(error);
  return all.length > 0;
}

/** Gives up what was asked last: who was asked before may be waiting for it. Returns false when nothing is waited for. */
export function giveUpNewest(error: unknown): boolean {
  const [newest] = [...waiting].toSorted(([, one], [, other]) => Number(other - one));
  if (newest === undefined) return false;
  const [giveUp] = newest;
  waiting.delete(giveUp);
  giveUp(error);
  return true;
}
