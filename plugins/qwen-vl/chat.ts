/**
 * How a conversation is laid out for a Qwen model: by the chat template in the model's folder, or as ChatML where there is none. Texts are not in
 * what a template makes: each stands as a mark, so that nothing a user types can become a command, however a template puts things together.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Template } from '@huggingface/jinja';
import { reasonOf, ReasongenError, type Turn } from '../../core/plugin.ts';
import { readJson, readModelText } from './config.ts';

export const chatTokens = {
  start: '<|im_start|>',
  end: '<|im_end|>',
  endOfText: '<|endoftext|>',
  pictureStart: '<|vision_start|>',
  pictureEnd: '<|vision_end|>',
  vector: '<|image_pad|>',
} as const;

/** A text of the conversation, or what the layout puts around it, in which special tokens are spelled out. */
export type ChatPiece = { readonly text: string } | { readonly layout: string };

interface Message {
  readonly role: 'system' | 'user' | 'assistant';
  readonly text: string;
  readonly pictures: number;
}

/** What a text stands as, by its number: characters that no template has. */
const mark = (index: number): string => `\uE000${index}\uE001`;
const marks = /\uE000(\d+)\uE001/;

/** A conversation up to where the next answer begins; a picture is `chatTokens.vector` between its borders, once. Throws BAD_CHAT_TEMPLATE. */
export type ChatLayout = (turns: readonly Turn[]) => ChatPiece[];

export interface ChatOptions {
  /** In front of every conversation, in place of what the template puts there. */
  readonly system?: string | undefined;
  /** What stands there where neither that nor a template says it. */
  readonly absentSystem?: string | undefined;
}

/** The layout of a model's folder; ChatML without one. Throws BAD_CHAT_TEMPLATE. */
export async function readChatLayout(
  folder: string | undefined,
  { system, absentSystem }: ChatOptions,
): Promise<ChatLayout> {
  const found = folder === undefined ? undefined : await findTemplate(folder);
  return (turns) => {
    const messages = messagesOf(turns, system);
    const laid =
      found === undefined
        ? plainLayout(messages, system === undefined ? absentSystem : undefined)
        : render(found, messages);
    // What is around a mark and the number in it take turns.
    return laid
      .split(marks)
      .map((part, index): ChatPiece =>
        index % 2 === 0 ? { layout: part } : { text: messages[Number(part)]?.text ?? '' },
      );
  };
}

function messagesOf(turns: readonly Turn[], system: string | undefined): Message[] {
  return [
    ...(system === undefined ? [] : [{ role: 'system' as const, text: system, pictures: 0 }]),
    ...turns.flatMap(({ question, pictures, answer }): Message[] => [
      { role: 'user', text: question, pictures: pictures.length },
      ...(answer === undefined ? [] : [{ role: 'assistant' as const, text: answer, pictures: 0 }]),
    ]),
  ];
}

const picture = `${chatTokens.pictureStart}${chatTokens.vector}${chatTokens.pictureEnd}`;

/** ChatML. */
function plainLayout(messages: readonly Message[], system: string | undefined): string {
  const laid = (role: string, content: string): string => `${chatTokens.start}${role}\n${content}${chatTokens.end}\n`;
  return [
    ...(system === undefined ? [] : [laid('system', system)]),
    ...messages.map(({ role, pictures }, index) => laid(role, `${picture.repeat(pictures)}${mark(index)}`)),
    `${chatTokens.start}assistant\n`,
  ].join('');
}

interface FoundTemplate {
  readonly template: Template;
  readonly place: string;
}

function render({ template, place }: FoundTemplate, messages: readonly Message[]): string {
  const contents = messages.map(({ role, pictures }, index) => ({
    role,
    content:
      pictures === 0
        ? mark(index)
        : [
            ...Array.from({ length: pictures }, () => ({ type: 'image', image: '' })),
            { type: 'text', text: mark(index) },
          ],
  }));
  const laid = within(place, () => template.render({ messages: contents, add_generation_prompt: true }));
  const shown = laid.split(marks).filter((_, index) => index % 2 === 1);
  if (shown.length !== messages.length || shown.some((index, order) => Number(index) !== order))
    throw badTemplate(place, 'it leaves out a message, changes it, or shows it twice');
  const wanted = messages.reduce((sum, { pictures }) => sum + pictures, 0);
  const pictures = laid.split(chatTokens.vector).length - 1;
  if (pictures !== wanted) throw badTemplate(place, `it shows ${pictures} of ${wanted} picture(s)`);
  return laid;
}

/** In the order in which transformers looks. */
async function findTemplate(folder: string): Promise<FoundTemplate | undefined> {
  const own = join(folder, 'chat_template.jinja');
  if (existsSync(own)) return parsed(readModelText(own), own);
  for (const name of ['chat_template.json', 'tokenizer_config.json']) {
    const path = join(folder, name);
    const text = existsSync(path) ? templateOf(readJson(path)) : undefined;
    if (text !== undefined) return parsed(text, path);
  }
  return undefined;
}

/** One template, or several by name, of which `default` is the one for conversations. */
function templateOf(json: unknown): string | undefined {
  const value = isRecord(json) ? json['chat_template'] : undefined;
  if (typeof value === 'string') return value;
  const named: readonly unknown[] = Array.isArray(value) ? value : [];
  const found = named.find((each) => isRecord(each) && each['name'] === 'default');
  return isRecord(found) && typeof found['template'] === 'string' ? found['template'] : undefined;
}

/** The package is read where there is a template, not whenever the program starts. */
async function parsed(text: string, place: string): Promise<FoundTemplate> {
  const jinja = await import('@huggingface/jinja');
  return { template: within(place, () => new jinja.Template(text)), place };
}

function within<Result>(place: string, run: () => Result): Result {
  try {
    return run();
  } catch (cause) {
    throw badTemplate(place, reasonOf(cause), cause);
  }
}

function badTemplate(place: string, why: string, cause?: unknown): ReasongenError {
  return new ReasongenError({
    code: 'BAD_CHAT_TEMPLATE',
    message: `the chat template cannot lay out a conversation: ${why}`,
    place,
    hint: 'use the template that came with the model, or none, for which ChatML is taken',
    exitCode: 2,
    cause,
  });
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
