/** DPG-Bench and GenEval 2 from a folder of pictures to a score, with judges that answer over HTTP and verdicts that are known in advance. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Evaluation } from '../../../core/contracts/evaluation.ts';
import { readRunRecords } from '../../../core/io/records.ts';
import { decodePicture, encodePng } from '../../../core/io/image.ts';
import type { Image } from '../../../core/plugin.ts';
import { root, Workplace } from '../../support/runs.ts';

const place = new Workplace();
const side = 8;
const colors = { red: [200, 10, 10], green: [10, 200, 10], blue: [10, 10, 200] } as const;
type Color = keyof typeof colors;

const painted = (color: Color): Image => ({
  width: side,
  height: side,
  data: Uint8Array.from({ length: side * side * 3 }, (_, index) => colors[color][index % 3] ?? 0),
});

/** What the endpoints see: the color of the picture. A question names a color, and its answer is whether that is it. */
async function sees(png: string): Promise<Color> {
  const { data } = await decodePicture(Buffer.from(png, 'base64'));
  const [red = 0, green = 0, blue = 0] = data;
  return red > green && red > blue ? 'red' : green > blue ? 'green' : 'blue';
}

async function answerTo(question: string, png: string): Promise<{ text: string; likely: Record<string, number> }> {
  const color = await sees(png);
  if (question.startsWith('What color')) return { text: color, likely: { [color]: 0.9, gray: 0.1 } };
  const isSo = question.includes(color);
  return { text: isSo ? 'yes' : 'no', likely: { yes: isSo ? 0.8 : 0.1, no: isSo ? 0.1 : 0.8 } };
}

interface ChatQuestion {
  readonly messages: readonly { readonly content: readonly { text?: string; image_url?: { url: string } }[] }[];
  readonly logprobs?: boolean;
}

/** As a chat endpoint answers. */
async function chat(body: ChatQuestion): Promise<unknown> {
  const content = body.messages[0]?.content ?? [];
  const png = content.find((each) => each.image_url)?.image_url?.url.split(',')[1] ?? '';
  const { text, likely } = await answerTo(content.find((each) => each.text)?.text ?? '', png);
  const top = Object.entries(likely).map(([token, value]) => ({ token, logprob: Math.log(value) }));
  const [first] = top;
  const logprobs = body.logprobs === true ? { content: [{ ...first, top_logprobs: top }] } : undefined;
  return { choices: [{ finish_reason: 'stop', message: { content: text }, logprobs }] };
}

/** As the page of plugins says a judge behind an address does. */
async function direct(body: { asks: string; question: string; image: string; answers: string[][] }): Promise<unknown> {
  const { text, likely } = await answerTo(body.question, body.image);
  if (body.asks === 'answer') return text;
  return body.answers.map((set) => set.reduce((sum, word) => sum + (likely[word] ?? 0), 0));
}

let [asked, url] = [0, ''];
let server: Server;
beforeAll(async () => {
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += String(chunk)));
    request.on('end', () => {
      asked += 1;
      const parsed = JSON.parse(body) as never;
      void (request.url?.startsWith('/v1/') === true ? chat(parsed) : direct(parsed)).then((answer) =>
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer)),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => server.close());

const header =
  'item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,question_natural_language';
const row = (item: string, id: number, parents: string, question: string): string =>
  `${item},prompt of ${item},,${id},"${parents}",attribute,color,"attribute - color (x)",${question}`;

async function write(path: string, bytes: Uint8Array | string): Promise<string> {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
  return path;
}

/** Four pictures, two by two. */
function grid(tiles: readonly [Color, Color, Color, Color]): Promise<Uint8Array> {
  const data = new Uint8Array((2 * side) ** 2 * 3);
  for (let y = 0; y < 2 * side; y++)
    for (let x = 0; x < 2 * side; x++) {
      const tile = tiles[Math.floor(y / side) * 2 + Math.floor(x / side)] ?? 'red';
      data.set(colors[tile], (y * 2 * side + x) * 3);
    }
  return encodePng({ width: 2 * side, height: 2 * side, data });
}

