/**
 * What plugins are handed: copies that cannot be changed. A handler or a reward that sorts, cuts or writes what it was given would
 * otherwise move values from one drawing to another, silently.
 */

/**
 * A deep copy of lists, plain objects and typed arrays, frozen. The elements of a typed array cannot be frozen: each call hands out a
 * copy of its own. Everything else (functions, errors, instances of classes) is handed on as it is.
 */
export function frozenCopy<Value>(value: Value): Value {
  return copy(value) as Value;
}

function copy(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (ArrayBuffer.isView(value)) return 'slice' in value ? (value as Uint8Array).slice() : value;
  if (Array.isArray(value)) return Object.freeze(value.map(copy));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  return Object.freeze(Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copy(item)])));
}

/** What to tell the author of a plugin whose code tried to change what it was handed; undefined for every other error. */
export function frozenHint(error: unknown): string | undefined {
  if (!(error instanceof TypeError)) return undefined;
  if (!/read only property|not extensible|Cannot delete property|Cannot redefine property/.test(error.message))
    return undefined;
  return 'what a plugin is handed cannot be changed: copy it first, for example [...samples].sort()';
}
