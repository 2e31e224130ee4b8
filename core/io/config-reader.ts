import { ReasongenError } from '../errors.ts';

/** An object of a `config.json` with its path, so that every complaint names the key. Absent and null are alike. */
export class ConfigReader {
  private readonly values: Readonly<Record<string, unknown>>;
  private readonly place: string;
  private readonly path: string;

  constructor(values: unknown, place: string, path = '') {
    this.place = place;
    this.path = path;
    if (typeof values !== 'object' || values === null || Array.isArray(values)) throw this.bad('', 'is not an object');
    this.values = values as Readonly<Record<string, unknown>>;
  }

  bad(key: string, what: string): ReasongenError {
    const name = [this.path, key].filter(Boolean).join('.') || 'the file';
    return new ReasongenError({
      code: 'BAD_CONFIG',
      message: `${name} ${what}`,
      place: this.place,
      hint: 'use the config.json that came with the checkpoint',
      exitCode: 2,
    });
  }

  has(key: string): boolean {
    return this.values[key] !== undefined && this.values[key] !== null;
  }

  child(key: string): ConfigReader {
    if (!this.has(key)) throw this.bad(key, 'is missing');
    return new ConfigReader(this.values[key], this.place, [this.path, key].filter(Boolean).join('.'));
  }

  text(key: string): string {
    const value = this.values[key];
    if (typeof value !== 'string')
      throw this.bad(key, this.has(key) ? `is ${JSON.stringify(value)}, not a text` : 'is missing');
    return value;
  }

  /** A whole number from 1. */
  count(key: string, absent?: number): number {
    const value = this.get(key, absent);
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1)
      throw this.bad(key, `is ${JSON.stringify(value)}, not a whole number above zero`);
    return value;
  }

  /** A whole number from 0. */
  index(key: string): number {
    const value = this.get(key);
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
      throw this.bad(key, `is ${JSON.stringify(value)}, not a whole number`);
    return value;
  }

  positive(key: string, absent?: number): number {
    const value = this.get(key, absent);
    if (typeof value !== 'number' || !(value > 0 && value < Number.POSITIVE_INFINITY))
      throw this.bad(key, `is ${JSON.stringify(value)}, not a number above zero`);
    return value;
  }

  counts(key: string, absent?: readonly number[]): readonly number[] {
    const value = this.get(key, absent);
    if (
      !Array.isArray(value) ||
      value.length === 0 ||
      !value.every((item): item is number => Number.isSafeInteger(item) && (item as number) > 0)
    ) {
      throw this.bad(key, `is ${JSON.stringify(value)}, not a list of whole numbers above zero`);
    }
    return value;
  }

  /** Whole numbers from 0; the list may be empty. */
  indices(key: string): readonly number[] {
    const value = this.get(key);
    if (
      !Array.isArray(value) ||
      !value.every((item): item is number => Number.isSafeInteger(item) && (item as number) >= 0)
    )
      throw this.bad(key, `is ${JSON.stringify(value)}, not a list of whole numbers`);
    return value;
  }

  /** So many finite numbers. */
  numbers(key: string, length: number, absent?: readonly number[]): readonly number[] {
    const value = this.get(key, absent);
    if (
      !Array.isArray(value) ||
      value.length !== length ||
      !value.every((item): item is number => Number.isFinite(item))
    )
      throw this.bad(key, `is ${JSON.stringify(value)}, not a list of ${length} numbers`);
    return value;
  }

  /** Absent means no. */
  flag(key: string): boolean {
    const value = this.values[key] ?? false;
    if (typeof value !== 'boolean') throw this.bad(key, `is ${JSON.stringify(value)}, not true or false`);
    return value;
  }

  /** A count that divides another. */
  divisor(key: string, absent: number, of: string, total: number): number {
    const value = this.count(key, absent);
    if (total % value !== 0) throw this.bad(key, `${value} does not divide ${of} ${total}`);
    return value;
  }

  quotient(key: string, value: number, by: string, divisor: number): number {
    if (value % divisor !== 0) throw this.bad(key, `${value} is not a multiple of ${by} ${divisor}`);
    return value / divisor;
  }

  /** A ratio times a width, truncated as the published implementations do. */
  product(key: string, absent: number, width: number): number {
    return Math.trunc(this.positive(key, absent) * width);
  }

  /** Refuses what is not computed here; an absent key means `only`. */
  mustBe(key: string, only: string | number | boolean): void {
    const value = this.values[key] ?? only;
    if (value !== only)
      throw this.bad(key, `is ${JSON.stringify(value)}; only ${JSON.stringify(only)} is computed here`);
  }

  mustEqual(key: string, expected: number, what: string, absent?: number): void {
    const value = this.count(key, absent);
    if (value !== expected) throw this.bad(key, `is ${value}, but ${what} is ${expected}`);
  }

  private get(key: string, absent?: unknown): unknown {
    if (this.has(key)) return this.values[key];
    if (absent === undefined) throw this.bad(key, 'is missing');
    return absent;
  }
}
