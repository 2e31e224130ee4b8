import { exchanged, oneLine, parsedAnswer, type Server, TryAgainError } from '../../core/plugin.ts';

/** Milliseconds that one request may take. */
const patience = 30_000;

/** Posts JSON and returns the text of the answer. Throws TryAgainError where asking again may help, and what the server says where it would not. */
export async function postTo(
  url: string,
  body: object,
  signal: AbortSignal,
  {
    headers = {},
    server = { url },
  }: { readonly headers?: Readonly<Record<string, string>>; readonly server?: Server } = {},
): Promise<string> {
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
    signal: AbortSignal.any([signal, AbortSignal.timeout(patience)]),
  };
  const { response, text } = await exchanged(url, init, { ...server, url }).catch((cause: unknown) => {
    if (!signal.aborted && init.signal.aborted)
      throw new TryAgainError(`gave no answer within ${patience / 1000} s`, { place: url, cause });
    throw cause;
  });
  if (response.ok) return text;
  const said = `${url} answered ${response.status}${text === '' ? '' : `: ${oneLine(text)}`}`;
  throw new Error(`${said}${keyHint(response.status, server)}`);
}

/** As `postTo`, to a path below the address of a server that answers with a JSON object. */
export async function post(
  server: Server,
  path: string,
  body: object,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Readonly<Record<string, unknown>>> {
  const url = `${server.url.replace(/\/+$/, '')}/${path}`;
  const text = await postTo(url, body, signal, { headers, server });
  const answer = text === '' ? {} : parsedAnswer(text, { ...server, url });
  if (typeof answer === 'object' && answer !== null && !Array.isArray(answer))
    return answer as Readonly<Record<string, unknown>>;
  throw new TryAgainError('gave an answer that is no JSON object', { place: url });
}

function keyHint(status: number, { key, keyVariable = 'a variable' }: Server): string {
  if (status !== 401 && status !== 403) return '';
  return key === undefined
    ? `; no key was sent: put it into ${keyVariable}`
    : `; it does not take the key in ${keyVariable}`;
}
