/**
 * The live page's server: reads run directories, answers with data, and sends the files of the page. It changes nothing but what `control.ts`
 * asks of a run.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Context, Hono, type Next } from 'hono';
import { deleteCookie, getCookie, setCookie } from 'hono/cookie';
import { streamSSE } from 'hono/streaming';
import { bearerOf, createAccess, guardedHeaders, pictureHeaders, type Access } from '../access.ts';
import { ReasongenError } from '../errors.ts';
import { explainError } from '../failure.ts';
import { addressOf, listen } from '../listen.ts';
import type { Evaluation } from '../contracts/evaluation.ts';
import { readEvaluations } from '../io/evaluation-records.ts';
import { checkedRunRecord, readSamplePicture, readSamples, sampleListOf, type SampleRecord } from '../io/records.ts';
import { askRun, readPlayground, readPlaygroundPicture } from './control.ts';
import { comparisonsBetween, comparisonsWithin, evaluationPng, framesOf, stripPrompts } from './evaluations.ts';
import { Feed, readPosition, writePosition } from './feed.ts';
import { ReadCache } from './read-cache.ts';
import { detailOf, shownOf } from '../report/run-detail.ts';

/** Milliseconds after which a silent connection is told that it stands: proxies end those that are not. */
const heartbeat = 15_000;
/** Ports that are tried where the first is taken and none was asked for. */
const portsTried = 20;
const usualPort = 8750;

export interface WatchOptions {
  readonly folder: string;
  readonly host?: string | undefined;
  /** 0 takes any that is free; undefined the usual one or the next free. */
  readonly port?: number | undefined;
  readonly token?: string | undefined;
  /** What the token was told by, for messages. */
  readonly tokenFrom?: string | undefined;
  readonly control?: boolean | undefined;
}

export interface WatchServer {
  /** With the token, where there is one. */
  readonly address: string;
  readonly port: number;
  readonly access: Access;
  close(): Promise<void>;
}

