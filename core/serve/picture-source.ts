/** Pictures of a request: data URLs, and files of hosts that the operator has named. */
import type { Image } from '../contracts/image.ts';
import { decodePicture } from '../io/image.ts';
import { request } from '../request.ts';
import { TryAgainError } from '../try-again.ts';
import { ApiError, badRequest } from './api-error.ts';

export interface PictureLimits {
  /** Of a picture, told by its header before anything of it is decoded. */
  readonly pixels: number;
  /** Of a file that is fetched. */
  readonly bytes: number;
  /** `host` or `host:port`; pictures are fetched from these and from no others. */
  readonly hosts: readonly string[];
}

/** Throws 400 for what is no picture or a larger one, 403 for a host that was not named. */
export async function readPictureUrl(
  url: string,
  param: string,
  limits: PictureLimits,
  signal: AbortSignal,
): Promise<Image> {
  const bytes = /^data:/i.test(url) ? bytesOfDataUrl(url, param) : await fetched(url, param, limits, signal);
  try {
    return await decodePicture(bytes, limits.pixels);
  } catch (cause) {
    // What is said of bytes that are no picture speaks of nothing else.
    if (cause instanceof RangeError)
      throw badRequest(`this picture cannot be read: ${cause.message}`, param, 'invalid_image');
    throw cause;
  }
}

function bytesOfDataUrl(url: string, param: string): Uint8Array {
  const head = /^data:image\/[\w.+-]+(?:;[\w.+-]+=[\w.+-]+)*;base64,/i.exec(url.slice(0, 200))?.[0];
  const text = head === undefined ? '' : url.slice(head.length);
  if (head === undefined || !/^[A-Za-z0-9+/]+={0,2}$/.test(text) || text.length % 4 === 1)
    throw badRequest('a picture is data:image/png;base64,… with base64 behind the comma', param, 'invalid_image');
  return Buffer.from(text, 'base64');
}

async function fetched(
  text: string,
  param: string,
  { hosts, bytes: most }: PictureLimits,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '')
    throw badRequest('a picture is a data URL, or the address of one', param, 'invalid_image');
  if (!hosts.includes(url.host))
    throw new ApiError({
      status: 403,
      code: 'host_not_allowed',
      message: 'this server fetches no pictures from there: send the picture as a data URL',
      param,
    });
  try {
    // A redirect leads to a host that nobody has named.
    const response = await request(url.href, { signal, redirect: 'manual' });
    if (!response.ok) throw notFetched(param, `it answered ${response.status}`);
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > most) throw notFetched(param, `it has more than ${most} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof ApiError) throw cause;
    throw notFetched(param, cause instanceof TryAgainError ? 'nobody answers there' : 'the answer broke off');
  }
}

function notFetched(param: string, why: string): ApiError {
  return badRequest(`the picture could not be fetched: ${why}`, param, 'invalid_image');
}
