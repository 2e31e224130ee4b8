/** Models in a process of their own, which begins with the first question and ends with the run. */
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { exitCodes, findPackage, oneLine, ReasongenError } from '../../core/plugin.ts';
import { onnxPackage } from './package.ts';
import type { OnnxAnswer, OnnxInterface, OnnxRequest, OnnxTensor } from './worker.mjs';

/** Characters of a reason in a message. */
const longestReason = 300;

/** The end of what the process wrote to standard error, for the message when it ends. */
const lastWords = 2000;

export interface OnnxRuntimeOptions {
  /** For each model. */
  readonly threads: number;
  /** Told when a process has ended and another takes its place. */
  readonly warn: (message: string) => void;
  /** Files for which the package may be installed; the folder in which the program is run counts, too. */
  readonly places?: readonly string[];
}

export class OnnxRuntime {
  readonly version: string;
  readonly threads: number;
  private readonly file: string;
  private readonly warn: OnnxRuntimeOptions['warn'];
  private child: ChildProcess | undefined;
  private said = '';
  private isClosed = false;
  /** The process does one thing at a time; requests wait for one another here, so that one that is given up is never begun. */
  private last: Promise<unknown> = Promise.resolve();

  /** Throws ONNXRUNTIME_MISSING where the package is not in reach. */
  constructor({ threads, warn, places = [fileURLToPath(import.meta.url)] }: OnnxRuntimeOptions) {
    const library = findPackage(onnxPackage.name, places);
    if (library === undefined) throw missing();
    const { file, version } = library;
    this.file = file;
    this.version = version;
    this.threads = threads;
    this.warn = warn;
  }

  /** Of the process, while there is one. */
  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** What a model takes and gives. Throws BAD_ONNX_MODEL for a file that is none. */
  async open(file: string, signal: AbortSignal): Promise<OnnxInterface> {
    const answer = await this.ask({ kind: 'open', file }, signal);
    if (answer.kind !== 'interface') throw this.ended(file, 'gave an answer to another question');
    return answer.value;
  }

  /** The named outputs, float32. */
  async run(
    file: string,
    feeds: Readonly<Record<string, OnnxTensor>>,
    outputs: readonly string[],
    signal: AbortSignal,
  ): Promise<Readonly<Record<string, OnnxTensor>>> {
    const answer = await this.ask({ kind: 'run', file, feeds, outputs: [...outputs] }, signal);
    if (answer.kind !== 'tensors') throw this.ended(file, 'gave an answer to another question');
    return answer.value;
  }

  /** Ends the process; what is being asked fails. */
  close(): void {
    this.isClosed = true;
    this.child?.kill('SIGKILL');
  }

  private async ask(request: OnnxRequest, signal: AbortSignal): Promise<OnnxAnswer> {
    const answer = this.last.then(() => {
      signal.throwIfAborted();
      return this.sendTwice(request, signal);
    });
    this.last = answer.catch(() => undefined);
    const found = await settledOrAborted(answer, signal);
    if (found.kind !== 'failed') return found;
    if (found.while === 'installed') throw unusable(found.why);
    throw new ReasongenError({
      code: 'BAD_ONNX_MODEL',
      message:
        found.while === 'opened'
          ? `ONNX Runtime cannot open the model: ${oneLine(found.why, longestReason)}`
          : `the model cannot be run: ${oneLine(found.why, longestReason)}`,
      place: request.file,
      hint:
        found.while === 'opened'
          ? 'a file that was not fetched to its end looks like this: fetch it again, with the data files beside it if it has any'
          : 'use a file that was exported as described on the page of the plugin',
      exitCode: exitCodes.badPreset,
    });
  }

