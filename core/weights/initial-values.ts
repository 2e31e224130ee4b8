/** First values of weights on the host, piece by piece: they follow from seed, name and index and from nothing else. */
import type { ParameterSpec } from '../contracts/backbone.ts';
import { sizeOf } from '../tensor/tensor.ts';

/** Gives the next values of one weight, in order, each time it is asked. */
export type ValueStream = (count: number) => Float32Array;

export function initialValues(spec: ParameterSpec, seed: number): ValueStream {
  const { init } = spec;
  let position = 0;
  if ('constant' in init) return (count) => new Float32Array(count).fill(init.constant);
  if ('values' in init) {
    if (init.values.length !== sizeOf(spec.shape))
      throw new RangeError(`${spec.name} [${spec.shape}] cannot begin with ${init.values.length} values`);
    return (count) => init.values.subarray(position, (position += count));
  }
  const random = uniformStream(seed, spec.name);
  let waiting: number | undefined;
  return (count) => {
    const target = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      if (waiting !== undefined) {
        target[i] = waiting;
        waiting = undefined;
        continue;
      }
      // Box and Muller: two normal values from two uniform ones.
      const radius = init.normal * Math.sqrt(-2 * Math.log(1 - random()));
      const angle = 2 * Math.PI * random();
      target[i] = radius * Math.cos(angle);
      waiting = radius * Math.sin(angle);
    }
    return target;
  };
}

/** A splitmix32 stream keyed by seed and name; values in [0, 1). */
function uniformStream(seed: number, name: string): () => number {
  let state = nameKey(seed, name);
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  };
}

/** 32 bits of seed and name. */
export function nameKey(seed: number, name: string): number {
  let key = seed >>> 0;
  for (const character of name) key = Math.imul(key ^ (character.codePointAt(0) ?? 0), 0x9e3779b1) >>> 0;
  return key;
}
