/**
 * The schedule of a run on a cluster, step by step, without a device: who waits for whom, and for how long. It follows what the program does:
 *
 * 1. The trainer puts its weights where workers find them, then jobs into the queue; a worker fetches what changed before
 *    its first job of a step.
 * 2. Whoever is free takes the next job. Results are decoded by the trainer in the order of the prompts; some are drawn again and compared.
 * 3. Every drawing is judged as soon as it is decoded, while others are still being drawn; or all together behind the last.
 * 4. Updates: each rank takes its share of the drawings, gradients are summed over ranks (a ring: 2 (R - 1) messages, 2 (R - 1) / R of the bytes;
 *    Thakur, Rabenseifner and Gropp 2005), and each rank updates its share of the weights.
 * 5. With `staleness: 1` the jobs of the next step go out before the updates, and are looked at behind them.
 *
 * Not in it: evaluations, groups that are dropped (but by `rounds`), workers that are slower than others, other users of the network, gradients
 * that are sent while others are still computed.
 */
import type { Cluster } from './cluster-file.ts';
import { Crew, Failures, CallSlots } from './crew.ts';
import type { Workload } from './workload.ts';

/** Who does what. Without workers the trainers draw. */
export interface DeviceSplit {
  readonly trainers: number;
  readonly workers: number;
  /** Devices that judge; 0: judging is done elsewhere. */
  readonly judges: number;
}

/** What a step waits for, in its order. */
export const stepParts = ['weights', 'drawing', 'judging', 'training', 'gradients', 'saving', 'failures'] as const;

export type StepPart = (typeof stepParts)[number];

export interface Prediction {
  readonly split: DeviceSplit;
  /** Of a step, on average. */
  readonly seconds: number;
  /** What these are made of; together `seconds`. */
  readonly parts: Readonly<Record<StepPart, number>>;
  /** Share of the time in which devices of a kind compute nothing; absent where there are none. */
  readonly idle: Readonly<Partial<Record<keyof DeviceSplit, number>>>;
}

/** Bytes of pieces that are on their way through the queue at a time: of one tensor, and of all. */
const tensorAtOnce = 16 * 2 ** 20;
const allAtOnce = 64 * 2 ** 20;

/** A forward pass beside forward and backward pass: with `staleness` the log-probabilities of what is trained on are computed again. */
const scoringShare = 1 / 3;

export function simulate(
  workload: Workload,
  cluster: Cluster,
  split: DeviceSplit,
  { steps = 20, seed = 1 }: { readonly steps?: number; readonly seed?: number } = {},
): Prediction {
  const schedule = new Schedule(workload, cluster, split, seed);
  // Of a run that is under way: the first step has nothing that was drawn ahead.
  schedule.take(1, 1);
  const before = schedule.account();
  schedule.take(2, steps);
  const after = schedule.account();
  const seconds = (after.now - before.now) / steps;
  const of = (part: StepPart): number => (after.parts[part] - before.parts[part]) / steps;
  const share = (key: 'trainers' | 'workers' | 'judges', devices: number): Partial<Prediction['idle']> =>
    devices === 0 ? {} : { [key]: 1 - (after.busy[key] - before.busy[key]) / (devices * seconds * steps) };
  return {
    split,
    seconds,
    parts: Object.fromEntries(stepParts.map((part) => [part, of(part)])) as Record<StepPart, number>,
    idle: {
      ...share('trainers', split.trainers),
      ...share('workers', split.workers),
      // A device answers several calls at a time.
      ...share('judges', split.judges * cluster.callsAtOnce),
    },
  };
}

interface Drawn {
  /** When the result of each job is there. */
  readonly arrivals: readonly number[];
}

