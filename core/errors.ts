import { scrub } from './scrub.ts';

/** What went wrong, where, and what to do: every failure a user may meet is one of these. */
export interface ErrorFields {
  /** Stable, in capitals: `UNKNOWN_OPTION`. */
  readonly code: string;
  readonly message: string;
  /** `file:line:column`, a component, a kernel line, a path. */
  readonly place?: string | undefined;
  /** The next thing to try. */
  readonly hint?: string | undefined;
  /** One of `exitCodes`; 1 unless told. */
  readonly exitCode?: number | undefined;
  readonly cause?: unknown;
}

/** What a process ends with, by the kind of failure. A guard is a stop on purpose: the numbers of the run are wrong. */
export const exitCodes = {
  done: 0,
  failure: 1,
  badPreset: 2,
  noAdapter: 3,
  outOfMemory: 4,
  deviceLost: 5,
  disk: 6,
  guard: 7,
  hungUp: 129,
  interrupted: 130,
  terminated: 143,
} as const;

/**
 * A failure that is shown as it is: code and place, message, hint. Throw one from a component for a mistake of the user or of what the
 * component works with; anything else thrown ends the run with exit code 1 and names the component.
 */
export class ReasongenError extends Error {
  readonly code: string;
  readonly exitCode: number;
  readonly place?: string;
  readonly hint?: string;

  constructor(fields: ErrorFields) {
    super(bounded(scrub(fields.message)), fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = 'ReasongenError';
    this.code = fields.code;
    this.exitCode = fields.exitCode ?? exitCodes.failure;
    if (fields.place !== undefined) this.place = bounded(scrub(fields.place));
    if (fields.hint !== undefined) this.hint = bounded(scrub(fields.hint));
  }
}

/** Most characters of a word in a message: what is longer is data. */
const longestWord = 390;
/** Most characters of a message. */
const longestMessage = 8000;

/** A message carries no more of what it is about than a person reads: the middle of a long word is left out, and so is the rest of a long text. */
function bounded(text: string): string {
  const words = text.replaceAll(
    new RegExp(`\\S{${longestWord + 1},}`, 'g'),
    (word) => `${word.slice(0, 150)}…${word.slice(-50)}`,
  );
  return words.length <= longestMessage ? words : `${words.slice(0, longestMessage)}…`;
}

/** A mistake of a preset, or of what the command line says about one: always exit code 2. */
export class PresetError extends ReasongenError {
  declare readonly exitCode: typeof exitCodes.badPreset;

  constructor(fields: Omit<ErrorFields, 'exitCode'>) {
    super({ ...fields, message: withoutMiddle(scrub(fields.message)), exitCode: exitCodes.badPreset });
  }
}

/** Most characters of what is wrong with a preset: a name in it may be a whole text, and there may be many mistakes. */
const longestMistake = 900;

function withoutMiddle(text: string): string {
  return text.length <= longestMistake ? text : `${text.slice(0, 600)} … ${text.slice(-200)}`;
}

/** Mistakes of one input that are shown; of more the number is told. */
const mostShown = 25;

/** Several mistakes of one input, reported together. The exit code is theirs where they agree. */
export class ProblemsError extends ReasongenError {
  readonly problems: readonly ReasongenError[];

