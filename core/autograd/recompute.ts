/**
 * What of a block is computed again on its way back, and what is kept of its forward pass instead (selective activation recomputation, Korthikanti
 * et al. 2022). A tape records such a block twice (repetition.ts). A launch of the second recording is left out where nothing reads what it writes, or
 * where what the first one wrote is kept: the same launch made it of the same values, so it has the same bits.
 *
 * What is kept within a budget is chosen one launch after the other: always the one that saves most work for a byte. Products and attention come
 * first so, then rotary positions, sums and norms; of equals those of the last block, whose values are kept for the shortest time.
 */
import { at } from '../tensor/at.ts';
import { dimension, sizeOf } from '../tensor/tensor.ts';
import type { LoadedLaunch, LoadedStep } from './bind.ts';
import { keptBytes, type ActivationType } from './kept-halves.ts';
import { launchWork } from './launch-work.ts';
import type { Repetition } from './repetition.ts';
import { usesOf, ValueUses, withValues, type StepUses } from './value-uses.ts';

/** Of a block is kept for the way back: everything (false), what enters it (true), or at most so many bytes beyond that, over all blocks. */
export type Recompute = boolean | { readonly budget: number };

/** Bytes that may be kept of first recordings, and how what is kept lies meanwhile. */
export interface KeepBudget {
  readonly bytes: number;
  readonly activations: ActivationType;
}

/** The steps without those of second recordings that need not run. */
export function leaveOutRepeated(
  steps: readonly LoadedStep[],
  repetitions: readonly Repetition[],
  budget: KeepBudget,
): LoadedStep[] {
  if (repetitions.length === 0) return [...steps];
  const uses = new ValueUses(steps);
  const kept = keptWithin(
    budget.bytes,
    repetitions.map(
      (repetition) => new SecondRecording(steps, uses, repetition, wayBack(repetitions), budget.activations),
    ),
  );
  const leftOut = new Set(kept.flatMap(({ launches }) => launches));
  const firstOf = new Map(kept.flatMap(({ values, shift }) => values.map((id) => [id, id - shift] as const)));
  // Of a block within a block, the first recording may be the second of the block around it.
  const keptValue = (id: number): number => {
    const first = firstOf.get(id);
    return first === undefined ? id : keptValue(first);
  };
  const repeated = new Set(repetitions.flatMap(indicesOf));
  const read = new Set<number>();
  const live: LoadedStep[] = [];
  for (const [index, item] of [...steps.entries()].toReversed()) {
    if (leftOut.has(index)) continue;
    const step = withValues(item, keptValue);
    const { values, writes, isLasting } = usesOf(step);
    if (repeated.has(index) && !isLasting && !writes.some((id) => read.has(id))) continue;
    live.push(step);
    for (const id of values) read.add(id);
  }
  return live.reverse();
}

/** Launches of a second recording that write the same values: all of them are left out, or none. */
interface Group {
  /** Indices of steps. */
  readonly launches: readonly number[];
  /** Ids of the second recording; those of the first are smaller by `shift`. */
  readonly values: readonly number[];
  readonly shift: number;
}

/** Keeping the values of one group more. */
interface Move {
  readonly group: Group;
  readonly after: Effort;
  /** More than before; less where values become needless that were kept. */
  readonly bytes: number;
  /** Work saved by the byte. */
  readonly worth: number;
}

interface Effort {
  /** What is computed again, in bytes read and written. */
  readonly work: number;
  /** What is kept. */
  readonly bytes: number;
}

function keptWithin(budget: number, recordings: readonly SecondRecording[]): Group[] {
  const kept: Group[] = [];
  let left = budget;
  for (;;) {
    let best: { readonly recording: SecondRecording; readonly move: Move } | undefined;
    for (const recording of recordings)
      for (const move of recording.moves())
        if (move.bytes <= left && (best === undefined || move.worth > best.move.worth)) best = { recording, move };
    if (best === undefined) return kept;
    best.recording.take(best.move);
    kept.push(best.move.group);
    left -= best.move.bytes;
  }
}

/** A block recorded again, and what of it is left out so far. */
class SecondRecording {
  private readonly uses: ValueUses;
  private readonly shift: number;
  private readonly wayBack: number;
  private readonly activations: ActivationType;
  private readonly launches: readonly { readonly index: number; readonly work: number; readonly uses: StepUses }[];
  private readonly groups: readonly Group[];
  /** Ids of what others read: the way back. */
  private readonly wanted: readonly number[];
  private readonly leftOut = new Set<number>();
  private now: Effort;
  private known: readonly Move[] | undefined;

