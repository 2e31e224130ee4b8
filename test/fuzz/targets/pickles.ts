/** Pickles of checkpoints, without the archive around them. */
import { torchTensors } from '../../../core/io/weight-files/torch-objects.ts';
import { pythonPickles } from '../../support/python-pickles.ts';
import { dict, pickle, tensor } from '../../support/torch-file.ts';
import type { FuzzTarget } from '../harness.ts';

const floats = { shape: [2, 2], kind: 'FloatStorage', bytes: new Uint8Array(16), elements: 4, key: '0' };

const target: FuzzTarget = {
  ending: '.pkl',
  seeds: () => [
    pickle(dict([['w', tensor(floats)]])),
    ...Object.values(pythonPickles).map((text) => Buffer.from(text, 'base64')),
  ],
  read: (bytes) => {
    const found = torchTensors(bytes, 'data.pkl', (key) => ({ 0: 24, 1: 8 })[key]);
    for (const { shape } of found.values())
      if (!shape.every((n) => Number.isSafeInteger(n) && n >= 0)) throw new Error('a shape');
    return Promise.resolve();
  },
};
export default target;
