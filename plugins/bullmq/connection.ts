/** Redis: its address, connections to it, and what its failures mean. */
import { exitCodes, hide, oneLine, readKey, reasonOf, ReasongenError } from '../../core/plugin.ts';
import type { QueueLibrary, Redis } from './library.ts';

/** Where the queue is. The address is a secret, whatever is in it: messages name the variable it was read from. */
export interface QueueAddress {
  readonly url: string;
  readonly variable: string;
}

/** The address in an environment variable, which is masked from then on. Throws NO_QUEUE_ADDRESS. */
export function queueAddress(variable: string): QueueAddress {
  const hint = `set ${variable} to redis://HOST:PORT (rediss:// for TLS), user and password before the host where it wants them`;
  // The address is itself the secret; where it leads is looked at below.
  const url = readKey(variable, 'https://localhost');
  if (url === undefined)
    throw new ReasongenError({
      code: 'NO_QUEUE_ADDRESS',
      message: `${variable}, which is to hold the address of the queue, is not set`,
      hint,
      exitCode: exitCodes.badPreset,
    });
  const wrong = (message: string, what: string): ReasongenError =>
    new ReasongenError({ code: 'NO_QUEUE_ADDRESS', message, hint: what, exitCode: exitCodes.badPreset });
  if (!/^rediss?:\/\/[^/]/.test(url) || !URL.canParse(url)) throw wrong(`${variable} holds no address of Redis`, hint);
  const { username, password } = new URL(url);
  try {
    for (const part of [username, password]) hide(decodeURIComponent(part));
  } catch {
    // No cause: it may tell of the password.
    throw wrong(
      `user or password of the address in ${variable} has a % that begins no escape`,
      'write the percent sign itself as %25',
    );
  }
  return { url, variable };
}

/** How a connection behaves while Redis is away. */
const behaviors = {
  /** Fails at once: whoever asks tries again, and knows for how long. */
  asks: { maxRetriesPerRequest: 0, enableOfflineQueue: false, socketTimeout: 15_000 },
  /** Waits: a worker, which has nothing better to do. BullMQ asks it for up to 10 s at a time. */
  waits: { maxRetriesPerRequest: null, enableOfflineQueue: true, socketTimeout: 30_000 },
} as const;

/** Milliseconds between two tries to connect. */
const reconnectAfter = 500;

/** A connection that comes back by itself. Its events are heard, so that none ends the process. */
export function connect({ ioredis }: QueueLibrary, { url }: QueueAddress, behavior: keyof typeof behaviors): Redis {
  const redis = new ioredis.Redis(url, {
    ...behaviors[behavior],
    connectTimeout: 5000,
    retryStrategy: () => reconnectAfter,
    // BullMQ reads answers in their older form.
    protocol: 2,
  });
  redis.on('error', () => {
    // Told by what was asked of it, and by `probe`.
  });
  return redis;
}

/** What a Redis says of itself once it has let us in. */
export interface QueueState {
  readonly version: string;
  /** Bytes. 0: no limit. */
  readonly limit: number;
  readonly policy: string;
}

/** One look at Redis by a connection of its own. Throws QUEUE_AWAY, QUEUE_LOGIN or QUEUE_TROUBLE. */
export async function probe({ ioredis }: QueueLibrary, address: QueueAddress): Promise<QueueState> {
  let failure: unknown;
  const redis = new ioredis.Redis(address.url, {
    lazyConnect: true,
    connectTimeout: 5000,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    protocol: 2,
  });
  redis.on('error', (error) => (failure ??= error));
  try {
    await redis.connect();
    const info = await redis.info();
    const field = (name: string): string => new RegExp(`^${name}:(.*)$`, 'm').exec(info)?.[1]?.trim() ?? '';
    return { version: field('redis_version'), limit: Number(field('maxmemory')), policy: field('maxmemory_policy') };
  } catch (error) {
    throw explainQueue(failure ?? error, address);
  } finally {
    redis.disconnect();
  }
}

/** An error of Redis in words, with what to do. */
export function explainQueue(error: unknown, { variable }: QueueAddress): ReasongenError {
  if (error instanceof ReasongenError) return error;
  const reason = oneLine(reasonOf(error), 200);
  const told = (code: string, message: string, hint: string): ReasongenError =>
    new ReasongenError({ code, message, place: variable, hint, cause: error });
  if (/WRONGPASS|NOAUTH|invalid password|without any password/i.test(reason))
    return told(
      'QUEUE_LOGIN',
      `Redis does not let this program in: ${reason}`,
      `mend user and password of the address in ${variable}`,
    );
  if (/certificate|altnames/i.test(reason))
    return told(
      'QUEUE_CERTIFICATE',
      `the certificate of Redis is not trusted: ${reason}`,
      `let Node trust it (NODE_EXTRA_CA_CERTS=FILE.pem before the command), and see that it is made for the host of the address in ${variable}`,
    );
  if (/^OOM|\bOOM command/.test(reason))
    return told(
      'QUEUE_FULL',
      'Redis is full and takes nothing more',
      'raise its maxmemory, or let weights travel through a folder: executor.weights',
    );
  if (/^(MISCONF|READONLY|NOPERM|LOADING|MASTERDOWN)/.test(reason))
    return told('QUEUE_TROUBLE', `Redis refuses to work: ${reason}`, 'mend Redis; its own log says more');
  return told(
    'QUEUE_AWAY',
    `no Redis answers: ${reason}`,
    `start it (redis-server --appendonly yes), or mend the address in ${variable}`,
  );
}

/** Whether trying again may help: what Redis says of a login or a mistake of ours stays as it is. */
export function mayPass(error: unknown): boolean {
  const reason = reasonOf(error);
  if (/WRONGPASS|NOAUTH|invalid password|without any password|NOPERM/i.test(reason)) return false;
  return /OOM|LOADING|MISCONF|READONLY|MASTERDOWN|Connection is closed|isn't writeable|max retries|ECONN|ETIMEDOUT|EPIPE|EAI_AGAIN|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|Command timed out|socket/i.test(
    reason,
  );
}
