/** Answers to a conversation as OpenAI's clients read them: whole, or as events. */
import type { BegunChat, AnswerPiece } from './chat.ts';
import type { ToldLogProbability } from './log-probabilities.ts';

/** What all answers of a server have in common, and what tells this one apart. */
export interface AnswerHead {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
  /** Tells one model from another: with it and the seed an answer comes again. */
  readonly system_fingerprint: string;
}

function usageOf(prompt: number, completion: number): Readonly<Record<string, number>> {
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
}

function logprobsOf(chat: BegunChat, content: readonly ToldLogProbability[]): object | null {
  return chat.settings.top === undefined ? null : { content, refusal: null };
}

export async function wholeAnswer(
  head: AnswerHead,
  chat: BegunChat,
): Promise<{ readonly body: object; readonly tokens: number }> {
  const choices = Array.from({ length: chat.settings.choices }, () => ({
    content: '',
    told: [] as ToldLogProbability[],
    end: 'stop',
  }));
  const tokens = await chat.write(({ choice, text, logProbabilities, end }) => {
    const own = choices[choice];
    if (own === undefined) return;
    own.content += text;
    own.told.push(...logProbabilities);
    own.end = end ?? own.end;
  });
  const body = {
    ...head,
    object: 'chat.completion',
    choices: choices.map(({ content, told, end }, index) => ({
      index,
      message: { role: 'assistant', content, refusal: null },
      logprobs: logprobsOf(chat, told),
      finish_reason: end,
    })),
    usage: usageOf(chat.promptTokens, tokens),
    seed: chat.seed,
  };
  return { body, tokens };
}

/** Calls `send` with every event. Returns the tokens written. */
export async function streamedAnswer(
  head: AnswerHead,
  chat: BegunChat,
  send: (event: object | '[DONE]') => void,
): Promise<number> {
  const { choices, includesUsage } = chat.settings;
  const chunk = (more: object): void =>
    send({
      ...head,
      object: 'chat.completion.chunk',
      ...more,
      ...(includesUsage && !('usage' in more) && { usage: null }),
    });
  const tell = (
    { choice, text, logProbabilities = [], end }: Partial<AnswerPiece>,
    delta: Readonly<Record<string, string>> = {},
  ): void =>
    chunk({
      choices: [
        {
          index: choice,
          delta: { ...delta, ...(text !== undefined && text !== '' && { content: text }) },
          logprobs: logProbabilities.length === 0 ? null : logprobsOf(chat, logProbabilities),
          finish_reason: end ?? null,
        },
      ],
      seed: chat.seed,
    });
  for (let choice = 0; choice < choices; choice++) tell({ choice }, { role: 'assistant', content: '' });
  const tokens = await chat.write(({ end, ...piece }) => {
    if (piece.text !== '' || piece.logProbabilities.length > 0) tell(piece);
    if (end !== undefined) tell({ choice: piece.choice, end });
  });
  if (includesUsage) chunk({ choices: [], usage: usageOf(chat.promptTokens, tokens) });
  send('[DONE]');
  return tokens;
}