export async function startWatching({
  folder,
  host = '127.0.0.1',
  port,
  token,
  tokenFrom,
  control,
}: WatchOptions): Promise<WatchServer> {
  const access = createAccess({ host, token, tokenFrom, control });
  const feed = new Feed(folder);
  const ports = port === undefined ? Array.from({ length: portsTried }, (_, more) => usualPort + more) : [port];
  const server = await listen((own) => createApp(feed, access, own).fetch, host, ports);
  const { address, port: taken } = addressOf(server, host);
  const query = access.token === undefined ? '' : `?token=${access.token}`;
  return {
    address: `${address}/${query}`,
    port: taken,
    access,
    close: async () => {
      feed.close();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

/** The parts of the page by the names under which they are asked for; nothing else is sent from the disk. */
function pageFiles(): Map<string, { readonly content: Buffer; readonly type: string }> {
  const types: Record<string, string> = {
    '.html': 'text/html; charset=utf-8',
    '.css': 'text/css; charset=utf-8',
    '.js': 'text/javascript; charset=utf-8',
    '.svg': 'image/svg+xml',
  };
  const folder = new URL('../page/', import.meta.url);
  const require = createRequire(import.meta.url);
  const own = readdirSync(folder)
    .filter((name) => types[extname(name)] !== undefined)
    .map((name) => [name, fileURLToPath(new URL(name, folder))] as const);
  const others = [
    ['uplot.js', require.resolve('uplot/dist/uPlot.esm.js')],
    ['uplot.css', require.resolve('uplot/dist/uPlot.min.css')],
  ] as const;
  return new Map(
    [...own, ...others].map(([name, path]) => [
      name,
      { content: readFileSync(path), type: types[extname(path)] ?? 'application/octet-stream' },
    ]),
  );
}

function createApp(feed: Feed, access: Access, port: number): Hono {
  const app = new Hono();
  const cookie = `reasongen-${port}`;
  const files = pageFiles();
  const keptEvaluations = new ReadCache<readonly Evaluation[]>(4);
  const evaluationsOf = (directory: string): Promise<readonly Evaluation[]> =>
    keptEvaluations.read(join(directory, 'evaluations'), () => readEvaluations(directory));
  // A page asks for the list of a step, then for each of its pictures.
  const keptSamples = new ReadCache<readonly SampleRecord[]>(2);
  const samplesOf = (directory: string, step: number): Promise<readonly SampleRecord[]> =>
    keptSamples.read(join(directory, sampleListOf(step)), () => readSamples(directory, step));
  app.use(guard(access, cookie));
  app.onError((error, context) => {
    const { code, message, hint } = explainError(error);
    return context.json(
      { code, message, hint },
      code === 'NOT_FOUND' ? 404 : error instanceof ReasongenError ? 422 : 500,
    );
  });
  app.notFound(() => {
    throw notFound('there is nothing of this name');
  });

  const page = (name: string) => (context: Context) => {
    const file = files.get(name);
    if (file === undefined) return context.notFound();
    return context.body(new Uint8Array(file.content), 200, { 'content-type': file.type, 'cache-control': 'no-cache' });
  };
  app.get('/', page('index.html'));
  app.get('/page/:name', (context) => page(context.req.param('name'))(context));

  const idOf = (context: Context, name = 'run'): string => context.req.query(name) ?? '';
  const directoryOf = async (id: string): Promise<string> => {
    const directory = await feed.directoryOf(id);
    if (directory === undefined) throw noRun(id);
    return directory;
  };
  const whole = (context: Context, name: string): number => {
    const value = context.req.query(name) ?? '';
    if (!/^\d{1,12}$/.test(value)) throw notFound(`${name} must be a whole number`);
    return Number(value);
  };

  app.get('/api/runs', async (context) =>
    context.json({
      folder: basename(feed.folder),
      control: access.control && holdsToken(context, access, cookie),
      runs: await feed.runs(),
    }),
  );
  app.get('/api/run', async (context) => {
    const id = idOf(context);
    const run = await feed.watched(id);
    const summary = await feed.summaryOf(id);
    if (run === undefined || summary === undefined) throw noRun(id);
    const detail = await detailOf(run.directory, await checkedRunRecord(run.directory), run.warnings);
    return context.json({ summary, ...detail });
  });
  app.get('/api/metrics', async (context) => {
    const id = idOf(context);
    const run = await feed.watched(id);
    if (run === undefined) throw noRun(id);
    return context.json({ generation: run.generation, ...run.curves.snapshot() });
  });
  app.get('/api/samples', async (context) => {
    const step = whole(context, 'step');
    const samples = await samplesOf(await directoryOf(idOf(context)), step);
    return context.json(samples.map((sample, index) => ({ ...shownOf(sample), step, index })));
  });
  app.get('/api/prompts', async (context) =>
    context.json(stripPrompts(await evaluationsOf(await directoryOf(idOf(context))))),
  );
  app.get('/api/strip', async (context) => {
    const id = idOf(context);
    return context.json(framesOf(id, await evaluationsOf(await directoryOf(id)), context.req.query('prompt') ?? ''));
  });
  app.get('/api/evaluations', async (context) => {
    const id = idOf(context);
    return context.json(comparisonsWithin({ id, evaluations: await evaluationsOf(await directoryOf(id)) }));
  });
  app.get('/api/compare', async (context) => {
    const [a, b] = [idOf(context, 'a'), idOf(context, 'b')];
    return context.json(
      comparisonsBetween(
        { id: a, evaluations: await evaluationsOf(await directoryOf(a)) },
        { id: b, evaluations: await evaluationsOf(await directoryOf(b)) },
      ),
    );
  });

  const picture = (context: Context, base64: string): Response | Promise<Response> =>
    base64 === '' ? context.notFound() : context.body(Buffer.from(base64, 'base64'), 200, pictureHeaders);
  app.get('/picture/sample', async (context) => {
    const directory = await directoryOf(idOf(context));
    const sample = (await samplesOf(directory, whole(context, 'step')))[whole(context, 'index')];
    return picture(context, sample === undefined ? '' : await readSamplePicture(directory, sample));
  });
  app.get('/picture/evaluation', async (context) => {
    const directory = await directoryOf(idOf(context));
    const wanted = {
      name: context.req.query('evaluation') ?? '',
      index: whole(context, 'index'),
      copy: whole(context, 'copy'),
    };
    return picture(context, await evaluationPng(directory, await evaluationsOf(directory), wanted));
  });
  app.get('/picture/playground', async (context) =>
    picture(context, await readPlaygroundPicture(await directoryOf(idOf(context)), context.req.query('name') ?? '')),
  );

  app.get('/api/playground', async (context) => context.json(await readPlayground(await directoryOf(idOf(context)))));
  app.post('/api/control', async (context) => {
    const directory = await directoryOf(idOf(context));
    await askRun(directory, await context.req.json().catch(() => undefined));
    return context.json({ asked: true });
  });
  // A HEAD is answered by what answers a GET, and nobody would read the stream or end it.
  app.get('/api/events', (context) => (context.req.method === 'HEAD' ? context.body(null) : events(context, feed)));
  return app;
}

/** What changes, as it changes. A page that connects again sends the id of the last event it had, and gets what came since. */
function events(context: Context, feed: Feed): Response {
  const position = readPosition(context.req.header('last-event-id') ?? context.req.query('since'));
  // Proxies would collect what must come at once.
  context.header('x-accel-buffering', 'no');
  return streamSSE(context, async (stream) => {
    const gone = new AbortController();
    stream.onAbort(() => gone.abort());
    const id = context.req.query('run');
    let page = await feed.openPage(id);
    try {
      await feed.look();
      let known = position;
      let saidAt = performance.now();
      while (!gone.signal.aborted) {
        // A page may be open before its run has made its directory.
        if (page.run === undefined && id !== undefined && feed.has(id)) {
          const opened = await feed.openPage(id);
          page.close();
          page = opened;
        }
        const news = feed.newsSince(known, page.run);
        if (news !== undefined) {
          known = news.position;
          await stream.writeSSE({ id: writePosition(known), event: 'news', data: JSON.stringify(news) });
          saidAt = performance.now();
        } else if (performance.now() - saidAt > heartbeat) {
          await stream.write(': here\n\n');
          saidAt = performance.now();
        }
        await feed.nextLook(gone.signal);
      }
    } finally {
      page.close();
    }
  });
}

/** Refuses what `access` does not allow, before anything is looked at, and guards every answer. */
function guard(access: Access, cookie: string): (context: Context, next: Next) => Promise<Response | undefined> {
  return async (context, next) => {
    for (const [name, value] of Object.entries(guardedHeaders)) context.header(name, value);
    const { req } = context;
    if (!access.isOwnHost(req.header('host')))
      return refuse(
        context,
        421,
        'WRONG_HOST',
        'this address does not answer to that name',
        'open the page by the address that `reasongen watch` printed',
      );
    const isRead = req.method === 'GET' || req.method === 'HEAD';
    if (!isRead && (req.method !== 'POST' || !access.control))
      return refuse(
        context,
        405,
        'READ_ONLY',
        'this page only shows',
        'buttons need `reasongen watch FOLDER --control`',
      );
    const site = req.header('sec-fetch-site') ?? 'none';
    if (req.path !== '/' && site !== 'none' && site !== 'same-origin')
      return refuse(context, 403, 'OTHER_SITE', 'another site asked for this', 'open the page itself');
    if (!isRead && req.header('origin') !== undefined && hostOf(req.header('origin')) !== req.header('host'))
      return refuse(context, 403, 'OTHER_SITE', 'another site asked for this', 'open the page itself');
    const given = req.query('token');
    if (given !== undefined && req.path === '/' && isRead) {
      // The token leaves the address: it would stay in histories and screenshots.
      if (access.isToken(given)) setCookie(context, cookie, given, { httpOnly: true, sameSite: 'Lax', path: '/' });
      else deleteCookie(context, cookie, { path: '/' });
      if (access.token === undefined || access.isToken(given)) return context.redirect('/', 303);
    }
    const isKnown = holdsToken(context, access, cookie);
    if (!isKnown && (!isRead || (access.token !== undefined && !access.isLoopback) || given !== undefined))
      return refuse(
        context,
        401,
        'NO_TOKEN',
        'the token is missing or wrong',
        'open the page by the whole address that `reasongen watch` printed',
      );
    await next();
    return undefined;
  };
}

function holdsToken(context: Context, access: Access, cookie: string): boolean {
  return access.isToken(bearerOf(context.req.header('authorization')) ?? getCookie(context, cookie));
}

function refuse(
  context: Context,
  status: 401 | 403 | 405 | 421,
  code: string,
  message: string,
  hint: string,
): Response {
  return context.json({ code, message, hint }, status);
}

function hostOf(origin: string | undefined): string | undefined {
  return /^https?:\/\/([^/]+)$/.exec(origin ?? '')?.[1];
}

/** Asked for by a name that leads nowhere. */
function notFound(message: string): ReasongenError {
  return new ReasongenError({ code: 'NOT_FOUND', message, hint: 'go back to the list of runs' });
}

function noRun(id: string): ReasongenError {
  return notFound(`there is no run "${id}" below the folder`);
}
