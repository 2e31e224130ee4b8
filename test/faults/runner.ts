/** How a program with a fault in it is run: as a process of its own, or in a process that runs many, one after the other. */
import { fork, spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { faultText, type FaultPlan } from '../../core/faults.ts';

/** Words of the command line, or `small` and a directory. */
export type Words = readonly string[];

export interface End {
  /** Null where the process was killed. */
  readonly code: number | null;
  readonly said: string;
}

export interface Runner {
  /** `folder`: all of what the program writes; what it has locked there is let go when it is killed. */
  run(words: Words, folder: string, environment: Environment, fault?: FaultPlan): Promise<End>;
  /** How often each point is passed without a fault. */
  count(words: Words, folder: string, environment: Environment): Promise<End & { readonly counts: Counts }>;
  close(): void;
}

export type Environment = Readonly<Record<string, string>>;
export type Counts = Readonly<Record<string, number>>;

export interface Request {
  readonly words: Words;
  readonly folder: string;
  readonly environment: Environment;
  readonly fault: FaultPlan | undefined;
}

export type Answer = End & { readonly counts: Counts; readonly bytes: number };

const root = fileURLToPath(new URL('../../', import.meta.url));

/** A process for each program. */
export const processes: Pick<Runner, 'run'> = {
  run([first = '', ...more], _folder, environment, fault) {
    const script = first === 'small' ? [join(root, 'test/faults/small-run.ts')] : [join(root, 'core/cli.ts'), first];
    const child = spawn(process.execPath, ['--import', 'tsx', ...script, ...more], {
      cwd: root,
      env: { ...process.env, ...environment, REASONGEN_FAULT: fault === undefined ? '' : faultText(fault) },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr.on('data', (chunk) => (said += String(chunk)));
    return new Promise((resolve) => child.on('close', (code) => resolve({ code, said })));
  },
};

/** Milliseconds a program may take: a loop that never returns is a finding like any other. */
const clock = 120_000;
/** Programs keep a copy of each plugin; a process that has become so large is replaced. */
const largest = 1.2 * 2 ** 30;

/** One process for all; it is made anew when it has become large, or has died. */
export class OneProcess implements Runner {
  #child: ChildProcess | undefined;

  run(words: Words, folder: string, environment: Environment, fault?: FaultPlan): Promise<End> {
    return this.#ask({ words, folder, environment, fault });
  }

  count(words: Words, folder: string, environment: Environment): Promise<Answer> {
    return this.#ask({ words, folder, environment, fault: undefined });
  }

  close(): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  async #ask(request: Request): Promise<Answer> {
    const child = (this.#child ??= fork(join(root, 'test/faults/worker.ts'), [], {
      cwd: root,
      execArgv: ['--import', 'tsx'],
      env: { ...process.env, REASONGEN_FAULT: 'armed' },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    }));
    let said = '';
    const hear = (chunk: unknown): void => void (said += String(chunk));
    child.stderr?.on('data', hear);
    const answer = await new Promise<Answer>((resolve) => {
      const end = (result: Answer): void => {
        clearTimeout(timer);
        child.removeAllListeners('message').removeAllListeners('exit');
        resolve(result);
      };
      const fails = (why: string): void => {
        this.close();
        end({ code: -1, said: `${why}\n${said}`, counts: {}, bytes: 0 });
      };
      const timer = setTimeout(() => fails(`it does not end within ${clock / 1000} s`), clock);
      child.on('message', (message) => end(message as Answer));
      child.on('exit', (code, signal) => fails(`the process died (${signal ?? code})`));
      child.send(request);
    });
    child.stderr?.off('data', hear);
    if (answer.bytes > largest) this.close();
    return answer;
  }
}
