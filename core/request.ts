/** Requests to hubs and judges: through the proxies of the environment as curl and Python go, and with errors that say why. */
import type { Dispatcher } from 'undici';
import { exitCodes, reasonOf, ReasongenError } from './errors.ts';
import { faults, type Faults } from './faults.ts';
import { isLoopback } from './keys.ts';
import { TryAgainError } from './try-again.ts';
import { type Environment, processEnvironment } from './environment.ts';

/** One for each set of proxies, so that connections are used again. */
const dispatchers = new Map<string, Dispatcher>();

/**
 * `fetch` as Node's, but it honours HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY (never for this machine itself). A redirect to another
 * host loses the authorization. Throws a TryAgainError whose message is the reason, never "fetch failed" alone; BAD_PROXY for a proxy of no use.
 */
export async function request(
  url: string,
  init: RequestInit = {},
  environment: Environment = processEnvironment,
): Promise<Response> {
  const { fetch } = await import('undici');
  const proxies = proxiesOf(environment);
  const dispatcher = await dispatcherFor(proxies);
  try {
    const ask = async (): Promise<Response> => {
      const response: unknown = await fetch(url, { ...(init as object), dispatcher });
      return response as Response;
    };
    return await (faults === undefined ? ask() : faultyAnswer(faults, ask, init.signal));
  } catch (cause) {
    init.signal?.throwIfAborted();
    const proxy = proxyFor(new URL(url), proxies);
    throw new TryAgainError(`${reasonOf(cause)}${proxy === '' ? '' : ` (asked by the proxy ${proxy})`}`, {
      isUnreachable: true,
      cause,
    });
  }
}

/** The answer of a server that may be busy, broken or silent, or breaks off, as a test wants. */
async function faultyAnswer(
  passing: Faults,
  ask: () => Promise<Response>,
  signal: RequestInit['signal'],
): Promise<Response> {
  const kind = passing.pass('request');
  if (kind === '429') return new Response('busy', { status: 429, headers: { 'retry-after': '0' } });
  if (kind === '500') return new Response('broken', { status: 500 });
  if (kind === 'silent')
    return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason as Error)));
  const response = await ask();
  if (kind !== 'half') return response;
  const { status, headers } = response;
  const whole = new Uint8Array(await response.arrayBuffer());
  const half = new ReadableStream({
    start(controller) {
      controller.enqueue(whole.subarray(0, whole.length >> 1));
    },
    pull: (controller) => controller.error(new Error('the connection was closed')),
  });
  return new Response(half, { status, headers });
}

/** The text of an answer of at most `limit` bytes; what is longer is cut off. Throws a TryAgainError whose message is the reason. */
export async function readText(response: Response, limit: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      chunks.push(chunk.subarray(0, limit - bytes));
      bytes += chunk.length;
      if (bytes >= limit) break;
    }
  } catch (cause) {
    throw new TryAgainError(`the answer broke off: ${reasonOf(cause)}`, { cause });
  }
  return new TextDecoder().decode(Buffer.concat(chunks));
}

interface Proxies {
  readonly http: string;
  readonly https: string;
  readonly none: string;
}

/** Small letters come first, as everywhere. */
function proxiesOf(environment: Environment): Proxies {
  const value = (name: string): string => environment[name.toLowerCase()] || environment[name] || '';
  const all = value('ALL_PROXY');
  return {
    http: address('HTTP_PROXY', value('HTTP_PROXY') || all),
    https: address('HTTPS_PROXY', value('HTTPS_PROXY') || all),
    none: value('NO_PROXY'),
  };
}

function address(variable: string, value: string): string {
  if (value === '') return '';
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`;
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return url;
  throw new ReasongenError({
    code: 'BAD_PROXY',
    message: `"${value}" in ${variable} or ALL_PROXY is not the address of a proxy that is spoken to here`,
    hint: 'write http://HOST:PORT; name hosts to be reached without a proxy in NO_PROXY',
    exitCode: exitCodes.badPreset,
  });
}

async function dispatcherFor(proxies: Proxies): Promise<Dispatcher> {
  const key = Object.values(proxies).join('\n');
  const known = dispatchers.get(key);
  if (known !== undefined) return known;
  const { Agent, ProxyAgent } = await import('undici');
  // Whoever asks has a clock of its own. Plain http is asked of a proxy by its whole address: most allow tunnels for https only.
  const options = { headersTimeout: 0, bodyTimeout: 0, proxyTunnel: false };
  const agents = new Map(
    [...new Set([proxies.http, proxies.https])]
      .filter((uri) => uri !== '')
      .map((uri) => [uri, new ProxyAgent({ ...options, uri })]),
  );
  const dispatcher = new Agent(options).compose((direct) => (each, handler) => {
    const agent = agents.get(proxyFor(new URL(String(each.origin)), proxies));
    return agent === undefined ? direct(each, handler) : agent.dispatch(each, handler);
  });
  dispatchers.set(key, dispatcher);
  return dispatcher;
}

/** Empty for none. */
function proxyFor({ protocol, hostname, port }: URL, { http, https, none }: Proxies): string {
  if (isLoopback(hostname)) return '';
  const usual = protocol === 'https:' ? '443' : '80';
  const isLeftOut = none
    .toLowerCase()
    .split(/[,\s]+/)
    .some((entry) => {
      if (entry === '*') return true;
      const [, name = entry, only = ''] = /^(.+):(\d+)$/.exec(entry) ?? [];
      const end = name.replace(/^\*?\./, '');
      return (
        end !== '' && (only === '' || only === (port || usual)) && (hostname === end || hostname.endsWith(`.${end}`))
      );
    });
  if (isLeftOut) return '';
  return protocol === 'https:' ? https : http;
}
