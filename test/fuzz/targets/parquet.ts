/** Parquet files: texts, bytes, structs as JSON, nulls; plain and compressed. */
import { parquetWriteBuffer } from 'hyparquet-writer';
import { captionRows } from '../../support/captions.ts';
import { readAll } from '../caption-files.ts';
import type { FuzzTarget } from '../harness.ts';

const target: FuzzTarget = {
  ending: '.parquet',
  short: 20,
  seeds: async () => {
    const rows = await captionRows(6);
    const columnData = [
      { name: 'image', data: rows.map(({ image }) => image), type: 'STRING' as const },
      { name: 'brief_caption', data: rows.map((row) => row.brief_caption), type: 'STRING' as const },
      {
        name: 'detailed_caption',
        data: [...rows.slice(1).map((row) => row.detailed_caption), null],
        type: 'STRING' as const,
      },
      { name: 'augmented_prompts', data: rows.map((row) => row.augmented_prompts), type: 'JSON' as const },
      { name: 'augmented_cots', data: rows.map((row) => row.augmented_cots), type: 'JSON' as const },
    ];
    const write = (codec: 'SNAPPY' | 'UNCOMPRESSED', rowGroupSize: number): Uint8Array =>
      new Uint8Array(parquetWriteBuffer({ columnData, codec, rowGroupSize }));
    return [write('SNAPPY', 6), write('UNCOMPRESSED', 4)];
  },
  read: (_bytes, path) => readAll(path),
};
export default target;
