/** `make()` of the first call for all calls: for what costs time, never changes, and may never be needed. */
export function once<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | undefined;
  return () => (made ??= { value: make() }).value;
}
