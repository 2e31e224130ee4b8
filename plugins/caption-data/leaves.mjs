/**
 * Everything within a value that holds no more values itself: texts, numbers, bytes. Without recursion: rows may be nested deeper than a stack is high.
 *
 * @param {unknown} value @returns {Generator}
 */
export function* leavesOf(value) {
  const waiting = [value];
  while (waiting.length > 0) {
    const next = waiting.pop();
    if (typeof next !== 'object' || next === null || ArrayBuffer.isView(next)) yield next;
    else for (const each of Array.isArray(next) ? next : Object.values(next)) waiting.push(each);
  }
}
