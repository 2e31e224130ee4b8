/**
 * A circuit breaker: leaves a side alone that does not answer, for all who would ask it, and then lets a single call try whether it does again.
 * It opens when the other side asks to be left alone, or after a few failures in a row.
 */
import { oneLine } from '../answered.ts';
import { backoffSeconds, type TryAgainError } from '../try-again.ts';
import { unlessAborted, type Clock } from './clock.ts';

/** Failures in a row that open it. */
const enough = 3;
/** Seconds it stays open at most, unless the other side asks for more. */
const longest = 60;

export class Breaker {
  private readonly clock: Clock;
  private readonly tell: (message: string) => void;
  private failures = 0;
  private openedAt: number | undefined;
  private until = 0;
  /** How often it has opened since the last answer. */
  private level = 0;
  private probe: Promise<void> | undefined;

  /** @param tell told when it opens: why, and for how long */
  constructor(clock: Clock, tell: (message: string) => void) {
    this.clock = clock;
    this.tell = tell;
  }

  /** Waits until a call may be made. It must `begin` at once: after another wait it must ask again. */
  async ready(signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      const rest = this.until - this.clock.now();
      if (rest > 0) await this.clock.wait(rest + this.clock.chance() * 100, signal);
      else if (this.openedAt !== undefined && this.probe !== undefined) await unlessAborted(this.probe, signal);
      else return;
    }
  }

  /** A call is made. What it returns is told how that ended; `undefined` for an answer, whatever it says. */
  begin(): (failure?: TryAgainError) => void {
    const begun = this.clock.now();
    let ended = (): void => {};
    if (this.openedAt !== undefined) this.probe = new Promise((resolve) => (ended = resolve));
    const isProbe = this.openedAt !== undefined;
    return (failure) => {
      if (failure === undefined) this.close();
      else this.note(failure, begun, isProbe);
      if (isProbe) this.probe = undefined;
      ended();
    };
  }

  private close(): void {
    this.failures = 0;
    this.level = 0;
    this.openedAt = undefined;
  }

  private note(failure: TryAgainError, begun: number, isProbe: boolean): void {
    const { seconds } = failure;
    this.failures += 1;
    // What was under way when it opened says nothing new.
    const isOld = !isProbe && this.openedAt !== undefined && begun <= this.openedAt;
    if (seconds === undefined && (isOld || this.failures < enough)) return;
    const now = this.clock.now();
    const pause = seconds ?? backoffSeconds(this.level, this.clock.chance(), { longest });
    if (!isOld) this.level += 1;
    if (now >= this.until) this.tell(`${oneLine(failure.message)}; it is asked again in ${pause.toFixed(1)} s`);
    this.openedAt ??= now;
    this.until = Math.max(this.until, now + pause * 1000);
  }
}
