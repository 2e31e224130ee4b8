import { exitCodes } from '../errors.ts';
import type { CommandContext } from './context.ts';
import { noQueue, openExecutorOf } from './executor-of.ts';
import { textTable } from './text-table.ts';

export interface WorkersOptions {
  readonly json?: boolean;
}

/** `workers PRESET`: who serves the queue that the preset names. */
export async function workers(file: string, { json }: WorkersOptions, context: CommandContext): Promise<number> {
  const noDevice = (): Promise<never> => Promise.reject(new Error('listing workers needs no device'));
  const { container, executor } = await openExecutorOf(file, context, noDevice, { isWorker: false });
  try {
    if (executor.workers === undefined) throw noQueue(file, 'names an executor that has no workers');
    const found = await executor.workers();
    if (json === true) {
      context.write(`${JSON.stringify(found, undefined, 2)}\n`);
      return exitCodes.done;
    }
    if (found.length === 0) {
      context.write('no worker serves this queue\n');
      return exitCodes.done;
    }
    const rows = found.map(({ name, draws, answers, program, check, seconds, jobs, refused }) => [
      name,
      [...(draws === undefined ? [] : ['draws']), ...answers.map((each) => `${each.slot} ${each.name}`)].join(', '),
      draws?.model ?? '',
      draws?.adapter ?? '',
      program,
      refused === undefined ? check : `refused: ${refused}`,
      String(jobs),
      String(seconds),
    ]);
    context.write(
      `${textTable([['worker', 'does', 'model', 'adapter', 'program', 'self-check', 'jobs', 'seconds'], ...rows]).join('\n')}\n`,
    );
    return exitCodes.done;
  } finally {
    await container.dispose();
  }
}
