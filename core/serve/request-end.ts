/** When a request ends before its answer: whoever asked is gone, its time is up, or the server stops. */
import { setMaxListeners } from 'node:events';
import { ApiError } from './api-error.ts';

/** Listeners of a signal that are no leak. (None at all, 0, is a number that Node does not read back: `fetch` would throw.) */
export const manyListeners = 2 ** 20;

/** Nobody waits for the answer any more. */
export class ClientGone extends Error {
  constructor() {
    super('whoever asked is gone');
    this.name = 'ClientGone';
  }
}

export interface RequestEnd {
  /** Aborted with a ClientGone or with the ApiError that is answered. */
  readonly signal: AbortSignal;
  /** Whoever asked is gone. */
  leave(): void;
  /** It has been answered: nothing will abort it any more. */
  close(): void;
}

/**
 * @param client aborted when the connection is closed
 * @param handBack aborted when a server that stops waits no longer
 */
export function endOfRequest(client: AbortSignal, seconds: number, handBack: AbortSignal): RequestEnd {
  const controller = new AbortController();
  // Each of its choices listens.
  setMaxListeners(manyListeners, controller.signal);
  const leave = (): void => controller.abort(new ClientGone());
  const stop = (): void => controller.abort(stopping());
  const timer = setTimeout(
    () =>
      controller.abort(
        new ApiError({
          status: 504,
          code: 'timeout',
          message: `this took more than the ${seconds} seconds that a request may take`,
        }),
      ),
    seconds * 1000,
  );
  client.addEventListener('abort', leave, { once: true });
  handBack.addEventListener('abort', stop, { once: true });
  if (client.aborted) leave();
  if (handBack.aborted) stop();
  return {
    signal: controller.signal,
    leave,
    close: () => {
      clearTimeout(timer);
      client.removeEventListener('abort', leave);
      handBack.removeEventListener('abort', stop);
    },
  };
}

/** What a server that stops says to whoever asks, and to those whose answers it does not finish. */
export function stopping(): ApiError {
  return new ApiError({
    status: 503,
    code: 'server_stopping',
    message: 'this server is being stopped',
    retryAfter: 10,
  });
}
