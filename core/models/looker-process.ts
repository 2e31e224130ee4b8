/** A model that looks in a process of its own, on the same adapter or another: what it takes of a device goes with its process. */
import type { ChildProcess } from 'node:child_process';
import { extname } from 'node:path';
import type { Scope } from '../contracts/slots.ts';
import { processEnvironment } from '../environment.ts';
import { ReasongenError } from '../errors.ts';
import { forked } from '../forked.ts';
import type { Log } from '../log.ts';
import type { ChoiceQuestion, WrittenQuestion } from './answerer.ts';
import type { AnswererChoice } from './looking-model.ts';
import type { Looker, Written } from './looker.ts';

/** What the process is told when it begins. */
export interface LookerSetup {
  readonly choice: AnswererChoice;
  /** Options of the backbone. */
  readonly pictures: Readonly<Record<string, unknown>>;
  readonly seed: number;
}

export type LookerRequest =
  | { readonly id: number; readonly kind: 'open'; readonly setup: LookerSetup }
  | { readonly id: number; readonly kind: 'probabilities'; readonly question: ChoiceQuestion }
  | { readonly id: number; readonly kind: 'write'; readonly question: WrittenQuestion }
  /** Nobody waits for this one any more. */
  | { readonly id: number; readonly kind: 'left' };

type Fields = { readonly [Field in 'code' | 'message' | 'place' | 'hint']: string | undefined } & {
  readonly exitCode: number;
};
export type LookerReply =
  | ({ readonly id: number } & ({ readonly value: unknown } | { readonly error: Fields }))
  /** For the log of the run. */
  | { readonly warning: string };

export interface LookerProcessOptions extends LookerSetup {
  /** A part of the name of the adapter it opens; the best one unless told. */
  readonly adapter?: string | undefined;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export class LookerProcess implements Looker {
  private readonly options: LookerProcessOptions;
  private readonly log: Pick<Log, 'warn'>;
  private child: ChildProcess | undefined;
  private opened: Promise<unknown> | undefined;
  private readonly waiting = new Map<number, Waiting>();
  private next = 0;
  private isClosed = false;

  constructor(options: LookerProcessOptions, log: Pick<Log, 'warn'>) {
    this.options = options;
    this.log = log;
  }

  /** Of the process, while there is one. */
  get pid(): number | undefined {
    return this.child?.pid;
  }

  async reserve(): Promise<void> {
    await this.open();
  }

  async probabilities(question: ChoiceQuestion, signal: AbortSignal): Promise<readonly number[]> {
    await this.open();
    return (await this.ask({ kind: 'probabilities', question }, signal)) as readonly number[];
  }

  async write(question: WrittenQuestion, signal: AbortSignal): Promise<Written> {
    await this.open();
    return (await this.ask({ kind: 'write', question }, signal)) as Written;
  }

  /** Ends the process; what is being asked fails. */
  close(): void {
    this.isClosed = true;
    this.child?.kill('SIGKILL');
  }

  private async open(): Promise<void> {
    const { choice, pictures, seed } = this.options;
    this.opened ??= this.ask({ kind: 'open', setup: { choice, pictures, seed } });
    const opening = this.opened;
    opening.catch(() => {
      if (this.opened === opening) this.opened = undefined;
    });
    await opening;
  }

  private ask(
    request:
      | { readonly kind: 'open'; readonly setup: LookerSetup }
      | Omit<Extract<LookerRequest, { question: unknown }>, 'id'>,
    signal?: AbortSignal,
  ): Promise<unknown> {
    signal?.throwIfAborted();
    if (this.isClosed) throw this.ended('was ended with the run');
    const child = (this.child ??= this.begin());
    const id = this.next++;
    return new Promise((resolve, reject) => {
      const settled =
        <Value>(settle: (value: Value) => void) =>
        (value: Value): void => {
          this.waiting.delete(id);
          signal?.removeEventListener('abort', leave);
          this.keepAlive(child);
          settle(value);
        };
      const leave = (): void => {
        child.send({ id, kind: 'left' } satisfies LookerRequest);
        this.waiting.get(id)?.reject(signal?.reason);
      };
      this.waiting.set(id, { resolve: settled(resolve), reject: settled(reject) });
      signal?.addEventListener('abort', leave, { once: true });
      this.keepAlive(child);
      child.send({ ...request, id }, (error) => {
        if (error !== null) this.waiting.get(id)?.reject(this.ended(`cannot be asked: ${error.message}`));
      });
    });
  }

  private begin(): ChildProcess {
    const { adapter } = this.options;
    const child = forked(new URL(`../judge-process${extname(import.meta.url)}`, import.meta.url), {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { ...processEnvironment, ...(adapter !== undefined && { REASONGEN_ADAPTER: adapter }) },
    });
    child.on('message', (reply: LookerReply) => {
      if ('warning' in reply) {
        this.log.warn(reply.warning);
        return;
      }
      const asked = this.waiting.get(reply.id);
      if ('error' in reply) asked?.reject(asError(reply.error));
      else asked?.resolve(reply.value);
    });
    const gone = (how: string): void => {
      if (this.child !== child) return;
      this.child = undefined;
      this.opened = undefined;
      for (const { reject } of [...this.waiting.values()]) reject(this.ended(how));
    };
    child.once('exit', (code, by) => gone(by === null ? `ended with exit code ${code}` : `was ended by ${by}`));
    child.once('error', (error) => gone(`cannot be begun: ${error.message}`));
    return child;
  }

  /** While nothing is asked, the process does not keep the program alive. */
  private keepAlive(child: ChildProcess): void {
    if (this.waiting.size > 0) {
      child.ref();
      child.channel?.ref();
    } else {
      child.unref();
      child.channel?.unref();
    }
  }

  private ended(how: string): ReasongenError {
    return new ReasongenError({
      code: 'JUDGE_ENDED',
      message: `the process of the judge ${how}`,
      place: this.options.choice.model,
      hint: how.includes('SIGKILL')
        ? 'the memory of the machine may not suffice for the model: take a smaller storage, or place it elsewhere'
        : 'what it wrote to standard error says more; `place: device` runs the model in this process',
    });
  }
}

/** Made and worded there. */
function asError(fields: Fields): Error {
  return Object.assign(new ReasongenError({ code: 'JUDGE_ENDED', message: 'the judge failed' }), fields);
}

/** Looks in a process of its own; a plan makes the model on its device instead, where that stands for the adapter of both. */
export function lookerInProcess(scope: Scope, options: LookerProcessOptions, planned: () => Looker): Looker {
  const inPlan = planned();
  const place = scope.onDevice(
    (device): Looker & { close?(): void } => {
      if (!device.isPlanning) return new LookerProcess(options, scope.log);
      return options.adapter === undefined ? inPlan : nowhere;
    },
    (looker) => looker.close?.(),
  );
  return {
    reserve: async () => (await place()).reserve(),
    probabilities: async (question, signal) => (await place()).probabilities(question, signal),
    write: async (question, signal) => (await place()).write(question, signal),
  };
}

/** On an adapter that this plan is not about. */
const nowhere: Looker = {
  reserve: () => Promise.resolve(),
  probabilities: () => Promise.reject(new RangeError('a plan asks nothing')),
  write: () => Promise.reject(new RangeError('a plan asks nothing')),
};
