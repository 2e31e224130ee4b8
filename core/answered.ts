/** Answers of servers that judge: what they say is read within a bound, and one that says no becomes the error that says what to do. */
import { ReasongenError } from './errors.ts';
import { readText, request } from './request.ts';
import { maskKnown, scrub } from './scrub.ts';
import { TryAgainError } from './try-again.ts';

/** Where a question goes. */
export interface Server {
  readonly url: string;
  readonly key?: string | undefined;
  /** Where the key comes from, or would come from, for messages. */
  readonly keyVariable?: string | undefined;
}

/** Bytes; longer answers are none of a judge. */
const longestAnswer = 8 * 2 ** 20;

/**
 * Asks a server and returns the text of its answer. A redirect is not followed: a picture, and a key, go to the address they are meant for only.
 * Throws TryAgainError where asking again may help (nobody answers, 408, 425, 429, 5xx, an answer that breaks off), with what the server wishes
 * (Retry-After), and JUDGE_REFUSED where it would not.
 */
export async function askServer(url: string, init: RequestInit, server: Server): Promise<string> {
  const { response, text } = await exchanged(url, init, server);
  if (response.ok) return text;
  throw refusal(response, text, server);
}

/** The answer of a server, whatever it says for good: only what may be otherwise in a moment is thrown, as `askServer` does. */
export async function exchanged(
  url: string,
  init: RequestInit,
  server: Server,
): Promise<{ readonly response: Response; readonly text: string }> {
  let response: Response;
  let text: string;
  try {
    response = await request(url, { ...init, redirect: 'manual' });
    // A server may repeat what it was sent, the key among it.
    text = maskKnown(await readText(response, longestAnswer));
  } catch (cause) {
    init.signal?.throwIfAborted();
    if (!(cause instanceof TryAgainError)) throw cause;
    throw new TryAgainError(cause.message, { isUnreachable: cause.isUnreachable, place: server.url, cause });
  }
  const { status, headers } = response;
  if (status === 408 || status === 425 || status === 429 || status >= 500)
    throw new TryAgainError(answeredWith(response, text), {
      seconds: secondsWished(headers.get('retry-after')),
      place: server.url,
    });
  return { response, text };
}

function answeredWith({ status, statusText }: Response, text: string): string {
  return `answered ${[status, statusText].filter(Boolean).join(' ')}${text === '' ? '' : `: ${oneLine(text)}`}`;
}

/** The answer of a server as JSON. Throws TryAgainError for what is none: a proxy in between, or an answer that was cut off. */
export function parsedAnswer(text: string, { url }: Server): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new TryAgainError(`gave an answer that is not JSON: ${oneLine(text)}`, { place: url });
  }
}

function refusal(response: Response, text: string, { url, key, keyVariable }: Server): ReasongenError {
  const { status, headers } = response;
  const said = answeredWith(response, text);
  const told = (message: string, hint: string): ReasongenError =>
    new ReasongenError({ code: 'JUDGE_REFUSED', message: `the judge ${message}`, place: url, hint });
  if (status >= 300 && status < 400)
    return told(
      `sends all questions on to ${headers.get('location') ?? 'another address'} (${status})`,
      'write the address that answers as url',
    );
  if (status === 401 || status === 403)
    return told(
      said,
      key === undefined
        ? 'no key was sent: put it into an environment variable and name that in keyVariable'
        : `check the key in ${keyVariable ?? 'the environment'}`,
    );
  if (status === 404)
    return told(said, 'check url, a chat endpoint up to its version such as …/v1, and the name of the model');
  return told(said, 'change the option that it names');
}

/** Retry-After: seconds, or a date. */
function secondsWished(value: string | null): number | undefined {
  if (value === null) return undefined;
  const seconds = /^\d+(\.\d+)?$/.test(value.trim()) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined;
}

/** The beginning of a text, in one line, for messages. It is cut when no secret is in it any more: half of one could not be told. */
export function oneLine(text: string, longest = 200): string {
  return scrub(text).replaceAll(/\s+/g, ' ').trim().slice(0, longest);
}
