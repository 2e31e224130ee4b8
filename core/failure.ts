import { thrownAt } from './blame.ts';
import { frozenHint } from './frozen.ts';
import { exitCodes, reasonOf, ReasongenError } from './errors.ts';
import { diskError } from './io/disk.ts';

/** Any thrown value as an error to show. A defect of the program keeps its cause; the stack is for `--debug`. */
export function explainError(error: unknown): ReasongenError {
  if (error instanceof ReasongenError) return error;
  if (error instanceof Error && 'syscall' in error && !/^(connect|getaddrinfo)$/.test(String(error.syscall))) {
    return diskError(error, 'working with a file', 'path' in error ? String(error.path) : String(error.syscall));
  }
  if (error instanceof RangeError && /allocation failed|invalid array length/i.test(error.message)) {
    return new ReasongenError({
      code: 'OUT_OF_MEMORY',
      message: `the machine has not enough memory: ${error.message}`,
      hint: 'use a smaller batch or a smaller model; `reasongen check` predicts what a preset needs',
      exitCode: exitCodes.outOfMemory,
      cause: error,
    });
  }
  const at = thrownAt(error);
  if (at !== undefined) {
    return new ReasongenError({
      code: 'PLUGIN_THREW',
      message: messageOf(error),
      place: at,
      hint: frozenHint(error) ?? 'mend the plugin, then resume the run; --debug shows the whole stack',
      cause: error,
    });
  }
  return new ReasongenError({
    code: 'UNEXPECTED',
    message: messageOf(error),
    hint: 'this looks like a defect: run it again with --debug and report what it prints',
    cause: error,
  });
}

/** With the reason of what only says that something failed, such as "fetch failed". */
function messageOf(error: unknown): string {
  const reason = reasonOf(error);
  if (!(error instanceof Error) || error.message === '' || error.cause === undefined) return reason;
  return error.message.includes(reason) ? error.message : `${error.message}: ${reason}`;
}

/** The first error, which is the reason, together with those that came while cleaning up after it. */
export function joinErrors(errors: readonly unknown[]): unknown {
  const [first, ...rest] = errors;
  if (rest.length === 0) return first;
  const reason = explainError(first);
  return new ReasongenError({
    code: reason.code,
    message: [
      reason.message,
      ...rest.map((error) => `then, while ending the run: ${explainError(error).message}`),
    ].join('\n'),
    place: reason.place,
    hint: reason.hint,
    exitCode: reason.exitCode,
    cause: new AggregateError(errors),
  });
}
