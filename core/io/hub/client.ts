/** What a Hugging-Face-compatible hub says about a model, and its files from any byte on. https://huggingface.co/docs/hub/api */
import type { Environment } from '../../environment.ts';
import { exitCodes, reasonOf, ReasongenError } from '../../errors.ts';
import { request } from '../../request.ts';
import { isCommit, type HubModel } from './cache.ts';
import { BrokenTransfer } from './persistence.ts';

export interface HubFile {
  /** Within the model, with `/`; checked not to lead out of it. */
  readonly path: string;
  readonly size: number;
  /** sha256 of the content, or the sha1 that git gives it as a blob; small files have only the latter. */
  readonly hash: { readonly kind: 'sha256' | 'git'; readonly hex: string };
}

export interface HubListing {
  readonly commit: string;
  readonly files: readonly HubFile[];
}

export interface HubOptions {
  /** `https://…` without a slash at the end. */
  readonly url: string;
  readonly token?: string | undefined;
  /** Why there is no token, for the message that asks for one. */
  readonly tokenHint?: string | undefined;
  /** Where proxies stand; that of the process unless told. */
  readonly environment?: Environment;
  /** Seconds without a byte after which a connection counts as broken; 60 unless told. */
  readonly patience?: number | undefined;
  /** Told once for each silence while it is waited for. */
  readonly say?: (message: string) => void;
}

/** The beginning of a file from some byte on. */
export interface OpenFile {
  /** Where it really begins: 0 when the server cannot resume. */
  readonly from: number;
  /** The server says that exactly the rest of the file is to come. Of others not even the first bytes are sure. */
  readonly isSure: boolean;
  readonly body: AsyncIterable<Uint8Array>;
}

/** Bytes of a listing: some hundred thousand files have 50 MB. */
const longestListing = 256 * 2 ** 20;

/** Seconds. */
const usualPatience = 60;
/** Seconds of silence before it is said that one waits, where that many are waited for. */
const longNoticed = 5;

export class HubClient {
  private readonly options: HubOptions;
  private readonly patience: number;

  constructor(options: HubOptions) {
    this.options = { ...options, url: hubAddress(options.url) };
    this.patience = options.patience ?? usualPatience;
  }

  /** Gives up after so long a silence, which is said before; the end of waiting is called when something has come. */
  private waiting(giveUp: (seconds: number) => void): () => void {
    const { patience } = this;
    const noticed = Math.min(longNoticed, patience / 2);
    const message = `the hub has been silent for ${noticed} s; it has ${patience} s (HF_HUB_DOWNLOAD_TIMEOUT changes that)`;
    const told = setTimeout(() => this.options.say?.(message), noticed * 1000);
    const timer = setTimeout(() => giveUp(patience), patience * 1000);
    return () => {
      clearTimeout(timer);
      clearTimeout(told);
    };
  }

  /** The files of a model at a revision. Throws for what the hub refuses, and for paths that would leave the model's folder. */
  async list({ id, revision }: HubModel): Promise<HubListing> {
    const url = `${this.options.url}/api/models/${id}/revision/${encodeURIComponent(revision)}?blobs=true`;
    const response = await this.request(url, {}, `${id}@${revision}`);
    const bad = (what: string): ReasongenError =>
      new ReasongenError({
        code: 'BAD_HUB',
        message: `the hub's list of files ${what}`,
        place: url,
        hint: 'check --hub-url; the hub must speak the Hugging Face API',
        exitCode: exitCodes.disk,
      });
    const text = await this.readListing(response, bad);
    let json: { readonly sha?: unknown; readonly siblings?: unknown };
    try {
      json = (JSON.parse(text) ?? {}) as typeof json;
    } catch {
      if (isPage(response, text)) throw bad(`is not JSON but ${webPage}`);
      if (!text.startsWith('{')) throw bad('is not JSON');
      throw new BrokenTransfer(`the list of files ended after ${text.length} characters`);
    }
    if (typeof json.sha !== 'string' || !isCommit(json.sha)) throw bad('names no commit');
    if (isCommit(revision) && json.sha !== revision) throw bad(`is that of commit ${json.sha}, not of ${revision}`);
    if (!Array.isArray(json.siblings)) throw bad('has no files');
    const files = json.siblings.map((entry) => parseFile(entry, bad));
    const paths = new Set<string>();
    for (const { path } of files) {
      if (paths.has(path)) throw bad(`names "${path}" twice`);
      paths.add(path);
    }
    return { commit: json.sha, files };
  }

