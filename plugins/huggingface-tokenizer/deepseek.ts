/**
 * The conversation layout `deepseek` of Janus-Pro (https://github.com/deepseek-ai/Janus, `sft_format`): each message is its role, `: `,
 * its stripped text and a separator, two newlines behind a question and the end token behind an answer; the message to be written is its
 * role and `:`. The whole is stripped, so that nothing follows the last colon. The first token stands in front of everything.
 */
import type { Turn } from '../../core/plugin.ts';

export const tokens = {
  bos: '<｜begin▁of▁sentence｜>',
  eos: '<｜end▁of▁sentence｜>',
  pad: '<｜▁pad▁｜>',
  imageStart: '<begin_of_image>',
  imageEnd: '<end_of_image>',
  imagePlaceholder: '<image_placeholder>',
  user: '<|User|>',
  assistant: '<|Assistant|>',
} as const;

/** A piece of a layout: text of the user, one of `tokens` by its role, or a picture that is looked at, of so many vectors. */
export type TextPiece =
  | { readonly text: string }
  | { readonly token: keyof typeof tokens }
  | { readonly vectors: number };

/** What the published processor puts in front of a conversation about pictures; there is none when it draws. */
export const systemPrompt =
  'You are a helpful language and vision assistant. You are able to understand the visual content that the user provides, ' +
  'and assist the user with a variety of tasks using natural language.';

const behindQuestion = '\n\n';

/** One question and the place of its answer. */
export function promptPieces(question: string): TextPiece[] {
  return [
    { token: 'bos' },
    { token: 'user' },
    { text: `: ${question.trim()}${behindQuestion}` },
    { token: 'assistant' },
    { text: ':' },
  ];
}

/** The pictures of a question stand in front of it, a newline behind each. */
export function conversationPieces(turns: readonly Turn[], system: string): TextPiece[] {
  const pieces: TextPiece[] = [{ token: 'bos' }];
  if (system !== '') pieces.push({ text: `${system}${behindQuestion}` });
  for (const { question, pictures, answer } of turns) {
    pieces.push({ token: 'user' }, { text: ': ' });
    for (const vectors of pictures) pieces.push({ vectors }, { text: '\n' });
    pieces.push({ text: `${question.trim()}${behindQuestion}` }, { token: 'assistant' });
    if (answer === undefined) pieces.push({ text: ':' });
    else pieces.push({ text: `: ${answer.trim()}` }, { token: 'eos' });
  }
  return pieces;
}
