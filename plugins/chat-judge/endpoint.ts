/** A chat endpoint that is asked many questions at a time, and is left alone by all of them while it is busy. */
import { setTimeout as sleep } from 'node:timers/promises';
import { readText, reasonOf, ReasongenError, request, z, type Log } from '../../core/plugin.ts';

export interface EndpointOptions {
  /** Up to its version. */
  readonly url: string;
  readonly model: string;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly attempts: number;
  /** Seconds. */
  readonly timeout: number;
  readonly key: string | undefined;
  /** Where a key would come from, for messages. */
  readonly keyVariable: string | undefined;
  readonly log: Pick<Log, 'warn'>;
}

export interface Answer {
  readonly text: string;
  readonly isCut: boolean;
}

const contentSchema = z.union([z.string(), z.array(z.looseObject({ text: z.string().nullish() }))]);

/** What of an answer is read. */
const answerSchema = z.looseObject({
  choices: z
    .array(
      z.looseObject({
        finish_reason: z.string().nullish(),
        message: z.looseObject({ content: contentSchema.nullish() }),
      }),
    )
    .min(1),
});

/** Bytes; longer answers are none of a judge. */
const longestAnswer = 8 * 2 ** 20;

/** Seconds between two attempts, unless the endpoint says more. */
const longestPause = 60;

/** Seconds an endpoint may ask to be left alone. */
const longestWish = 600;

/** Asking again may help. `seconds`: what the endpoint wishes. */
class Unanswered extends Error {
  readonly seconds: number | undefined;
  /** There was nobody to answer. */
  readonly isUnreachable: boolean;

  constructor(message: string, { seconds, isUnreachable = false }: { seconds?: number; isUnreachable?: boolean } = {}) {
    super(message);
    this.seconds = seconds;
    this.isUnreachable = isUnreachable;
  }
}

export class Endpoint {
  private readonly options: EndpointOptions;
  /** Milliseconds since the epoch before which nothing is asked. */
  private pausedUntil = 0;
  private hasAnswered = false;
  /** Newer models of OpenAI know the second name only. */
  private lengthKey: 'max_tokens' | 'max_completion_tokens' = 'max_tokens';

  constructor(options: EndpointOptions) {
    this.options = options;
  }

  /** Throws JUDGE_UNREACHABLE when every attempt failed, JUDGE_REFUSED when asking again would not help. */
  async ask(content: readonly unknown[], signal: AbortSignal): Promise<Answer> {
    const { attempts, url } = this.options;
    const start = Date.now();
    for (let attempt = 1; ; attempt++) {
      await this.pause(signal);
      try {
        const answer = await this.send(content, signal);
        this.hasAnswered = true;
        return answer;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof Unanswered)) throw error;
        // Where nobody has ever answered, the address is more likely wrong than the endpoint busy.
        const limit = error.isUnreachable && !this.hasAnswered ? Math.min(3, attempts) : attempts;
        if (attempt >= limit || (error.seconds ?? 0) > longestWish)
          throw new ReasongenError({
            code: 'JUDGE_UNREACHABLE',
            message: `the judge could not be asked in ${attempt} attempt${attempt === 1 ? '' : 's'} within ${Math.ceil((Date.now() - start) / 1000)} s: ${error.message}`,
            place: url,
            hint: error.isUnreachable
              ? 'start the endpoint, check url, and resume the run'
              : 'wait until the endpoint answers, or let it be asked less at once (atOnce) or more often (attempts), and resume the run',
            cause: error,
          });
        this.leaveAlone(error, attempt);
      }
    }
  }

  /** Doubled from a second on; by chance, so that questions do not come back all at once. */
  private leaveAlone({ seconds, message }: Unanswered, attempt: number): void {
    const pause = seconds ?? Math.min(longestPause, 2 ** (attempt - 1)) * (0.5 + Math.random() / 2);
    const until = Date.now() + pause * 1000;
    if (this.pausedUntil < Date.now())
      this.options.log.warn(`the judge ${message.slice(0, 200)}; it is asked again in ${pause.toFixed(1)} s`);
    this.pausedUntil = Math.max(this.pausedUntil, until);
  }

  private async pause(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    while (this.pausedUntil > Date.now()) {
      const spread = Math.random() * 250;
      await sleep(this.pausedUntil - Date.now() + spread, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }

  private async send(content: readonly unknown[], signal: AbortSignal): Promise<Answer> {
    const { url, model, maxTokens, temperature, timeout, key } = this.options;
    const { lengthKey } = this;
    const clock = AbortSignal.timeout(timeout * 1000);
    let response: Response;
    let text: string;
    try {
      response = await request(`${url.replace(/\/+$/, '')}/chat/completions`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(key !== undefined && { authorization: `Bearer ${key}` }),
        },
        body: JSON.stringify({ model, [lengthKey]: maxTokens, temperature, messages: [{ role: 'user', content }] }),
        // A picture goes to the address it is meant for only.
        redirect: 'manual',
        signal: AbortSignal.any([signal, clock]),
      });
      text = await readText(response, longestAnswer);
    } catch (cause) {
      if (cause instanceof ReasongenError) throw cause;
      if (clock.aborted) throw new Unanswered(`gave no answer within ${timeout} s`);
      throw new Unanswered(`cannot be reached: ${reasonOf(cause)}`, { isUnreachable: true });
    }
    if (response.ok) return readAnswer(text);
    const isLengthName = lengthKey === 'max_tokens' && text.includes('max_completion_tokens');
    if (isLengthName && (response.status === 400 || response.status === 422)) {
      this.lengthKey = 'max_completion_tokens';
      return this.send(content, signal);
    }
    throw this.refusal(response, text);
  }

  private refusal({ status, statusText, headers }: Response, text: string): Error {
    const { url, model, key, keyVariable } = this.options;
    const said = `answered ${[status, statusText].filter(Boolean).join(' ')}${text === '' ? '' : `: ${oneLine(text)}`}`;
    if (status === 408 || status === 425 || status === 429 || status >= 500)
      return new Unanswered(said, wish(headers.get('retry-after')));
    const told = (message: string, hint: string): ReasongenError =>
      new ReasongenError({ code: 'JUDGE_REFUSED', message: `the judge ${message}`, place: url, hint });
    if (status >= 300 && status < 400)
      return told(
        `sends all questions on to ${headers.get('location') ?? 'another address'} (${status})`,
        'write the address that answers as url',
      );
    if (status === 401 || status === 403)
      return told(
        said,
        key === undefined
          ? 'no key was sent: put it into an environment variable and name that in keyVariable'
          : `check the key in ${keyVariable}`,
      );
    if (status === 404) return told(said, `check url, up to its version such as …/v1, and whether it has ${model}`);
    return told(said, 'change the option that it names');
  }
}

function readAnswer(text: string): Answer {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Unanswered(`gave an answer that is not JSON: ${oneLine(text)}`);
  }
  const read = answerSchema.safeParse(json);
  const [first] = read.data?.choices ?? [];
  if (first === undefined) throw new Unanswered(`gave an answer that is not one of a chat endpoint: ${oneLine(text)}`);
  const content = first.message.content ?? '';
  return {
    text: typeof content === 'string' ? content : content.map((part) => part.text ?? '').join(''),
    isCut: first.finish_reason === 'length',
  };
}

/** Retry-After: seconds, or a date. */
function wish(value: string | null): { seconds?: number } {
  if (value === null) return {};
  const seconds = /^\d+(\.\d+)?$/.test(value.trim()) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? { seconds: Math.max(0, seconds) } : {};
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim().slice(0, 200);
}