class Schedule {
  private readonly workload: Workload;
  private readonly cluster: Cluster;
  private readonly split: DeviceSplit;
  private readonly crew: Crew;
  private readonly judges: CallSlots;
  private readonly failures: Failures;
  private readonly parts = Object.fromEntries(stepParts.map((part) => [part, 0])) as Record<StepPart, number>;
  private readonly publishSeconds: number;
  private readonly fetchSeconds: number;
  /** That are trained. */
  private readonly bytes: number;
  private trainersBusy = 0;
  private now = 0;
  /** Seconds of work that no checkpoint holds. */
  private unsaved = 0;
  private trainerFails: number;
  private jobs = 0;
  private ahead: Drawn | undefined;

  constructor(workload: Workload, cluster: Cluster, split: DeviceSplit, seed: number) {
    this.workload = workload;
    this.cluster = cluster;
    this.split = split;
    const { network, failures } = cluster;
    const bytes = sum(workload.tensors);
    this.bytes = bytes;
    const trips = (2 + (workload.isThroughQueue ? tripsOf(workload.tensors) : 0)) * network.roundTrip.value;
    const fetching = Math.min(split.workers, workload.jobs.length);
    this.publishSeconds = trips + bytes / network.publish.value;
    this.fetchSeconds = trips + Math.max(bytes / network.fetch.value, (fetching * bytes) / network.fetchTogether.value);
    this.failures = new Failures(failures?.perDeviceHour.value ?? 0, seed);
    this.trainerFails = this.failures.after(0, split.trainers);
    this.crew = new Crew(
      Math.max(1, split.workers),
      { fetch: this.fetchSeconds, lost: workload.lockSeconds, restart: failures?.restart.value ?? 0 },
      this.failures,
    );
    this.judges = new CallSlots(cluster.callsAtOnce * Math.max(1, split.judges));
  }

  take(first: number, steps: number): void {
    for (let step = first; step < first + steps; step++) this.step(step);
  }

  account(): {
    readonly now: number;
    readonly parts: Readonly<Record<StepPart, number>>;
    readonly busy: Readonly<Record<'trainers' | 'workers' | 'judges', number>>;
  } {
    const busy = { trainers: this.trainersBusy, workers: this.crew.busy, judges: this.judges.busy };
    return { now: this.now, parts: { ...this.parts }, busy };
  }

  private step(step: number): void {
    const { workload, cluster } = this;
    const wanted = cluster.rounds?.value ?? 1;
    const rounds = Math.floor(step * wanted) - Math.floor((step - 1) * wanted);
    for (let round = 0; round < rounds && workload.jobs.length > 0; round++) {
      const drawn = round === 0 && this.ahead !== undefined ? this.ahead : this.draw(step, round === 0);
      this.collect(drawn);
    }
    this.ahead = undefined;
    if (workload.isAhead && workload.jobs.length > 0) this.ahead = this.draw(step + 1, true);
    for (const drawings of workload.updates) this.update(drawings);
    this.failIfItDoes();
    if (step % workload.stepsBetweenSaves === 0) {
      this.spend('saving', this.now + cluster.seconds.saving.value);
      this.unsaved = 0;
    }
  }

  private spend(part: StepPart, until: number): void {
    if (until <= this.now) return;
    this.parts[part] += until - this.now;
    if (part !== 'failures') this.unsaved += until - this.now;
    this.now = until;
  }

  private jobSeconds(drawings: number): number {
    const { job, drawing } = this.cluster.seconds;
    return job.value + drawings * drawing.value;
  }

  /** Hands the jobs of a rollout out, or has the trainers draw them. */
  private draw(version: number, isNew: boolean): Drawn {
    const { workload, cluster, split } = this;
    if (split.workers === 0) return { arrivals: this.drawHere() };
    const { roundTrip } = cluster.network;
    if (isNew) this.spend('weights', this.now + this.publishSeconds);
    // Before each job the run looks whether the weights are still there, one job after the other.
    const ready = this.now + 3 * roundTrip.value;
    const arrivals = workload.jobs.map((drawings, index) => {
      const seconds = this.jobSeconds(drawings);
      return this.crew.take(ready + 2 * index * roundTrip.value, seconds, version) + roundTrip.value;
    });
    if (isNew && !workload.isAhead) this.spend('weights', this.now + this.fetchSeconds);
    return { arrivals };
  }

