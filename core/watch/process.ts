/**
 * The live page in a process of its own, beside a run: whatever pages ask for takes no time of the run's. It ends when the run does, and leaves
 * signals to it, because a terminal sends ^C to both.
 */
import { setPriority } from 'node:os';
import { explainError } from '../failure.ts';
import type { PageReply } from './beside.ts';
import { startWatching, type WatchOptions } from './server.ts';

/** Nicer than the run by so much: it waits where both want the same core. */
const niceness = 10;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.once('disconnect', () => process.exit(0));
process.once('message', (question: WatchOptions) => {
  setPriority(niceness);
  startWatching(question).then(
    ({ address }) => process.send?.({ address } satisfies PageReply),
    (error: unknown) => {
      const { code, message, place, hint, exitCode } = explainError(error);
      process.send?.({ error: { code, message, place, hint, exitCode } } satisfies PageReply);
    },
  );
});
