/** A request for a chat completion, from what was asked to the pieces of its answers. */
import { setMaxListeners } from 'node:events';
import type { Tokenizer } from '../contracts/tokenizer.ts';
import type { TextToken } from '../nn/row-work.ts';
import type { Admission } from './admission.ts';
import type { ServedAnswers } from './answers.ts';
import { badRequest } from './api-error.ts';
import {
  chatSettings,
  conversationOf,
  type ChatRequest,
  type ChatSettings,
  type AskedPicture,
} from './chat-request.ts';
import { logProbabilityOf, type ToldLogProbability } from './log-probabilities.ts';
import { manyListeners } from './request-end.ts';
import { readPictureUrl, type PictureLimits } from './picture-source.ts';
import { ShownText, TokenText } from './token-text.ts';

export interface ChatParts {
  readonly answers: Pick<ServedAnswers, 'mostPictures' | 'refuseTooLong' | 'layOut' | 'fit' | 'write'>;
  readonly tokenizer: Tokenizer;
  readonly admission: Admission;
  readonly limits: {
    readonly answerTokens: number;
    readonly choices: number;
    readonly pictures: PictureLimits;
  };
  readonly freshSeed: () => number;
}

/** Further text of one answer, and with the last one why it ends. */
export interface AnswerPiece {
  readonly choice: number;
  readonly text: string;
  readonly logProbabilities: readonly ToldLogProbability[];
  readonly end?: 'stop' | 'length';
}

/** A conversation that has been taken on; nothing of it will be refused any more. */
export interface BegunChat {
  readonly settings: ChatSettings;
  readonly seed: number;
  readonly promptTokens: number;
  /** Writes all answers at once. Rejects with the reason of the signal, or with what the model has failed with. Returns the tokens written. */
  write(tell: (piece: AnswerPiece) => void): Promise<number>;
}

/** Throws an ApiError for what cannot be answered. To be written, or what it has been taken on for is never given back. */
export async function beginChat(request: ChatRequest, parts: ChatParts, signal: AbortSignal): Promise<BegunChat> {
  const { answers, admission, limits, freshSeed } = parts;
  const settings = chatSettings(request, limits);
  const { turns, pictures: sources } = conversationOf(request.messages);
  if (sources.length > answers.mostPictures)
    throw badRequest(
      answers.mostPictures === 0
        ? 'this model does not look at pictures'
        : `this server looks at up to ${answers.mostPictures} pictures in a conversation`,
      sources[answers.mostPictures]?.param,
    );
  answers.refuseTooLong(turns);
  const giveBack = admission.take(settings.choices);
  const fitted = new Map<AskedPicture, ReturnType<ServedAnswers['fit']>>();
  let promptIds: readonly number[] = [];
  try {
    // One after the other: each is large as long as it is not as the model looks at it.
    for (const source of sources)
      fitted.set(source, answers.fit(await readPictureUrl(source.url, source.param, limits.pictures, signal)));
    signal.throwIfAborted();
    const vectorsOf = (source: AskedPicture): number => fitted.get(source)?.vectors ?? 0;
    promptIds = answers.layOut(turns.map((turn) => ({ ...turn, pictures: turn.pictures.map(vectorsOf) })));
  } catch (error) {
    for (let choice = 0; choice < settings.choices; choice++) giveBack();
    throw error;
  }
  const pictures = sources.flatMap((source) => fitted.get(source)?.image ?? []);
  const seed = settings.seed ?? freshSeed();
  const asked = { promptIds, turns: turns.length, pictures };
  return {
    settings,
    seed,
    promptTokens: promptIds.length,
    write: (tell) =>
      together(settings.choices, signal, async (number, own) => {
        try {
          return await writeChoice({ ...parts, settings, seed, asked }, number, own, tell);
        } finally {
          giveBack();
        }
      }),
  };
}

async function writeChoice(
  {
    answers,
    tokenizer,
    settings,
    seed,
    asked,
  }: ChatParts & {
    readonly settings: ChatSettings;
    readonly seed: number;
    readonly asked: Parameters<ServedAnswers['write']>[0];
  },
  choice: number,
  signal: AbortSignal,
  tell: (piece: AnswerPiece) => void,
): Promise<number> {
  const { temperature, topK, topP, tokens, stops, top } = settings;
  const text = new TokenText(tokenizer);
  const shown = new ShownText(stops);
  let count = 0;
  const toldOf = ({ id, logits }: TextToken): ToldLogProbability[] =>
    top === undefined || logits === undefined ? [] : [logProbabilityOf(id, logits, top, tokenizer)];
  const end = await answers.write(asked, {
    ...{ seed, number: choice, tokens, signal },
    rule: { temperature, topK, topP },
    wantsLogits: top !== undefined,
    onTokens: (drawn) => {
      let piece = '';
      const logProbabilities: ToldLogProbability[] = [];
      for (const token of drawn) {
        count += 1;
        piece += shown.add(text.add(token.id));
        logProbabilities.push(...toldOf(token));
        if (shown.stopped) break;
      }
      if (piece !== '' || logProbabilities.length > 0) tell({ choice, text: piece, logProbabilities });
      return !shown.stopped;
    },
    // An answer may be nothing but its end; how likely that was is told, too.
    onEnd: (token) => tell({ choice, text: '', logProbabilities: toldOf(token) }),
  });
  const rest = shown.add(text.end()) + shown.end();
  const isCut = end === 'budget' && !shown.stopped;
  tell({ choice, text: rest, logProbabilities: [], end: isCut ? 'length' : 'stop' });
  return count;
}

/** Does all of it at once; where one fails, the others leave. Returns the sum. */
export async function together(
  count: number,
  signal: AbortSignal,
  act: (number: number, signal: AbortSignal) => Promise<number>,
): Promise<number> {
  const own = new AbortController();
  // Each waits by itself.
  setMaxListeners(manyListeners, own.signal);
  const leave = (): void => own.abort(signal.reason);
  signal.addEventListener('abort', leave, { once: true });
  if (signal.aborted) leave();
  const ends = await Promise.allSettled(
    Array.from({ length: count }, async (_, number) => {
      try {
        return await act(number, own.signal);
      } catch (error) {
        own.abort(error);
        throw error;
      }
    }),
  );
  signal.removeEventListener('abort', leave);
  if (own.signal.aborted) throw own.signal.reason;
  return ends.reduce((sum, end) => sum + (end.status === 'fulfilled' ? end.value : 0), 0);
}
