/** Those who work side by side in a simulated schedule: workers that take jobs and may fail, and slots that answer calls. All times in seconds. */
import { philox } from '../tensor/philox.ts';

/** When devices fail: exponential times, counted by a seed, so that a prediction comes out the same again. */
export class Failures {
  private readonly perSecond: number;
  private readonly seed: number;
  private drawn = 0;

  constructor(perHour: number, seed: number) {
    this.perSecond = perHour / 3600;
    this.seed = seed;
  }

  /** The next failure of `devices` devices behind a time; infinity where none fails. */
  after(time: number, devices = 1): number {
    const [word] = philox([this.drawn++, 0, 0, 0], [this.seed, 0]);
    return time - Math.log((word + 1) / 2 ** 32) / (this.perSecond * devices);
  }
}

export interface CrewTimes {
  /** Until a worker has the weights of a step. */
  readonly fetch: number;
  /** Until the job of one that failed is another's. */
  readonly lost: number;
  readonly restart: number;
}

/** Workers on a queue: whoever is free first takes the next job. */
export class Crew {
  /** Seconds of work whose result was taken, all workers together. */
  busy = 0;
  private readonly times: CrewTimes;
  private readonly failures: Failures;
  private readonly free: Earliest;
  private readonly failsAt: Float64Array;
  /** Which weights each has. */
  private readonly has: Float64Array;

  constructor(workers: number, times: CrewTimes, failures: Failures) {
    this.times = times;
    this.failures = failures;
    this.free = new Earliest(workers);
    this.failsAt = new Float64Array(workers).map(() => failures.after(0));
    this.has = new Float64Array(workers).fill(-1);
  }

  /** When a job is done that is there from `ready` on and wants the weights of a version. */
  take(ready: number, seconds: number, version: number): number {
    const { fetch, lost, restart } = this.times;
    for (let from = ready; ;) {
      const { who, time } = this.free.first();
      const begin = Math.max(time, from);
      const end = begin + (this.has[who] === version ? 0 : fetch) + seconds;
      const fails = this.failsAt[who] ?? Infinity;
      if (fails >= end) {
        this.busy += seconds;
        this.has[who] = version;
        this.free.replaceFirst(end);
        return end;
      }
      // One that failed with nothing at hand holds nobody up; the next failure of an idle one is as far away as it ever was.
      if (fails > begin) from = fails + lost;
      const back = Math.max(fails + restart, time);
      this.failsAt[who] = this.failures.after(Math.max(back, begin));
      this.has[who] = -1;
      this.free.replaceFirst(back);
    }
  }
}

/** CallSlots that are all alike; whoever is free first is taken. */
export class CallSlots {
  busy = 0;
  private readonly free: Earliest;

  constructor(count: number) {
    this.free = new Earliest(count);
  }

  /** When something is done that takes so long and is there from `ready` on. */
  take(ready: number, seconds: number): number {
    const end = Math.max(this.free.first().time, ready) + seconds;
    this.busy += seconds;
    this.free.replaceFirst(end);
    return end;
  }
}

/** Who is free when: a binary heap of numbers from 0 on, all free at 0 to begin with. */
class Earliest {
  private readonly who: Int32Array;
  private readonly times: Float64Array;

  constructor(count: number) {
    this.who = new Int32Array(count).map((_, index) => index);
    this.times = new Float64Array(count);
  }

  first(): { readonly who: number; readonly time: number } {
    return { who: this.who[0] ?? 0, time: this.times[0] ?? 0 };
  }

  /** The first is free at another time, no earlier than it was. */
  replaceFirst(time: number): void {
    const { who, times } = this;
    const moving = who[0] ?? 0;
    let place = 0;
    for (let left = 1; left < times.length; left = 2 * place + 1) {
      const right = left + 1;
      const child = right < times.length && (times[right] ?? 0) < (times[left] ?? 0) ? right : left;
      if ((times[child] ?? 0) >= time) break;
      times[place] = times[child] ?? 0;
      who[place] = who[child] ?? 0;
      place = child;
    }
    times[place] = time;
    who[place] = moving;
  }
}