describe.each([
  ['chat-judge', () => ({ use: 'chat-judge', url: `${url}/v1`, model: 'eye', cache: place.path('kept-chat') })],
  [
    'http-judge',
    () => ({
      use: 'http-judge',
      url: `${url}/judge`,
      title: 'eye',
      can: ['answer', 'answerProbabilities'],
      cache: place.path('kept-http'),
    }),
  ],
])('%s', (name, judge) => {
  const evaluate = async (benchmark: object, pictures: string): Promise<Evaluation> => {
    const directory = place.free('evaluated');
    const { code, errors } = await place.command(
      ...['evaluate', join(root, 'presets/nano/evaluate.yaml'), '--pictures', pictures, '--run-dir', directory],
      ...['--set', `judges=[${JSON.stringify(judge())}]`, '--set', `benchmarks=[${JSON.stringify(benchmark)}]`],
    );
    expect(code, errors).toBe(0);
    const { evaluations, run } = await readRunRecords(directory);
    // Nothing is computed here: no device was opened.
    expect(run.adapter).toEqual({});
    const [record] = evaluations;
    if (record === undefined) throw new Error('there is no record');
    return record;
  };

  test('DPG-Bench: no from a parent is no for its child, and every tile counts', async () => {
    const folder = place.path(`dpg-${name}`);
    // The first item begins with a row that the official scorer takes for the header.
    const questions = await write(
      place.path('dpg.csv'),
      [
        header,
        row('a', 1, '0', 'Is it red?'),
        row('a', 2, '1', 'Is it red or blue?'),
        row('b', 1, '0', 'Is it green or blue?'),
        row('b', 2, '0', 'Is it blue?'),
      ].join('\n'),
    );
    await write(join(folder, 'a.png'), await grid(['red', 'blue', 'green', 'red']));
    await write(join(folder, 'b.png'), await grid(['blue', 'green', 'red', 'blue']));
    const record = await evaluate({ use: 'dpg', questions, mode: 'corrected' }, folder);
    // red: 1, 1. blue: no to red, and so no to its child. green: 0. b: 1, one half, 0, 1.
    expect(record.verdicts?.map(({ score }) => score)).toEqual([1, 0, 0, 1, 1, 0.5, 0, 1]);
    expect(record.headline?.value).toBeCloseTo(100 * ((2 / 4 + 2.5 / 4) / 2), 9);
    expect(record.verdicts?.[1]?.atoms?.map(({ raw, score }) => [raw, score])).toEqual([
      [0, 0],
      [1, 0],
    ]);
    expect(record).toMatchObject({ counts: { missing: 0, judgeErrors: 0, unparsed: 0 }, comparable: { yes: false } });
    expect(record.judges).toMatchObject([{ capability: 'answer', title: 'eye' }]);
  });

  test('GenEval 2: the geometric mean of how likely the right answers are', async () => {
    const folder = place.path(`geneval2-${name}`);
    const prompts = await write(
      place.path('geneval2.jsonl'),
      ['red', 'blue']
        .map((color) => ({
          prompt: `a ${color} thing`,
          vqa_list: [
            ['What color is it?', color],
            [`Is it ${color}?`, 'yes'],
          ],
        }))
        .map((each) => `${JSON.stringify(each)}\n`)
        .join(''),
    );
    await write(join(folder, '00000/0000.png'), await encodePng(painted('red')));
    await write(join(folder, '00001/0000.png'), await encodePng(painted('green')));
    const record = await evaluate({ use: 'geneval2', prompts }, folder);
    const [right = 0, wrong = 0] = record.verdicts?.map(({ score }) => score) ?? [];
    expect(right).toBeCloseTo(Math.sqrt(0.9 * 0.8), 6);
    expect(wrong).toBe(0);
    expect(record.headline?.value).toBeCloseTo(50 * Math.sqrt(0.72), 4);
    expect(record.verdicts?.map(({ pass }) => pass)).toEqual([true, false]);
  });

  test('the same evaluation again asks nothing', async () => {
    const before = asked;
    const record = await evaluate(
      { use: 'geneval2', prompts: place.path('geneval2.jsonl') },
      place.path(`geneval2-${name}`),
    );
    expect(record.overall).toEqual({ passes: 1, total: 2 });
    expect(asked).toBe(before);
  });
});
