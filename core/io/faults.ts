/**
 * Faults on purpose, for the test that walks all of them: REASONGEN_FAULT=POINT:OCCURRENCE:KIND, e.g. `rename:3:SIGKILL`, makes the
 * third rename of the process end it. REASONGEN_FAULT=count:FILE makes no fault and writes into FILE, at the end, how often each
 * point was passed. Points are the effects of `files.ts`; they are numbered by their order, which is that of the program.
 */
import type * as nodeSync from 'node:fs';
import type * as nodeFiles from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * `exit`, `SIGKILL`: the process ends before the effect. `EIO`, `ENOSPC`, `EMFILE`: the call fails. `short`: half of a write is
 * done and said to be done. `lost`: the power fails; what was written since the last flush is gone, and so are renames in folders
 * that were not flushed. `flip`: a bit of what is written is wrong.
 */
export const faultKinds = ['exit', 'SIGKILL', 'EIO', 'ENOSPC', 'EMFILE', 'short', 'lost', 'flip'] as const;
export type FaultKind = (typeof faultKinds)[number];

/** Effects that a fault may meet. `short` and `flip` are faults of writes only. */
export const faultPoints = [
  'mkdir',
  'open',
  'write',
  'flush',
  'rename',
  'link',
  'remove',
  'append',
  'truncate',
  'copy',
] as const;
export type FaultPoint = (typeof faultPoints)[number];

export interface FaultPlan {
  readonly point: FaultPoint;
  /** From 1. */
  readonly occurrence: number;
  readonly kind: FaultKind;
  /** Effects of this kind, or one of them, are left out: a program that forgot them, which the walk must find out. */
  readonly without?: FaultPoint;
  /** From 1; all unless told. */
  readonly withoutOccurrence?: number;
}

/** The exit code of the kind `exit`. */
export const faultExitCode = 99;

/** Undefined without the variable: then nothing of this is used. Throws for a text that is no plan. */
export function readFaultPlan(text: string | undefined): FaultPlan | { readonly countInto: string } | undefined {
  if (text === undefined || text === '') return undefined;
  if (text.startsWith('count:')) return { countInto: text.slice('count:'.length) };
  const [name, occurrence, kindName, left, ...more] = text.split(':');
  const point = faultPoints.find((each) => each === name);
  const kind = faultKinds.find((each) => each === kindName);
  const [, leftPoint, leftOccurrence] = /^without-([a-z]+)(?:@([1-9]\d*))?$/.exec(left ?? '') ?? [];
  const without = faultPoints.find((each) => each === leftPoint);
  if (
    point === undefined ||
    kind === undefined ||
    (left !== undefined && without === undefined) ||
    more.length > 0 ||
    !(Number(occurrence) >= 1)
  )
    throw new RangeError(`REASONGEN_FAULT=${text}: write POINT:OCCURRENCE:KIND or count:FILE`);
  return {
    point,
    occurrence: Number(occurrence),
    kind,
    ...(without !== undefined && { without }),
    ...(leftOccurrence !== undefined && { withoutOccurrence: Number(leftOccurrence) }),
  };
}

type AnyFunction = (...values: never[]) => unknown;
type Sync = typeof nodeSync;
type Async = typeof nodeFiles;

/** The file system with one fault in it. */
export class FaultySystem {
  private readonly counts = new Map<FaultPoint, number>();
  private readonly plan: ReturnType<typeof readFaultPlan>;
  private readonly sync: Sync;
  /** Bytes of each file that a flush has made safe; only files written to since. */
  private readonly safe = new Map<string, number>();
  /** Renames in folders that were not flushed since. */
  private renames: { readonly from: string; readonly to: string }[] = [];
  private readonly paths = new Map<number, string>();

  constructor(plan: ReturnType<typeof readFaultPlan>, sync: Sync) {
    this.plan = plan;
    this.sync = sync;
    if (plan !== undefined && 'countInto' in plan)
      process.on('exit', () => sync.writeFileSync(plan.countInto, JSON.stringify(Object.fromEntries(this.counts))));
  }

  /** Passes a point: ends the process, throws, or returns the kind where the effect itself is to be wrong. */
  private pass(point: FaultPoint): FaultKind | undefined {
    const occurrence = (this.counts.get(point) ?? 0) + 1;
    this.counts.set(point, occurrence);
    const { plan } = this;
    if (plan === undefined || 'countInto' in plan || plan.point !== point || plan.occurrence !== occurrence)
      return undefined;
    const { kind } = plan;
    if (kind === 'exit') process.exit(faultExitCode);
    if (kind === 'lost') this.losePower();
    if (kind === 'SIGKILL' || kind === 'lost') {
      process.kill(process.pid, 'SIGKILL');
      // The signal has been sent, and nothing may happen any more.
      for (;;);
    }
    if (kind === 'short' || kind === 'flip') return kind;
    throw Object.assign(new Error(`${kind}: a fault on purpose, ${point}`), { code: kind, syscall: point });
  }

