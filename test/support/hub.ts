/** A hub on this machine that serves files as a real one does, and misbehaves as it is told. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';

export interface Misbehavior {
  /** Answers the requests for a file, by path, in this order; afterwards properly. */
  readonly files?: Readonly<Record<string, readonly Answer[]>>;
  /** Changes the listing before it is sent. */
  readonly listing?: (json: Listing) => unknown;
  /** Answers every request with this status, unless it carries this token. */
  readonly token?: string;
  readonly status?: number;
  /** So many lists of files end in the middle: the connection breaks, or (`ends`) the text just ends. */
  readonly cutLists?: number;
  readonly ends?: boolean;
  /** Answers nothing, or the beginning of a text and no more; connections stay open. */
  readonly silent?: 'at once' | 'in the middle';
}

/** `cut`: the connection ends after so many bytes. `status`: an error. `whole`: the range is not honoured. `as`: other content. */
export type Answer =
  | { readonly cut: number }
  | { readonly status: number }
  | { readonly whole: true }
  | { readonly as: Buffer }
  /** A page of someone on the way, without a length; as HTML unless `type` says otherwise. */
  | { readonly page: string; readonly type?: string }
  /** Compressed, though nobody asked for it. */
  | { readonly gzip: true }
  | { readonly wrongRange: true };

export interface Listing {
  sha: string;
  siblings: { rfilename: unknown; size?: number; blobId?: string; lfs?: { sha256: string; size: number } }[];
}

export const commit = 'c0ffee0000000000000000000000000000000001';

export class FakeHub {
  /** Method, path and range of everything asked. */
  readonly requests: string[] = [];
  /** Authorization of everything asked, by host. */
  readonly tokens: (string | undefined)[] = [];
  misbehavior: Misbehavior = {};
  private readonly content: ReadonlyMap<string, { readonly bytes: Buffer; readonly large: boolean }>;
  private server: Server | undefined;
  private storage: Server | undefined;
  private answered = new Map<string, number>();
  private readonly model: string;
  readonly storageTokens: (string | undefined)[] = [];

  /** Files by name; names with a leading `*` are large ones, which live elsewhere and are redirected to. `model`: the one it has. */
  constructor(files: Readonly<Record<string, Buffer>>, model = 'owner/name') {
    this.model = model;
    this.content = new Map(
      Object.entries(files).map(([name, bytes]) => [name.replace('*', ''), { bytes, large: name.startsWith('*') }]),
    );
  }

  async open(): Promise<void> {
    this.server = createServer((request, response) => this.answer(request, response));
    this.storage = createServer((request, response) => {
      this.storageTokens.push(request.headers.authorization);
      this.send(decodeURIComponent((request.url ?? '').slice(1)), request, response);
    });
    await Promise.all(
      [this.server, this.storage].map(
        (server) => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)),
      ),
    );
  }

  async close(): Promise<void> {
    for (const server of [this.server, this.storage]) {
      server?.closeAllConnections();
      await new Promise((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
    }
  }

  /** Forgets what was asked and how it was to misbehave. */
  reset(misbehavior: Misbehavior = {}): void {
    this.requests.length = 0;
    this.tokens.length = 0;
    this.storageTokens.length = 0;
    this.answered = new Map();
    this.misbehavior = misbehavior;
  }

  get url(): string {
    return addressOf(this.server);
  }

  private listing(): Listing {
    const siblings = [...this.content].map(([rfilename, { bytes, large }]) => ({
      rfilename,
      size: bytes.length,
      blobId: createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex'),
      ...(large && { lfs: { sha256: createHash('sha256').update(bytes).digest('hex'), size: bytes.length } }),
    }));
    return { sha: commit, siblings };
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent((request.url ?? '').split('?')[0] ?? '');
    this.requests.push([path, request.headers.range].filter(Boolean).join(' '));
    this.tokens.push(request.headers.authorization);
    const { token, status, silent, listing = (json) => json } = this.misbehavior;
    if (silent === 'in the middle') response.writeHead(200).write('{"sha":');
    if (silent !== undefined) return;
    if (status !== undefined && (token === undefined || request.headers.authorization !== `Bearer ${token}`))
      return void response.writeHead(status).end('no');
    const own = path.replace(/^http:\/\/[^/]+/, '');
    if (own.startsWith(`/api/models/${this.model}/revision/`)) {
      const json = listing(this.listing());
      const text = typeof json === 'string' ? json : JSON.stringify(json);
      const asked = this.requests.filter((line) => line.includes('/api/models/')).length;
      if (asked > (this.misbehavior.cutLists ?? 0)) return void response.writeHead(200).end(text);
      if (this.misbehavior.ends === true) return void response.writeHead(200).end(text.slice(0, 50));
      response.writeHead(200, { 'content-length': Buffer.byteLength(text) });
      return void response.write(text.slice(0, 50), () => setTimeout(() => response.destroy(), 20));
    }
    const file = new RegExp(`^/${this.model}/resolve/${commit}/(.+)$`).exec(own)?.[1];
    const found = file === undefined ? undefined : this.content.get(file);
    if (file === undefined || found === undefined) return void response.writeHead(404).end('not here');
    if (found.large)
      return void response.writeHead(302, { location: `${addressOf(this.storage)}/${encodeURIComponent(file)}` }).end();
    this.send(file, request, response);
  }

  private send(file: string, { headers }: IncomingMessage, response: ServerResponse): void {
    const { bytes } = this.content.get(file) ?? { bytes: Buffer.alloc(0) };
    const count = this.answered.get(file) ?? 0;
    this.answered.set(file, count + 1);
    const answer: Answer | Readonly<Record<string, never>> = this.misbehavior.files?.[file]?.[count] ?? {};
    if ('status' in answer) return void response.writeHead(answer.status, { 'retry-after': '0.01' }).end();
    if ('page' in answer) {
      response.writeHead(200, { 'content-type': answer.type ?? 'text/html; charset=utf-8' });
      return void response.write(answer.page, () => response.end());
    }
    const begin = 'whole' in answer ? 0 : Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);
    const rest = ('as' in answer ? answer.as : bytes).subarray(begin);
    const body = 'gzip' in answer ? gzipSync(rest) : rest;
    const range = {
      'content-range': `bytes ${'wrongRange' in answer ? begin + 1 : begin}-${bytes.length - 1}/${bytes.length}`,
    };
    response.writeHead(begin > 0 ? 206 : 200, {
      'content-length': body.length,
      ...('gzip' in answer && { 'content-encoding': 'gzip' }),
      ...(begin > 0 && range),
    });
    if (!('cut' in answer)) return void response.end(body);
    response.write(body.subarray(0, answer.cut), () => setTimeout(() => response.destroy(), 20));
  }
}

function addressOf(server: Server | undefined): string {
  const address = server?.address();
  if (typeof address !== 'object' || address === null) throw new Error('the hub is not open');
  return `http://127.0.0.1:${address.port}`;
}
