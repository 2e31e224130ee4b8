/** Runs a program with one fault in it, lets it go on without, and compares the end with that of a run nobody disturbed. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  faultExitCode,
  faultPoints,
  faultText,
  type FaultKind,
  type FaultPlan,
  type FaultPoint,
} from '../../core/faults.ts';
import { hasCode } from '../../core/io/disk.ts';
import { difference, leftoversIn, type Outcome } from './outcome.ts';
import type { End, Environment, Runner, Words } from './runner.ts';

/** A program whose effects are walked. */
export interface Scenario {
  readonly name: string;
  /** To start in a directory that is not there yet, and to go on in one that is. */
  start(directory: string): Words;
  resume(directory: string): Words;
  /** Whether what a fault left is gone on with by `resume`; where a run has begun unless told. */
  begun?(directory: string): boolean;
  /** Says what is damaged. */
  verify?(directory: string): Words;
  /** Parts of the outcome that have no checksum which anything reads again: a bit that turns in one is seen by nobody. */
  readonly blind?: RegExp;
  /** Exit codes of errors that a fault may end it with, beside those of its kind. */
  readonly exits?: readonly number[];
  readonly environment?: (directory: string) => Environment;
  outcome(directory: string): Outcome;
}

/** What a scenario comes to without any fault, and all faults it may meet. */
export interface Survey {
  readonly faults: readonly FaultPlan[];
  /** How often each point is passed. */
  readonly passes: Readonly<Partial<Record<FaultPoint, number>>>;
  readonly reference: Outcome;
  /** Names that a run which nobody disturbed leaves, too. */
  readonly leftovers: readonly string[];
}

/** `exit` is SIGKILL with another number where ends are on paper: processes of their own are given it (`faults.test.ts`). */
const isOnPaper = (kind: FaultKind): boolean => kind !== 'exit';

export async function survey(
  scenario: Scenario,
  runner: Runner,
  kinds: (kind: FaultKind) => boolean = isOnPaper,
): Promise<Survey> {
  const folder = mkdtempSync(join(tmpdir(), 'reasongen-faults-'));
  const directory = join(folder, 'run');
  const { code, said, counts } = await runner.count(
    scenario.start(directory),
    folder,
    scenario.environment?.(directory) ?? {},
  );
  if (code !== 0) throw new Error(`${scenario.name} fails without any fault:\n${said}`);
  const reference = scenario.outcome(directory);
  const leftovers = leftoversIn(folder);
  rmSync(folder, { recursive: true });
  const passes = counts as Survey['passes'];
  const faults = Object.entries(passes).flatMap(([name, count]) => {
    const point = name as FaultPoint;
    return Array.from({ length: count }, (_, index) => index + 1).flatMap((occurrence) =>
      faultPoints[point].filter(kinds).map((kind) => ({ point, occurrence, kind })),
    );
  });
  return { faults, passes, reference, leftovers };
}

/** Undefined when all is well; otherwise what went wrong, in words. */
export async function tryFault(
  scenario: Scenario,
  fault: FaultPlan,
  { reference, leftovers }: Pick<Survey, 'reference' | 'leftovers'>,
  runner: Pick<Runner, 'run'>,
): Promise<string | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'reasongen-faults-'));
  const directory = join(folder, 'run');
  const environment = scenario.environment?.(directory) ?? {};
  const { kind } = fault;
  const wrong = async (): Promise<string | undefined> => {
    const first = await runner.run(scenario.start(directory), folder, environment, fault);
    const unfit = judge(first, fault, scenario.exits);
    if (unfit !== undefined) return `${unfit}\n${first.said}`;
    // What has a wrong bit in it is done again when it is looked at again, or refused by name.
    if (first.code !== 0 || kind === 'flip') {
      const isBegun = scenario.begun?.(directory) ?? existsSync(join(directory, 'run.json'));
      const words = isBegun ? scenario.resume(directory) : scenario.start(directory);
      const again = await runner.run(words, folder, environment);
      // The fault came after the last word of the run: there is nothing left to do.
      const isOver = /^(NOTHING_TO_TRAIN|FILE_EXISTS)/m.test(again.said);
      if (isRefusedBit(again, fault)) return undefined;
      if (again.code !== 0 && !isOver) return `the resumed run ends with ${again.code}\n${again.said}`;
    }
    const record = join(directory, 'run.json');
    if (kind === 'lost' && existsSync(record) && readFileSync(record, 'utf8').includes('is passed over'))
      return 'a checkpoint had its name before all of it was on the disk';
    const left = leftoversIn(folder).filter((name) => !leftovers.includes(name));
    if (left.length > 0 && first.code !== 0) return `it is left behind: ${left.join(', ')}`;
    const differs = difference(reference, scenario.outcome(directory));
    if (kind === 'flip' && differs !== undefined && scenario.blind?.test(differs) === true) return undefined;
    if (differs === undefined || kind !== 'flip' || scenario.verify === undefined) return differs;
    const verified = await runner.run(scenario.verify(directory), folder, environment);
    return verified.code === 6 && /^BAD_/m.test(verified.said)
      ? undefined
      : `nobody sees a bit that is wrong: ${differs}`;
  };
  try {
    const what = await wrong().catch((error: unknown) => {
      if (hasCode(error, 'ENOENT')) return `something is not there in the end: ${(error as Error).message}`;
      throw error;
    });
    return what === undefined ? undefined : `${faultText(fault)}: ${what}`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Whether a program has found a bit that is wrong in what it was to go on with, and says where. */
function isRefusedBit({ code, said }: End, { kind }: Pick<FaultPlan, 'kind'>): boolean {
  return kind === 'flip' && (code === 2 || code === 6) && /^(BAD_|INPUTS_CHANGED)/m.test(said);
}

/** A process that a fault ends dies of it; one that meets an error names it, or goes on where it decides nothing. */
function judge({ code, said }: End, { kind, point }: FaultPlan, exits: readonly number[] = []): string | undefined {
  if (code === -1) return 'the process ended otherwise than by the fault';
  if (code === -2) return 'an error that nobody waited for';
  // Never met, where occurrences depend on the pieces in which something arrives: the end is compared all the same.
  if (code === 0 || isRefusedBit({ code, said }, { kind })) return undefined;
  if (kind === 'SIGKILL' || kind === 'lost') return code === null || code === 137 ? undefined : `ended with ${code}`;
  if (kind === 'exit') return code === faultExitCode || code === null ? undefined : `ended with ${code}`;
  if (/^\s+at /m.test(said)) return 'a stack trace in place of a message';
  // Of the disk; of the device; of an input that cannot be read.
  const usual = kind === 'device-lost' ? [5] : point === 'read' ? [6, 2] : [6];
  return [...usual, ...exits].includes(code ?? -1) && /^[A-Z][A-Z_]+( {2}|$)/m.test(said)
    ? undefined
    : `ended with ${code} and without a named error`;
}
