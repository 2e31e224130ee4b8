/**
 * Prompt and rationale of a row. With augmentation the prompt is drawn from other wordings of the same picture, as ReasonGen-R1 does
 * (`augmented_prompts`: short_caption, paraphrases, varied_captions, tags, object_prompts), and the rationale from `augmented_cots`
 * (step_by_step, object_centric, region_descriptions, tags).
 */
import type { Row } from './rows.ts';
import { asText, BadValue } from './values.ts';

export const promptFields = ['short_caption', 'paraphrases', 'varied_captions', 'tags', 'object_prompts'] as const;
export const rationaleFields = ['step_by_step', 'object_centric', 'region_descriptions', 'tags'] as const;

export interface TextColumns {
  readonly prompt: string;
  readonly rationale: string;
  readonly augmentedPrompts: string;
  readonly augmentedRationales: string;
}

export interface TextChoice {
  readonly columns: TextColumns;
  /** Empty: the prompt column itself. */
  readonly promptFields: readonly string[];
  /** Share of visits whose rationale is one of `rationaleFields` instead of the rationale column. */
  readonly rationaleShare: number;
  readonly rationaleFields: readonly string[];
}

export interface Texts {
  readonly prompt: string;
  /** Empty where the row has none, and why. */
  readonly rationale: string;
  readonly whyNoRationale?: string;
}

/** Throws BadValue, naming the column, for a row without a prompt. `random` is drawn from in a fixed order. */
export function textsOf(row: Row, choice: TextChoice, random: () => number): Texts {
  const { columns } = choice;
  const drawn = [random(), random(), random(), random(), random()] as const;
  const prompt = choice.promptFields.length > 0 ? augmentedPrompt(row, choice, drawn) : textAt(row, columns.prompt);
  const isAugmented = drawn[2] < choice.rationaleShare && choice.rationaleFields.length > 0;
  const rationale = unlessBad(() =>
    isAugmented ? augmentedRationale(row, choice, drawn) : textAt(row, columns.rationale),
  );
  return {
    // The published template adds a full stop of its own.
    prompt: prompt.replace(/\.$/, '').trim(),
    ...(rationale instanceof BadValue ? { rationale: '', whyNoRationale: rationale.message } : { rationale }),
  };
}

function unlessBad(read: () => string): string | BadValue {
  try {
    return read();
  } catch (error) {
    if (error instanceof BadValue) return error;
    throw error;
  }
}

function augmentedPrompt(
  row: Row,
  { columns, promptFields: fields }: TextChoice,
  [which, item]: readonly number[],
): string {
  const record = recordAt(row, columns.augmentedPrompts);
  const usable = fields.filter((field) => isUsable(record[field]));
  const field = pick(usable, which ?? 0);
  if (field === undefined) throw new BadValue(`${columns.augmentedPrompts} has none of ${fields.join(', ')}`);
  const value = record[field];
  if (typeof value === 'string') return value.trim();
  const texts = textsIn(value);
  if (field === 'tags') return texts.join(', ');
  if (field === 'object_prompts') return joinObjects(texts);
  return pick(texts, item ?? 0) ?? '';
}

function augmentedRationale(
  row: Row,
  { columns, rationaleFields: fields }: TextChoice,
  [, , , which]: readonly number[],
): string {
  const record = recordAt(row, columns.augmentedRationales);
  const field = pick(
    fields.filter((name) => isUsable(record[name])),
    which ?? 0,
  );
  if (field === undefined) throw new BadValue(`${columns.augmentedRationales} has none of ${fields.join(', ')}`);
  const value = record[field];
  if (typeof value === 'string') return value.trim();
  return textsIn(value).join(field === 'tags' ? ', ' : ' ');
}

/** "a cat, a dog and a tree"; one object stands alone. */
function joinObjects(objects: readonly string[]): string {
  if (objects.length < 2) return objects[0] ?? '';
  return `${objects.slice(0, -1).join(', ')} and ${objects.at(-1)}`;
}

function textAt(row: Row, column: string): string {
  const value = asText(row[column], column);
  if (value === undefined || value === null) throw new BadValue(`it has no ${column}`);
  if (typeof value !== 'string') throw new BadValue(`${column} is not a text`);
  if (value.trim() === '') throw new BadValue(`${column} is empty`);
  return value.trim();
}

/** A struct, or its JSON. */
function recordAt(row: Row, column: string): Readonly<Record<string, unknown>> {
  const value = asText(row[column], column);
  const parsed = typeof value === 'string' ? parse(value, column) : value;
  if (typeof parsed !== 'object' || parsed === null) throw new BadValue(`it has no ${column}`);
  return Object.fromEntries(
    Object.entries(parsed).map(([name, each]) => [
      name,
      Array.isArray(each) ? each.map((one) => asText(one, column)) : asText(each, column),
    ]),
  );
}

function parse(text: string, column: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    if (cause instanceof SyntaxError) throw new BadValue(`${column} is not JSON`);
    throw cause;
  }
}

function isUsable(value: unknown): boolean {
  return typeof value === 'string' ? value.trim() !== '' : textsIn(value).length > 0;
}

function textsIn(value: unknown): string[] {
  return Array.isArray(value)
    ? value.filter((each): each is string => typeof each === 'string' && each.trim() !== '').map((each) => each.trim())
    : [];
}

function pick<Item>(items: readonly Item[], random: number): Item | undefined {
  return items[Math.floor(random * items.length)];
}
