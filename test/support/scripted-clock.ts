/** A clock that jumps to the next moment for which somebody waits: minutes of waiting pass at once. Chance is seeded. */
import type { Clock } from '../../core/judging/clock.ts';

interface Alarm {
  readonly time: number;
  readonly ring: () => void;
}

export class ScriptedClock implements Clock {
  private time = 0;
  private state: number;
  private readonly alarms = new Set<Alarm>();

  constructor(seed = 1) {
    this.state = seed;
  }

  now(): number {
    return this.time;
  }

  chance(): number {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
    return this.state / 2 ** 32;
  }

  wait(milliseconds: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const alarm = {
        time: this.time + milliseconds,
        ring: () => {
          signal.removeEventListener('abort', stop);
          resolve();
        },
      };
      const stop = (): void => {
        this.alarms.delete(alarm);
        reject(signal.reason as Error);
      };
      this.alarms.add(alarm);
      signal.addEventListener('abort', stop, { once: true });
    });
  }

  /** Lets time pass until the work is done. */
  async run<Value>(work: Promise<Value>): Promise<Value> {
    const state = { isDone: false };
    work.finally(() => (state.isDone = true)).catch(() => undefined);
    while (!state.isDone) {
      // Everything that can happen now happens first, files included.
      for (let turn = 0; turn < 20 && !state.isDone; turn++) await new Promise((resolve) => setImmediate(resolve));
      if (state.isDone) break;
      const next = [...this.alarms].toSorted((a, b) => a.time - b.time)[0];
      if (next === undefined) continue;
      this.alarms.delete(next);
      this.time = Math.max(this.time, next.time);
      next.ring();
    }
    return work;
  }
}