  /** Each rank draws and decodes its jobs, one after the other. */
  private drawHere(): number[] {
    const { workload, cluster, split } = this;
    const at = new Array<number>(split.trainers).fill(this.now);
    return workload.jobs.map((drawings, index) => {
      const rank = index % split.trainers;
      const seconds = this.jobSeconds(drawings) + drawings * cluster.seconds.decoding.value;
      this.trainersBusy += seconds;
      at[rank] = (at[rank] ?? 0) + seconds;
      return at[rank];
    });
  }

  /** Decodes results as they come, in order, compares some of them, and has all of them judged. */
  private collect({ arrivals }: Drawn): void {
    const { workload, cluster, split } = this;
    const { decoding } = cluster.seconds;
    const ranks = new Array<number>(split.trainers).fill(this.now);
    let [decoded, judged] = [this.now, this.now];
    for (const [index, drawings] of workload.jobs.entries()) {
      const rank = index % split.trainers;
      const isChecked =
        workload.spotCheck > 0 && split.workers > 0 && !workload.isAhead && ++this.jobs % workload.spotCheck === 0;
      const seconds = split.workers === 0 ? 0 : (isChecked ? this.jobSeconds(drawings) : 0) + drawings * decoding.value;
      const at = Math.max(ranks[rank] ?? 0, arrivals[index] ?? 0) + seconds;
      this.trainersBusy += seconds;
      ranks[rank] = at;
      decoded = Math.max(decoded, at);
      if (!cluster.judgedTogether) judged = Math.max(judged, this.judge(drawings, at));
    }
    if (cluster.judgedTogether) judged = this.judge(sum(workload.jobs), decoded);
    this.spend('drawing', decoded);
    this.spend('judging', judged);
  }

  /** When so many drawings are judged that are there from `at` on. */
  private judge(drawings: number, at: number): number {
    const { callsPerDrawing, seconds } = this.cluster;
    const calls = Math.round(drawings * callsPerDrawing);
    let last = at;
    for (let asked = 0; asked < calls; asked++) last = Math.max(last, this.judges.take(at, seconds.call.value));
    return last;
  }

  private update(drawings: number): void {
    const { workload, cluster, split } = this;
    const { training, update } = cluster.seconds;
    const ranks = split.trainers;
    const passes = training.value * (workload.isAhead ? 1 + scoringShare : 1);
    this.trainersBusy += drawings * passes + update.value;
    this.spend('training', this.now + Math.ceil(drawings / ranks) * passes + update.value / ranks);
    if (ranks === 1) return;
    const { gradients, gradientLatency } = cluster.network;
    const exchange = 2 * (ranks - 1) * (gradientLatency.value + this.bytes / ranks / gradients.value);
    this.spend('gradients', this.now + exchange);
  }

  /** A rank that dies ends the job: what no checkpoint holds is done again. */
  private failIfItDoes(): void {
    const { cluster, split } = this;
    if (this.trainerFails > this.now) return;
    const lost = Math.max(0, this.unsaved - (this.now - this.trainerFails));
    this.spend('failures', this.now + lost + (cluster.failures?.restart.value ?? 0));
    this.trainerFails = this.failures.after(this.now, split.trainers);
  }
}

/** How often tensors are waited for on their way, there and back: each batch for the pieces of its largest, and for what says that all are there. */
function tripsOf(tensors: readonly number[]): number {
  let [trips, batch, largest] = [0, 0, 0];
  for (const bytes of tensors) {
    batch += bytes;
    largest = Math.max(largest, bytes);
    if (batch < allAtOnce) continue;
    trips += 1 + Math.ceil(largest / tensorAtOnce);
    [batch, largest] = [0, 0];
  }
  return batch === 0 ? trips : trips + 1 + Math.ceil(largest / tensorAtOnce);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
