/** Supervised fine-tuning on captioned pictures in files, end to end: learned, resumed to the bit, bad rows counted and named. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectMessage } from '../../../bad-input/message.ts';
import { captionRows, writeParquet, type CaptionRow } from '../../../support/captions.ts';
import { checkpointOf, curve, metricsOf, Workplace } from '../../../support/runs.ts';

const place = new Workplace();
const former = process.env['REASONGEN_CACHE'];
beforeAll(() => {
  process.env['REASONGEN_CACHE'] = place.path('cache');
});
afterAll(() => {
  if (former === undefined) delete process.env['REASONGEN_CACHE'];
  else process.env['REASONGEN_CACHE'] = former;
});

async function data(name: string, rows?: readonly CaptionRow[]): Promise<string> {
  const path = place.path(`${name}.parquet`);
  writeParquet(path, rows ?? (await captionRows(40)), 16);
  return path;
}

function preset(name: string, path: string, recipe: string, dataset = ''): string {
  return place.preset(
    name,
    `dataset: { use: caption-data, path: ${path}, shuffleWindow: 20${dataset} }\noptimizer: { use: adamw, learningRate: 1e-2 }\nrecipe: { use: sft, batch: 12, ${recipe} }\n`,
  );
}

describe('captions in parquet', () => {
  test('are learned; stopped within an epoch and across one, the resumed run is the same to the bit; codes are kept on disk', async () => {
    const text = (): Promise<string> =>
      data('good').then((path) =>
        preset('files', path, 'steps: 24, saveEvery: 50', ', prompts: [short_caption, paraphrases, tags]'),
      );
    const whole = await place.run(await text());
    const loss = curve(whole.directory, 'loss');
    expect(loss.at(-1)).toBeLessThan((loss[0] ?? 0) / 3);
    const [codes] = readdirSync(place.path('cache', 'codes'));
    const bytes = readFileSync(place.path('cache', 'codes', codes ?? ''));
    // Eight colors, the same at every crop; a record is a key, four codes of 16 bits and a checksum, and one picture has one for each crop of it.
    expect(bytes.length % (32 + 8 + 4)).toBe(0);
    expect(bytes.length).toBeGreaterThan(0);

    // A record that was cut off, and one that is damaged, do not count; the run is the same without them.
    writeFileSync(
      place.path('cache', 'codes', codes ?? ''),
      Buffer.concat([bytes.subarray(0, 20), bytes.subarray(44, 88), Buffer.alloc(44, 7)]),
    );
    for (const stopAfter of [2, 5]) {
      const stopped = await place.run(await text(), { stopAfter });
      const resumed = await place.run('', { resume: stopped });
      expect(metricsOf(resumed.directory)).toEqual(metricsOf(whole.directory));
      expect(checkpointOf(resumed.directory, 24).weights.equals(checkpointOf(whole.directory, 24).weights)).toBe(true);
    }
  });

  test('named by a path relative to the preset, the run finds them again from its own directory', async () => {
    await data('relative');
    const stopped = await place.run(preset('relative', 'relative.parquet', 'steps: 2'), { stopAfter: 1 });
    expect((await place.run('', { resume: stopped })).code).toBe(0);
  });

  test('some of them are held out and measured, where the dataset keeps any back', async () => {
    const path = await data('held');
    const run = await place.run(
      preset('held', path, 'steps: 2, validation: { every: 1, examples: 9 }', ', heldOut: 0.3'),
    );
    expect(curve(run.directory, 'validation/loss').every(Number.isFinite)).toBe(true);
    expect(run.lines.join()).toMatch(/\d+ held-out rows in 1 file/);
    const end = await place.command(
      'run',
      preset('none-held', path, 'steps: 2, validation: {}'),
      '--run-dir',
      place.free(),
    );
    expectMessage(end, { exit: 2, code: 'NO_HELD_OUT', says: [/keeps none back/, /set dataset\.heldOut/i] });
  });

  test('other files than the run began with are refused', async () => {
    const path = await data('changing');
    const stopped = await place.run(preset('changing', path, 'steps: 4'), { stopAfter: 2 });
    writeParquet(path, await captionRows(39), 16);
    const refused = await place.command('resume', stopped.directory);
    expectMessage(refused, { exit: 2, code: 'INPUTS_CHANGED', says: [/dataset\.path/, /--accept-changes/] });
    // Rows of another layout have other positions: no accepting makes the state fit them.
    const end = await place.command('resume', stopped.directory, '--accept-changes');
    expectMessage(end, { exit: 2, code: 'OTHER_DATA', says: [/not those this run was started with/] });
  });
});

describe('rows that cannot be used', () => {
  async function spoilt(): Promise<string> {
    const rows = [...(await captionRows(40))];
    const good = rows[0] as CaptionRow;
    rows[7] = { ...good, image: 'data:image/png;base64,bm90IGEgcGljdHVyZQ==' };
    rows[20] = { ...good, detailed_caption: '' };
    rows[33] = { ...good, detailed_caption: 'paint '.repeat(60) };
    return data('spoilt', rows);
  }

  test('are named and counted, also through a resume; long ones are passed over', async () => {
    const recipe = 'steps: 6, badRows: 10, longest: 40';
    const whole = await place.run(preset('spoilt', await spoilt(), recipe));
    const warnings = whole.lines.filter((line) => /row passed over/.test(line));
    // Forty rows, six batches of twelve: nearly two epochs, and each row is named once.
    expect(warnings).toHaveLength(3);
    expect(warnings.join('\n')).toMatch(/spoilt\.parquet, row 8: its picture cannot be decoded/);
    expect(warnings.join('\n')).toMatch(/spoilt\.parquet, row 21: detailed_caption is empty/);
    expect(warnings.join('\n')).toMatch(/as too long: .*spoilt\.parquet, row 34: its sequence has \d+ tokens, and 40/);
    const last = metricsOf(whole.directory).at(-1);
    expect(last).toMatchObject({ badRows: 2, tooLong: expect.any(Number) as number });
    const stopped = await place.run(preset('spoilt-again', await spoilt(), recipe), { stopAfter: 3 });
    const resumed = await place.run('', { resume: stopped });
    expect(metricsOf(resumed.directory)).toEqual(metricsOf(whole.directory));
  });

  test('captions without a rationale train prompt to picture, and are named where a rationale is to be written', async () => {
    const path = await data(
      'plain',
      (await captionRows(12)).map((row) => ({ ...row, detailed_caption: '' })),
    );
    const direct = await place.run(preset('direct', path, 'steps: 1, rationale: false'));
    expect(metricsOf(direct.directory)).toEqual([expect.not.objectContaining({ badRows: expect.anything() })]);
    const end = await place.command('run', preset('reasoned', path, 'steps: 1'), '--run-dir', place.free());
    expectMessage(end, { exit: 2, code: 'NO_EXAMPLES', says: [/row \d+: detailed_caption is empty/] });
  });

  test('a bad row counts once, however often it is visited, and through a resume', async () => {
    const rows = [...(await captionRows(8))];
    rows[3] = { ...(rows[3] as CaptionRow), image: 'nowhere' };
    const text = preset('one-bad', await data('one-bad', rows), 'steps: 9, badRows: 1');
    const stopped = await place.run(text, { stopAfter: 4 });
    const resumed = await place.run('', { resume: stopped });
    expect([...curve(resumed.directory, 'badRows')]).toEqual(Array.from({ length: 9 }, () => 1));
    expect([...stopped.lines, ...resumed.lines].filter((line) => /row passed over/.test(line))).toHaveLength(1);
  });

  test('a text of 100 000 characters is passed over and named without being asked to, and resumed past', async () => {
    const rows = [...(await captionRows(8))];
    rows[5] = { ...(rows[5] as CaptionRow), detailed_caption: 'paint it red . '.repeat(7000) };
    const stopped = await place.run(preset('book', await data('book', rows), 'steps: 2'), { stopAfter: 1 });
    const resumed = await place.run('', { resume: stopped });
    expect(resumed.code).toBe(0);
    expect(curve(resumed.directory, 'tooLong').at(-1)).toBeGreaterThanOrEqual(1);
    expect(stopped.lines.join('\n')).toMatch(
      /row passed over as too long: .*book\.parquet, row 6: its .* \d+ (?:tokens|characters)/,
    );
  });

  test('beyond the limit they end the run', async () => {
    const end = await place.command(
      'run',
      preset('limit', await spoilt(), 'steps: 20, badRows: 1'),
      '--run-dir',
      place.free(),
    );
    expectMessage(end, {
      exit: 7,
      code: 'BAD_ROWS',
      place: /spoilt\.parquet, row (8|21)$/,
      says: [/2 rows could not be used, the last because/, /raise recipe\.badRows/],
    });
  });

  test('a file with nothing but such rows', async () => {
    const rows = (await captionRows(8)).map((row) => ({ ...row, detailed_caption: 'paint '.repeat(60) }));
    const end = await place.command(
      'run',
      preset('nothing', await data('nothing', rows), 'steps: 1, longest: 40, promptDropout: 0'),
      '--run-dir',
      place.free(),
    );
    expectMessage(end, { exit: 2, code: 'NO_EXAMPLES', says: [/were too long/, /recipe\.longest/] });
  });
});

test('check says what is known without reading the files; GRPO wants prompts', async () => {
  const path = await data('checked');
  const end = await place.command('check', preset('checked', path, 'steps: 4'));
  expect(end.code, end.errors).toBe(0);
  expect(end.output).toMatch(/4 steps x 12 sequences = 48 sequences, of the rows in files/);
  const grpo = place.preset(
    'grpo',
    `dataset: { use: caption-data, path: ${path} }\nrewards: [is-color]\noptimizer: { use: adamw, learningRate: 1e-3 }\nrecipe: { use: grpo, steps: 1, prompts: 2, groupSize: 2, rationaleTokens: 4 }\n`,
  );
  const refused = await place.command('run', grpo, '--run-dir', place.free());
  expect(refused.code).not.toBe(0);
  expect(refused.errors).toMatch(/DATASET_OF_FILES/);
  expect(existsSync(join(place.folder, 'cache'))).toBe(true);
});
