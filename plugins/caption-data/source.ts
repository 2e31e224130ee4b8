/** Captioned pictures in files as supervised examples. Everything follows from seed and position, so a position is all a resume needs. */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { decodeSquare } from '../../core/compute.ts';
import { diskError, type BadRow, type ExampleSource, type StoredExample } from '../../core/plugin.ts';
import { RowOrder, uniformStream } from './order.ts';
import { pictureBytes } from './pictures.ts';
import { UnreadableRow, type Block, type Row, type RowFile } from './rows.ts';
import { textsOf, type TextChoice } from './texts.ts';
import { BadValue } from './values.ts';

export interface SourceOptions {
  /** Side of a picture in pixels. */
  readonly size: number;
  readonly crop: 'random' | 'center';
  readonly imageColumn: string;
  readonly texts: TextChoice;
  readonly shuffleWindow: number;
  /** Share of the rows that is kept back, and whether those are read or the others. */
  readonly heldOut: { readonly share: number; readonly isRead: boolean };
  /** This reader takes every `count`-th position, from `index` on. */
  readonly shard: { readonly index: number; readonly count: number };
}

/** Keeps what is drawn for a row apart from other uses of the seed. */
const purpose = 0xca97;
/** Decides which rows are kept back, whatever the seed of the run. */
const keptBack = 0x42;

export class CaptionSource implements ExampleSource {
  readonly rows: number;
  readonly hash: string;
  private readonly files: readonly RowFile[];
  private readonly options: SourceOptions;
  private readonly order: RowOrder;
  /** Blocks read last, newest last. */
  private readonly kept = new Map<string, Promise<Block>>();
  /** How many of them: those of one window. */
  private capacity: number | undefined;

  constructor(files: readonly RowFile[], options: SourceOptions) {
    this.files = files;
    this.options = options;
    const { share, isRead } = options.heldOut;
    const isHeldOut = (file: number, row: number): boolean =>
      share > 0 && uniformStream([keptBack, file, row])() < share;
    this.order = new RowOrder(
      files.map(({ blocks }) => blocks),
      options.shuffleWindow,
      (file, row) => isHeldOut(file, row) === isRead,
    );
    this.rows = Math.floor(this.order.rows / options.shard.count);
    const layout = files.map(({ path, blocks }) => [basename(path), blocks]);
    this.hash = createHash('sha256')
      .update(JSON.stringify([layout, options.shuffleWindow, options.shard, options.heldOut]))
      .digest('hex');
  }

  async at(position: number, seed: number): Promise<StoredExample | BadRow> {
    const { shard, imageColumn, texts, size, crop } = this.options;
    const address = this.order.at(position * shard.count + shard.index, seed);
    const file = this.files[address.file];
    if (file === undefined) throw new RangeError(`no file ${address.file}`);
    const before = file.blocks.slice(0, address.block).reduce((sum, rows) => sum + rows, 0);
    const place = `${file.path}, row ${before + address.row + 1}`;
    const readRow = async (): Promise<Row | UnreadableRow> =>
      (await this.block(file, address.file, address.block, seed)).row(address.row);
    const row = await readRow().catch((cause: unknown) => {
      throw diskError(cause, 'reading rows', place);
    });
    if (row instanceof UnreadableRow) return { place, why: row.why };
    const random = uniformStream([seed, position, shard.index, purpose]);
    const [across, down] = [random(), random()];
    try {
      const { prompt, ...rationale } = textsOf(row, texts, random);
      const bytes = await pictureBytes(row[imageColumn], file.path);
      const at = crop === 'random' ? ([across, down] as const) : 'center';
      const pictureHash = createHash('sha256').update(bytes).update(`${size} ${at}`).digest('hex');
      return {
        prompt,
        ...rationale,
        task: 'caption',
        specification: prompt,
        place,
        pictureHash,
        picture: () => decodeSquare(bytes, size, at),
      };
    } catch (error) {
      if (error instanceof BadValue) return { place, why: error.message };
      throw error;
    }
  }

  async close(): Promise<void> {
    for (const file of this.files) await file.close();
  }

  /** A block, kept as long as its window is visited. */
  private block(file: RowFile, fileIndex: number, block: number, seed: number): Promise<Block> {
    const key = `${fileIndex} ${block}`;
    const reading = this.kept.get(key) ?? file.read(block);
    this.kept.delete(key);
    this.kept.set(key, reading);
    this.capacity ??= this.order.blocksAtOnce(seed);
    for (const oldest of [...this.kept.keys()].slice(0, Math.max(0, this.kept.size - this.capacity)))
      this.kept.delete(oldest);
    return reading;
  }
}
