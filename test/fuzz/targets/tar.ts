/** WebDataset archives: as tar-stream packs them, and with every kind of header. */
import { captionRows, tarOf } from '../../support/captions.ts';
import { paxRecords, tarBytes } from '../../support/tar.ts';
import { readAll } from '../caption-files.ts';
import type { FuzzTarget } from '../harness.ts';

const target: FuzzTarget = {
  ending: '.tar',
  seeds: async () => {
    const [row] = await captionRows(1);
    const json = JSON.stringify({ ...row, image: undefined });
    const odd = tarBytes([
      { name: 'g', kind: 'g', content: paxRecords({ comment: 'all' }) },
      { name: 'x', kind: 'x', content: paxRecords({ path: 'a.json', size: String(json.length) }) },
      { name: 'a', content: json },
      { name: '././@LongLink', kind: 'L', content: 'a.txt\0' },
      { name: 'a', content: 'a red cat' },
      { name: 'a.png', kind: '1', link: 'a.txt' },
      { name: 'b.png', kind: 'S', content: 'sparse' },
      { name: 'c/', kind: '5' },
    ]);
    return [await tarOf(await captionRows(4)), await tarOf(await captionRows(1)), odd];
  },
  read: (_bytes, path) => readAll(path),
};
export default target;
