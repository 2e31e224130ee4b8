/** The routes of the server: who may ask, what is answered, and what becomes of a request whose asker is gone. */
import { randomUUID } from 'node:crypto';
import { type Context, Hono, type Next } from 'hono';
import { bearerOf, type Access } from '../access.ts';
import { explainError } from '../failure.ts';
import type { Log } from '../log.ts';
import type { Admission } from './admission.ts';
import { ApiError, asApiError, badRequest } from './api-error.ts';
import { readBody } from './body.ts';
import { beginChat, type BegunChat, type ChatParts } from './chat.ts';
import { streamedAnswer, wholeAnswer, type AnswerHead } from './chat-answer.ts';
import { chatRequest } from './chat-request.ts';
import { drawImages, type ImagesParts } from './images.ts';
import { imageRequest } from './image-request.ts';
import type { ServerMetrics } from './metrics.ts';
import { ClientGone, endOfRequest, stopping, type RequestEnd } from './request-end.ts';

export interface AppOptions {
  readonly model: { readonly name: string; readonly fingerprint: string };
  /** Absent where the model cannot. */
  readonly chat: ChatParts | undefined;
  readonly images: ImagesParts | undefined;
  readonly access: Access;
  readonly bodyBytes: number;
  readonly requestSeconds: number;
  readonly metrics: ServerMetrics;
  readonly log: Pick<Log, 'warn' | 'debug'>;
  /** Aborted when no new requests are taken, and when those that are not done are given up. */
  readonly stop: AbortSignal;
  readonly handBack: AbortSignal;
}

/** Milliseconds of silence after which a stream says that it is there: proxies end connections that say nothing. */
const heartbeat = 15_000;

/** Status of a request whose asker was gone before it was answered, in metrics only. */
const gone = 499;

const modelRoutes = { chat: '/v1/chat/completions', images: '/v1/images/generations' } as const;

export class ServeApp {
  readonly fetch: (request: Request) => Response | Promise<Response>;
  private readonly options: AppOptions;
  private readonly since = Math.floor(Date.now() / 1000);
  /** Requests to the model that are not answered yet. */
  private readonly open = new Set<Promise<void>>();

