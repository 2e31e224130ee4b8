/** Work on a list, several items at a time, whose results come in the order of the items. An item is taken from the list when its work begins. */
export async function* underWay<Item, Result>(
  items: Iterable<Item>,
  atOnce: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const begun: Promise<Result>[] = [];
  const next = items[Symbol.iterator]();
  for (let isMore = true; isMore || begun.length > 0;) {
    while (isMore && begun.length < atOnce) {
      const item = next.next();
      isMore = item.done !== true;
      if (item.done === true) break;
      const result = work(item.value);
      // Heard when its turn comes.
      result.catch(() => undefined);
      begun.push(result);
    }
    const first = begun.shift();
    if (first !== undefined) yield await first;
  }
}
