/** NumPy's `default_rng(seed)`: PCG64 with seeds stretched by a hash, and the draws of it that GenEval's prompts are made with. */

const word = (value: number): number => value >>> 0;
const mask64 = (1n << 64n) - 1n;
const mask128 = (1n << 128n) - 1n;
const multiplier = 0x2360ed051fc65da44385df649fccf645n;

/** Eight 32-bit words from one, as NumPy's SeedSequence makes them. */
export function stateWords(seed: number): number[] {
  let constant = 0x43b0d7e5;
  const hash = (value: number): number => {
    let mixed = word(value ^ constant);
    constant = word(Math.imul(constant, 0x931e8875));
    mixed = word(Math.imul(mixed, constant));
    return word(mixed ^ (mixed >>> 16));
  };
  const mix = (x: number, y: number): number => {
    const both = word(Math.imul(x, 0xca01f9dd) - Math.imul(y, 0x4973f715));
    return word(both ^ (both >>> 16));
  };
  const pool = [seed, 0, 0, 0].map(hash);
  for (let source = 0; source < 4; source++)
    for (let target = 0; target < 4; target++)
      if (source !== target) pool[target] = mix(pool[target] ?? 0, hash(pool[source] ?? 0));
  let output = 0x8b51f9dd;
  return Array.from({ length: 8 }, (_, index) => {
    let value = word((pool[index % 4] ?? 0) ^ output);
    output = word(Math.imul(output, 0x58f38ded));
    value = word(Math.imul(value, output));
    return word(value ^ (value >>> 16));
  });
}

export class Pcg64 {
  #state = 0n;
  readonly #increment: bigint;
  /** The upper half of the last 64-bit number, which is the next 32-bit number. */
  #kept: bigint | undefined;

  constructor(seed: number) {
    const words = stateWords(seed).map(BigInt);
    const [s0 = 0n, s1 = 0n, s2 = 0n, s3 = 0n] = [0, 2, 4, 6].map(
      (at) => (words[at] ?? 0n) | ((words[at + 1] ?? 0n) << 32n),
    );
    this.#increment = ((((s2 << 64n) | s3) << 1n) | 1n) & mask128;
    this.#step();
    this.#state = (this.#state + ((s0 << 64n) | s1)) & mask128;
    this.#step();
  }

  next64(): bigint {
    this.#step();
    const mixed = (this.#state >> 64n) ^ (this.#state & mask64);
    const turn = this.#state >> 122n;
    return ((mixed >> turn) | (mixed << ((64n - turn) & 63n))) & mask64;
  }

  /** A whole number from 0 below `bound`, every one as likely; draws nothing where there is one only. */
  below(bound: number): number {
    if (bound === 1) return 0;
    const range = BigInt(bound);
    const rest = (1n << 32n) % range;
    for (;;) {
      const product = this.#next32() * range;
      if ((product & 0xffffffffn) >= rest) return Number(product >> 32n);
    }
  }

  /** `count` different whole numbers below `bound`, in random order. */
  distinct(bound: number, count: number): number[] {
    const chosen: number[] = [];
    for (let top = bound - count; top < bound; top++) {
      const value = this.below(top + 1);
      chosen.push(chosen.includes(value) ? top : value);
    }
    for (let at = count - 1; at > 0; at--) {
      const other = this.below(at + 1);
      [chosen[at], chosen[other]] = [chosen[other] ?? 0, chosen[at] ?? 0];
    }
    return chosen;
  }

  #next32(): bigint {
    if (this.#kept !== undefined) {
      const kept = this.#kept;
      this.#kept = undefined;
      return kept;
    }
    const whole = this.next64();
    this.#kept = whole >> 32n;
    return whole & 0xffffffffn;
  }

  #step(): void {
    this.#state = (this.#state * multiplier + this.#increment) & mask128;
  }
}
