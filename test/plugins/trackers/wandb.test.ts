/** The file of an offline run, read back by the rules of LevelDB's log format and by the field numbers of W&B's messages. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Field, readFields } from '../../../plugins/trackers/protobuf.ts';
import { framed, header } from '../../../plugins/trackers/wandb-file.ts';
import { at } from '../../../core/tensor/at.ts';
import { session, withDirectory } from './stand-in.ts';

/** Records of a file, put together from their pieces; throws where a rule of the format is broken. */
function readLog(file: Buffer): Buffer[] {
  expect(file.subarray(0, 7)).toEqual(Buffer.from([...Buffer.from(':W&B'), 0xe1, 0xbe, 0]));
  const records: Buffer[] = [];
  let pieces: Buffer[] = [];
  for (let from = 7; from < file.length;) {
    const left = 32768 - (from % 32768);
    if (left < 7) {
      expect(file.subarray(from, from + left).every((byte) => byte === 0)).toBe(true);
      from += left;
      continue;
    }
    const [checksum, length, kind] = [file.readUInt32LE(from), file.readUInt16LE(from + 4), file.readUInt8(from + 6)];
    expect(length).toBeLessThanOrEqual(left - 7);
    expect(crc32(file.subarray(from + 6, from + 7 + length))).toBe(checksum);
    const begins = kind === 1 || kind === 2;
    expect([begins ? 0 : 1, kind]).toEqual([
      Math.min(pieces.length, 1),
      expect.toSatisfy((it: number) => it >= 1 && it <= 4),
    ]);
    pieces.push(file.subarray(from + 7, from + 7 + length));
    if (kind === 1 || kind === 4) {
      records.push(Buffer.concat(pieces));
      pieces = [];
    }
    from += 7 + length;
  }
  expect(pieces).toEqual([]);
  return records;
}

const one = (fields: readonly Field[], number: number): Field | undefined =>
  fields.find(({ field }) => field === number);
const string = (fields: readonly Field[], number: number): string =>
  Buffer.from(one(fields, number)?.bytes ?? []).toString();

/** Items: field 1 a message with key (1) and JSON (16). */
function items(message: Uint8Array, number = 1): Record<string, string> {
  const found = readFields(message).filter(({ field }) => field === number);
  return Object.fromEntries(
    found.map(({ bytes }) => {
      const item = readFields(bytes);
      return [string(item, 1), string(item, 16)];
    }),
  );
}

test('records of any size, across blocks', () =>
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.integer({ min: 0, max: 200 }),
          fc.integer({ min: 32_700, max: 32_800 }),
          fc.integer({ min: 0, max: 100_000 }),
        ),
        { maxLength: 12 },
      ),
      (sizes) => {
        let file = Buffer.from(header);
        const written = sizes.map((size, index) => Buffer.alloc(size, index + 1));
        for (const [index, record] of written.entries())
          file = Buffer.concat([file, framed(file.length, index, record)]);
        const records = readLog(file);
        expect(records).toHaveLength(written.length);
        // Each begins with its number.
        for (const [index, record] of records.entries())
          expect(record.subarray(record.length - at(sizes, index)).equals(at(written, index))).toBe(true);
      },
    ),
    { numRuns: 60 },
  ));

test('a run: who it is, its config, the numbers of each step, warnings, how it ended; a resumed one in a folder of its own', () =>
  withDirectory(async (directory) => {
    const play = async (from: number, to: number, outcome: 'done' | 'failed'): Promise<void> => {
      const { hooks, said } = await session('wandb', { project: 'mine', entity: 'team' });
      await hooks.start({
        preset: 'night',
        directory,
        resume: from > 1,
        settings: { seed: 3, 'optimizer.name': 'adamw' },
      });
      for (let step = from; step <= to; step++)
        await hooks.step({
          step,
          metrics: { reward: step, loss: step === 1 ? Number.NaN : 1 },
          warnings: step === 2 ? ['flat'] : [],
        });
      await hooks.finish({ outcome, directory, ...(outcome === 'failed' && { error: new Error('no room') }) });
      expect(said).toEqual([]);
    };
    await play(1, 2, 'failed');
    const [first = ''] = readdirSync(join(directory, 'wandb'));
    expect(first).toMatch(/^offline-run-\d{8}_\d{6}-[0-9a-f]{16}$/);
    const id = first.slice(-16);
    const records = readLog(readFileSync(join(directory, 'wandb', first, `run-${id}.wandb`))).map(readFields);
    expect(records.map((fields) => one(fields, 1)?.number)).toEqual(records.map((_, index) => index + 1));
    const kinds = records.map((fields) => fields[1]?.field);
    expect(kinds).toEqual([17, 2, 3, 2, 3, 10, 10, 18]);
    const run = readFields(records[0]?.[1]?.bytes ?? new Uint8Array());
    expect([1, 2, 3, 8].map((number) => string(run, number))).toEqual([id, 'team', 'mine', 'night']);
    expect(items(one(run, 4)?.bytes ?? new Uint8Array())).toEqual({ seed: '3', 'optimizer.name': '"adamw"' });
    const history = records[1]?.[1]?.bytes ?? new Uint8Array();
    expect(items(history)).toMatchObject({ reward: '1', loss: 'NaN', _step: '1' });
    expect(one(readFields(one(readFields(history), 2)?.bytes ?? new Uint8Array()), 1)?.number).toBe(1);
    expect(one(readFields(records.at(-1)?.[1]?.bytes ?? new Uint8Array()), 1)?.number).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await play(2, 3, 'done');
    const [, second = ''] = readdirSync(join(directory, 'wandb')).sort();
    expect(second.slice(-16)).toBe(id);
    const later = readLog(readFileSync(join(directory, 'wandb', second, `run-${id}.wandb`))).map(readFields);
    // The second step was told of already.
    expect(
      later
        .filter((fields) => fields[1]?.field === 2)
        .map((fields) => items(fields[1]?.bytes ?? new Uint8Array())['_step']),
    ).toEqual(['3']);
  }));
