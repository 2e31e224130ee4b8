/** The routes of the server over a model that says what a test wants, without a device. */
import { createAccess } from '../../core/access.ts';
import type { Tokenizer } from '../../core/contracts/tokenizer.ts';
import { silentLog } from '../../core/log.ts';
import type { WriteEnd } from '../../core/nn/row-work.ts';
import { Admission } from '../../core/serve/admission.ts';
import { ServeApp, type AppOptions } from '../../core/serve/app.ts';
import type { AnswerChoice } from '../../core/serve/answers.ts';
import { badRequest } from '../../core/serve/api-error.ts';
import type { ChatParts } from '../../core/serve/chat.ts';
import type { ImagesParts } from '../../core/serve/images.ts';
import { ServerMetrics } from '../../core/serve/metrics.ts';

/** A character is a token, its code point the id. */
const tokenizer = {
  encode: (text: string) => Array.from(text, (character) => character.codePointAt(0) ?? 0),
  decode: (ids: readonly number[]) => String.fromCodePoint(...ids),
} as Pick<Tokenizer, 'encode' | 'decode'> as Tokenizer;

export interface StubChoice {
  /** How an answer is written; "word by word" unless told. */
  readonly write?: (choice: AnswerChoice) => Promise<WriteEnd>;
  readonly token?: string;
  readonly host?: string;
  readonly waiting?: number;
  readonly requestSeconds?: number;
  readonly bodyBytes?: number;
  readonly warn?: (line: string) => void;
}

export interface StubServer {
  readonly app: ServeApp;
  readonly admission: Admission;
  readonly metrics: ServerMetrics;
  readonly stop: AbortController;
  readonly handBack: AbortController;
  /** Asks one of the routes. */
  ask(path: string, init?: RequestInit): Promise<Response>;
  /** Asks for a chat completion. */
  chat(more?: object, init?: RequestInit): Promise<Response>;
}

/** Writes a text, and says that the model has ended it. */
export function says(text: string): (choice: AnswerChoice) => Promise<WriteEnd> {
  return async ({ tokens, onTokens, signal }) => {
    for (const [index, id] of tokenizer.encode(text).entries()) {
      signal.throwIfAborted();
      if (!onTokens([{ id, forced: 0, logProbability: -1, entropy: 1, logits: new Float32Array(200) }])) return 'told';
      if (index + 1 === tokens) return 'budget';
      await Promise.resolve();
    }
    return 'model';
  };
}

export function stubServer(choice: StubChoice = {}): StubServer {
  const { write = says('word by word'), token, host = '127.0.0.1', waiting = 4, requestSeconds = 60 } = choice;
  const metrics = new ServerMetrics();
  const [stop, handBack] = [new AbortController(), new AbortController()];
  const admission = new Admission({ atOnce: 2, waiting });
  const answers: ChatParts['answers'] = {
    mostPictures: 2,
    layOut: (turns) => {
      const text = turns.map(({ question, answer = '' }) => `${question}${answer}`).join('\n');
      if (text.length > 2000) throw badRequest('too long', 'messages', 'context_length_exceeded');
      return tokenizer.encode(text);
    },
    refuseTooLong: () => undefined,
    fit: (image) => ({ image, vectors: 1 }),
    write: (_asked, own) => write(own),
  };
  const drawings: ImagesParts['drawings'] = {
    options: {
      ...{ rationale: true, rationaleTokens: 10, textTemperature: 1, textTopK: 0, textTopP: 1, imageTemperature: 1 },
      ...{ imageTopK: 0, imageTopP: 1, cache: 'f32', precision: 'f32', guidance: 1, drawings: 2, promptTokens: 200 },
    },
    size: { width: 2, height: 1 },
    layOut: (prompt) => {
      if (prompt.length > 200) throw badRequest('too long', 'prompt', 'context_length_exceeded');
      return { ids: tokenizer.encode(prompt) };
    },
    draw: (_laidOut, { seed }, number) =>
      Promise.resolve({
        image: { width: 2, height: 1, data: Uint8Array.of(seed % 256, number, 0, 1, 2, 3) },
        ...{ rationale: 'a plan', rationaleEnded: true, tokens: 3 },
      }),
  };
  const parts = { admission, freshSeed: () => 5 };
  const options: AppOptions = {
    model: { name: 'stub', fingerprint: 'fp_stub' },
    chat: {
      ...parts,
      ...{ answers, tokenizer },
      limits: { answerTokens: 50, choices: 4, pictures: { pixels: 10_000, bytes: 10_000, hosts: [] } },
    },
    images: { ...parts, drawings, limits: { choices: 4 } },
    access: createAccess({ host, token }),
    ...{
      bodyBytes: choice.bodyBytes ?? 100_000,
      requestSeconds,
      metrics,
      stop: stop.signal,
      handBack: handBack.signal,
    },
    log: { ...silentLog(), ...(choice.warn !== undefined && { warn: choice.warn }) },
  };
  const app = new ServeApp(options);
  const ask: StubServer['ask'] = async (path, init = {}) =>
    app.fetch(
      new Request(`http://localhost${path}`, { ...init, headers: { host: 'localhost', ...(init.headers as object) } }),
    );
  return {
    ...{ app, admission, metrics, stop, handBack, ask },
    chat: (more = {}, init = {}) =>
      ask('/v1/chat/completions', {
        method: 'POST',
        body: JSON.stringify({ model: 'stub', messages: [{ role: 'user', content: 'What?' }], ...more }),
        ...init,
        headers: { 'content-type': 'application/json', ...(init.headers as object) },
      }),
  };
}
