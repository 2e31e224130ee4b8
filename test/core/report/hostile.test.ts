/** A run's directory that somebody sent: whatever lies in it, the report shows nothing from outside of it and runs nothing. */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { writeSamples } from '../../../core/io/sample-folder.ts';
import { encodePng } from '../../../core/io/image.ts';
import { readRunRecords } from '../../../core/io/records.ts';
import { createRun } from '../../../core/io/run-directory.ts';
import { writeReport } from '../../../core/report/report.ts';

const png = await encodePng({ width: 1, height: 1, data: Uint8Array.of(9, 8, 7) });
const script = `</style></script><script>alert(1)</script><svg onload=alert(2)>"'\u0000\ud800`;
const secret = 'the secret of another folder';

let root = '';
let run = '';
const at = (...parts: string[]): string => join(run, ...parts);

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'reasongen-hostile-'));
  writeFileSync(join(root, 'secret'), secret);
  writeFileSync(join(root, 'secret.png'), png);
  mkdirSync(join(root, 'elsewhere'));
  writeFileSync(join(root, 'elsewhere/samples.jsonl'), secret);
  const directory = await createRun({
    directory: join(root, 'run'),
    name: 'sent',
    preset: 'name: sent\n',
    description: { versions: {}, adapter: {}, seeds: {}, hashes: {} },
    command: ['npx', 'reasongen'],
  });
  run = directory.path;
  directory.metrics.append({ step: 1, loss: 2 });
  await writeSamples(directory.path, 'samples/step-000001', [
    { prompt: 'a', task: 't', rationale: '', scores: {}, total: 1, png: new Uint8Array(png) },
  ]);
  await directory.close('done');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

