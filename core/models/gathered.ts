/** Questions that come one by one and are answered together. */

interface Waiting<Question, Answer> {
  readonly question: Question;
  readonly signal: AbortSignal;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (reason: unknown) => void;
}

export class Gathered<Question, Answer> {
  private readonly most: number;
  private readonly turns: { last: Promise<void> };
  private readonly work: (questions: readonly Question[]) => Promise<readonly Answer[]>;
  private waiting: Waiting<Question, Answer>[] = [];

  /** @param turns shared by all whose work must not overlap */
  constructor(
    most: number,
    turns: { last: Promise<void> },
    work: (questions: readonly Question[]) => Promise<readonly Answer[]>,
  ) {
    this.most = most;
    this.turns = turns;
    this.work = work;
  }

  /** Those that are asked until the work before has ended are answered with it, up to `most`, in the order they came. */
  ask(question: Question, signal: AbortSignal): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const leave = (): void => reject(signal.reason as Error);
      const settled =
        <Value>(settle: (value: Value) => void) =>
        (value: Value) => {
          signal.removeEventListener('abort', leave);
          settle(value);
        };
      signal.addEventListener('abort', leave, { once: true });
      this.waiting.push({ question, signal, resolve: settled(resolve), reject: settled(reject) });
      this.turns.last = this.turns.last.then(() => new Promise(setImmediate)).then(() => this.answerSome());
    });
  }

  /** Called once for every question: nothing is left when all have been called. */
  private async answerSome(): Promise<void> {
    // Whoever gave up is not asked for.
    this.waiting = this.waiting.filter(({ signal }) => !signal.aborted);
    const some = this.waiting.splice(0, this.most);
    if (some.length === 0) return;
    try {
      const answers = await this.work(some.map(({ question }) => question));
      some.forEach(({ resolve, reject }, index) => {
        const answer = answers[index];
        if (answer === undefined) reject(new RangeError(`${answers.length} answers to ${some.length} questions`));
        else resolve(answer);
      });
    } catch (error) {
      for (const { reject } of some) reject(error);
    }
  }
}
