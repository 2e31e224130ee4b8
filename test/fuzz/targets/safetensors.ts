/** safetensors files, by the reader that runs use. */
import { encodeSafetensors } from '../../../core/io/safetensors.ts';
import { openSafetensors } from '../../../core/io/weight-files/safetensors-source.ts';
import { elementsOf } from '../../../core/io/weight-files/element-types.ts';
import type { FuzzTarget } from '../harness.ts';

const small = Buffer.concat(
  encodeSafetensors(
    new Map([
      ['a.weight', { shape: [3, 2], data: new Float32Array(6) }],
      ['a.bias', { shape: [2], dtype: 'F16' as const, data: new Float32Array(2) }],
      ['empty', { shape: [0, 4], data: new Float32Array(0) }],
    ]),
    { format: 'pt' },
  ),
);

/** A header alone, with everything that may be left out or be null. */
function header(json: string, bytes: number): Uint8Array {
  const text = new TextEncoder().encode(json);
  const file = new Uint8Array(8 + text.length + bytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  return file;
}

const target: FuzzTarget = {
  ending: '.safetensors',
  seeds: () => [
    small,
    header('{"__metadata__":null,"n":{"dtype":"U64","shape":[],"data_offsets":[0,8]}}', 8),
    header(
      '{"x":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]},"y":{"dtype":"I8","shape":[1],"data_offsets":[8,9]}} ',
      9,
    ),
  ],
  read: async (_bytes, file) => {
    const source = await openSafetensors(file);
    try {
      for (const [name, entry] of source.entries) await source.read(name, 0, elementsOf(entry));
    } finally {
      await source.close();
    }
  },
};
export default target;
