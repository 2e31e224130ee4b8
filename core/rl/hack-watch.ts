/**
 * Watches the numbers of a run for signs that it learns to please its judge instead of drawing better: pictures that show nothing, or the same
 * for all prompts, drawings of a prompt that become alike, a trained reward that rises while a held-out one falls. Arithmetic, no device.
 */
import { deviation, mean } from './statistics.ts';

/** Numbers of a step that are watched; a missing one is not. */
export interface WatchedNumbers {
  /** Share of pictures that are blank, flat, dark, burnt out or a repeating pattern. */
  readonly empty?: number | undefined;
  /** Share of prompts whose picture another prompt has, too. */
  readonly duplicates?: number | undefined;
  /** Mean distance of the drawings of a prompt. */
  readonly diversity?: number | undefined;
  /** Mean of what is trained on. */
  readonly trained?: number | undefined;
  /** Mean of what is held out. */
  readonly heldOut?: number | undefined;
}

/** Steps that are compared: the first, and the last. */
const window = 5;
/** A share may grow by so much before it is a jump. */
const jump = 0.25;
/** Of the diversity at the beginning, below which drawings of a prompt have become alike. */
const alike = 0.5;
/** By how much rewards must part, in either direction, beyond three standard errors. */
const parting = 0.05;

type Name = keyof WatchedNumbers;

/** The beginning of a series, and its last steps. */
interface Series {
  readonly first: number[];
  readonly last: number[];
}

/** What it has seen, as a checkpoint keeps it. */
export type HackWatchState = {
  readonly series: Readonly<Record<string, { readonly first: readonly number[]; readonly last: readonly number[] }>>;
  readonly raised: readonly string[];
};

export class HackWatch {
  readonly #series = new Map<Name, Series>();
  readonly #raised = new Set<string>();

  /** Takes the numbers of a step. Returns what has begun to look wrong with it, in words; each is told again only after it was gone. */
  note(numbers: WatchedNumbers): string[] {
    for (const [name, value] of Object.entries(numbers) as [Name, number | undefined][])
      if (value !== undefined && Number.isFinite(value)) this.#add(name, value);
    const found: Readonly<Record<string, string | undefined>> = {
      empty: this.#jumped(
        'empty',
        'of the pictures show nothing (blank, flat, dark, burnt out, or a repeating pattern)',
      ),
      duplicates: this.#jumped('duplicates', 'of the prompts get the picture of another prompt'),
      diversity: this.#becameAlike(),
      parting: this.#parted(),
    };
    return Object.entries(found).flatMap(([name, words]) => {
      const isNew = words !== undefined && !this.#raised.has(name);
      if (words === undefined) this.#raised.delete(name);
      else this.#raised.add(name);
      return isNew ? [words] : [];
    });
  }

  /** A copy: what is noted later does not change it. */
  get state(): HackWatchState {
    const series = [...this.#series].map(([name, { first, last }]) => [name, { first: [...first], last: [...last] }]);
    return { series: Object.fromEntries(series) as HackWatchState['series'], raised: [...this.#raised] };
  }

  /** Goes on as the watch did whose state this is. */
  restore({ series, raised }: HackWatchState): void {
    this.#series.clear();
    this.#raised.clear();
    for (const [name, { first, last }] of Object.entries(series))
      this.#series.set(name as Name, { first: [...first], last: [...last] });
    for (const name of raised) this.#raised.add(name);
  }

  #add(name: Name, value: number): void {
    const series = this.#series.get(name) ?? { first: [], last: [] };
    if (series.first.length < window) series.first.push(value);
    else series.last.push(value);
    if (series.last.length > window) series.last.shift();
    this.#series.set(name, series);
  }

  /** Undefined until there are steps enough to compare. */
  #change(name: Name): { readonly before: number; readonly now: number; readonly error: number } | undefined {
    const { first = [], last = [] } = this.#series.get(name) ?? {};
    if (last.length < window) return undefined;
    const error = Math.sqrt((deviation(first) ** 2 + deviation(last) ** 2) / window);
    return { before: mean(first), now: mean(last), error };
  }

  #jumped(name: Name, what: string): string | undefined {
    const change = this.#change(name);
    if (change === undefined || change.now - change.before <= jump + 2 * change.error) return undefined;
    return `${percent(change.now)} ${what}, ${percent(change.before)} at the beginning`;
  }

  #becameAlike(): string | undefined {
    const change = this.#change('diversity');
    if (change === undefined || change.before < 0.01 || change.now + 2 * change.error >= alike * change.before)
      return undefined;
    return `drawings of a prompt differ by ${change.now.toFixed(3)}, by ${change.before.toFixed(3)} at the beginning`;
  }

  #parted(): string | undefined {
    const [trained, heldOut] = [this.#change('trained'), this.#change('heldOut')];
    if (trained === undefined || heldOut === undefined) return undefined;
    const rises = trained.now - trained.before > parting + 3 * trained.error;
    const falls = heldOut.before - heldOut.now > parting + 3 * heldOut.error;
    if (!rises || !falls) return undefined;
    return `the trained reward has risen from ${trained.before.toFixed(3)} to ${trained.now.toFixed(3)}, the held-out one has fallen from ${heldOut.before.toFixed(3)} to ${heldOut.now.toFixed(3)}`;
  }
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}
