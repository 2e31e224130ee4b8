/** Programs of this tree that go on while a test looks at them, and a reader that asks a live page's server for what an open page asks. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { root } from '../support/runs.ts';
import { askServer, openEvents, type Json } from '../support/watched-run.ts';

export interface Started {
  readonly pid: number | undefined;
  /** Waits until the program has said this; throws what it said when it ends before. */
  said(words: RegExp): Promise<RegExpExecArray>;
  /** The exit code, null after a kill, and everything it said. */
  readonly ended: Promise<{ readonly code: number | null; readonly text: string }>;
  kill(): void;
}

/** `npx reasongen ARGS` without its supervisor. */
export function startProgram(args: readonly string[]): Started {
  const child = spawn(process.execPath, ['--import', 'tsx', join(root, 'core/cli.ts'), ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  const waiting = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (part: string) => {
      text += part;
      for (const look of waiting) look();
    });
  const ended = once(child, 'close').then(([code]) => {
    for (const look of waiting) look();
    return { code: code as number | null, text };
  });
  return {
    pid: child.pid,
    said: (words) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = words.exec(text);
          if (found === null && child.exitCode === null && child.signalCode === null) return;
          waiting.delete(look);
          if (found === null) reject(new Error(`it ended without a word of ${words}:\n${text}`));
          else resolve(found);
        };
        waiting.add(look);
        look();
      }),
    ended,
    kill: () => child.kill('SIGKILL'),
  };
}

/** A port that nothing listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

export interface PageReader {
  /** Steps that it was told of, and pictures that it has fetched. */
  readonly steps: number;
  readonly pictures: number;
  close(): Promise<void>;
}

/** A page on another machine, with the drawings open: listens, and asks for all that is new with every picture. */
export function openReader(port: number, run = '.'): PageReader {
  const query = `run=${encodeURIComponent(run)}`;
  const events = openEvents(port, query);
  const seen = { steps: 0, pictures: 0, told: 0 };
  const closed = new AbortController();
  const ask = async (path: string): Promise<Json> => {
    const { status, body } = await askServer(port, path);
    return status === 200 ? JSON.parse(body) : undefined;
  };
  const lookAt = async (parts: readonly string[]): Promise<void> => {
    const detail = await ask(`/api/run?${query}`);
    if (parts.includes('evaluations')) await ask(`/api/evaluations?${query}`);
    const step = detail?.sampleSteps.at(-1) as number | undefined;
    if (!parts.includes('samples') || step === undefined) return;
    for (const { index } of (await ask(`/api/samples?${query}&step=${step}`)) ?? []) {
      const { status } = await askServer(port, `/picture/sample?${query}&step=${step}&index=${index}`);
      if (status === 200) seen.pictures++;
    }
  };
  const read = async (): Promise<void> => {
    await ask(`/api/metrics?${query}`);
    while (!closed.signal.aborted) {
      const news = events.news[seen.told];
      if (news === undefined) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        continue;
      }
      seen.told++;
      if (news.data.steps === 'all') await ask(`/api/metrics?${query}`);
      else seen.steps += (news.data.steps?.lines.length as number | undefined) ?? 0;
      if (news.data.parts.length > 0) await lookAt(news.data.parts);
    }
  };
  // A run that ends takes its page with it.
  const reading = read().catch((error: unknown) => {
    if (!/ECONNRE(FUSED|SET)|socket hang up/.test(String(error))) throw error;
  });
  return {
    get steps() {
      return seen.steps;
    },
    get pictures() {
      return seen.pictures;
    },
    close: async () => {
      closed.abort();
      events.close();
      await reading;
    },
  };
}