  /** A process may be ended by the system, for its memory; what ends two of them is asked no more. */
  private async sendTwice(request: OnnxRequest, signal: AbortSignal): Promise<OnnxAnswer> {
    try {
      return await this.send(request, signal);
    } catch (error) {
      if (!(error instanceof ReasongenError && error.code === 'JUDGE_ENDED') || signal.aborted || this.isClosed)
        throw error;
      this.warn(`${error.message}; another one is begun`);
      return this.send(request, signal);
    }
  }

  private send(request: OnnxRequest, signal: AbortSignal): Promise<OnnxAnswer> {
    if (this.isClosed) throw this.ended(request.file, 'was ended with the run');
    const child = (this.child ??= this.begin());
    return new Promise<OnnxAnswer>((resolve, reject) => {
      const end = (): void => {
        child.off('message', answered).off('exit', gone).off('error', failed);
        signal.removeEventListener('abort', giveUp);
        rest(child);
      };
      const answered = (answer: unknown): void => {
        end();
        resolve(answer as OnnxAnswer);
      };
      const gone = (code: number | null, by: NodeJS.Signals | null): void => {
        end();
        reject(this.ended(request.file, by === null ? `ended with exit code ${code}` : `was ended by ${by}`));
      };
      const failed = (error: Error): void => {
        end();
        if (this.child === child) this.child = undefined;
        reject(this.ended(request.file, `cannot be used: ${error.message}`));
      };
      // Nothing else ends a run that was begun; the next question begins another process.
      const giveUp = (): void => {
        if (this.child === child) this.child = undefined;
        child.kill('SIGKILL');
      };
      child.on('message', answered).on('exit', gone).on('error', failed);
      signal.addEventListener('abort', giveUp, { once: true });
      wake(child);
      child.send(request, (error) => {
        if (error !== null) failed(error);
      });
    });
  }

  private begin(): ChildProcess {
    this.said = '';
    const child = fork(new URL('worker.mjs', import.meta.url), [this.file, String(this.threads)], {
      execArgv: [],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.said = (this.said + text).slice(-lastWords);
    });
    child.once('exit', () => {
      if (this.child === child) this.child = undefined;
    });
    return child;
  }

  private ended(file: string, how: string): ReasongenError {
    const [said = ''] = this.said.trim().split('\n').slice(-1);
    return new ReasongenError({
      code: 'JUDGE_ENDED',
      message: `the process that runs the model ${how}${said === '' ? '' : `: ${oneLine(said, longestReason)}`}`,
      place: file,
      hint: how.includes('SIGKILL')
        ? 'the memory of the machine may not suffice for the model: use a smaller one, or end other programs'
        : 'try again; if it ends again, use another file of the model or another version of onnxruntime-node',
    });
  }
}

/** While nothing is asked, the process does not keep the program alive. */
function rest(child: ChildProcess): void {
  child.unref();
  child.channel?.unref();
  unreferenced(child.stderr);
}

function wake(child: ChildProcess): void {
  child.ref();
  child.channel?.ref();
}

function unreferenced(stream: ChildProcess['stderr']): void {
  if (stream !== null && 'unref' in stream && typeof stream.unref === 'function') stream.unref();
}

/** The answer, or the reason of the signal as soon as it is given. */
async function settledOrAborted<Value>(answer: Promise<Value>, signal: AbortSignal): Promise<Value> {
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- a signal may be given any reason
    stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([answer, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function missing(): ReasongenError {
  return new ReasongenError({
    code: 'ONNXRUNTIME_MISSING',
    message: 'the package onnxruntime-node, which runs the model of this judge, is not installed',
    hint: onnxPackage.install,
    exitCode: exitCodes.badPreset,
  });
}

function unusable(why: string): ReasongenError {
  return new ReasongenError({
    code: 'ONNXRUNTIME_MISSING',
    message: `the package onnxruntime-node cannot be loaded: ${oneLine(why, longestReason)}`,
    hint: `it runs on Linux with glibc (x64, arm64), macOS on Apple silicon and Windows; there, install it again: ${onnxPackage.install}`,
    exitCode: exitCodes.badPreset,
  });
}
