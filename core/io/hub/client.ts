/** What a Hugging-Face-compatible hub says about a model, and its files from any byte on. https://huggingface.co/docs/hub/api */
import { exitCodes, ReasongenError } from '../../errors.ts';
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
}

/** Bytes of a listing; models have some hundred files. */
const longestListing = 32 * 2 ** 20;

/** Milliseconds without a byte after which a connection counts as broken. */
const patience = 60_000;

export class HubClient {
  private readonly options: HubOptions;

  constructor(options: HubOptions) {
    if (!/^https?:\/\/[^/\s]+/.test(options.url)) {
      throw new ReasongenError({
        code: 'BAD_HUB',
        message: `"${options.url}" is not the address of a hub`,
        hint: 'write https://…',
        exitCode: exitCodes.badPreset,
      });
    }
    this.options = { ...options, url: options.url.replace(/\/+$/, '') };
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
    const text = await response.text();
    if (text.length > longestListing) throw bad(`has ${text.length} characters`);
    let json: { readonly sha?: unknown; readonly siblings?: unknown };
    try {
      json = (JSON.parse(text) ?? {}) as typeof json;
    } catch {
      throw bad('is not JSON');
    }
    if (typeof json.sha !== 'string' || !isCommit(json.sha)) throw bad('names no commit');
    if (isCommit(revision) && json.sha !== revision) throw bad(`is that of commit ${json.sha}, not of ${revision}`);
    if (!Array.isArray(json.siblings)) throw bad('has no files');
    const files = json.siblings.map((entry) => parseFile(entry, bad));
    const twice = files.find(({ path }, index) => files.findIndex((other) => other.path === path) !== index);
    if (twice !== undefined) throw bad(`names "${twice.path}" twice`);
    return { commit: json.sha, files };
  }

  /** The content of a file from byte `begin`. `from` of the answer is where it really begins: 0 when the server cannot resume. */
  async open(
    { id }: HubModel,
    commit: string,
    file: HubFile,
    begin: number,
  ): Promise<{ readonly from: number; readonly body: AsyncIterable<Uint8Array> }> {
    const path = file.path.split('/').map(encodeURIComponent).join('/');
    const url = `${this.options.url}/${id}/resolve/${commit}/${path}`;
    // Without `identity` a proxy may compress, and bytes would no longer be those of the file.
    const response = await this.request(
      url,
      { 'accept-encoding': 'identity', ...(begin > 0 && { range: `bytes=${begin}-` }) },
      file.path,
    );
    const from =
      response.status === 206
        ? Number(/^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1] ?? Number.NaN)
        : 0;
    if (from !== 0 && from !== begin)
      throw new BrokenTransfer(`asked for ${file.path} from byte ${begin}, the server began at ${from}`);
    if (response.body === null) throw new BrokenTransfer(`${file.path} came without content`);
    return { from, body: patiently(response.body) };
  }

  private async request(url: string, headers: Readonly<Record<string, string>>, what: string): Promise<Response> {
    const { token } = this.options;
    let response: Response;
    try {
      // A redirect to another host loses the token: fetch drops it.
      response = await fetch(url, {
        headers: {
          'user-agent': 'reasongen',
          ...(token !== undefined && token !== '' && { authorization: `Bearer ${token}` }),
          ...headers,
        },
      });
    } catch (cause) {
      throw new BrokenTransfer(`the hub cannot be reached: ${reasonOf(cause)}`, { cause });
    }
    if (response.ok) return response;
    await response.body?.cancel();
    throw refusal(response, what, url, token !== undefined && token !== '');
  }
}

function refusal(response: Response, what: string, url: string, hasToken: boolean): Error {
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
          'put an access token in the environment variable HF_TOKEN; the name may also be misspelt',
        );
  }
  if (status === 404) return told('HUB_NOT_FOUND', `the hub has no ${what}`, 'check owner, name and --revision');
  return told('HUB_REFUSED', `the hub answered ${status} for ${what}`, 'check --hub-url and the name');
}

/** Gives up on a body that stays silent. */
async function* patiently(body: ReadableStream<Uint8Array>): AsyncIterable<Uint8Array> {
  const reader = body.getReader();
  try {
    for (;;) {
      let timer: NodeJS.Timeout | undefined;
      const silence = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new BrokenTransfer(`no byte came for ${patience / 1000} s`)), patience);
      });
      const next = await Promise.race([reader.read(), silence]).finally(() => clearTimeout(timer));
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

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
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
