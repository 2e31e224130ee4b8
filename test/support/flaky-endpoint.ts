/** A chat endpoint on its worst day: 429 with a wish, 500, silence, answers that break off, HTML. It notes what it was asked, and when. */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Milliseconds in which a question may be on its way while the wish is, beside those in which this process, which asks as well, stood still. */
const onTheWay = 250;

export interface FlakyOptions {
  /** Milliseconds for which it is on its worst day; well from then on. */
  readonly badFor: number;
  /** Seconds that it wishes to be left alone for. */
  readonly wish: number;
  readonly seed: number;
}

export class FlakyEndpoint {
  asked = 0;
  answered = 0;
  /** Requests that came while it wished to be left alone. */
  early = 0;
  readonly #server: Server;
  readonly #options: FlakyOptions;
  readonly #silent = new Set<ServerResponse>();
  readonly #delays = monitorEventLoopDelay({ resolution: 10 });
  #state: number;
  #wishedAt = 0;
  #leftAloneUntil = 0;
  #started = 0;

  constructor(options: FlakyOptions) {
    this.#options = options;
    this.#state = options.seed;
    this.#server = createServer((request, response) => {
      request.resume();
      request.on('end', () => this.#answer(response));
    });
  }

  async open(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    this.#started = Date.now();
    this.#delays.enable();
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  close(): void {
    this.#delays.disable();
    for (const response of this.#silent) response.destroy();
    this.#server.close();
  }

  #answer(response: ServerResponse): void {
    const now = Date.now();
    this.asked += 1;
    const stoodStill = 2 * (this.#delays.max / 1e6);
    if (now > this.#wishedAt + onTheWay + stoodStill && now < this.#leftAloneUntil) this.early += 1;
    const chance = now - this.#started > this.#options.badFor ? 1 : this.#chance();
    if (chance < 0.08) {
      this.#wishedAt = Math.max(this.#wishedAt, now > this.#leftAloneUntil ? now : 0);
      this.#leftAloneUntil = now + this.#options.wish * 1000;
      this.#delays.reset();
      response.writeHead(429, { 'retry-after': String(this.#options.wish) }).end('{"error":"busy"}');
    } else if (chance < 0.2) response.writeHead(500).end('{"error":"broken"}');
    else if (chance < 0.25) this.#silent.add(response);
    else if (chance < 0.3) {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '5000' });
      response.write('{"choices":[{"mess', () => response.destroy());
    } else if (chance < 0.33) response.writeHead(200, { 'content-type': 'text/html' }).end('<html>one moment</html>');
    else {
      this.answered += 1;
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ choices: [{ message: { content: '\\boxed{1}' } }] }));
    }
  }

  #chance(): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return this.#state / 2 ** 32;
  }
}
