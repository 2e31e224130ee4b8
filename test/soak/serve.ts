/**
 * Many clients of one server at once: 5 % of the requests are left in their midst, 2 % are malformed, and every other answer is compared with that of the
 * same request alone. Memory, descriptors and bytes on the device must stay as they are; latencies are printed.
 * `npm run soak:serve -- [seconds] [clients] [seed]`
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { encodePng } from '../../core/io/image.ts';
import { at } from '../../core/tensor/at.ts';
import { philox } from '../../core/tensor/philox.ts';
import { randomWords } from '../../core/testing.ts';
import { janusFolder } from '../support/janus-folder.ts';
import { startServeProcess, type ServeProcess } from '../support/serve-process.ts';
import { metricOf } from '../support/served.ts';

export interface ServeSoak {
  readonly seconds: number;
  readonly clients: number;
  readonly seed: number;
}

/** What a process holds. */
interface Held {
  /** Of the heap and what its objects hold, after a collection. */
  readonly heldMiB: number;
  readonly residentMiB: number;
  readonly descriptors: number;
  readonly deviceMiB: number;
}

export interface ServeSoakEnd {
  readonly answered: number;
  readonly left: number;
  readonly malformed: number;
  /** Told to come again later. */
  readonly busy: number;
  /** Answers that were not those of the same request alone. */
  readonly mixed: number;
  /** What else was answered, by status. */
  readonly strange: readonly string[];
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** Of answered ones, in a second. */
  readonly rate: number;
  readonly before: Held;
  readonly after: Held;
  readonly exitCode: number | string | null;
  /** What was not as it should be. */
  readonly faults: readonly string[];
}

interface Request {
  readonly path: string;
  readonly body: string;
}

/** Requests of every kind; their answers follow from them. */
async function requests(): Promise<readonly Request[]> {
  const pictures = await Promise.all(
    [1, 2, 3].map(async (seed) => {
      const data = Uint8Array.from(randomWords(20 * 15 * 3, seed, 256));
      return `data:image/png;base64,${(await encodePng({ width: 20, height: 15, data })).toString('base64')}`;
    }),
  );
  const chat = (number: number): Request => {
    const shown = { type: 'image_url', image_url: { url: at(pictures, number % 3) } };
    const content = [...(number % 2 === 0 ? [shown] : []), { type: 'text', text: `Question ${number}?` }];
    const body = {
      ...{ model: 'soak', messages: [{ role: 'user', content }], seed: number, temperature: (number % 4) / 2 },
      ...{ max_tokens: 1 + ((number * 7) % 24), n: 1 + (number % 3 === 0 ? 1 : 0), stream: number % 4 === 1 },
      ...(number % 5 === 0 && { logprobs: true, top_logprobs: 4 }),
    };
    return { path: 'chat/completions', body: JSON.stringify(body) };
  };
  const drawing = (number: number): Request => ({
    path: 'images/generations',
    body: JSON.stringify({ prompt: `bird ${number}`, n: 1 + (number % 2), seed: number, guidance: 1 + (number % 3) }),
  });
  return [...Array.from({ length: 24 }, (_, number) => chat(number)), ...[0, 1, 2, 3, 4, 5].map(drawing)];
}

/** What is the same of an answer whenever it is asked for. */
function lasting(text: string): string {
  return text.replaceAll(/"(id|created)":("[^"]*"|\d+)/g, '');
}

/** A stream without the places in which it was cut. */
function joined(text: string): string {
  const events = text.split('\n\n').filter((line) => line.startsWith('data: {'));
  const contents = new Map<number, string>();
  for (const line of events) {
    const { choices } = JSON.parse(line.slice('data: '.length)) as {
      choices: { index: number; delta: { content?: string }; finish_reason: string | null }[];
    };
    for (const { index, delta, finish_reason: end } of choices)
      contents.set(index, `${contents.get(index) ?? ''}${delta.content ?? ''}${end === null ? '' : `|${end}`}`);
  }
  return JSON.stringify([...contents].sort(([a], [b]) => a - b)) + String(text.endsWith('[DONE]\n\n'));
}

function post(url: string, { path, body }: Request, signal?: AbortSignal): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  return fetch(`${url}/${path}`, { method: 'POST', body, headers, ...(signal !== undefined && { signal }) });
}

async function held({ url, pid, heldBytes }: ServeProcess): Promise<Held> {
  return {
    heldMiB: Math.round((await heldBytes()) / 2 ** 20),
    residentMiB: Math.round((await metricOf(url, 'process_resident_memory_bytes')) / 2 ** 20),
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    deviceMiB: (await metricOf(url, 'reasongen_device_memory_bytes')) / 2 ** 20,
  };
}

/** Until nothing is written or drawn any more. */
async function quiet({ url }: ServeProcess): Promise<void> {
  for (;;) {
    if ((await metricOf(url, 'reasongen_sequences')) === 0) return;
    await setTimeout(50);
  }
}