  /** The content of a file from byte `begin`. What is certainly not the file is refused before a byte of it is read. */
  async open(model: HubModel, commit: string, file: HubFile, begin: number): Promise<OpenFile> {
    const path = file.path.split('/').map(encodeURIComponent).join('/');
    const url = `${this.options.url}/${model.id}/resolve/${commit}/${path}`;
    // Without `identity` a proxy may compress, and bytes would no longer be those of the file.
    const response = await this.request(
      url,
      { 'accept-encoding': 'identity', ...(begin > 0 && { range: `bytes=${begin}-` }) },
      file.path,
    );
    // The rest of a compressed file is no rest of the file.
    if (response.status === 206 && isEncoded(response)) {
      await response.body?.cancel();
      return this.open(model, commit, file, 0);
    }
    const from =
      response.status === 206
        ? Number(/^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1] ?? Number.NaN)
        : 0;
    if (from !== 0 && from !== begin)
      throw new BrokenTransfer(`asked for ${file.path} from byte ${begin}, the server began at ${from}`);
    const isSure = await refuseOther(response, file, from);
    return { from, isSure, body: response.body === null ? nothing() : this.patiently(response.body) };
  }

  private async request(url: string, headers: Readonly<Record<string, string>>, what: string): Promise<Response> {
    const { token, tokenHint, environment } = this.options;
    const silent = new AbortController();
    const answered = this.waiting((seconds) => silent.abort(new Error(`no answer for ${seconds} s`)));
    let response: Response;
    try {
      // A redirect to another host loses the token.
      response = await request(
        url,
        {
          headers: {
            'user-agent': 'reasongen',
            ...(token !== undefined && token !== '' && { authorization: `Bearer ${token}` }),
            ...headers,
          },
          signal: silent.signal,
        },
        environment,
      );
    } catch (cause) {
      if (cause instanceof ReasongenError) throw cause;
      throw new BrokenTransfer(`the hub cannot be reached: ${reasonOf(cause)}`, { cause });
    } finally {
      answered();
    }
    if (response.ok) return response;
    await response.body?.cancel();
    throw refusal(response, what, url, token !== undefined && token !== '', tokenHint);
  }

  private async readListing(response: Response, bad: (what: string) => ReasongenError): Promise<string> {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of response.body === null ? nothing() : this.patiently(response.body)) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > longestListing) throw bad(`has more than ${longestListing} bytes`);
    }
    return Buffer.concat(chunks).toString('utf8');
  }

  /** Gives up on a body that stays silent. */
  private async *patiently(body: ReadableStream<Uint8Array>): AsyncIterable<Uint8Array> {
    const reader = body.getReader();
    try {
      for (;;) {
        let came = (): void => undefined;
        const silence = new Promise<never>((_, reject) => {
          came = this.waiting((seconds) => reject(new BrokenTransfer(`no byte came for ${seconds} s`)));
        });
        const next = await Promise.race([reader.read(), silence]).finally(() => came());
        if (next.done) return;
        yield next.value;
      }
    } catch (cause) {
      throw cause instanceof BrokenTransfer
        ? cause
        : new BrokenTransfer(`the connection broke: ${reasonOf(cause)}`, { cause });
    } finally {
      await reader.cancel().catch(() => undefined);
    }
  }
}

/** `https://…` without slashes at the end. Throws BAD_HUB_URL. */
export function hubAddress(text: string): string {
  const refused = (message: string, hint: string): ReasongenError =>
    new ReasongenError({ code: 'BAD_HUB_URL', message, hint, exitCode: exitCodes.badPreset });
  if (!/^https?:\/\/[^/\s]+/.test(text) || !URL.canParse(text))
    throw refused(`"${text}" is not the address of a hub`, 'write https://…');
  const { username, password, search, hash } = new URL(text);
  if ([username, password, search, hash].some((part) => part !== ''))
    throw refused(
      `"${text}" holds more than the address of a hub`,
      'leave out user, password, ? and #; an access token goes into HF_TOKEN',
    );
  return text.replace(/\/+$/, '');
}

/** Whether what comes is compressed all the same, by a server or a proxy on the way; it is unpacked while it is read. */
function isEncoded({ headers }: Response): boolean {
  return !/^(identity)?$/i.test((headers.get('content-encoding') ?? '').trim());
}

const webPage = 'a web page, perhaps that of a network or a proxy which wants a login';

function isPage({ headers }: Response, start = ''): boolean {
  return /^\s*text\/html/i.test(headers.get('content-type') ?? '') || /^\s*<(!doctype|html)/i.test(start);
}

