/** What was read last, kept for the pages that ask for it again, and read anew when its file or folder has changed. */
import { lstat } from 'node:fs/promises';

export class ReadCache<Value> {
  readonly #most: number;
  readonly #kept = new Map<string, { readonly mark: string; readonly value: Promise<Value> }>();

  /** `most`: how many are kept, those that were asked for last. */
  constructor(most: number) {
    this.#most = most;
  }

  /** `path` is what is looked at for changes, and by which the value is known; `read` makes the value, which nobody may change. */
  async read(path: string, read: () => Promise<Value>): Promise<Value> {
    const status = await lstat(path).catch(() => undefined);
    const mark = `${status?.ino}:${status?.mtimeMs}:${status?.size}`;
    const known = this.#kept.get(path);
    const value = known?.mark === mark ? known.value : read();
    this.#kept.delete(path);
    this.#kept.set(path, { mark, value });
    for (const old of [...this.#kept.keys()].slice(0, -this.#most)) this.#kept.delete(old);
    value.catch(() => this.#kept.delete(path));
    return value;
  }
}