  constructor(problems: readonly ReasongenError[]) {
    const [first] = problems;
    super({
      code: problems.length === 1 && first !== undefined ? first.code : 'BAD_PRESET',
      message: formatProblems(problems),
      exitCode:
        first !== undefined && problems.every(({ exitCode }) => exitCode === first.exitCode)
          ? first.exitCode
          : exitCodes.badPreset,
    });
    this.problems = problems;
  }
}

/** Each mistake by itself. */
export function problemsOf(error: ReasongenError): readonly ReasongenError[] {
  return error instanceof ProblemsError ? error.problems : [error];
}

/** An error for programs, as `--json` prints it. */
export function errorRecord({
  code,
  message,
  place,
  hint,
  exitCode,
}: ReasongenError): Readonly<Record<string, unknown>> {
  return { code, message, place, hint, exitCode };
}

/** Why something failed, from an error and all that caused it: the innermost says it. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return reasonOf(error.cause);
  // A name with several addresses fails once for each.
  if (error instanceof AggregateError && error.errors.length > 0)
    return [...new Set(error.errors.map(reasonOf))].join(', ');
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (error.message === '') return code || error.name;
  return error.message === 'fetch failed' ? 'the request failed, without a reason' : error.message;
}

/** `CODE  place`, then what, then what to do. Several problems stand one after the other. */
export function formatError(error: ReasongenError): string {
  if (error instanceof ProblemsError) return formatProblems(error.problems);
  return formatOne(error, error.hint);
}

function formatOne({ code, place, message }: ReasongenError, hint: string | undefined): string {
  const head = place === undefined ? code : `${code}  ${place}`;
  const body = [sentence(message), hint === undefined ? '' : sentence(capital(hint))];
  return printable(`${head}\n  ${body.filter(Boolean).join(' ').replaceAll('\n', '\n  ')}`);
}

/** A longer hint, a list of all options for instance, is said once. */
const longestRepeated = 160;

function formatProblems(problems: readonly ReasongenError[]): string {
  const said = new Set<string>();
  const shown = problems.slice(0, mostShown).map((problem) => {
    const { hint = '' } = problem;
    if (said.has(hint)) return formatOne(problem, undefined);
    if (hint.length > longestRepeated) said.add(hint);
    return formatError(problem);
  });
  const left = problems.length - shown.length;
  return [...shown, ...(left > 0 ? [`and ${left} more mistakes`] : [])].join('\n');
}

/** Texts of files, models and servers may hold what a terminal would obey. */
export function printable(text: string): string {
  return text.replaceAll(
    /(?![\t\n])\p{Cc}/gu,
    (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
}

function sentence(text: string): string {
  return /[.?!:…]$/.test(text) ? text : `${text}.`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** What presets call what was called otherwise once, or is by other programs; written without hyphens, underscores and capitals. */
const otherWords: ReadonlyMap<string, readonly string[]> = new Map([
  ['samples', ['groupSize', 'samplesPerPrompt']],
  ['updates', ['miniBatches']],
  ['numgenerations', ['groupSize']],
  ['maxsteps', ['steps']],
  ['maxgradnorm', ['maxNorm']],
  ['batchsize', ['batch', 'prompts']],
  ['numiterations', ['epochs']],
  ['gradientcheckpointing', ['recompute']],
  ['warmupsteps', ['warmup']],
  ['beta', ['kl', 'betas']],
  ['eps', ['epsilon']],
]);

const bare = (word: string): string => word.toLowerCase().replaceAll(/[-_]/g, '');

/** Whether two words are one, written otherwise (`learning_rate`), cut to its initials (`lr`) or taken from another program. */
export function isSameWord(name: string, known: string): boolean {
  const word = bare(name);
  const initials = (known.match(/^[a-z]|[A-Z]/g) ?? []).join('').toLowerCase();
  return (
    word === bare(known) || (word.length > 1 && word === initials) || otherWords.get(word)?.includes(known) === true
  );
}

/** A path as a shell takes it for one word: a command in a message can be copied, whatever the path is called. */
export function shellWord(text: string): string {
  if (/^[\p{L}\p{N}_@%+=:,./-]+$/u.test(text)) return text;
  if (!/\p{Cc}/u.test(text)) return `'${text.replaceAll("'", "'\\''")}'`;
  const escaped = text
    .replaceAll(/[\\']/g, '\\$&')
    .replaceAll(/\p{Cc}/gu, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return `$'${escaped}'`;
}

/** The known name that is the same word, or the one most like it, when it is like enough to be a slip of the keyboard. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  const names = [...known];
  // No slip of the keyboard, and long to compare.
  if (name.length > 100) return undefined;
  const same = names.find((each) => bare(each) === bare(name)) ?? names.find((each) => isSameWord(name, each));
  if (same !== undefined) return same;
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const candidate of names) {
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

/** Edits, counting the swap of two neighbors as one (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let cost = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
      );
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        cost = Math.min(cost, (before[column - 2] ?? 0) + 1);
      }
      current.push(cost);
    }
    [before, last] = [last, current];
  }
  return last[b.length] ?? 0;
}
