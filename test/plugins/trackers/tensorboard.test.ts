import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { encodePng } from '../../../core/io/image.ts';
import { at } from '../../../core/tensor/at.ts';
import { testSamples } from '../../../core/testing/stand-ins.ts';
import { createHooks } from '../../../core/hooks.ts';
import type { Extension } from '../../../core/plugin.ts';
import { crc32c, frame, readEvents, scalarsEvent } from '../../../plugins/trackers/event-file.ts';
import trackers from '../../../plugins/trackers/index.ts';
import { session, withDirectory } from './stand-in.ts';

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
    const component = trackers.provides[0];
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

test.each([
  ['whole', 0],
  ['torn in its last record', 5],
])('a resumed run shows no step twice in any reader: the file of the killed session was %s', async (_name, torn) => {
  const directory = mkdtempSync(join(tmpdir(), 'reasongen-tensorboard-'));
  try {
    const [component] = trackers.provides;
    if (component === undefined) throw new Error('the plugin provides nothing');
    const train = async (resume: boolean, steps: readonly number[]): Promise<void> => {
      const extension = component.create(component.options.parse({}), {} as never) as Extension;
      const hooks = createHooks([{ name: 'tensorboard', extension }]);
      await hooks.start({ preset: 'p', directory, resume });
      for (const step of steps) {
        await hooks.step({ step, metrics: { loss: 1 / step, 'text/entropy': step } });
        if (step % 2 > 0) continue;
        const metrics = { pass: 0.25 };
        await hooks.evaluation({ step, benchmark: 'b', split: 'seen', samples: [], verdicts: [], metrics });
      }
      // Names of files are times.
      await new Promise((resolve) => setTimeout(resolve, 5));
    };
    const folder = join(directory, 'tensorboard');
    const files = (): string[] => readdirSync(folder).sort();
    await train(false, [1, 2, 3, 4, 5]);
    const [first = ''] = files();
    truncateSync(join(folder, first), statSync(join(folder, first)).size - torn);
    // Saved at step 2 and killed in step 5; then killed again in step 4.
    await train(true, [3, 4]);
    await train(true, [4, 5, 6]);
    expect(files()).toHaveLength(3);
    const events = files().flatMap((name) => {
      const file = readFileSync(join(folder, name));
      expect(records(file).length).toBeGreaterThan(0);
      return readEvents(file);
    });
    const stepsOf = (tag: string): number[] => events.filter(({ tags }) => tags.includes(tag)).map(({ step }) => step);
    expect(stepsOf('loss')).toEqual([1, 2, 3, 4, 5, 6]);
    expect(stepsOf('text/entropy')).toEqual([1, 2, 3, 4, 5, 6]);
    expect(stepsOf('b/seen/pass')).toEqual([2, 4, 6]);
    // wall_time, step 4 (field 2), session_log (field 7) { status START }.
    const last = records(readFileSync(join(folder, files().at(-1) ?? '')));
    expect([...(last[1] ?? [])].slice(9)).toEqual([0x10, 4, 0x3a, 2, 0x08, 1]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('some drawings of the first and of every so many steps, and of an evaluation, are shown with what explains them', () =>
  withDirectory(async (directory) => {
    const { hooks } = await session('tensorboard', { pictures: 2, picturesEvery: 3 });
    await hooks.start({ preset: 'p', directory, resume: false });
    const samples = testSamples().slice(0, 3);
    const judgements = samples.map(() => ({ total: 0.5, scores: { verdict: { value: 0.5, why: 'half of it' } } }));
    for (const step of [1, 2, 3]) {
      await hooks.rewards({ step, groupSize: 1, samples, judgements });
      await hooks.step({ step, metrics: { loss: 1 } });
    }
    const verdicts = samples.map(() => ({ pass: false, why: 'too few' }));
    await hooks.evaluation({ step: 3, benchmark: 'b', split: 'heldout', samples, verdicts, metrics: { passRate: 0 } });
    const [name = ''] = readdirSync(join(directory, 'tensorboard'));
    const events = readEvents(readFileSync(join(directory, 'tensorboard', name)));
    const tags = (prefix: string): string[] =>
      [0, 1].flatMap((index) => [`${prefix}/${index}`, `${prefix}/${index}/text`]);
    expect(events.filter((event) => event.tags.length > 1).map((event) => [event.step, event.tags])).toEqual([
      [1, tags('drawings')],
      [3, tags('drawings')],
      [3, tags('b/heldout')],
    ]);
    const file = readFileSync(join(directory, 'tensorboard', name));
    const sample = at(samples, 0);
    const png = Buffer.from(await encodePng(sample.image));
    expect(file.includes(png)).toBe(true);
    expect(file.includes(`**${sample.prompt}**`)).toBe(true);
    expect(file.includes('total 0.500; verdict 0.500 (half of it)')).toBe(true);
    expect(file.includes('wrong: too few')).toBe(true);
  }));