  constructor(options: AppOptions) {
    this.options = options;
    const app = new Hono();
    app.use('*', (context, next) => this.guard(context, next));
    app.onError((error, context) => this.refuse(context, error));
    app.notFound((context) => this.refuse(context, noSuchThing(context.req.path)));
    app.get('/health', (context) =>
      options.stop.aborted ? context.json({ status: 'stopping' }, 503) : context.json({ status: 'ok' }),
    );
    app.get('/metrics', (context) =>
      context.body(options.metrics.text(), 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }),
    );
    app.get('/v1/models', (context) => context.json({ object: 'list', data: [this.model()] }));
    app.get('/v1/models/:name{.+}', (context) => {
      if (context.req.param('name') !== options.model.name) throw noModel(context.req.param('name'));
      return context.json(this.model());
    });
    app.post(modelRoutes.chat, (context) => this.answer(context, 'chat', (end) => this.chat(context, end)));
    app.post(modelRoutes.images, (context) => this.answer(context, 'images', (end) => this.images(context, end)));
    for (const path of ['/health', '/metrics', '/v1/models', ...Object.values(modelRoutes)])
      app.all(path, () => {
        throw new ApiError({ status: 405, code: 'method_not_allowed', message: 'this is not done to that address' });
      });
    this.fetch = (request) => app.fetch(request);
  }

  /** Until all requests to the model have been answered. */
  async idle(): Promise<void> {
    while (this.open.size > 0) await Promise.allSettled([...this.open]);
  }

  private model(): object {
    return { id: this.options.model.name, object: 'model', created: this.since, owned_by: 'reasongen' };
  }

  /** Refuses whoever may not ask, before anything else is looked at. */
  private async guard(context: Context, next: Next): Promise<void> {
    const { access } = this.options;
    const { req } = context;
    context.header('x-content-type-options', 'nosniff');
    context.header('cache-control', 'no-store');
    context.header('x-request-id', `req_${randomUUID()}`);
    if (req.path !== '/health') {
      // Where a token is demanded no name that somebody else has given this address opens anything.
      if (access.token === undefined && !access.isOwnHost(req.header('host')))
        throw new ApiError({ status: 421, code: 'wrong_host', message: 'this address does not answer to that name' });
      const site = req.header('sec-fetch-site') ?? 'none';
      if (site !== 'none' && site !== 'same-origin')
        throw new ApiError({ status: 403, code: 'other_site', message: 'a page of another site asked for this' });
      if (access.token !== undefined && !access.isToken(bearerOf(req.header('authorization'))))
        throw new ApiError({
          status: 401,
          code: 'invalid_api_key',
          message: 'the token is missing or wrong: send it as Authorization: Bearer TOKEN',
        });
    }
    await next();
  }

  /** A request to the model: within its time, counted, and ended when whoever asked is gone. */
  private async answer(
    context: Context,
    route: keyof typeof modelRoutes,
    act: (end: RequestEnd) => Promise<{ readonly response: Response; readonly sent: Promise<number> }>,
  ): Promise<Response> {
    const { options } = this;
    const begun = performance.now();
    const end = endOfRequest(context.req.raw.signal, options.requestSeconds, options.handBack);
    let told: (() => void) | undefined;
    const isAnswered = new Promise<void>((resolve) => {
      told = resolve;
    });
    this.open.add(isAnswered);
    const done = (status: number): void => {
      end.close();
      options.metrics.request(route, status, (performance.now() - begun) / 1000);
      this.open.delete(isAnswered);
      told?.();
    };
    try {
      if (options.stop.aborted) throw stopping();
      const { response, sent } = await act(end);
      void whenSent(sent, done);
      return response;
    } catch (error) {
      const cause = end.signal.aborted ? end.signal.reason : error;
      done(cause instanceof ClientGone ? gone : asApiError(cause).fields.status);
      throw cause;
    }
  }

  private async chat(
    context: Context,
    end: RequestEnd,
  ): Promise<{ readonly response: Response; readonly sent: Promise<number> }> {
    const { chat: parts, bodyBytes, metrics, model } = this.options;
    if (parts === undefined) throw badRequest('this model draws, and does not converse', undefined, 'not_supported');
    const request = await readWithin(parts.admission, context.req.raw, chatRequest, bodyBytes);
    if (request.model !== model.name) throw noModel(request.model);
    const begun = await beginChat(request, parts, end.signal);
    const head: AnswerHead = {
      id: `chatcmpl-${randomUUID()}`,
      created: Math.floor(Date.now() / 1000),
      model: model.name,
      system_fingerprint: model.fingerprint,
    };
    metrics.count('prompt', begun.promptTokens);
    if (begun.settings.streams) return this.stream(context, head, begun, end);
    const { body, tokens } = await wholeAnswer(head, begun);
    metrics.count('completion', tokens);
    return { response: context.json(body), sent: Promise.resolve(200) };
  }

  private async images(
    context: Context,
    end: RequestEnd,
  ): Promise<{ readonly response: Response; readonly sent: Promise<number> }> {
    const { images: parts, bodyBytes, metrics, model } = this.options;
    if (parts === undefined) throw badRequest('this model does not draw', undefined, 'not_supported');
    const request = await readWithin(parts.admission, context.req.raw, imageRequest, bodyBytes);
    if (typeof request.model === 'string' && request.model !== model.name) throw noModel(request.model);
    const { body, promptTokens, tokens } = await drawImages(request, parts, end.signal);
    metrics.count('prompt', promptTokens);
    metrics.count('picture', tokens);
    return { response: context.json(body), sent: Promise.resolve(200) };
  }

  /** Events as they come. What fails behind the first of them is told as an event: the status has been sent. */
  private stream(
    context: Context,
    head: AnswerHead,
    begun: BegunChat,
    end: RequestEnd,
  ): { readonly response: Response; readonly sent: Promise<number> } {
    const bytes = new TextEncoder();
    let sent: Promise<number> = Promise.resolve(200);
    let isOpen = true;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const write = (text: string): void => {
          if (isOpen) controller.enqueue(bytes.encode(text));
        };
        const send = (event: object | '[DONE]'): void =>
          write(`data: ${typeof event === 'string' ? event : JSON.stringify(event)}\n\n`);
        const alive = setInterval(() => write(': still here\n\n'), heartbeat);
        const run = async (): Promise<number> => {
          try {
            this.options.metrics.count('completion', await streamedAnswer(head, begun, send));
            return 200;
          } catch (error) {
            const cause = end.signal.aborted ? end.signal.reason : error;
            if (cause instanceof ClientGone) return gone;
            const told = this.explained(cause);
            send(told.body);
            return told.fields.status;
          } finally {
            clearInterval(alive);
            if (isOpen) controller.close();
            isOpen = false;
          }
        };
        sent = run();
      },
      cancel: () => {
        isOpen = false;
        end.leave();
      },
    });
    const response = context.body(body, 200, {
      'content-type': 'text/event-stream; charset=utf-8',
      // Proxies would collect what must come at once.
      'x-accel-buffering': 'no',
    });
    return { response, sent };
  }

  private refuse(context: Context, error: unknown): Response {
    if (error instanceof ClientGone) return context.body(null, 500);
    const told = this.explained(error);
    const { status } = told.fields;
    if (status === 503) context.header('connection', 'close');
    return context.json(told.body, status, told.headers);
  }

  /** What is told of an error; the log has what is not. */
  private explained(error: unknown): ApiError {
    const told = asApiError(error);
    if (told.fields.status === 500) {
      const { code, message, place, cause } = explainError(error);
      this.options.log.warn(`a request failed: ${code}${place === undefined ? '' : ` (${place})`}: ${message}`);
      this.options.log.debug(cause instanceof Error ? (cause.stack ?? cause.message) : message);
    }
    return told;
  }
}

/** Reads a body when there is room for one. */
async function readWithin<Schema extends Parameters<typeof readBody>[1]>(
  admission: Admission,
  request: Request,
  schema: Schema,
  mostBytes: number,
): ReturnType<typeof readBody<Schema>> {
  const leave = admission.enter();
  try {
    return await readBody(request, schema, mostBytes);
  } finally {
    leave();
  }
}

async function whenSent(sent: Promise<number>, done: (status: number) => void): Promise<void> {
  done(await sent);
}

function noModel(name: string): ApiError {
  return new ApiError({
    status: 404,
    code: 'model_not_found',
    message: `this server has no model "${name.slice(0, 200)}": GET /v1/models tells the one it has`,
    param: 'model',
  });
}

function noSuchThing(path: string): ApiError {
  return new ApiError({ status: 404, code: 'not_found', message: `there is nothing at ${path.slice(0, 200)}` });
}
