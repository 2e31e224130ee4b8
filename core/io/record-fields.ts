/**
 * What a value of a record may be. Records are written by other programs, earlier versions and, in a directory somebody sent, by
 * anybody: a value that is not what it should be is left out, a text that is too long is cut, and no number is anything but finite.
 */

/** Characters of a text that are kept: more than a rationale or a judge's reasons take. */
const longest = 20_000;
/** Of a name, as of a metric or a reward. */
const longestName = 200;
const mostEntries = 10_000;

export function text(value: unknown, limit = longest): string | undefined {
  if (typeof value !== 'string') return undefined;
  return value.length <= limit ? value : `${value.slice(0, limit)}…`;
}

/** Beyond this, sums of a few values are no longer finite. */
const largestNumber = 1e300;

export function number(value: unknown): number | undefined {
  return typeof value === 'number' && Math.abs(value) <= largestNumber ? value : undefined;
}

/** A whole number from 0. */
export function count(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && Number(value) >= 0 ? Number(value) : undefined;
}

/** ISO 8601. */
export function time(value: unknown): string | undefined {
  return typeof value === 'string' && value.length < 64 && Number.isFinite(Date.parse(value)) ? value : undefined;
}

export function list<Item>(value: unknown, read: (item: unknown) => Item | undefined): Item[] {
  if (!Array.isArray(value)) return [];
  return value.slice(0, mostEntries).flatMap((item) => {
    const kept = read(item);
    return kept === undefined ? [] : [kept];
  });
}

/** By name. The result inherits nothing, so that no name stands for what objects have by themselves. */
export function map<Item>(value: unknown, read: (item: unknown) => Item | undefined): Readonly<Record<string, Item>> {
  const result = Object.create(null) as Record<string, Item>;
  for (const [name, item] of Object.entries(fields(value)).slice(0, mostEntries)) {
    const kept = read(item);
    if (kept !== undefined && name.length <= longestName) result[name] = kept;
  }
  return result;
}

/** The fields of a JSON object; none of anything else. */
export function fields(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : {};
}

/** Without the fields that are undefined. */
export function present<Fields extends object>(
  value: Fields,
): { [Key in keyof Fields]: Exclude<Fields[Key], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as never;
}
