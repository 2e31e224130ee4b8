/** JSON Lines and lists of rows, with pictures as data URIs, base64 and structs. */
import { captionRows } from '../../support/captions.ts';
import type { FuzzTarget } from '../harness.ts';
import { readAll } from '../caption-files.ts';

const target: FuzzTarget = {
  ending: '.jsonl',
  seeds: async () => {
    const rows = (await captionRows(4)) as readonly { readonly image: string }[];
    const [first = { image: '' }, second, third, fourth] = rows;
    const base64 = first.image.slice(first.image.indexOf(',') + 1);
    const mixed = [first, { ...second, image: base64 }, { ...third, image: { bytes: base64, path: null } }, fourth];
    const text = mixed.map((row) => JSON.stringify(row)).join('\n');
    const encoder = new TextEncoder();
    return [
      encoder.encode(`${text}\n`),
      encoder.encode(`\uFEFF${text.replaceAll('\n', '\r\n\r\n')}`),
      encoder.encode(JSON.stringify(mixed, null, 1)),
    ];
  },
  read: (_bytes, path) => readAll(path),
};
export default target;
