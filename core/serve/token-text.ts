/** Tokens to the text that is shown of them, piece by piece as they come. */
import type { Tokenizer } from '../contracts/tokenizer.ts';

/** Text of tokens that come one by one. Only the last few are decoded again with each, so that a long answer costs no more by the token than a short one. */
export class TokenText {
  private readonly decode: Tokenizer['decode'];
  /** Told of, with what has been told of before them: what a token looks like may depend on that. */
  private told: number[] = [];
  private pending: number[] = [];

  constructor({ decode }: Pick<Tokenizer, 'decode'>) {
    this.decode = decode;
  }

  /** What the token adds; empty as long as the bytes of a character are not all there. */
  add(id: number): string {
    this.pending.push(id);
    const [before, now] = [this.decode(this.told), this.decode([...this.told, ...this.pending])];
    if (now.endsWith('\uFFFD') || !now.startsWith(before)) return '';
    this.told = this.pending;
    this.pending = [];
    return now.slice(before.length);
  }

  /** What is left when no more will come. */
  end(): string {
    const [before, now] = [this.decode(this.told), this.decode([...this.told, ...this.pending])];
    this.told = [];
    this.pending = [];
    return now.startsWith(before) ? now.slice(before.length) : '';
  }
}

/** A text without blanks at its ends, up to the first of some words that stop it; what may yet turn out to belong to either is held back. */
export class ShownText {
  private readonly stops: readonly string[];
  private held = '';
  private hasBegun = false;
  private isStopped = false;

  constructor(stops: readonly string[]) {
    this.stops = stops;
  }

  /** Whether a stop has been met: nothing more will be shown. */
  get stopped(): boolean {
    return this.isStopped;
  }

  /** What can be shown with it. */
  add(text: string): string {
    if (this.isStopped) return '';
    this.held += text;
    const ends = this.stops.map((stop) => this.held.indexOf(stop)).filter((place) => place >= 0);
    if (ends.length > 0) {
      this.held = this.held.slice(0, Math.min(...ends));
      this.isStopped = true;
      return this.end();
    }
    const safe = this.held.length - Math.max(0, ...this.stops.map((stop) => begunAtEnd(this.held, stop)));
    return this.take(this.held.slice(0, safe).trimEnd().length);
  }

  /** The rest, when no more will come. */
  end(): string {
    this.held = this.held.trimEnd();
    return this.take(this.held.length);
  }

  private take(length: number): string {
    const shown = this.held.slice(0, length);
    const begun = this.hasBegun ? shown : shown.trimStart();
    this.held = this.held.slice(length);
    this.hasBegun ||= begun !== '';
    return begun;
  }
}

/** Characters of the longest beginning of `stop` that `text` ends with. */
function begunAtEnd(text: string, stop: string): number {
  for (let length = Math.min(stop.length - 1, text.length); length > 0; length--)
    if (text.endsWith(stop.slice(0, length))) return length;
  return 0;
}
