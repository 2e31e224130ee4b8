/** The server of a model, from the first address it listens on to the last answer it gives. */
import { randomInt } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { createAccess } from '../access.ts';
import type { RunContext } from '../contracts/recipe.ts';
import { exitCodes, ReasongenError } from '../errors.ts';
import { keyIn } from '../keys.ts';
import { addressOf, listen } from '../listen.ts';
import { Admission } from './admission.ts';
import { ServeApp } from './app.ts';
import { ServerMetrics } from './metrics.ts';
import type { ServeChoice } from './options.ts';
import { manyListeners } from './request-end.ts';
import type { ServedModel } from './served-model.ts';

/** Milliseconds that a request may take to arrive. */
const arrival = 120_000;
/** Connections beyond these are closed. */
const mostConnections = 1024;
/** Seconds for answers that were handed back to reach whoever asked. */
const farewell = 5;

export interface RunningServer {
  /** Up to the version: what clients are given as their base. */
  readonly address: string;
  readonly port: number;
  /** Takes no more requests, goes on with the others for `graceSeconds`, and hands back what is then left. */
  stop(): Promise<void>;
}

/** Throws TOKEN_NEEDED, BAD_TOKEN, BAD_KEY: before a model is loaded in vain. */
export function serverAccess({ host, tokenVariable }: ServeChoice): ReturnType<typeof createAccess> {
  const token = keyIn(tokenVariable);
  const access = createAccess({ host, token, tokenFrom: tokenVariable });
  if (access.isLoopback || token !== undefined) return access;
  throw new ReasongenError({
    code: 'TOKEN_NEEDED',
    message: `beyond this machine a token is demanded of whoever asks, and ${tokenVariable} is not set`,
    place: `host ${host}`,
    hint: `export ${tokenVariable}=$(openssl rand -hex 24), or listen on 127.0.0.1`,
    exitCode: exitCodes.badPreset,
  });
}

export async function startServer(
  { tokenizer, device, log }: Pick<RunContext, 'tokenizer' | 'device' | 'log'>,
  { answers, drawings, hash }: ServedModel,
  choice: ServeChoice,
): Promise<RunningServer> {
  const { host, port, waiting, choices, pixels, bodyBytes, pictureHosts, answerTokens, graceSeconds } = choice;
  const access = serverAccess(choice);
  const metrics = new ServerMetrics();
  const [stop, handBack] = [new AbortController(), new AbortController()];
  // Each request listens.
  setMaxListeners(manyListeners, handBack.signal);
  const ofAnswers = new Admission({ atOnce: choice.answers, waiting });
  const ofDrawings = new Admission({ atOnce: choice.drawings, waiting });
  const freshSeed = (): number => randomInt(2 ** 32);
  const pictures = { pixels, bytes: bodyBytes, hosts: pictureHosts };
  const app = new ServeApp({
    model: { name: choice.modelName, fingerprint: `fp_${hash.replace(/\W/g, '').slice(0, 12)}` },
    chat: answers && {
      answers,
      tokenizer,
      admission: ofAnswers,
      limits: { answerTokens, choices, pictures },
      freshSeed,
    },
    images: drawings && { drawings, admission: ofDrawings, limits: { choices }, freshSeed },
    ...{ access, bodyBytes, metrics, log, requestSeconds: choice.requestSeconds },
    ...{ stop: stop.signal, handBack: handBack.signal },
  });
  for (const state of ['active', 'waiting'] as const)
    metrics.gauge(
      `reasongen_sequences_${state}`,
      `Sequences that are ${state === 'active' ? 'written or drawn' : 'waiting'}.`,
      () => [
        { labels: { kind: 'answer' }, value: ofAnswers.load[state] },
        { labels: { kind: 'drawing' }, value: ofDrawings.load[state] },
      ],
    );
  metrics.gauge('reasongen_device_memory_bytes', 'Bytes on the device.', () => [{ value: device.memory.bytes }]);
  metrics.gauge('process_resident_memory_bytes', 'Resident memory of the process.', () => [
    { value: process.memoryUsage.rss() },
  ]);
  const server = await listen(() => app.fetch, host, [port]);
  server.requestTimeout = arrival;
  server.maxConnections = mostConnections;
  const { address, port: taken } = addressOf(server, host);
  return {
    address: `${address}/v1`,
    port: taken,
    async stop() {
      // It goes on listening while it finishes what it has begun: whoever asks is told that it stops, and who balances load is told by /health.
      stop.abort();
      await within(app.idle(), graceSeconds);
      handBack.abort();
      await within(app.idle(), farewell);
      const isClosed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      server.closeIdleConnections();
      await within(isClosed, 1);
      server.closeAllConnections();
      await isClosed;
    },
  };
}

/** Waits for `work`, but no longer than so many seconds. */
async function within(work: Promise<void>, seconds: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, seconds * 1000);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}
