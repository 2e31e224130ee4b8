import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createHooks } from '../../core/hooks.ts';
import type { Extension } from '../../core/plugin.ts';
import { crc32c, frame, scalarsEvent } from '../../plugins/tensorboard/event-file.ts';
import tensorboard from '../../plugins/tensorboard/index.ts';

test('CRC-32C of the check string of RFC 3720', () => {
  expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283);
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
});

/** Splits a file into records, checking lengths and both checksums. */
function records(file: Uint8Array): Uint8Array[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const unmask = (masked: number): number => {
    const rotated = (masked - 0xa282ead8) >>> 0;
    return ((rotated >>> 17) | (rotated << 15)) >>> 0;
  };
  const found: Uint8Array[] = [];
  for (let offset = 0; offset < file.length;) {
    const length = Number(view.getBigUint64(offset, true));
    expect(unmask(view.getUint32(offset + 8, true))).toBe(crc32c(file.subarray(offset, offset + 8)));
    const data = file.subarray(offset + 12, offset + 12 + length);
    expect(unmask(view.getUint32(offset + 12 + length, true))).toBe(crc32c(data));
    found.push(data);
    offset += 16 + length;
  }
  return found;
}

test('a scalar event is the protobuf message TensorBoard expects, byte for byte', () => {
  // wall_time 1 (field 1, double), step 300 (field 2, varint), summary (field 5) { value { tag "a", simple_value 0.5 } }.
  const expected = [
    0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10, 0xac, 0x02, 0x2a, 0x0a, 0x0a, 0x08, 0x0a, 0x01, 0x61, 0x15, 0, 0, 0, 0x3f,
  ];
  expect([...scalarsEvent(1, 300, { a: 0.5 })]).toEqual(expected);
  expect(records(frame(Uint8Array.of(1, 2, 3)))).toEqual([Uint8Array.of(1, 2, 3)]);
});

test('a run writes a file with a version, a record per step and one per benchmark', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'reasongen-tensorboard-'));
  try {
    const component = tensorboard.provides[0];
    if (component === undefined) throw new Error('the plugin provides nothing');
    const extension = component.create(component.options.parse({}), {} as never) as Extension;
    const hooks = createHooks([{ name: 'tensorboard', extension }]);
    await hooks.start({ preset: 'p', directory, resume: false });
    await hooks.step({ step: 1, metrics: { loss: 2 } });
    await hooks.step({ step: 2, metrics: { loss: 1.5 } });
    await hooks.evaluation({
      step: 2,
      benchmark: 'b',
      split: 'heldout',
      samples: [],
      verdicts: [],
      metrics: { pass: 0.25 },
    });
    const [name = ''] = readdirSync(join(directory, 'tensorboard'));
    expect(name).toMatch(/^events\.out\.tfevents\.\d+\.reasongen$/);
    const found = records(readFileSync(join(directory, 'tensorboard', name)));
    const text = found.map((record) => Buffer.from(record).toString('latin1'));
    expect(text).toHaveLength(4);
    expect(text[0]).toContain('brain.Event:2');
    expect(text[2]).toContain('loss');
    expect(text[3]).toContain('b/heldout/pass');
  } finally {
    rmSync(directory, { recursive: true });
  }
});
