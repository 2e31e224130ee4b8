/**
 * Faults on purpose, for the walk that tries all of them: REASONGEN_FAULT=POINT:OCCURRENCE:KIND, e.g. `rename:3:SIGKILL`, makes the third
 * rename of the process end it; REASONGEN_FAULT=armed waits for a process that tries many, one after the other. Without the variable `faults` is undefined, and nothing
 * of this is ever asked. Occurrences are numbered in the order of the program.
 */
import { processEnvironment } from './environment.ts';

/**
 * `exit`, `SIGKILL`: the process ends, in the middle where the effect is a write. `lost`: the power fails; what was written since the last
 * flush is gone, and so are new files and renames in folders that were not flushed.
 */
const ends = ['exit', 'SIGKILL', 'lost'] as const;
/** The call fails. */
const refusals = ['EIO', 'ENOSPC', 'EMFILE'] as const;
const fails = [...ends, ...refusals] as const;

/**
 * Where a fault may happen, and of which kinds. Effects on files go through `io/files.ts`; `read` is a piece of a file, or a file, that is
 * read as input (also what a thread decodes: it opens no file, and is handed what was read here; the process of ONNX models reads by the
 * library's own code, and is one that may end), `device` a way back from the device, `request` a question to a judge or a hub. `short`: half of it is done, and that is said;
 * `flip`: a bit is wrong; `device-lost`: the device is gone; a number: the answer has this status; `half`: it breaks off; `silent`: there is none.
 */
export const faultPoints = {
  mkdir: fails,
  open: fails,
  write: [...fails, 'short', 'flip'],
  flush: fails,
  rename: fails,
  link: fails,
  remove: fails,
  // Metrics and messages have no checksum: a bit that turns in them is seen by nobody, and decides nothing.
  append: [...fails, 'short'],
  truncate: fails,
  copy: fails,
  // An end at what changes nothing is the end at the next effect.
  read: ['EIO', 'short'],
  device: ['device-lost'],
  request: ['ECONNRESET', '429', '500', 'half', 'silent'],
  // Behind the end of a program, on paper only: what it has done is on the disk.
  end: ['lost'],
} as const;

export type FaultPoint = keyof typeof faultPoints;
export type FaultKind = (typeof faultPoints)[FaultPoint][number];

export interface FaultPlan {
  readonly point: FaultPoint;
  /** From 1. */
  readonly occurrence: number;
  readonly kind: FaultKind;
  /** Effects of this point, or one of them, are left out: a program that forgot them, which the walk must find out. */
  readonly without?: FaultPoint | undefined;
  /** From 1; all unless told. */
  readonly withoutOccurrence?: number | undefined;
}

/** Whatever stands in its place later (`stray.ts`). */
const exit: (code: number) => never = process.exit.bind(process);

/** The exit code of the kind `exit`. */
export const faultExitCode = 99;

/** A plan as the text of the variable. */
export function faultText({ point, occurrence, kind, without, withoutOccurrence }: FaultPlan): string {
  const number = withoutOccurrence === undefined ? '' : `@${withoutOccurrence}`;
  return `${point}:${occurrence}:${kind}${without === undefined ? '' : `:without-${without}${number}`}`;
}

/** Undefined without the variable. Throws for a text that is no plan. */
export function readFaultPlan(text: string | undefined): FaultPlan | 'armed' | undefined {
  if (text === undefined || text === '') return undefined;
  if (text === 'armed') return text;
  const [name = '', occurrence, kindName, left, ...more] = text.split(':');
  const kind = isPoint(name) ? faultPoints[name].find((each) => each === kindName) : undefined;
  const [, without = '', withoutOccurrence] = /^without-([a-z]+)(?:@([1-9]\d*))?$/.exec(left ?? '') ?? [];
  const isWhole = more.length === 0 && Number(occurrence) >= 1 && (left === undefined || isPoint(without));
  if (!isPoint(name) || kind === undefined || !isWhole)
    throw new RangeError(`REASONGEN_FAULT=${text}: write POINT:OCCURRENCE:KIND or armed`);
  return {
    point: name,
    occurrence: Number(occurrence),
    kind,
    ...(isPoint(without) && { without }),
    ...(withoutOccurrence !== undefined && { withoutOccurrence: Number(withoutOccurrence) }),
  };
}

function isPoint(name: string): name is FaultPoint {
  return Object.hasOwn(faultPoints, name);
}

export class Faults {
  private plan: FaultPlan | undefined;
  private readonly counts = new Map<FaultPoint, number>();
  /** In a process that tries many faults an end is one on paper: from then on every effect is refused, and so nothing changes any more. */
  private readonly endsOnPaper: boolean;
  private hasEnded = false;
  /** What the kind `lost` does to the files, and how they begin anew. */
  private readonly losses: (() => void)[] = [];
  private readonly beginnings: (() => void)[] = [];

  constructor(plan?: FaultPlan, endsOnPaper = false) {
    this.plan = plan;
    this.endsOnPaper = endsOnPaper;
  }

  onLoss(lose: () => void, begin: () => void): void {
    this.losses.push(lose);
    this.beginnings.push(begin);
  }

  /** Begins anew with another plan, or none. */
  arm(plan: FaultPlan | undefined): void {
    this.plan = plan;
    this.counts.clear();
    this.hasEnded = false;
    for (const begin of this.beginnings) begin();
  }

  /** Whether the process has ended on paper, and how often each point was passed. */
  get outcome(): { readonly hasEnded: boolean; readonly counts: Readonly<Record<string, number>> } {
    return { hasEnded: this.hasEnded, counts: Object.fromEntries(this.counts) };
  }

  /** Passes a point: ends the process, `half` done where that is possible; throws; or returns the kind where the effect itself is to be wrong. */
  pass(point: FaultPoint, half?: () => void): FaultKind | undefined {
    if (this.hasEnded) throw refused('EIO', point);
    const occurrence = (this.counts.get(point) ?? 0) + 1;
    this.counts.set(point, occurrence);
    if (this.plan?.point !== point || this.plan.occurrence !== occurrence) return undefined;
    const { kind } = this.plan;
    if (kind === 'exit' || kind === 'SIGKILL' || kind === 'lost') {
      half?.();
      if (kind === 'lost') for (const lose of this.losses) lose();
      this.end(kind);
      throw refused('EIO', point);
    }
    if (kind === 'EIO' || kind === 'ENOSPC' || kind === 'EMFILE' || kind === 'ECONNRESET') throw refused(kind, point);
    return kind;
  }

  /** Whether the effect at hand is one that the program forgot. */
  isForgotten(point: FaultPoint): boolean {
    const { without, withoutOccurrence } = this.plan ?? {};
    return without === point && (withoutOccurrence === undefined || withoutOccurrence === this.counts.get(point));
  }

  private end(kind: FaultKind): void {
    if (this.endsOnPaper) this.hasEnded = true;
    else if (kind === 'exit') exit(faultExitCode);
    else {
      process.kill(process.pid, 'SIGKILL');
      // The signal has been sent, and nothing may happen any more.
      for (;;);
    }
  }
}

function refused(code: string, point: FaultPoint): Error {
  return Object.assign(new Error(`${code}: a fault on purpose, ${point}`), { code, syscall: point });
}

function faultsOf(text: string | undefined): Faults | undefined {
  const plan = readFaultPlan(text);
  if (plan === undefined) return undefined;
  return plan === 'armed' ? new Faults(undefined, true) : new Faults(plan);
}

export const faults: Faults | undefined = faultsOf(processEnvironment['REASONGEN_FAULT']);
