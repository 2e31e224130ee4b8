/** Who may call now: so many at a time, in the order they came, and so many in a minute. */
import type { Clock } from './clock.ts';

export class Turns {
  private free: number;
  private readonly queue: (() => void)[] = [];

  constructor(atOnce: number) {
    this.free = atOnce;
  }

  /** Waits for a turn; what it returns gives the turn back. */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.free > 0) this.free -= 1;
    else await this.wait(signal);
    return () => this.giveBack();
  }

  private wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const enter = (): void => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const leave = (): void => {
        this.queue.splice(this.queue.indexOf(enter), 1);
        reject(signal.reason as Error);
      };
      this.queue.push(enter);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  private giveBack(): void {
    const next = this.queue.shift();
    if (next === undefined) this.free += 1;
    else next();
  }
}

const minute = 60_000;

export class Pace {
  private readonly perMinute: number | undefined;
  private readonly clock: Clock;
  /** When the calls of the last minute began. */
  private begun: number[] = [];

  constructor(perMinute: number | undefined, clock: Clock) {
    this.perMinute = perMinute;
    this.clock = clock;
  }

  /** Milliseconds until another call may begin; 0 for now. */
  delay(): number {
    if (this.perMinute === undefined) return 0;
    const now = this.clock.now();
    this.begun = this.begun.filter((time) => time > now - minute);
    const allowed = Math.max(1, Math.floor(this.perMinute));
    const oldest = this.begun.at(-allowed);
    return oldest === undefined ? 0 : oldest + minute - now;
  }

  begin(): void {
    if (this.perMinute !== undefined) this.begun.push(this.clock.now());
  }
}
