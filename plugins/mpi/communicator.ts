/**
 * Ranks over Open MPI. Waiting is looking every millisecond whether everyone has come (a barrier that does not block): a rank that waits takes no
 * core and hears of others' failures. What then moves the data blocks, in a thread of its own, and takes as long as the data do.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { exitCodes, ReasongenError, rankName, type Communicator } from '../../core/plugin.ts';
import type { OpenMpi } from './library.ts';

/** Bytes that one call moves on each rank: its counts are 32 bits wide, and what is received is held twice. */
const callBytes = 2 ** 26;
/** MPI's `MPI_ANY_SOURCE`. */
const anySource = -1;
const failureTag = 1;
/** Bytes of the message by which a rank tells that it has failed. */
const failureBytes = 1024;
/** Seconds that a rank which has failed gives the others to come to their ends. */
const endSeconds = 15;

/** A process of the job, once for each: MPI can be begun only once. */
export interface Job {
  readonly mpi: OpenMpi;
  readonly rank: number;
  readonly size: number;
  /** Whether the process may take part in the end of the job. */
  isOrderly: boolean;
}

export function beginJob(mpi: OpenMpi): Job {
  mpi.initThread(null, null, 2, [0]);
  const [rank, size]: [[number], [number]] = [[0], [0]];
  mpi.rank(mpi.world, rank);
  mpi.size(mpi.world, size);
  const job: Job = { mpi, rank: rank[0], size: size[0], isOrderly: false };
  // Where a rank ends otherwise, its launcher ends the others.
  process.once('exit', () => {
    if (job.isOrderly) mpi.finalize();
  });
  return job;
}

export class MpiCommunicator implements Communicator {
  readonly rank: number;
  readonly size: number;
  readonly #job: Job;
  readonly #mpi: OpenMpi;
  /** For data, and for failures and the end: their messages never meet. */
  readonly #data: unknown;
  readonly #control: unknown;
  /** What MPI still reads from. */
  readonly #sending: unknown[] = [];

  constructor(job: Job) {
    this.#job = job;
    this.#mpi = job.mpi;
    this.rank = job.rank;
    this.size = job.size;
    this.#data = this.#duplicate();
    this.#control = this.#duplicate();
    job.isOrderly = false;
  }

  async allGather(bytes: Uint8Array): Promise<Uint8Array[]> {
    const lengths = await this.#gather(new Uint8Array(Float64Array.of(bytes.length).buffer), this.#each(8));
    const all = Array.from(new Float64Array(lengths.buffer), (length) => new Uint8Array(length));
    const longest = Math.max(...all.map(({ length }) => length));
    const step = Math.floor(callBytes / this.size);
    for (let start = 0; start < longest; start += step) {
      const counts = Int32Array.from(all, ({ length }) => Math.max(0, Math.min(step, length - start)));
      const received = await this.#gather(bytes.subarray(start, start + step), counts);
      places(counts).forEach((place, rank) => {
        all[rank]?.set(received.subarray(place, place + (counts[rank] ?? 0)), start);
      });
    }
    return all;
  }

