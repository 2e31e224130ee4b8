/**
 * Philox4x32-10, the counter-based generator of `kernels/lib/philox.wgsl`, bit for bit (Salmon, Moraes, Dror, Shaw:
 * "Parallel random numbers: as easy as 1, 2, 3", 2011).
 */
export type Words4 = readonly [number, number, number, number];

/** Four random 32-bit words of a counter under a key. */
export function philox(counter: Words4, seed: readonly [number, number]): Words4 {
  let [a, b, c, d] = counter.map((word) => word >>> 0) as [number, number, number, number];
  let [x, y] = seed.map((word) => word >>> 0) as [number, number];
  for (let round = 0; round < 10; round++) {
    const firstHigh = highProduct(0xd2511f53, a);
    const firstLow = Math.imul(0xd2511f53, a) >>> 0;
    const secondHigh = highProduct(0xcd9e8d57, c);
    const secondLow = Math.imul(0xcd9e8d57, c) >>> 0;
    [a, b, c, d] = [(secondHigh ^ b ^ x) >>> 0, secondLow, (firstHigh ^ d ^ y) >>> 0, firstLow];
    x = (x + 0x9e3779b9) >>> 0;
    y = (y + 0xbb67ae85) >>> 0;
  }
  return [a, b, c, d];
}

/** Upper 32 bits of a · b. */
function highProduct(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + Math.floor((aLow * bLow) / 65536);
  const carry = aLow * bHigh + (middle % 65536);
  return aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(carry / 65536);
}