  private isWithout(point: FaultPoint): boolean {
    const { plan } = this;
    if (plan === undefined || 'countInto' in plan || plan.without !== point) return false;
    return plan.withoutOccurrence === undefined || plan.withoutOccurrence === this.counts.get(point);
  }

  private losePower(): void {
    for (const { from, to } of this.renames.toReversed())
      if (this.sync.existsSync(to) && !this.sync.existsSync(from)) this.sync.renameSync(to, from);
    for (const [path, bytes] of this.safe) if (this.sync.existsSync(path)) this.sync.truncateSync(path, bytes);
  }

  private wrote(path: string, before: number): void {
    if (!this.safe.has(path)) this.safe.set(path, before);
  }

  private flushed(path: string): void {
    this.safe.delete(path);
    this.renames = this.renames.filter(({ to }) => dirname(to) !== path);
  }

  private renamed(from: string, to: string): void {
    this.renames.push({ from, to });
    for (const [path, bytes] of this.safe) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      this.safe.delete(path);
      this.safe.set(to + path.slice(from.length), bytes);
    }
  }

  private size(path: string): number {
    return this.sync.statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  }

  private gate<Call extends AnyFunction>(
    point: FaultPoint,
    call: Call,
    done?: (...values: Parameters<Call>) => void,
  ): Call {
    return (async (...values: Parameters<Call>) => {
      this.pass(point);
      if (this.isWithout(point)) return undefined;
      const result: unknown = await call(...values);
      done?.(...values);
      return result;
    }) as unknown as Call;
  }

  files(files: Async): Async {
    const open = async (...values: Parameters<Async['open']>): ReturnType<Async['open']> => {
      this.pass('open');
      const file = await files.open(...values);
      const path = String(values[0]);
      const write = file.write.bind(file) as (...parts: unknown[]) => Promise<{ bytesWritten: number }>;
      const sync = file.sync.bind(file);
      return Object.assign(file, {
        write: async (chunk: Uint8Array, offset = 0, length = chunk.byteLength - offset, at?: number | null) => {
          const kind = this.pass('write');
          this.wrote(path, this.size(path));
          if (kind === 'short') return write(chunk, offset, Math.max(1, length >> 1), at);
          return write(kind === 'flip' ? flipped(chunk) : chunk, offset, length, at);
        },
        sync: async () => {
          this.pass('flush');
          if (this.isWithout('flush')) return;
          await sync();
          this.flushed(path);
        },
      }) as never;
    };
    return {
      ...files,
      open: open as Async['open'],
      mkdir: this.gate('mkdir', files.mkdir as AnyFunction) as Async['mkdir'],
      rename: this.gate('rename', files.rename, (from, to) => this.renamed(String(from), String(to))),
      rm: this.gate('remove', files.rm),
      rmdir: this.gate('remove', files.rmdir as AnyFunction) as Async['rmdir'],
      link: this.gate('link', files.link),
      symlink: this.gate('link', files.symlink),
      copyFile: this.gate('copy', files.copyFile),
      writeFile: this.gate('write', files.writeFile),
      appendFile: this.gate('append', files.appendFile),
    };
  }

  filesSync(files: Sync): Sync {
    const { pass, paths } = { pass: (point: FaultPoint) => this.pass(point), paths: this.paths };
    return {
      ...files,
      openSync: (path, ...rest) => {
        pass('open');
        const file = files.openSync(path, ...rest);
        paths.set(file, String(path));
        return file;
      },
      writeSync: ((file: number, bytes: Uint8Array, offset: number = 0) => {
        const kind = pass('append');
        const path = paths.get(file) ?? '';
        this.wrote(path, this.size(path));
        const length = bytes.byteLength - offset;
        if (kind === 'short') return files.writeSync(file, bytes, offset, Math.max(1, length >> 1));
        return files.writeSync(file, kind === 'flip' ? flipped(bytes) : bytes, offset, length);
      }) as unknown as Sync['writeSync'],
      fdatasyncSync: (file) => {
        pass('flush');
        if (this.isWithout('flush')) return;
        files.fdatasyncSync(file);
        this.flushed(paths.get(file) ?? '');
      },
      ftruncateSync: (file, length) => {
        pass('truncate');
        files.ftruncateSync(file, length);
      },
      appendFileSync: (path, ...rest) => {
        pass('append');
        files.appendFileSync(path, ...rest);
      },
      mkdirSync: ((...values: Parameters<Sync['mkdirSync']>) => {
        pass('mkdir');
        return files.mkdirSync(...values);
      }) as Sync['mkdirSync'],
      rmSync: (...values) => {
        pass('remove');
        files.rmSync(...values);
      },
    };
  }
}

/** With one bit in the middle turned. */
function flipped(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  const middle = copy.length >> 1;
  copy[middle] = (copy[middle] ?? 0) ^ 1;
  return copy;
}
