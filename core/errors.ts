/** What went wrong, where, and what to do: every failure a user may meet is one of these. */
export interface ErrorFields {
  /** Stable, in capitals: `UNKNOWN_OPTION`. */
  readonly code: string;
  readonly message: string;
  /** `file:line:column`, a component, a kernel line, a path. */
  readonly place?: string | undefined;
  /** The next thing to try. */
  readonly cure?: string | undefined;
  /** One of `exitCodes`; 1 unless told. */
  readonly exitCode?: number;
  readonly cause?: unknown;
}

export const exitCodes = {
  done: 0,
  failure: 1,
  badPreset: 2,
  noAdapter: 3,
  outOfMemory: 4,
  deviceLost: 5,
  disk: 6,
  guard: 7,
  interrupted: 130,
  terminated: 143,
} as const;

export class ReasongenError extends Error {
  readonly code: string;
  readonly exitCode: number;
  readonly place?: string;
  readonly cure?: string;

  constructor(fields: ErrorFields) {
    super(fields.message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = 'ReasongenError';
    this.code = fields.code;
    this.exitCode = fields.exitCode ?? exitCodes.failure;
    if (fields.place !== undefined) this.place = fields.place;
    if (fields.cure !== undefined) this.cure = fields.cure;
  }
}

/** Several mistakes of one input, reported together. */
export class ProblemsError extends ReasongenError {
  readonly problems: readonly ReasongenError[];

  constructor(problems: readonly ReasongenError[]) {
    const [first] = problems;
    super({
      code: problems.length === 1 && first !== undefined ? first.code : 'BAD_PRESET',
      message: problems.map(formatError).join('\n'),
      exitCode: exitCodes.badPreset,
    });
    this.problems = problems;
  }
}

/** `CODE  place`, then what, then what to do. Several problems stand one after the other. */
export function formatError(error: ReasongenError): string {
  if (error instanceof ProblemsError) return error.problems.map(formatError).join('\n');
  const head = error.place === undefined ? error.code : `${error.code}  ${error.place}`;
  const body = [sentence(error.message), error.cure === undefined ? '' : sentence(capital(error.cure))];
  return `${head}\n  ${body.filter(Boolean).join(' ').replaceAll('\n', '\n  ')}`;
}

function sentence(text: string): string {
  return /[.?!:`)]$/.test(text) ? text : `${text}.`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The known name most like `name`, when it is like enough to be a slip of the keyboard. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** `Did you mean "gain"?`, or else what there is. */
export function suggest(name: string, known: readonly string[]): string {
  const like = nearest(name, known);
  if (like !== undefined) return `Did you mean "${like}"?`;
  return known.length === 0 ? 'There is none' : `There is: ${known.join(', ')}`;
}

/** Edits, counting the swap of two neighbours as one (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let cost = Math.min((last[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1, (last[column - 1] ?? 0) + (same ? 0 : 1));
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        cost = Math.min(cost, (before[column - 2] ?? 0) + 1);
      }
      current.push(cost);
    }
    [before, last] = [last, current];
  }
  return last[b.length] ?? 0;
}

/** A file system error as one of ours; anything else unchanged. */
export function diskError(cause: unknown, path: string): unknown {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  const reason = diskReasons.get(String(code));
  if (reason === undefined) return cause;
  return new ReasongenError({
    code: 'DISK',
    message: `${path} cannot be written: ${reason[0]}`,
    cure: reason[1],
    exitCode: exitCodes.disk,
    cause,
  });
}

const diskReasons: ReadonlyMap<string, readonly [string, string]> = new Map([
  ['ENOSPC', ['the disk is full', 'free some space, then `reasongen resume <run directory>`']],
  ['EDQUOT', ['the disk quota is used up', 'free some space, then `reasongen resume <run directory>`']],
  ['EROFS', ['the disk is read-only', 'choose another place with --run-dir']],
  ['EACCES', ['permission denied', 'choose another place with --run-dir']],
  ['EPERM', ['permission denied', 'choose another place with --run-dir']],
  ['EEXIST', ['a file is in the way', 'choose another place with --run-dir']],
  ['ENOTDIR', ['a file is in the way', 'choose another place with --run-dir']],
]);

/**
 * Any thrown value as an error to show. A defect of the program keeps its message and its cause; the stack is for `--debug`.
 */
export function explainError(error: unknown): ReasongenError {
  const known = diskError(error, error instanceof Error && 'path' in error ? String(error.path) : 'a file');
  if (known instanceof ReasongenError) return known;
  if (error instanceof RangeError && /allocation failed|invalid array length/i.test(error.message)) {
    return new ReasongenError({
      code: 'OUT_OF_MEMORY',
      message: `the machine has not enough memory: ${error.message}`,
      cure: 'use a smaller batch or a smaller model; `reasongen check` predicts what a preset needs',
      exitCode: exitCodes.outOfMemory,
      cause: error,
    });
  }
  return new ReasongenError({
    code: 'UNEXPECTED',
    message: error instanceof Error ? error.message || error.name : String(error),
    cure: 'this is a defect: run it again with --debug and report what it prints',
    cause: error,
  });
}

/** The first error, which is the reason, and those that came while cleaning up after it. */
export function joinErrors(errors: readonly unknown[]): unknown {
  const [first, ...rest] = errors;
  if (rest.length === 0) return first;
  const reason = explainError(first);
  return new ReasongenError({
    code: reason.code,
    message: [reason.message, ...rest.map((error) => `then, while ending the run: ${explainError(error).message}`)].join('\n'),
    place: reason.place,
    cure: reason.cure,
    exitCode: reason.exitCode,
    cause: new AggregateError(errors),
  });
}