  async reduceScatter(values: Float32Array, counts: readonly number[]): Promise<Float32Array> {
    const starts = places(counts);
    const own = counts[this.rank] ?? 0;
    const sum = new Float32Array(own);
    const step = Math.floor(callBytes / 4 / this.size);
    for (let start = 0; start < Math.max(...counts); start += step) {
      // Of the part of every rank the next piece; of the own part what every rank has of it.
      const pieceOf = (count: number): number => Math.max(0, Math.min(step, count - start));
      const given = Int32Array.from(counts, pieceOf);
      const taken = this.#each(pieceOf(own));
      const received = new Float32Array(pieceOf(own) * this.size);
      await this.#arrive();
      await this.#mpi.allToAll(
        values,
        given,
        Int32Array.from(starts, (place, rank) => place + (given[rank] === 0 ? 0 : start)),
        this.#mpi.floats,
        received,
        taken,
        Int32Array.from(places(taken)),
        this.#mpi.floats,
        this.#data,
      );
      const piece = sum.subarray(start, start + pieceOf(own));
      addInOrder(piece, received);
    }
    return sum;
  }

  async end(failure?: string): Promise<(string | undefined)[] | undefined> {
    if (failure !== undefined) this.#tellFailure(failure);
    const request = new BigUint64Array(1);
    this.#mpi.barrier(this.#control, request);
    let deadline = failure === undefined ? Number.POSITIVE_INFINITY : performance.now() + endSeconds * 1000;
    while (!this.#isDone(request)) {
      // Who has failed may never come.
      if (this.#failureHeard() !== undefined) deadline = Math.min(deadline, performance.now() + endSeconds * 1000);
      if (performance.now() > deadline) return undefined;
      await pause(2);
    }
    // Everyone is here, so nobody is in the midst of anything else. `u` is no failure.
    const text = new TextEncoder().encode(failure === undefined ? 'u' : `f${failure}`);
    const control = new Uint8Array(failureBytes);
    control.set(text.subarray(0, failureBytes));
    const all = new Uint8Array(failureBytes * this.size);
    const counts = this.#each(failureBytes);
    const { bytes } = this.#mpi;
    await this.#mpi.allGather(
      control,
      failureBytes,
      bytes,
      all,
      counts,
      Int32Array.from(places(counts)),
      bytes,
      this.#control,
    );
    this.#job.isOrderly = true;
    return Array.from({ length: this.size }, (_, rank) => {
      const said = textOf(all.subarray(rank * failureBytes, (rank + 1) * failureBytes));
      return said.startsWith('f') ? said.slice(1) : undefined;
    });
  }

  #each(count: number): Int32Array {
    return new Int32Array(this.size).fill(count);
  }

  #duplicate(): unknown {
    const made = new BigUint64Array(1);
    this.#mpi.duplicate(this.#mpi.world, made);
    return made[0];
  }

  async #gather(bytes: Uint8Array, counts: Int32Array): Promise<Uint8Array> {
    const starts = places(counts);
    const received = new Uint8Array(counts.reduce((sum, count) => sum + count, 0));
    await this.#arrive();
    const { bytes: type } = this.#mpi;
    await this.#mpi.allGather(bytes, bytes.length, type, received, counts, Int32Array.from(starts), type, this.#data);
    return received;
  }

  /** Until every rank has come to this call. Throws RANK_FAILED where one of them never will. */
  async #arrive(): Promise<void> {
    const request = new BigUint64Array(1);
    this.#mpi.barrier(this.#data, request);
    for (let looked = 0; !this.#isDone(request); looked++) {
      const failed = this.#failureHeard();
      if (failed !== undefined) throw rankFailed(failed);
      // The first looks come at once: ranks that are equally fast arrive together.
      await (looked < 20 ? new Promise<void>((resolve) => setImmediate(resolve)) : pause(looked < 1000 ? 1 : 5));
    }
  }

  #isDone(request: BigUint64Array): boolean {
    const flag: [number] = [0];
    this.#mpi.test(request, flag, null);
    return flag[0] !== 0;
  }

  #tellFailure(failure: string): void {
    const message = new Uint8Array(failureBytes);
    message.set(new TextEncoder().encode(`${rankName(this)}: ${failure}`).subarray(0, failureBytes));
    for (let to = 0; to < this.size; to++) {
      if (to === this.rank) continue;
      const request = new BigUint64Array(1);
      this.#mpi.send(message, failureBytes, this.#mpi.bytes, to, failureTag, this.#control, request);
      this.#sending.push(message, request);
    }
  }

  #failureHeard(): string | undefined {
    const flag: [number] = [0];
    this.#mpi.probe(anySource, failureTag, this.#control, flag, null);
    if (flag[0] === 0) return undefined;
    const message = new Uint8Array(failureBytes);
    this.#mpi.receive(message, failureBytes, this.#mpi.bytes, anySource, failureTag, this.#control, null);
    return textOf(message);
  }
}

/** `sum += part` for the parts of all ranks, which lie one behind the other, in their order. A sum of two f32 in f64 rounds to f32 as one in f32 does. */
export function addInOrder(sum: Float32Array, parts: Float32Array): void {
  for (let part = 0; part < parts.length; part += sum.length)
    for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + (parts[part + i] ?? 0);
}

/** Where things of these lengths begin that lie one behind the other. */
function places(counts: ArrayLike<number>): number[] {
  const starts: number[] = [];
  let start = 0;
  for (const count of Array.from(counts)) {
    starts.push(start);
    start += count;
  }
  return starts;
}

function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function rankFailed(what: string): ReasongenError {
  return new ReasongenError({
    code: 'RANK_FAILED',
    message: `another process of this run has failed: ${what}`,
    hint: 'mend what it names, then go on with the run; the number of ranks may be another',
    exitCode: exitCodes.failure,
  });
}