async function page(): Promise<string> {
  const whole = readFileSync(await writeReport(run), 'utf8');
  // What is the report's own is the same whatever the run holds; the policy names both by their content.
  const text = whole
    .replace(/<style>.*?<\/style>\n<\/head>/s, '</head>')
    .replace(/<script>[^<]*(?:<(?!\/script)[^<]*)*<\/script>\n<\/body>/, '</body>');
  expect(text).not.toContain(secret);
  for (const tag of text.match(/<[a-z][^>]*>/gi) ?? []) {
    expect(tag).not.toMatch(/^<(script|iframe|link|object|embed|base|form|a)\b/i);
    expect(tag.replaceAll(/="[^"]*"/g, '=""')).not.toMatch(/\s(on\w+|href|srcdoc|action)=/i);
  }
  expect(text).not.toMatch(/undefined|\[object/);
  return text;
}

function editRun(changes: object): void {
  const record = JSON.parse(readFileSync(at('run.json'), 'utf8')) as object;
  writeFileSync(at('run.json'), JSON.stringify({ ...record, ...changes }));
}

const sample = { prompt: 'a', task: 't', rationale: '', image: '000.png', scores: {}, total: 1 };
const evaluation = {
  label: 'before',
  benchmark: 'b',
  split: 'heldout',
  step: 0,
  overall: { passes: 1, total: 2 },
  tasks: { t: { passes: 1, total: 2 } },
  samples: [],
};

describe('files from elsewhere are refused with their name', () => {
  const links: [string, (path: string) => void][] = [
    ['preset.yaml', (path) => symlinkSync('../secret', path)],
    ['run.json', (path) => symlinkSync('../secret', path)],
    ['metrics.ndjson', (path) => symlinkSync(join(root, 'secret'), path)],
    ['samples/step-000001/samples.jsonl', (path) => symlinkSync('../../../secret', path)],
    ['samples/step-000001/000.png', (path) => symlinkSync('../../../secret.png', path)],
    ['evaluations', (path) => symlinkSync('..', path)],
    ['samples', (path) => symlinkSync('..', path)],
    ['samples/step-000001', (path) => symlinkSync('../../elsewhere', path)],
    ['preset.yaml', (path) => mkdirSync(path)],
    ['metrics.ndjson', (path) => execFileSync('mkfifo', [path])],
    ['preset.yaml', (path) => symlinkSync('preset.yaml', path)],
  ];
  test.each(links)('%s', async (name, put) => {
    rmSync(at(name), { recursive: true, force: true });
    put(at(name));
    const refused = await writeReport(run).catch((error: unknown) => error);
    expect(refused).toMatchObject({
      exitCode: 6,
      place: expect.stringContaining(at(name.split('/')[0] ?? '')) as string,
    });
  });

  test.each([
    '../../../secret.png',
    '/etc/passwd',
    '..\\secret.png',
    './000.png',
    '000.png\u0000',
    'x'.repeat(5000),
    7,
    null,
  ])('a sample that points to %j has no place in the report', async (image) => {
    appendFileSync(
      at('samples/step-000001/samples.jsonl'),
      `${JSON.stringify({ ...sample, prompt: 'other', image })}\n`,
    );
    const text = await page();
    expect(text).not.toContain('other');
    expect(text).toContain(png.toString('base64'));
  });

  test('a picture that is none, and one that is missing', async () => {
    writeFileSync(at('samples/step-000001/000.png'), secret);
    expect(await page()).toContain('no picture');
    rmSync(at('samples/step-000001/000.png'));
    expect(await page()).toContain('no picture');
  });

  test.each([
    ['metrics.ndjson', 300 * 2 ** 20],
    ['run.json', 300 * 2 ** 20],
    ['samples/step-000001/000.png', 2 ** 33],
  ])('%s of a size that no record has is not read', async (name, bytes) => {
    // A file with a hole: it takes no room on the disk.
    truncateSync(at(name), bytes);
    await expect(writeReport(run)).rejects.toMatchObject({
      code: 'BAD_RECORD',
      place: at(name),
      message: expect.stringContaining(`${bytes} bytes`) as string,
    });
  });
});

describe('texts and names stay text', () => {
  test('in every field of every record', async () => {
    editRun({
      name: script,
      commit: script,
      preset: script,
      versions: { [script]: script },
      adapter: { description: script },
      seeds: { [script]: 1 },
      hashes: { [script]: script },
      memory: { [script]: 1 },
      sessions: [
        {
          command: [script],
          startedAt: '2026-01-01T00:00:00Z',
          outcome: 'failed',
          note: script,
          warnings: [script],
          error: { code: script, message: script, place: script, hint: script },
        },
      ],
    });
    writeFileSync(at('preset.yaml'), script);
    writeFileSync(at('metrics.ndjson'), `${JSON.stringify({ step: 1, [script.slice(0, 90)]: 1, phase: script })}\n`);
    const scores = { [script]: { value: 1, why: script, parts: { [script]: 1 } } };
    writeFileSync(
      at('samples/step-000001/samples.jsonl'),
      `${JSON.stringify({ ...sample, prompt: script, task: script, rationale: script, scores })}\n`,
    );
    mkdirSync(at('evaluations'));
    const image = `${png.toString('base64')}" onerror="alert(3)`;
    const drawn = { prompt: script, task: script, rationale: script, image, pass: script, why: script, scores };
    const names = { label: script, benchmark: script, split: script, tasks: { [script]: { passes: 1, total: 2 } } };
    writeFileSync(
      at('evaluations/a.json'),
      JSON.stringify({ ...evaluation, ...names, extra: { [script]: 1 }, sampling: { a: script }, samples: [drawn] }),
    );
    const text = await page();
    expect(text).toContain('&lt;/style&gt;&lt;/script&gt;&lt;script&gt;alert(1)');
    expect(text).not.toMatch(/<\/?(style|script)/);
  });

  test('names that objects have by themselves are names like others', async () => {
    const odd = ['__proto__', 'constructor', 'toString', 'hasOwnProperty'];
    const json = (value: string): string => `{${odd.map((name) => `"${name}":${value}`).join(',')}}`;
    writeFileSync(at('metrics.ndjson'), `{"step":1,${json('1').slice(1)}\n{"step":2}\n`);
    mkdirSync(at('evaluations'));
    for (const [label, tasks] of [
      ['before', '{}'],
      ['after', json('{"passes":1,"total":2}')],
    ] as const)
      writeFileSync(
        at('evaluations', `${label}.json`),
        JSON.stringify({ ...evaluation, label, seed: 1, count: 2, tasks: 'TASKS' }).replace('"TASKS"', () => tasks),
      );
    expect(await page()).toContain('Constructor');
  });
});

describe('values that are not what they should be are left out', () => {
  const values = ['null', '"NaN"', 'true', '"high"', '{}', '[]', '1e999', '-1e308', '12345678901234567890123', '"1n"'];
  test.each(values)('%s in parts, scores, metrics, extras and records', async (value) => {
    const put = (record: object): string => JSON.stringify(record).replaceAll('"VALUE"', () => value);
    const scores = { r: { value: 1, parts: { odd: 'VALUE', fine: 0.5 } }, odd: { value: 'VALUE' }, bare: 'VALUE' };
    appendFileSync(
      at('samples/step-000001/samples.jsonl'),
      `${put({ ...sample, scores, advantage: 'VALUE', seed: 'VALUE' })}\n${put({ ...sample, total: 'VALUE' })}\n`,
    );
    appendFileSync(
      at('metrics.ndjson'),
      `${put({ step: 'VALUE', loss: 'VALUE', reward: 1 })}\n${put({ step: 3, loss: 1 })}\n`,
    );
    mkdirSync(at('evaluations'));
    const drawn = { prompt: 'p', task: 'VALUE', image: 'VALUE', pass: 'VALUE', why: 'VALUE', scores };
    writeFileSync(
      at('evaluations/a.json'),
      put({ ...evaluation, extra: { odd: 'VALUE' }, seed: 'VALUE', samples: [drawn] }),
    );
    editRun({
      seeds: JSON.parse(`{"odd":${value}}`) as unknown,
      memory: JSON.parse(`{"oddBytes":${value}}`) as unknown,
      hashes: 7,
      adapter: null,
    });
    const text = await page();
    expect(text).toContain('<dt>fine</dt><dd>0.5</dd>');
    if (!value.startsWith('"')) expect(text).not.toMatch(/NaN|Infinity/);
    const { evaluations } = await readRunRecords(run);
    for (const { parts = {} } of Object.values(evaluations[0]?.samples[0]?.scores ?? {}))
      for (const part of Object.values(parts)) expect(Number.isFinite(part)).toBe(true);
  });

  test('lines of metrics that are none are counted, and those around them are shown', async () => {
    appendFileSync(at('metrics.ndjson'), '\u0000\u0000{"step":4,"lo\n{"step":5,"behind":1}\n');
    const text = await page();
    expect(text).toContain('1 line of metrics.ndjson could not be read and is left out.');
    expect(text).toContain('behind');
    appendFileSync(at('metrics.ndjson'), '[1]\n');
    expect(await page()).toContain('2 lines of metrics.ndjson could not be read and are left out.');
    writeFileSync(at('metrics.ndjson'), 'none\n');
    expect(await page()).toContain('1 line of metrics.ndjson could not be read');
  });

  test('a broken line of samples.jsonl is named', async () => {
    appendFileSync(at('samples/step-000001/samples.jsonl'), '\u0000\u0000\n');
    await expect(writeReport(run)).rejects.toMatchObject({
      code: 'BAD_RECORD',
      place: expect.stringMatching(/samples\.jsonl:2$/) as string,
    });
  });

  test.each([
    [
      'sessions',
      [7, null, { startedAt: 'yesterday' }, { startedAt: '2026-01-01T00:00:00Z', finishedAt: 9, command: 'x' }],
    ],
    ['versions', [['a', 'b']]],
    ['name', { a: 1 }],
  ])('%s of run.json', async (name, value) => {
    editRun({ [name]: value });
    expect(await page()).toContain('</html>');
  });

  test('ten thousand metrics, and a text of megabytes, are bounded', async () => {
    const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`m${index}`, index]));
    writeFileSync(
      at('metrics.ndjson'),
      `${JSON.stringify({ step: 1, ...many })}\n${JSON.stringify({ step: 2, ...many })}\n`,
    );
    appendFileSync(
      at('samples/step-000001/samples.jsonl'),
      `${JSON.stringify({ ...sample, prompt: 'x'.repeat(5e6) })}\n`,
    );
    const text = await page();
    expect(text.match(/<figure class="card chart">/g)?.length).toBeLessThanOrEqual(200);
    expect(text.length).toBeLessThan(5e6);
  }, 60_000);
});

test('a failed run says why, what to do and where it can go on', async () => {
  mkdirSync(at('checkpoints/step-000004'), { recursive: true });
  editRun({
    sessions: [
      {
        command: [],
        startedAt: '2026-01-01T00:00:00Z',
        outcome: 'failed',
        error: { code: 'NOT_FINITE', message: 'the loss is no number', hint: 'lower the rate', place: 'step 5' },
      },
    ],
  });
  const text = await page();
  for (const said of [
    'Why it failed',
    'NOT_FINITE',
    'the loss is no number',
    'lower the rate',
    'step 5',
    'that of step 4',
  ])
    expect(text).toContain(said);
});