/** Whether the server announces exactly the rest of the file. Throws for what is another thing. */
async function refuseOther(response: Response, file: HubFile, from: number): Promise<boolean> {
  const refused = async (reason: Error): Promise<never> => {
    await response.body?.cancel();
    throw reason;
  };
  if (isPage(response) && !/\.html?$/i.test(file.path))
    return refused(
      new ReasongenError({
        code: 'HUB_WEB_PAGE',
        message: `instead of ${file.path} came ${webPage}`,
        place: response.url,
        hint: 'open that address in a browser and log in, or check the proxy, and pull again: what is there is kept',
        exitCode: exitCodes.disk,
      }),
    );
  // The length of what was compressed on the way says nothing of the file.
  const announced = isEncoded(response) ? null : response.headers.get('content-length');
  const total = /^bytes \d+-\d+\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1];
  const bytes = total !== undefined ? Number(total) : announced === null ? undefined : from + Number(announced);
  if (bytes !== undefined && bytes > file.size)
    return refused(wrongContent(file, `has more than the ${file.size} bytes that the hub's list promises`));
  if (bytes !== undefined && bytes < file.size)
    return refused(new BrokenTransfer(`the server has ${bytes} bytes for ${file.path}, not ${file.size}`));
  return bytes === file.size;
}

/** Content that is not what the list of files promises. */
export function wrongContent(file: HubFile, what: string): ReasongenError {
  return new ReasongenError({
    code: 'HUB_CONTENT',
    message: `${file.path} ${what}: it was changed on the way or on the hub`,
    hint: 'pull again; if it stays so, do not trust this hub',
    exitCode: exitCodes.disk,
  });
}

// eslint-disable-next-line require-yield -- an answer without content
async function* nothing(): AsyncIterable<Uint8Array> {}

function refusal(response: Response, what: string, url: string, hasToken: boolean, tokenHint?: string): Error {
  const { status } = response;
  if (status === 429 || status === 408 || status >= 500) {
    const wait = Number(response.headers.get('retry-after'));
    return new BrokenTransfer(`the hub answered ${status} for ${what}`, {
      seconds: wait > 0 && wait <= 600 ? wait : undefined,
    });
  }
  const told = (code: string, message: string, hint: string): ReasongenError =>
    new ReasongenError({ code, message, place: url, hint, exitCode: exitCodes.disk });
  if (status === 401 || status === 403) {
    return hasToken
      ? told(
          'HUB_FORBIDDEN',
          `the hub does not give ${what} to the owner of HF_TOKEN (${status})`,
          "accept the model's terms on its page, or use a token that may read it",
        )
      : told(
          'HUB_FORBIDDEN',
          `the hub gives ${what} to those it knows only (${status})`,
          tokenHint ?? 'put an access token in the environment variable HF_TOKEN; the name may also be misspelt',
        );
  }
  if (status === 404) return told('HUB_NOT_FOUND', `the hub has no ${what}`, 'check owner, name and --revision');
  return told('HUB_REFUSED', `the hub answered ${status} for ${what}`, 'check --hub-url and the name');
}

function parseFile(entry: unknown, bad: (what: string) => ReasongenError): HubFile {
  const {
    rfilename: path,
    size,
    blobId,
    lfs,
  } = (typeof entry === 'object' && entry !== null ? entry : {}) as Readonly<Record<string, unknown>>;
  if (typeof path !== 'string' || !isInside(path))
    throw bad(`names the file ${JSON.stringify(path)}, which would lie outside of the model's folder`);
  const large = (typeof lfs === 'object' && lfs !== null ? lfs : {}) as Readonly<Record<string, unknown>>;
  const bytes = large['size'] ?? size;
  if (!Number.isSafeInteger(bytes) || (bytes as number) < 0) throw bad(`gives no size of "${path}"`);
  const sha256 = large['sha256'] ?? large['oid'];
  if (typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256))
    return { path, size: bytes as number, hash: { kind: 'sha256', hex: sha256 } };
  if (typeof blobId === 'string' && isCommit(blobId))
    return { path, size: bytes as number, hash: { kind: 'git', hex: blobId } };
  throw bad(`gives no hash of "${path}", so that its content could not be checked`);
}

/** A relative path of plain parts. */
function isInside(path: string): boolean {
  return (
    path !== '' &&
    path.length < 1024 &&
    !/[\\:\p{Cc}]/u.test(path) &&
    path.split('/').every((part) => part !== '' && part !== '.' && part !== '..' && part.length < 256)
  );
}
