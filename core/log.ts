import progressBars from 'cli-progress';
import { printable } from './errors.ts';
import { scrub } from './scrub.ts';

/** A piece of work with a known length, visible while it lasts. */
export interface Progress {
  /** `count` more units are done; `note` is shown behind the bar, e.g. `loss 1.23`. */
  advance(count?: number, note?: string): void;
  /** Ends the bar. Safe to call twice. */
  end(): void;
}

/** What a component, a recipe and a command say to the person in front of the screen. Metrics go elsewhere. */
export interface Log {
  info(message: string): void;
  warn(message: string): void;
  /** Shown only with `--debug`. */
  debug(message: string): void;
  /**
   * Shows `total` units of work: a bar with rate and time left on a terminal, a line every few seconds in a pipe.
   * `done` units count as finished before the start, as after a resume. One at a time: a new one ends the last.
   */
  progress(label: string, total: number, options?: { readonly unit?: string; readonly done?: number }): Progress;
}

/** The part of a stream a log needs; `process.stderr` is one. One that is a terminal is taken for a whole `tty.WriteStream`. */
export interface LogStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

export interface LogOptions {
  readonly stream?: LogStream;
  readonly debug?: boolean;
  /** Smallest distance of two progress lines in a pipe. */
  readonly lineMilliseconds?: number;
  readonly now?: () => number;
}

/** Logs to a stream, `process.stderr` unless told, so that standard output stays for results. */
export function createLog(options: LogOptions = {}): Log {
  const stream = options.stream ?? process.stderr;
  const now = options.now ?? (() => performance.now());
  let current: Redrawable | undefined;

  const line = (text: string): void => {
    current?.clear();
    stream.write(`${printable(scrub(text))}\n`);
    current?.redraw();
  };
  return {
    info: line,
    warn: (message) => line(`warning: ${message}`),
    debug: (message) => {
      if (options.debug === true) line(`debug: ${message}`);
    },
    progress(label, total, { unit = 'step', done = 0 } = {}) {
      current?.end();
      const work = new Work(label, total, unit, done, now);
      const shown: Redrawable =
        stream.isTTY === true
          ? drawBar(work, stream as NodeJS.WriteStream)
          : printLines(work, stream, options.lineMilliseconds ?? 5000, now);
      current = shown;
      return {
        advance(count = 1, note = '') {
          work.add(count, note);
          shown.redraw();
        },
        end() {
          shown.end();
          if (current === shown) current = undefined;
        },
      };
    },
  };
}

/**
 * A log whose messages are kept as well as shown, once it is known where: those from before wait until then. A place that cannot be
 * written to is named once and ends nothing.
 */
export function recordedLog(shown: Log): {
  readonly log: Log;
  readonly recordIn: (place: { log(message: string): void }) => void;
  /** The warnings since it was called last, without secrets. */
  readonly takeWarnings: () => string[];
} {
  let place: { log(message: string): void } | undefined;
  let waiting: string[] = [];
  let warnings: string[] = [];
  const keep = (message: string): void => {
    waiting.push(printable(message));
    flush();
  };
  const flush = (): void => {
    if (place === undefined) return;
    const messages = waiting;
    waiting = [];
    try {
      for (const each of messages) place.log(each);
    } catch (error) {
      place = { log: () => {} };
      shown.warn(`messages are no longer kept: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const log: Log = {
    info(message) {
      shown.info(message);
      keep(message);
    },
    warn(message) {
      shown.warn(message);
      keep(`warning: ${message}`);
      warnings.push(scrub(message));
    },
    debug: (message) => shown.debug(message),
    progress: (...work) => shown.progress(...work),
  };
  return {
    log,
    recordIn(found) {
      place = found;
      flush();
    },
    takeWarnings() {
      const taken = warnings;
      warnings = [];
      return taken;
    },
  };
}

/** A log that says nothing; for tests and for programs that embed the runtime. */
export function silentLog(): Log {
  const nothing = (): void => {};
  return { info: nothing, warn: nothing, debug: nothing, progress: () => ({ advance: nothing, end: nothing }) };
}

/** `75` → `1m15s`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole}s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}m${String(whole % 60).padStart(2, '0')}s`;
  return `${Math.floor(minutes / 60)}h${String(minutes % 60).padStart(2, '0')}m`;
}

interface Redrawable {
  clear(): void;
  redraw(): void;
  end(): void;
}

/** Counts units and derives rate and time left from those done since the start. */
class Work {
  readonly label: string;
  readonly total: number;
  readonly #unit: string;
  readonly #first: number;
  readonly #now: () => number;
  readonly #started: number;
  done: number;
  note = '';

  constructor(label: string, total: number, unit: string, done: number, now: () => number) {
    this.label = label;
    this.total = total;
    this.#unit = unit;
    this.#first = done;
    this.#now = now;
    this.#started = now();
    this.done = done;
  }

  add(count: number, note: string): void {
    this.done += count;
    if (note !== '') this.note = scrub(note);
  }

  /** Rate with its unit: per second, or seconds per unit when slow; `-` before the first unit. */
  rate(): string {
    const perSecond = this.#perSecond();
    if (perSecond === 0) return '-';
    return perSecond >= 1
      ? `${perSecond.toFixed(1)} ${this.#unit}s/s`
      : `${(1 / perSecond).toFixed(1)} s/${this.#unit}`;
  }

  left(): string {
    const perSecond = this.#perSecond();
    return perSecond === 0 ? '?' : formatSeconds(Math.max(0, this.total - this.done) / perSecond);
  }

  elapsed(): string {
    return formatSeconds((this.#now() - this.#started) / 1000);
  }

  #perSecond(): number {
    const seconds = (this.#now() - this.#started) / 1000;
    const units = this.done - this.#first;
    return units > 0 && seconds > 0 ? units / seconds : 0;
  }
}

function drawBar(work: Work, stream: NodeJS.WriteStream): Redrawable {
  const bar = new progressBars.SingleBar({
    stream,
    format: '{label} {bar} {value}/{total}  {rate}  {left} left  {note}',
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 28,
    hideCursor: true,
    clearOnComplete: false,
    fps: 8,
    // Signals belong to the command line, which lets the recipe save first.
    gracefulExit: false,
  });
  const payload = (): object => ({ label: work.label, rate: work.rate(), left: work.left(), note: work.note });
  let ended = false;
  bar.start(work.total, work.done, payload());
  return {
    clear: () => {
      if (!ended) stream.write('\r\u001b[K');
    },
    redraw: () => {
      if (!ended) bar.update(work.done, payload());
    },
    end: () => {
      if (ended) return;
      ended = true;
      bar.update(work.done, payload());
      bar.stop();
    },
  };
}

function printLines(work: Work, stream: LogStream, milliseconds: number, now: () => number): Redrawable {
  let last = now();
  let printed = -1;
  let ended = false;
  const print = (tail: string): void => {
    printed = work.done;
    stream.write(
      `${[`${work.label} ${work.done}/${work.total}`, work.rate(), tail, work.note].filter(Boolean).join('  ')}\n`,
    );
  };
  return {
    clear: () => {},
    redraw: () => {
      if (ended || work.done === printed || now() - last < milliseconds) return;
      last = now();
      print(`${work.left()} left`);
    },
    end: () => {
      if (ended) return;
      ended = true;
      print(`in ${work.elapsed()}`);
    },
  };
}