export async function soakServer({ seconds, clients, seed }: ServeSoak): Promise<ServeSoakEnd> {
  const folder = mkdtempSync(join(tmpdir(), 'reasongen-soak-'));
  const server = await startServeProcess([
    ...['--model', janusFolder(join(folder, 'model'), 'tiny-a'), '--name', 'soak', '--port', '0'],
    ...['--run-dir', join(folder, 'run'), '--set', 'recipe.questionTokens=600', '--set', 'recipe.answerTokens=32'],
    ...['--set', 'recipe.promptTokens=120', '--set', 'recipe.rationaleTokens=14', '--set', 'recipe.waiting=40'],
  ]);
  const { url } = server;
  const count = { answered: 0, left: 0, malformed: 0, busy: 0, mixed: 0 };
  const strange: string[] = [];
  const took: number[] = [];
  try {
    const known = await requests();
    const alone: string[] = [];
    for (const request of known) alone.push(await answerOf(await post(url, request)));
    const end = performance.now() + seconds * 1000;
    let before: Held | undefined;

    const client = async (number: number): Promise<void> => {
      for (let turn = 0; performance.now() < end; turn++) {
        const [which, how, when] = philox([number, turn, 0, 0], [seed, 0]);
        const index = which % known.length;
        const request = at(known, index);
        if (how % 100 < 5) {
          const gone = AbortSignal.timeout(5 + (when % 300));
          try {
            await (await post(url, request, gone)).text();
          } catch {
            count.left += 1;
          }
        } else if (how % 100 < 7) {
          const cut = request.body.slice(0, when % request.body.length);
          const { status } = await post(url, { ...request, body: cut });
          if (status === 400) count.malformed += 1;
          else if (status === 429) count.busy += 1;
          else strange.push(`${status} for a malformed body`);
        } else {
          const begun = performance.now();
          const answer = await post(url, request);
          if (answer.status === 429) {
            count.busy += 1;
            await answer.text();
            await setTimeout(100 + (when % 400));
            continue;
          }
          const text = await answerOf(answer);
          took.push(performance.now() - begun);
          count.answered += 1;
          if (answer.status !== 200) strange.push(`${answer.status}: ${text.slice(0, 200)}`);
          else if (text !== alone[index]) count.mixed += 1;
        }
      }
    };
    // What is made once is made in the first third.
    const measure = async (): Promise<void> => {
      await setTimeout((seconds * 1000) / 3);
      before = await held(server);
    };
    await Promise.all([measure(), ...Array.from({ length: clients }, (_, number) => client(number))]);
    await quiet(server);
    const after = await held(server);
    if (before === undefined) throw new Error('nothing was measured');
    const exitCode = await server.stop();
    const sorted = took.toSorted((a, b) => a - b);
    const quantile = (share: number): number => Math.round(sorted[Math.floor(share * sorted.length)] ?? NaN);
    const faults = Object.entries({
      'an answer that was not its own': count.mixed > 0,
      'an answer with another status': strange.length > 0,
      'nobody left': count.left === 0,
      'nobody sent nonsense': count.malformed === 0,
      'device memory grew': after.deviceMiB > before.deviceMiB * 1.02,
      // The clients' connections are closed or idle by now.
      'descriptors grew': after.descriptors > before.descriptors + 8,
      'the heap grew': after.heldMiB > before.heldMiB + 24,
      // How far V8 lets garbage grow depends on the speed of the machine.
      'resident memory doubled': after.residentMiB > before.residentMiB * 2,
      'it did not end well': exitCode !== 0,
    }).flatMap(([fault, isSo]) => (isSo ? [fault] : []));
    const rate = Math.round((10 * count.answered) / seconds) / 10;
    return {
      ...count,
      strange: strange.slice(0, 5),
      p50: quantile(0.5),
      p99: quantile(0.99),
      rate,
      before,
      after,
      exitCode,
      faults,
    };
  } catch (error) {
    // What a client saw of a server that is gone says less than how that ended.
    const end = await Promise.race([server.ended, setTimeout(2000, 'running')]);
    if (end === 'running') throw error;
    throw new Error(`the server ended with ${end}: ${server.said()}`, { cause: error });
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function answerOf(answer: Response): Promise<string> {
  const text = await answer.text();
  return answer.headers.get('content-type')?.startsWith('text/event-stream') === true ? joined(text) : lasting(text);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [seconds = 600, clients = 64, seed = Date.now() % 2 ** 31] = process.argv.slice(2).map(Number);
  const end = await soakServer({ seconds, clients, seed });
  process.stdout.write(`${JSON.stringify({ seconds, clients, seed, ...end })}\n`);
  process.exit(end.faults.length === 0 ? 0 : 1);
}
