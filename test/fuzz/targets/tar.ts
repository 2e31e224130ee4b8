/** WebDataset archives. */
import { captionRows, tarOf } from '../../support/captions.ts';
import { openTar } from '../../../plugins/caption-data/tar.ts';
import type { FuzzTarget } from '../harness.ts';

const target: FuzzTarget = {
  ending: '.tar',
  seeds: async () => [await tarOf(await captionRows(4)), await tarOf(await captionRows(1))],
  read: async (_bytes, path) => {
    const file = await openTar(path, { image: 'image', prompt: 'brief_caption' });
    try {
      for (let block = 0; block < file.blocks.length; block++) await file.read(block);
    } finally {
      await file.close();
    }
  },
};
export default target;
