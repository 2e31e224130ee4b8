/** Prompts and questions in files as people have them: read as what they are, or refused by name with the place. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readTextRows, type TextKey } from '../../../core/io/text-rows.ts';
import { parseTable } from '../../../core/io/table.ts';
import { decodeText, readBounded, shorten } from '../../../core/io/text.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'reasongen-texts-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

async function texts(name: string, content: string | Uint8Array, key: TextKey = 'prompt'): Promise<string[]> {
  return (await readTextRows(file(name, content), key)).map(({ text }) => text);
}

const wanted = ['a café table', 'two birds'];
const rows = [{ prompt: wanted[0], tag: 'counting', include: [{ class: 'bird' }] }, { prompt: wanted[1] }];
const lines = rows.map((row) => JSON.stringify(row)).join('\n');

describe('formats, by ending and content', () => {
  test.each([
    ['lines.txt', wanted.join('\n')],
    ['LINES.TXT', `\n  ${wanted.join(' \r\n\r\n')}\r\n`],
    ['old-mac.txt', wanted.join('\r')],
    ['no-ending', wanted.join('\n')],
    ['mark.txt', `\uFEFF${wanted.join('\n')}`],
    ['utf16.txt', Buffer.from(`\uFEFF${wanted.join('\r\n')}`, 'utf16le')],
    ['utf16be.txt', Buffer.from(`\uFEFF${wanted.join('\n')}`, 'utf16le').swap16()],
    ['rows.jsonl', lines],
    ['ROWS.JSONL', lines],
    ['rows.ndjson', `${lines.replace('\n', '\r\n\r\n')}\n`],
    ['rows.json', lines],
    ['mark.jsonl', `\uFEFF${lines}`],
    ['utf16.jsonl', Buffer.from(`\uFEFF${lines}`, 'utf16le')],
    ['rows.txt', lines],
    ['escaped.jsonl', lines.replace('é', String.raw`\u00e9`)],
    ['list.json', JSON.stringify(rows)],
    ['pretty.json', JSON.stringify(rows, null, 2)],
    ['pretty.txt', JSON.stringify(rows, null, 2)],
    ['texts.json', JSON.stringify(wanted)],
    ['texts.jsonl', wanted.map((each) => JSON.stringify(each)).join('\n')],
    ['table.csv', `id,Prompt,category\n1,a café table,x\n2,"two birds","a, b"\n`],
    ['semicolons.csv', 'id;prompt\n1;a café table\n2;two birds\n'],
    ['tabs.csv', 'prompt\tnote\na café table\ta, b\ntwo birds\t\n'],
    ['bars.csv', 'id|prompt\r\n1|a café table\r\n2|two birds'],
    ['commas.tsv', 'prompt,id\na café table,1\ntwo birds,2\n'],
    ['said.csv', 'sep=;\r\nid;prompt\r\n1;a café table\r\n2;"two birds"\r\n'],
    ['spaces.csv', 'id, prompt\n1, "a café table"\n2,  "two birds" \n'],
    ['unnamed.csv', 'prompt,,\na café table,x,\ntwo birds,,y\n'],
    ['utf16.csv', Buffer.from('\uFEFFprompt;id\r\na café table;1\r\ntwo birds;2\r\n', 'utf16le')],
    ['table.TSV', `prompt\tid\r\na café table\t1\r\n\r\ntwo birds\t2`],
  ])('%s', async (name, content) => {
    expect(await texts(name, content)).toEqual(wanted);
  });

  test('what else a row holds, and its place', async () => {
    const [first, second] = await readTextRows(file('rows.jsonl', `\n${lines}`), 'prompt');
    expect(first).toEqual({ text: wanted[0], place: `${join(folder, 'rows.jsonl')}:2`, columns: rows[0] });
    expect(second?.columns).toEqual(rows[1]);
    const [listed] = await readTextRows(file('list.json', JSON.stringify(rows)), 'prompt');
    expect(listed?.place).toBe(`${join(folder, 'list.json')}, row 1`);
    const table = await readTextRows(
      file('t.csv', 'prompt,rationale\n"a ""red""\ncat","it is, red"\na dog,x'),
      'prompt',
    );
    expect(table).toEqual([
      {
        text: 'a "red"\ncat',
        place: `${join(folder, 't.csv')}:2`,
        columns: { prompt: 'a "red"\ncat', rationale: 'it is, red' },
      },
      { text: 'a dog', place: `${join(folder, 't.csv')}:4`, columns: { prompt: 'a dog', rationale: 'x' } },
    ]);
    const [tabbed] = await readTextRows(file('tab.txt', 'a cat\tit sits\tthere'), 'prompt');
    expect(tabbed).toMatchObject({ text: 'a cat', columns: { rationale: 'it sits\tthere' } });
    expect(await texts('question.txt', 'what?\twhere?', 'question')).toEqual(['what?\twhere?']);
    expect(await texts('question.jsonl', '{"question":"what?"}', 'question')).toEqual(['what?']);
    expect(
      (await readTextRows(file('own.jsonl', '{"prompt":"x","__proto__":{"task":"y"}}'), 'prompt'))[0]?.columns['task'],
    ).toBe(undefined);
  });

  test('brackets, quotes and numbers may stand in a prompt', async () => {
    const odd = [
      '[a cat|a dog] in a hat',
      '(red:1.2) cat',
      '7',
      'true',
      '"a" and "b"',
      'say "hi"',
      'a {b}',
      '<s>[INST]',
    ];
    expect(await texts('odd.txt', odd.join('\n'))).toEqual(odd);
    expect(await texts('separator.txt', 'one\u2028two')).toEqual(['one\u2028two']);
  });

  test('nothing is no row', async () => {
    for (const name of ['empty.txt', 'empty.jsonl', 'empty.json', 'empty.csv'])
      expect(await texts(name, ' \n\n')).toEqual([]);
    expect(await texts('list.json', '[]')).toEqual([]);
  });
});

describe('what is refused', () => {
  test.each([
    ['latin1.txt', Buffer.from('a dog\na café', 'latin1'), 'BAD_PROMPT_FILE', /line 2 is not UTF-8 \(byte 0xE9\)/, ''],
    ['cut.txt', Buffer.from('a café').subarray(0, 6), 'BAD_PROMPT_FILE', /line 1 is not UTF-8 \(byte 0xC3\)/, ''],
    ['latin1.jsonl', Buffer.from('{"prompt":"café"}', 'latin1'), 'BAD_PROMPT_FILE', /not UTF-8/, ''],
    ['utf16-no-mark.txt', Buffer.from('a cat', 'utf16le'), 'BAD_PROMPT_FILE', /NUL/, ''],
    ['utf32.txt', Buffer.from('fffe000061000000', 'hex'), 'BAD_PROMPT_FILE', /UTF-32/, ''],
    ['odd-utf16.txt', Buffer.from('fffe6100620', 'hex').subarray(0, 5), 'BAD_PROMPT_FILE', /UTF-16/, ''],
    ['train.parquet', Buffer.from('PAR1....PAR1'), 'BAD_PROMPT_FILE', /a parquet file/, ''],
    ['parquet.txt', Buffer.from('PAR1....PAR1'), 'BAD_PROMPT_FILE', /a parquet file/, ''],
    ['rows.jsonl.gz', gzipSync(lines), 'BAD_PROMPT_FILE', /compressed with gzip/, ''],
    ['rows.jsonl', gzipSync(lines), 'BAD_PROMPT_FILE', /compressed with gzip/, ''],
    ['prompts.yaml', '- a cat', 'BAD_PROMPT_FILE', /not read from files ending in \.yaml/, ''],
    ['prompts.xlsx', Buffer.from('PK\u0003\u0004'), 'BAD_PROMPT_FILE', /zip archive/, ''],
    ['bench.csv', 'item_id,text\n1,a bird', 'BAD_PROMPT_FILE', /no column "prompt"; its columns are item_id, text/, ''],
    ['torn.csv', 'prompt,id\na cat', 'BAD_PROMPT_LINE', /1 columns, the header 2/, ':2'],
    ['open.csv', 'prompt\n"a cat', 'BAD_PROMPT_LINE', /never closed/, ':2'],
    ['blank.csv', 'prompt,id\n,1', 'BAD_PROMPT_LINE', /no prompt/, ':2'],
    ['twice.csv', 'prompt,prompt\na,b', 'BAD_PROMPT_FILE', /two columns "prompt"/, ''],
    ['two-kinds.csv', 'kind,prompt,kind\na,b,c', 'BAD_PROMPT_FILE', /two columns "kind"/, ''],
    ['said.csv', 'sep=;\nprompt;id\na cat;1;2', 'BAD_PROMPT_LINE', /3 columns, the header 2/, ':3'],
    ['nul.csv', 'prompt,id\na c\0at,1', 'BAD_PROMPT_FILE', /line 2 holds a NUL/, ''],
    ['page.txt', '\n<!DOCTYPE html><html>Log in</html>', 'BAD_PROMPT_FILE', /a web page/, ''],
    ['page.csv', '<html><body>404</body></html>', 'BAD_PROMPT_FILE', /a web page/, ''],
    [
      'pointer.jsonl',
      'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n',
      'BAD_PROMPT_FILE',
      /a pointer of Git LFS/,
      '',
    ],
    ['elements.txt', '"a cat",\n"a dog",', 'BAD_PROMPT_LINE', /this line is JSON/, ':1'],
    ['json-later.txt', 'a cat\n{"prompt": "a dog"}', 'BAD_PROMPT_LINE', /this line is JSON/, ':2'],
    ['list-later.txt', 'a cat\n["a dog"]', 'BAD_PROMPT_LINE', /this line is JSON/, ':2'],
    ['quoted.txt', '"a cat"\n"a dog"', 'BAD_PROMPT_LINE', /this line is JSON/, ':1'],
    ['python.txt', "{'prompt': 'a dog'}", 'BAD_PROMPT_LINE', /not JSON/, ':1'],
    ['comma.jsonl', '{"prompt":"a"},\n{"prompt":"b"}', 'BAD_PROMPT_LINE', /not JSON/, ':1'],
    ['nan.jsonl', '{"prompt":"a","score":NaN}', 'BAD_PROMPT_LINE', /not JSON/, ':1'],
    ['torn.json', '[{"prompt":"a"},', 'BAD_PROMPT_LINE', /not JSON/, ''],
    ['pretty-object.json', '{\n "prompts": ["a"]\n}', 'BAD_PROMPT_LINE', /its keys are prompts/, ', row 1'],
    ['other-key.jsonl', '{"caption":"a"}', 'BAD_PROMPT_LINE', /no prompt; its keys are caption/, ':1'],
    ['chat.jsonl', '{"prompt":[{"role":"user","content":"a"}]}', 'BAD_PROMPT_LINE', /not a text/, ':1'],
    ['number.jsonl', '{"prompt":"a"}\n7', 'BAD_PROMPT_LINE', /no prompt/, ':2'],
    ['half.jsonl', '{"prompt":"a \\ud83d"}', 'BAD_PROMPT_LINE', /half a character/, ':1'],
    ['deep.jsonl', `{"prompt":"a","x":${'['.repeat(5000)}${']'.repeat(5000)}}`, 'BAD_PROMPT_LINE', /nested/, ':1'],
    ['inherited.jsonl', '{"__proto__":{"prompt":"a"}}', 'BAD_PROMPT_LINE', /no prompt/, ':1'],
  ])('%s', async (name, content, code, message, place) => {
    await expect(texts(name, content)).rejects.toMatchObject({
      code,
      place: `${join(folder, name)}${place}`,
      message: expect.stringMatching(message) as string,
      exitCode: 2,
    });
  });

  test('a folder, a file that is not there, and one without an end', async () => {
    await expect(readTextRows(folder, 'prompt')).rejects.toMatchObject({ code: 'WRONG_FILE_KIND' });
    await expect(readTextRows(join(folder, 'nowhere.txt'), 'prompt')).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
    await expect(readBounded('/dev/zero', 'reading', 3 * 2 ** 20)).rejects.toMatchObject({ code: 'FILE_TOO_LARGE' });
  });
});

test('any text comes out of UTF-8 and UTF-16 as it went in, and any other bytes never with a replaced character', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      fc.pre(!text.includes('\0') && !text.startsWith('\uFEFF'));
      expect(decodeText(new TextEncoder().encode(text))).toBe(text);
      expect(decodeText(Buffer.from(`\uFEFF${text}`))).toBe(text);
      expect(decodeText(Buffer.from(`\uFEFF${text}`, 'utf16le'))).toBe(text);
      expect(decodeText(Buffer.from(`\uFEFF${text}`, 'utf16le').swap16())).toBe(text);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      try {
        const text = decodeText(bytes);
        fc.pre(!Buffer.from(bytes).includes(Buffer.from('\uFFFD')));
        if (bytes[0] !== 0xfe && bytes[0] !== 0xff) expect(text).not.toContain('\uFFFD');
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
    }),
  );
});

test('any table is read back as it was written', () => {
  const field = fc.string({ unit: fc.constantFrom('a', ' ', '"', ',', '\n', 'é', ';') });
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 4 }),
      fc.array(fc.array(field, { minLength: 4, maxLength: 4 })),
      (columns, all) => {
        const table = all.map((row) => row.slice(0, columns));
        const text = table.map((row) => row.map((each) => `"${each.replaceAll('"', '""')}"`).join(',')).join('\n');
        const parsed = parseTable(text, ',');
        expect('rows' in parsed ? parsed.rows.map(({ fields }) => fields) : parsed).toEqual(table);
      },
    ),
  );
});

test('values of files are shown on a line of their own length', () => {
  expect(shorten('a cat')).toBe('a cat');
  expect(shorten(`a\u001b[2J\n\tb`)).toBe('a [2J b');
  expect(shorten('x'.repeat(81))).toBe(`${'x'.repeat(79)}…`);
  expect(shorten('iVBORw0KGgo'.repeat(1e6)).length).toBe(80);
  expect(shorten('🐈'.repeat(100))).not.toMatch(/\p{Surrogate}/u);
});
