/** Requests through the proxies of the environment, and what is said of those that fail. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { reasonOf } from '../../core/errors.ts';
import { readText, request } from '../../core/request.ts';

const asked: string[] = [];
let proxy: string;
const servers: Server[] = [];

async function listen(server: Server): Promise<string> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

let direct: string;
beforeAll(async () => {
  const server = createServer((message, response) => {
    asked.push(`${message.method} ${message.url} ${message.headers['proxy-authorization'] ?? ''}`.trim());
    response.end('by the proxy');
  });
  server.on('connect', (message, socket) => {
    asked.push(`CONNECT ${message.url}`);
    socket.end('HTTP/1.1 403 No\r\n\r\n');
  });
  proxy = await listen(server);
  direct = await listen(createServer((_, response) => response.end('directly')));
});
afterAll(() => servers.forEach((server) => server.close()));
beforeEach(() => asked.splice(0));

const text = async (url: string, environment: Readonly<Record<string, string>>): Promise<string> =>
  readText(await request(url, {}, environment), 100);

describe('a proxy', () => {
  test.each([
    ['HTTP_PROXY', 'http://'],
    ['http_proxy', 'http://'],
    ['ALL_PROXY', ''],
  ])('in %s is asked for the whole address', async (variable, scheme) => {
    expect(await text('http://hub.invalid/a?b=1', { [variable]: scheme + proxy })).toBe('by the proxy');
    expect(asked).toEqual(['GET http://hub.invalid/a?b=1']);
  });

  test('is told its user and password, which nobody else sees', async () => {
    await text('http://hub.invalid/', { HTTP_PROXY: `http://me:secret-word@${proxy}` });
    expect(asked).toEqual([`GET http://hub.invalid/ Basic ${Buffer.from('me:secret-word').toString('base64')}`]);
  });

  test('makes a tunnel for https, and its refusal is told', async () => {
    await expect(text('https://hub.invalid/', { HTTPS_PROXY: proxy })).rejects.toThrow(
      /Proxy response \(403\).*asked by the proxy http:\/\/127/,
    );
    expect(asked).toEqual(['CONNECT hub.invalid:443']);
  });

  test.each<[string, Readonly<Record<string, string>>, boolean]>([
    ['http://hub.invalid', { NO_PROXY: 'hub.invalid' }, false],
    ['http://a.hub.invalid', { NO_PROXY: 'other, .hub.invalid' }, false],
    ['http://a.hub.invalid', { NO_PROXY: '*.hub.invalid' }, false],
    ['http://hub.invalid', { no_proxy: '*' }, false],
    ['http://hub.invalid:81', { NO_PROXY: 'hub.invalid:81' }, false],
    ['http://hub.invalid', { NO_PROXY: 'hub.invalid:81' }, true],
    ['http://ahub.invalid', { NO_PROXY: 'hub.invalid' }, true],
    ['http://hub.invalid', { NO_PROXY: '' }, true],
  ])('for %s with %j: %s', async (url, environment, isAsked) => {
    const work = text(url, { HTTP_PROXY: `http://${proxy}`, ...environment });
    if (isAsked) expect(await work).toBe('by the proxy');
    else await expect(work).rejects.toThrow(/ENOTFOUND|EAI_AGAIN/);
  });

  test('is not asked for this machine itself, nor for https where it is for http', async () => {
    const environment = { HTTP_PROXY: `http://${proxy}` };
    expect(await text(`http://${direct}/`, environment)).toBe('directly');
    await expect(text('https://hub.invalid/', environment)).rejects.toThrow(/ENOTFOUND|EAI_AGAIN/);
    expect(asked).toEqual([]);
  });

  test.each(['socks5://127.0.0.1:1', 'http://', 'ftp://x'])('that is none that is spoken to: %s', async (value) => {
    await expect(request('http://hub.invalid', {}, { HTTP_PROXY: value })).rejects.toMatchObject({ code: 'BAD_PROXY' });
  });
});

describe('why a request failed', () => {
  test('is the innermost cause', async () => {
    await expect(request('http://hub.invalid/', {}, {})).rejects.toThrow(
      /getaddrinfo (ENOTFOUND|EAI_AGAIN) hub\.invalid/,
    );
    expect(reasonOf(new TypeError('fetch failed'))).toBe('the request failed, without a reason');
    expect(
      reasonOf(
        new TypeError('fetch failed', {
          cause: new AggregateError([
            new Error('connect ECONNREFUSED ::1:80'),
            new Error('connect ECONNREFUSED 127.0.0.1:80'),
          ]),
        }),
      ),
    ).toBe('connect ECONNREFUSED ::1:80, connect ECONNREFUSED 127.0.0.1:80');
    expect(reasonOf(Object.assign(new Error(''), { code: 'ECONNRESET' }))).toBe('ECONNRESET');
    expect(reasonOf('text')).toBe('text');
  });

  test('a long answer is read to its limit, and one that breaks off is said to', async () => {
    const endless = await listen(
      createServer((_, response) => {
        const timer = setInterval(() => response.write('x'.repeat(1000)), 1);
        response.on('close', () => clearInterval(timer));
      }),
    );
    expect(await readText(await request(`http://${endless}/`), 5000)).toHaveLength(5000);
    const broken = await listen(
      createServer((_, response) => {
        response.writeHead(200, { 'content-length': '10' });
        response.write('12345', () => setTimeout(() => response.destroy(), 20));
      }),
    );
    await expect(readText(await request(`http://${broken}/`), 100)).rejects.toThrow(/the answer broke off: .+/);
  });
});
