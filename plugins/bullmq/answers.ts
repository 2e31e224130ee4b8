/** The run's side of what workers are asked: a question becomes a job, and what comes back is handed on. */
import { randomBytes, randomInt } from 'node:crypto';
import { ReasongenError, type AnswererIdentity, type Log, type WorkerReport } from '../../core/plugin.ts';
import { QueueClient } from './client.ts';
import type { QueueAddress } from './connection.ts';
import type { QueueLibrary } from './library.ts';
import type { BullmqOptions } from './options.ts';
import { answerQueueName, answerResultSchema, type AnswerJob, type AnswerResult } from './protocol.ts';
import { pause } from './patience.ts';
import { differences, isAlike } from './registry.ts';

/** Milliseconds before a question is asked again that a refused worker has answered. */
const afterRefusal = 500;

export interface AskingOptions {
  readonly open: () => Promise<{ readonly library: QueueLibrary; readonly address: QueueAddress }>;
  readonly choice: BullmqOptions;
  readonly log: Log;
}

/** A queue for each component that is asked. */
export class QueuedQuestions {
  private readonly options: AskingOptions;
  private readonly clients = new Map<string, Promise<QueueClient<AnswerResult>>>();
  private readonly closed = new AbortController();
  private readonly answered = new Map<string, number>();
  /** Runs on one Redis do not meet. */
  private readonly session = randomBytes(8).toString('hex');
  private questions = 0;

  constructor(options: AskingOptions) {
    this.options = options;
  }

  async ask(
    identity: AnswererIdentity,
    question: unknown,
    signal: AbortSignal,
    check?: (answer: unknown) => Promise<string | undefined>,
  ): Promise<AnswerResult> {
    const { choice, log } = this.options;
    const client = await this.clientOf(identity);
    const job: AnswerJob = { identity, question };
    const isChecked = check !== undefined && choice.spotCheck > 0 && randomInt(choice.spotCheck) === 0;
    for (;;) {
      const result = await client.result(`${this.session}-${(this.questions += 1)}`, job, signal);
      const isKnown = client.isRefused(result.worker);
      const wrong = isKnown || !isChecked ? undefined : await check(result.answer);
      // Another of its answers may have been found wrong meanwhile.
      if (wrong === undefined && !client.isRefused(result.worker)) {
        const what = `worker ${result.worker} has answered for ${identity.slot} "${identity.name}"`;
        this.answered.set(what, (this.answered.get(what) ?? 0) + 1);
        return result;
      }
      if (wrong !== undefined && !client.isRefused(result.worker)) {
        const why = `for ${identity.slot} "${identity.name}" it answered ${wrong}`;
        log.warn(
          `worker ${result.worker} is refused: ${why}; what it says is asked again, what it said before may have been trained on`,
        );
        await client.refuse(result.worker, why);
      }
      // Until it has heard of it, it may take this question, too; without others the watch says that nobody answers.
      await pause(afterRefusal, signal);
    }
  }

  async close(): Promise<void> {
    this.closed.abort(new Error('the run has ended'));
    for (const opening of this.clients.values()) {
      const [opened] = await Promise.allSettled([opening]);
      if (opened.status === 'fulfilled') await opened.value.close();
    }
    for (const [what, times] of this.answered) this.options.log.info(`${what} ${times} times`);
  }

  private clientOf(identity: AnswererIdentity): Promise<QueueClient<AnswerResult>> {
    const queue = answerQueueName(identity);
    const known = this.clients.get(queue);
    if (known !== undefined) return known;
    const opening = this.open(queue, identity);
    this.clients.set(queue, opening);
    // Whoever asks next tries again.
    opening.catch(() => this.clients.delete(queue));
    return opening;
  }

  private async open(queue: string, identity: AnswererIdentity): Promise<QueueClient<AnswerResult>> {
    const { open, choice, log } = this.options;
    return QueueClient.open({
      ...(await open()),
      choice,
      log,
      signal: this.closed.signal,
      queue,
      read: (value) => readAnswer(value, identity),
      lack: (workers) => nobodyAnswers(workers, identity),
    });
  }
}

function readAnswer(value: unknown, { slot, name }: AnswererIdentity): AnswerResult {
  const parsed = answerResultSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ReasongenError({
    code: 'BAD_ANSWER',
    message: `what a worker returned is no answer: ${parsed.error.issues[0]?.message ?? 'it is of another form'}`,
    place: `${slot} "${name}"`,
    hint: 'run trainer and workers with one version of the program',
  });
}

function nobodyAnswers(workers: readonly WorkerReport[], identity: AnswererIdentity): string | undefined {
  const answering = workers.flatMap(({ name, answers }) => answers.map((answerer) => ({ name, answerer })));
  if (answering.some(({ answerer }) => isAlike(identity, answerer))) return undefined;
  const who = `${identity.slot} "${identity.name}"`;
  const near = answering.find(({ answerer: { slot, name } }) => slot === identity.slot && name === identity.name);
  if (near === undefined) return `no worker answers for ${who}`;
  return `no worker answers for ${who} of this run: ${near.name} has ${differences(identity, near.answerer).join('; ')}`;
}
