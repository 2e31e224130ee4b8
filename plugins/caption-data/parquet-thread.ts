/** Decoding of parquet files on a thread of its own, request by request, each against a clock (`parquet-worker.mjs`). Files are read here. */
import { open, type FileHandle } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { isOfMachine, readPiece } from './rows.ts';
import type {
  ParquetAnswer,
  ParquetLayout,
  ParquetPiece,
  ParquetQuestion,
  ParquetRequest,
  ParquetWanted,
} from './parquet-worker.mjs';

/** Milliseconds a request may take: what a damaged file asks for, and what a megabyte takes on a slow and busy machine. */
const clock = { least: 10_000, perMegabyte: 2000 };

export interface ParquetThreadOptions {
  readonly program: URL;
  /** Mebibytes of rows as objects; the bytes of pictures do not count. */
  readonly heap: number;
  /** Bytes that an answer may take, its pictures too, whatever the size of the file. */
  readonly memory: () => number;
}

const usual: ParquetThreadOptions = {
  program: new URL('./parquet-worker.mjs', import.meta.url),
  heap: 1024,
  memory: () => process.availableMemory() / 2,
};

/** What went wrong in the thread, in words. */
export class ParquetFailure extends Error {}

export class ParquetThread {
  private worker: Worker | undefined;
  private readonly options: ParquetThreadOptions;
  /** Requests wait for one another, so that the clock of each begins with it. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(options: Partial<ParquetThreadOptions> = {}) {
    this.options = { ...usual, ...options };
  }

  async layout(path: string): Promise<ParquetLayout> {
    const answer = await this.ask(path, { kind: 'open' }, 0);
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
    const answer = await this.ask(path, { kind: 'read', columns, rowStart, rowEnd, bytes }, bytes);
    if (answer.kind !== 'rows') throw new ParquetFailure('it was not answered');
    return answer.rows;
  }

  /** Texts of a row group that are no longer than a path. */
  async texts(path: string, group: number, bytes: number): Promise<readonly string[]> {
    const answer = await this.ask(path, { kind: 'texts', group, bytes }, bytes);
    if (answer.kind !== 'texts') throw new ParquetFailure('it was not answered');
    return answer.texts;
  }

  /** A later request starts another thread. */
  async close(): Promise<void> {
    const { worker } = this;
    this.worker = undefined;
    await worker?.terminate();
  }

  private ask(path: string, question: ParquetQuestion, bytes: number): Promise<ParquetAnswer> {
    const answer = this.last.then(() => this.askOf(path, question, bytes));
    this.last = answer.catch(() => undefined);
    return answer;
  }

  private async askOf(path: string, question: ParquetQuestion, bytes: number): Promise<ParquetAnswer> {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const request = { ...question, path, size, memory: this.options.memory() };
      return await this.send(request, file, clock.least + (bytes / 2 ** 20) * clock.perMegabyte);
    } finally {
      await file.close();
    }
  }

  private async send(request: ParquetRequest, file: FileHandle, milliseconds: number): Promise<ParquetAnswer> {
    this.worker ??= await started(this.options);
    const { worker } = this;
    /** What is being read for the thread. */
    let reading: Promise<unknown> = Promise.resolve();
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
      const hand = async (wanted: ParquetWanted): Promise<void> => {
        const piece = await pieceOf(file, wanted);
        worker.postMessage(piece, piece.kind === 'piece' ? [piece.bytes] : []);
      };
      worker.on('message', (message: ParquetAnswer | ParquetWanted) => {
        if (message.kind === 'wanted') reading = Promise.all([reading, hand(message)]);
        else end(message);
      });
      worker.once('messageerror', () => fail('what was decoded cannot be handed over'));
      worker.once('error', (error: unknown) => fail(reasonOf(error)));
      worker.once('exit', () => fail('the thread that decodes it ended'));
      worker.postMessage(request);
    });
    await reading;
    if (answer.kind === 'failed') throw failureOf(answer);
    return answer;
  }
}

/** Anything may be thrown, and what crosses threads may lose what it was. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error) || error.message === '') return 'the thread that decodes it failed';
  return 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY'
    ? 'decoding it takes too much memory'
    : error.message;
}

async function pieceOf(file: FileHandle, { start, end }: ParquetWanted): Promise<ParquetPiece> {
  try {
    const bytes = await readPiece(file, start, end - start);
    // Small buffers are parts of a larger one, which cannot be handed over.
    const whole = bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
    return { kind: 'piece', bytes: whole.buffer as ArrayBuffer };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? { code: String(error.code) } : {};
    return { kind: 'noPiece', why: error instanceof Error ? error.message : String(error), ...code };
  }
}

function failureOf({ why, code }: Extract<ParquetAnswer, { kind: 'failed' }>): Error {
  const error = Object.assign(new Error(why), { code });
  return isOfMachine(error) ? error : new ParquetFailure(why);
}

async function started({ program, heap }: ParquetThreadOptions): Promise<Worker> {
  const worker = new Worker(program, { execArgv: [], resourceLimits: { maxOldGenerationSizeMb: heap } });
  await new Promise((resolve, reject) => {
    worker.once('online', resolve);
    worker.once('error', reject);
  });
  worker.removeAllListeners();
  return worker;
}
