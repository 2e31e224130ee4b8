/** Weights on their way: the run hands out what has changed, a worker takes what it lacks. */
import { ReasongenError, type ReceivingWeights, type DrawService, type SharedWeights } from '../../core/plugin.ts';
import type { BlobStore } from './blobs.ts';
import { sha256, weightListSchema, type WeightList } from './protocol.ts';

/** Bytes that are read from the device, or are on their way, at a time. */
const atOnce = 64 * 2 ** 20;

/** The run's side. */
export class WeightPublisher {
  private readonly weights: SharedWeights;
  private readonly blobs: BlobStore;
  private readonly hashes = new Map<string, string>();
  private version: number | undefined;
  private isKnown = false;
  private readonly isNeeded: (hash: string) => boolean;
  private current: ReadonlySet<string> = new Set();
  /** What is being drawn with, whatever the weights are by now. */
  private readonly inUse = new Set<ReadonlySet<string>>();

  /** `isNeeded`: whether other weights of the run have the same bytes. */
  constructor(weights: SharedWeights, blobs: BlobStore, isNeeded: (hash: string) => boolean) {
    this.weights = weights;
    this.blobs = blobs;
    this.isNeeded = isNeeded;
  }

  holds(hash: string): boolean {
    return this.current.has(hash) || [...this.inUse].some((hashes) => hashes.has(hash));
  }

  /**
   * Makes the weights as they are now findable, and what they were not. They stay so until `release`. May be called again after a failure.
   * @returns hash of their list
   */
  async publish(): Promise<{ readonly list: string; readonly release: () => Promise<void> }> {
    const { layout, names } = this.weights;
    const version = this.weights.version();
    if (!this.isKnown || version === undefined || version !== this.version) await this.hashChanged(version);
    const text = JSON.stringify({ layout, hashes: Object.fromEntries(this.hashes) });
    const list = sha256(text);
    const needed = new Set([list, ...this.hashes.values()]);
    // What was put some time ago may have gone with a queue that lost it.
    const missing = new Set(await this.blobs.missing([...needed]));
    await this.read(
      names.filter((name) => missing.has(this.hashes.get(name) ?? '')),
      (_name, bytes, hash) => this.blobs.put(hash, bytes),
    );
    if (missing.has(list)) await this.blobs.put(list, new TextEncoder().encode(text));
    const old = [...this.current];
    this.current = needed;
    await this.dropUnused(old);
    this.inUse.add(needed);
    const release = async (): Promise<void> => {
      if (this.inUse.delete(needed)) await this.dropUnused([...needed]);
    };
    return { list, release };
  }

  /** Takes back what was made findable. */
  async withdraw(): Promise<void> {
    const all = [...this.current, ...[...this.inUse].flatMap((hashes) => [...hashes])];
    this.current = new Set();
    this.inUse.clear();
    await this.dropUnused([...new Set(all)]);
  }

  private async dropUnused(hashes: readonly string[]): Promise<void> {
    await this.blobs.drop(hashes.filter((hash) => !this.holds(hash) && !this.isNeeded(hash)));
  }

  /** Reads what may have changed, and hands out what has. */
  private async hashChanged(version: number | undefined): Promise<void> {
    const { names } = this.weights;
    const changed = this.isKnown ? names.filter((name) => this.weights.moves(name)) : names;
    this.isKnown = false;
    await this.read(changed, async (name, bytes, hash) => {
      const before = this.hashes.get(name);
      // At first it may all be there already.
      if (before !== undefined && before !== hash) await this.blobs.put(hash, bytes);
      this.hashes.set(name, hash);
    });
    this.isKnown = true;
    this.version = version;
  }

  private async read(
    names: readonly string[],
    use: (name: string, bytes: Uint8Array, hash: string) => void | Promise<void>,
  ): Promise<void> {
    for (const some of batches(names, (name) => this.weights.byteLength(name))) {
      const read = await this.weights.read(some);
      await Promise.all(read.map(async (bytes, index) => use(some[index] ?? '', bytes, sha256(bytes))));
    }
  }
}

/** The worker's side: what its model has at the moment. */
export class WeightTaker {
  private readonly service: DrawService;
  private weights: ReceivingWeights | undefined;
  private held = new Map<string, string>();
  private list = '';

  constructor(service: DrawService) {
    this.service = service;
  }

  /** Gives the model the weights of a list. Returns what could not be found, or undefined when all is there. Reads what differs only. */
  async take(list: string, blobs: BlobStore): Promise<string | undefined> {
    if (this.list === list) return undefined;
    const text = await blobs.get(list);
    if (text === undefined) return 'the list of weights';
    const { layout, hashes } = parseList(text);
    const weights = await this.service.openWeights(layout);
    if (weights !== this.weights) this.held = new Map();
    this.weights = weights;
    // From here on until all is there the model is neither the old one nor the new.
    this.list = '';
    const hashOf = (name: string): string => {
      const hash = hashes[name];
      if (hash === undefined) throw badList(`it has no ${name}`);
      return hash;
    };
    const lacking = weights.names.filter((name) => this.held.get(name) !== hashOf(name));
    for (const some of batches(lacking, (name) => weights.byteLength(name))) {
      const found = await Promise.all(some.map((name) => blobs.get(hashOf(name))));
      for (const [index, name] of some.entries()) {
        const bytes = found[index];
        if (bytes === undefined) return name;
        this.held.delete(name);
        weights.write(name, bytes);
        this.held.set(name, hashOf(name));
      }
    }
    this.list = list;
    return undefined;
  }
}

/** Names whose bytes are on their way at the same time. */
function* batches(names: readonly string[], byteLength: (name: string) => number): Generator<readonly string[]> {
  for (let start = 0; start < names.length;) {
    let end = start;
    for (let bytes = 0; end < names.length && (end === start || bytes < atOnce); end++)
      bytes += byteLength(names[end] ?? '');
    yield names.slice(start, end);
    start = end;
  }
}

function parseList(bytes: Uint8Array): WeightList {
  const parsed = weightListSchema.safeParse(JSON.parse(new TextDecoder().decode(bytes)));
  if (!parsed.success) throw badList(parsed.error.issues[0]?.message ?? 'it is of another form');
  return parsed.data;
}

function badList(why: string): ReasongenError {
  return new ReasongenError({
    code: 'BAD_WEIGHT_LIST',
    message: `a list of weights from the queue is of no use: ${why}`,
    hint: 'run trainer and workers with one version of the program and one preset',
  });
}
