/** How much a server takes on: sequences that are written or drawn, and those that wait for their turn. What is beyond is told when to come again. */
import { ApiError } from './api-error.ts';

export interface AdmissionOptions {
  /** Sequences at a time. */
  readonly atOnce: number;
  /** Sequences that may wait for them. */
  readonly waiting: number;
}

/** How much of the past the estimate of a wait knows. */
const memory = 0.9;
/** Seconds that nobody is told to wait longer than. */
const longestWait = 120;

export class Admission {
  private readonly options: AdmissionOptions;
  private taken = 0;
  /** Mean seconds of a sequence, once there was one. */
  private seconds = 1;

  constructor(options: AdmissionOptions) {
    this.options = options;
  }

  get load(): { readonly active: number; readonly waiting: number } {
    const active = Math.min(this.taken, this.options.atOnce);
    return { active, waiting: this.taken - active };
  }

  /** A request whose body is read: it counts as a sequence until it says how many it wants, so that bodies do not fill the memory. Throws 429. */
  enter(): () => void {
    this.refuse(1);
    this.taken += 1;
    return () => {
      this.taken -= 1;
    };
  }

  /** Takes so many sequences; each is given back when it has ended. Throws 429. */
  take(count: number): () => void {
    this.refuse(count);
    this.taken += count;
    const since = performance.now();
    return () => {
      this.taken -= 1;
      this.seconds = memory * this.seconds + ((1 - memory) * (performance.now() - since)) / 1000;
    };
  }

  private refuse(count: number): void {
    const { atOnce, waiting } = this.options;
    // More than there is room for at the best of times is taken when nothing else is there.
    if (this.taken + count <= atOnce + waiting || this.taken === 0) return;
    throw new ApiError({
      status: 429,
      code: 'rate_limit_exceeded',
      message: 'this server has as much to do as it takes on',
      retryAfter: Math.min(longestWait, (this.seconds * (this.taken + count - waiting)) / atOnce),
    });
  }
}