  constructor(
    steps: readonly LoadedStep[],
    uses: ValueUses,
    repetition: Repetition,
    back: number,
    activations: ActivationType,
  ) {
    this.uses = uses;
    this.activations = activations;
    this.shift = repetition.shift;
    this.wayBack = back;
    this.launches = indicesOf(repetition).map((index) => {
      const item = at(steps, index);
      return { index, work: 'kernel' in item ? workOf(item) : 0, uses: at(uses.bySteps, index) };
    });
    const inside = new Set(indicesOf(repetition));
    const values = new Set(this.launches.flatMap((launch) => launch.uses.values));
    this.wanted = [...values].filter((id) => uses.usesOf(id).some((index) => !inside.has(index)));
    this.groups = groupsOf(this.launches, this.shift).filter((group) => mayKeep(group, uses, repetition));
    this.now = this.effort();
  }

  /** Whatever else could be kept and saves work. */
  moves(): readonly Move[] {
    this.known ??= this.groups.flatMap((group): Move[] => {
      const after = this.effort(group.launches);
      const saved = this.now.work - after.work;
      const bytes = after.bytes - this.now.bytes;
      return saved > 0 ? [{ group, after, bytes, worth: bytes > 0 ? saved / bytes : Number.POSITIVE_INFINITY }] : [];
    });
    return this.known;
  }

  take({ group, after }: Move): void {
    for (const index of group.launches) this.leftOut.add(index);
    this.now = after;
    this.known = undefined;
  }

  /** With these launches left out as well. */
  private effort(more: readonly number[] = []): Effort {
    const wanted = new Set(this.wanted);
    const kept = new Set<number>();
    let work = 0;
    for (const { index, work: own, uses } of this.launches.toReversed()) {
      const isLeftOut = this.leftOut.has(index) || more.includes(index);
      const found = uses.writes.filter((id) => wanted.has(id));
      if (isLeftOut) for (const id of found) kept.add(id - this.shift);
      else if (found.length > 0 || uses.isLasting) {
        work += own;
        for (const id of uses.values) wanted.add(id);
      }
    }
    return { work, bytes: [...kept].reduce((sum, id) => sum + this.bytesToKeep(id), 0) };
  }

  /** Nothing where the value is used on the way back anyway, as what enters a block is. */
  private bytesToKeep(id: number): number {
    const value = this.uses.tensorOf(id);
    const isKeptAnyway = (this.uses.usesOf(id).at(-1) ?? 0) >= this.wayBack;
    return value === undefined || isKeptAnyway ? 0 : keptBytes(value, this.activations);
  }
}

function groupsOf(launches: readonly { readonly index: number; readonly uses: StepUses }[], shift: number): Group[] {
  let groups: Group[] = [];
  for (const { index, uses } of launches) {
    const joined = groups.filter(({ values }) => uses.writes.some((id) => values.includes(id)));
    const group: Group = {
      launches: [...joined.flatMap((other) => other.launches), index],
      values: [...new Set([...joined.flatMap(({ values }) => values), ...uses.writes])],
      shift,
    };
    groups = [...groups.filter((other) => !joined.includes(other)), group];
  }
  return groups;
}

/**
 * Whether the values that the first recording left can stand for those of the second: nobody but the group writes them, here or there, nobody reads one that is
 * half done, and nothing else comes of the launches.
 */
function mayKeep({ launches, values, shift }: Group, uses: ValueUses, repetition: Repetition): boolean {
  const firsts = launches.map((index) => index - repetition.again + repetition.first);
  const isWhole = [...launches, ...firsts].every((index) => !at(uses.bySteps, index).isLasting);
  const isOwn = values.every(
    (id) =>
      uses.writersOf(id).every((index) => launches.includes(index)) &&
      uses.writersOf(id - shift).length > 0 &&
      uses.writersOf(id - shift).every((index) => firsts.includes(index)),
  );
  const done = Math.max(...launches);
  const isReadEarly = values.some((id) => uses.usesOf(id).some((index) => index < done && !launches.includes(index)));
  return isWhole && isOwn && !isReadEarly;
}

function indicesOf({ again, count }: Repetition): number[] {
  return Array.from({ length: count }, (_, index) => again + index);
}

/** Where the first block is computed again. */
function wayBack(repetitions: readonly Repetition[]): number {
  return Math.min(...repetitions.map(({ again }) => again));
}

/**
 * Operations that take as long as a byte that is read or written: by the data sheets of cards (gpu/known-adapters.ts) between 10 and 82. The choice depends little
 * on it: a product has hundreds for a byte of its result.
 */
const operationsPerByte = 20;

/** Tokens of a sequence, for what attention computes: a rationale and the codes of a picture. How long they are is not in its launch. */
const sequenceTokens = 512;

/** In bytes read and written. */
function workOf(item: LoadedLaunch): number {
  const { label, bytes, operations } = launchWork(item);
  const attended = label.startsWith('attention/forward') ? item.step.bindings['out'] : undefined;
  // Each row looks at half of its sequence: for each value of a row a product with keys, and one with values.
  const attention =
    attended === undefined
      ? 0
      : (2 * 2 * sizeOf(attended.shape) * Math.min(dimension(attended, 0), sequenceTokens)) / 2;
  return Math.max(bytes, (operations + attention) / operationsPerByte);
}
