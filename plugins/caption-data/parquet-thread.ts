/** Decoding of parquet files on a thread of its own, request by request, each against a clock (`parquet-worker.mjs`). */
import { Worker } from 'node:worker_threads';
import type { ParquetAnswer, ParquetLayout, ParquetRequest } from './parquet-worker.mjs';

/** Milliseconds a request may take: what a damaged file asks for, and what a megabyte takes on a slow and busy machine. */
const clock = { least: 10_000, perMegabyte: 2000 };
/** Mebibytes of rows as objects; the bytes of pictures do not count. */
const memory = 1024;

/** What went wrong in the thread, in words. */
export class ParquetFailure extends Error {}

export class ParquetThread {
  private worker: Worker | undefined;
  /** Requests wait for one another, so that the clock of each begins with it. */
  private last: Promise<unknown> = Promise.resolve();

  async layout(path: string): Promise<ParquetLayout> {
    const answer = await this.ask({ kind: 'open', path }, 0);
    if (answer.kind !== 'layout') throw new ParquetFailure('it was not answered');
    return answer.layout;
  }

  /** `bytes`: how many are decoded. */
  async rows(
    path: string,
    columns: string[],
    [rowStart, rowEnd]: readonly [number, number],
    bytes: number,
  ): Promise<readonly Record<string, unknown>[]> {
    const answer = await this.ask({ kind: 'read', path, columns, rowStart, rowEnd }, bytes);
    if (answer.kind !== 'rows') throw new ParquetFailure('it was not answered');
    return answer.rows;
  }

  /** A later request starts another thread. */
  async close(): Promise<void> {
    const { worker } = this;
    this.worker = undefined;
    await worker?.terminate();
  }

  private ask(request: ParquetRequest, bytes: number): Promise<ParquetAnswer> {
    const answer = this.last.then(() => this.send(request, clock.least + (bytes / 2 ** 20) * clock.perMegabyte));
    this.last = answer.catch(() => undefined);
    return answer;
  }

  private async send(request: ParquetRequest, milliseconds: number): Promise<ParquetAnswer> {
    this.worker ??= await started();
    const { worker } = this;
    const answer = await new Promise<ParquetAnswer>((resolve) => {
      const end = (found: ParquetAnswer): void => {
        clearTimeout(timer);
        for (const event of ['message', 'error', 'exit', 'messageerror']) worker.removeAllListeners(event);
        worker.unref();
        resolve(found);
      };
      const fail = (why: string): void => {
        this.worker = undefined;
        // What is thrown while it ends was said already.
        worker.terminate().catch(() => undefined);
        end({ kind: 'failed', why });
      };
      const timer = setTimeout(
        () => fail(`it was not decoded within ${Math.round(milliseconds / 1000)} seconds`),
        milliseconds,
      );
      worker.ref();
      worker.once('message', end);
      worker.once('messageerror', () => fail('what was decoded cannot be handed over'));
      worker.once('error', (error: NodeJS.ErrnoException) =>
        fail(error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'decoding it takes too much memory' : error.message),
      );
      worker.once('exit', () => fail('the thread that decodes it ended'));
      worker.postMessage(request);
    });
    if (answer.kind === 'failed') throw new ParquetFailure(answer.why);
    return answer;
  }
}

async function started(): Promise<Worker> {
  const worker = new Worker(new URL('./parquet-worker.mjs', import.meta.url), {
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: memory },
  });
  await new Promise((resolve, reject) => {
    worker.once('online', resolve);
    worker.once('error', reject);
  });
  worker.removeAllListeners();
  return worker;
}
