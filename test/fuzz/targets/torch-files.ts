/** Files of `torch.save`: the archive, the pickle in it, and the storages. */
import { elementsOf } from '../../../core/io/weight-files/element-types.ts';
import { openWeightSource } from '../../../core/io/weight-files/open.ts';
import { torchEntries, zipFile } from '../../support/torch-file.ts';
import type { FuzzTarget } from '../harness.ts';

const floats = (shape: readonly number[], elements: number) => ({
  shape,
  kind: 'FloatStorage',
  bytes: new Uint8Array(elements * 4),
  elements,
});

const target: FuzzTarget = {
  ending: '.bin',
  seeds: () => [
    zipFile(torchEntries({ a: floats([2, 3], 6), b: { ...floats([3, 2], 6), strides: [1, 3] } })),
    zipFile(torchEntries({ a: floats([1], 1) }), { zip64: true }),
  ],
  read: async (_bytes, file) => {
    const source = await openWeightSource(file);
    try {
      for (const [name, entry] of source.entries) await source.read(name, 0, elementsOf(entry));
    } finally {
      await source.close();
    }
  },
};
export default target;
