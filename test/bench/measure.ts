/**
 * Interleaved timing: every round takes one sample of every case, so that whatever slows the machine down for a while slows all
 * cases alike. A sample repeats its case until it lasts long enough; other processes' use of the cores is noted with each.
 */
import type { CpuClock } from './machine.ts';

export type Unit = 'GFLOP' | 'GB' | 'tokens';

export interface Case {
  readonly group: string;
  readonly name: string;
  /** What one repetition does, in this unit. */
  readonly work: { readonly amount: number; readonly unit: Unit };
  /** Does `times` repetitions and waits until the device is done. The first call ever compiles. */
  run(times: number): Promise<void>;
  /** Compares the result with a reference; throws when it is wrong. Called once, before any timing. */
  check?(): Promise<void>;
  /** Rate of the same thing in the study of kernels for software adapters, in the unit per second. */
  readonly study?: string;
  /** Name of the case (same group) whose time this one's is compared with. */
  readonly reference?: string;
  /** Shown only as somebody's reference, not in a row of its own. */
  readonly isHidden?: boolean;
}

export interface Sample {
  /** Wall time of one repetition. */
  readonly milliseconds: number;
  readonly repetitions: number;
  /** CPU time of this process per repetition: hardly disturbed by other load, but on a GPU it is the host's work only. */
  readonly cpuMilliseconds: number;
  /** Share of all cores that other processes used meanwhile; undefined where the system does not tell. */
  readonly others: number | undefined;
}

export interface Result {
  readonly case: Case;
  readonly samples: readonly Sample[];
  /** Median and quartiles of the milliseconds of one repetition, over the undisturbed samples if there are enough. */
  readonly summary: Summary;
  /** Fewer than half of the rounds asked for were free of other load: the summary is over all samples. */
  readonly isDisturbed: boolean;
}

export interface Summary {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

export interface MeasureOptions {
  readonly rounds: number;
  /** Shortest duration of a sample. */
  readonly sampleMilliseconds: number;
  /** Extra rounds for cases that lack undisturbed samples. */
  readonly repeats: number;
  /** Share of the cores above which a sample counts as disturbed. */
  readonly tolerance: number;
  readonly clock: CpuClock;
  readonly onRound?: (round: number, cases: number) => void;
}

/** `values` must not be empty. Quartiles by linear interpolation. */
export function summarize(values: readonly number[]): Summary {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => {
    const position = share * (sorted.length - 1);
    const below = Math.floor(position);
    const low = sorted[below];
    const high = sorted[Math.ceil(position)];
    if (low === undefined || high === undefined) throw new RangeError('nothing was measured');
    return low + (high - low) * (position - below);
  };
  return { median: at(0.5), low: at(0.25), high: at(0.75) };
}

/** Undisturbed samples where at least half of `rounds` are; all of them otherwise, and says so. */
export function judge(of: Case, samples: readonly Sample[], rounds: number, tolerance: number): Result {
  const calm = samples.filter((sample) => isCalm(sample, tolerance));
  const isDisturbed = calm.length < rounds / 2;
  const used = isDisturbed ? samples : calm;
  return { case: of, samples, isDisturbed, summary: summarize(used.map(({ milliseconds }) => milliseconds)) };
}

export async function measure(cases: readonly Case[], options: MeasureOptions): Promise<Result[]> {
  const { rounds, repeats, tolerance, clock } = options;
  const entries: { readonly case: Case; readonly repetitions: number; readonly samples: Sample[] }[] = [];
  for (const each of cases) {
    await each.check?.();
    entries.push({ case: each, repetitions: await calibrate(each, options.sampleMilliseconds), samples: [] });
  }
  for (let round = 0; round < rounds + repeats; round++) {
    const wanting =
      round < rounds
        ? entries
        : entries.filter(({ samples }) => samples.filter((sample) => isCalm(sample, tolerance)).length < rounds);
    if (wanting.length === 0) break;
    options.onRound?.(round, wanting.length);
    for (const { case: each, repetitions, samples } of wanting) samples.push(await take(each, repetitions, clock));
  }
  return entries.map((entry) => judge(entry.case, entry.samples, rounds, tolerance));
}

async function take(of: Case, repetitions: number, clock: CpuClock): Promise<Sample> {
  const use = clock();
  const milliseconds = await timed(() => of.run(repetitions));
  const { ownMilliseconds, others } = use();
  return {
    milliseconds: milliseconds / repetitions,
    repetitions,
    cpuMilliseconds: ownMilliseconds / repetitions,
    others,
  };
}

/** Repetitions that last about `milliseconds`; also warms up. */
async function calibrate(of: Case, milliseconds: number): Promise<number> {
  await of.run(1);
  let repetitions = 1;
  for (;;) {
    const taken = await timed(() => of.run(repetitions));
    if (taken >= milliseconds) return repetitions;
    if (taken >= milliseconds / 4) return Math.ceil((repetitions * milliseconds) / taken);
    repetitions = Math.ceil(repetitions * Math.min(16, milliseconds / taken));
  }
}

export async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function isCalm({ others }: Sample, tolerance: number): boolean {
  return others === undefined || others <= tolerance;
}
