/**
 * Keeps the groups of a rollout that a policy can learn from, and says when to draw more. Pure bookkeeping: who draws and
 * judges is the recipe's matter. A rollout that stays short is used as it is; a run is never given up for it. What a refill
 * brought beyond the need fills gaps of the next step.
 */
export interface GroupCollectorOptions<Group> {
  /** Groups a step wants to train on. */
  readonly wanted: number;
  /** Rounds of drawing a step may use, the first included. */
  readonly rounds: number;
  /** Whether a group carries signal: its advantages are not all zero. */
  readonly hasSignal: (group: Group) => boolean;
  /** Groups the last step left over: used where fresh ones do not suffice, before another round is drawn. */
  readonly carried?: readonly Group[];
}

export class GroupCollector<Group> {
  private readonly options: GroupCollectorOptions<Group>;
  private readonly offered: Group[] = [];
  private informative: Group[] = [];
  private roundsUsed = 0;

  constructor(options: GroupCollectorOptions<Group>) {
    if (
      !Number.isInteger(options.wanted) ||
      options.wanted < 1 ||
      !Number.isInteger(options.rounds) ||
      options.rounds < 1
    ) {
      throw new RangeError(`collecting ${options.wanted} groups in ${options.rounds} rounds`);
    }
    this.options = options;
  }

  /** Takes the groups of one round. */
  offer(groups: readonly Group[]): void {
    if (this.roundsUsed >= this.options.rounds) throw new RangeError('every round has been used');
    this.roundsUsed += 1;
    this.offered.push(...groups);
    this.informative.push(...groups.filter(this.options.hasSignal));
  }

  /** Another round is wanted and the budget has one. */
  get needsMore(): boolean {
    return this.candidates.length < this.options.wanted && this.roundsUsed < this.options.rounds;
  }

  /** Every group drawn in this step, in order: what curves of reward and pass rate are made of. */
  get all(): readonly Group[] {
    return this.offered;
  }

  /** Groups to train on, at most as many as wanted: those of this step in the order they were drawn, then carried ones. */
  get kept(): readonly Group[] {
    return this.candidates.slice(0, this.options.wanted);
  }

  /** How many of the kept ones were carried over. */
  get carriedCount(): number {
    return Math.max(0, this.kept.length - this.informative.length);
  }

  /** Of the groups drawn in this step, those with signal. */
  get informativeCount(): number {
    return this.informative.length;
  }

  /** Groups of this step that were not needed. Carried ones that were not needed are given up: their policy is two steps old. */
  get surplus(): readonly Group[] {
    return this.informative.slice(this.options.wanted);
  }

  get rounds(): number {
    return this.roundsUsed;
  }

  /** What to tell the user when the step has fewer groups than wanted; undefined when it has enough. */
  get warning(): string | undefined {
    const { wanted } = this.options;
    const { length } = this.kept;
    if (length >= wanted) return undefined;
    const drawn = `of ${this.offered.length} groups drawn in ${this.roundsUsed} round${this.roundsUsed === 1 ? '' : 's'}`;
    if (length === 0) return `none ${drawn} has variance in its rewards; no update is made`;
    const carried = this.carriedCount === 0 ? '' : ` (${this.carriedCount} of an earlier step)`;
    return `${length}${carried} ${drawn} ${length === 1 ? 'has' : 'have'} variance in ${length === 1 ? 'its' : 'their'} rewards, ${wanted} were wanted; the batch shrinks`;
  }

  private get candidates(): Group[] {
    return [...this.informative, ...(this.options.carried ?? [])];
  }
}
