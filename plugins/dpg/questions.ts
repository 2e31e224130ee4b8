/** The question graph of DPG-Bench, and of DSG, whose file has the same columns: questions about a prompt, and which of them depend on which. */
import { decodeText, exitCodes, parseTable, readBounded, ReasongenError } from '../../core/plugin.ts';

export interface DpgQuestion {
  readonly id: string;
  /** Ids of the questions that must be answered with yes before this one counts. */
  readonly parents: readonly string[];
  /** `attribute - color` */
  readonly category: string;
  readonly text: string;
}

export interface QuestionedPrompt {
  readonly id: string;
  readonly prompt: string;
  readonly questions: readonly DpgQuestion[];
  /** The published scorer fails on this item and leaves it out. */
  readonly isDropped?: true;
}

/** `official`: what the published scorer makes of the file, its mistakes included. */
export type DpgMode = 'official' | 'corrected';

const columns = ['item_id', 'text', 'proposition_id', 'dependency', 'tuple', 'question_natural_language'] as const;

interface Row {
  readonly item: string;
  readonly prompt: string;
  readonly question: DpgQuestion;
}

/** Throws BAD_QUESTIONS with the place for a file that is no such table. */
export async function readQuestions(path: string, mode: DpgMode): Promise<QuestionedPrompt[]> {
  return questionsOf(decodeText(await readBounded(path, 'reading questions')), mode, path);
}

export function questionsOf(text: string, mode: DpgMode, path = 'the file'): QuestionedPrompt[] {
  const rows = rowsOf(text, path);
  // The published scorer skips a line that it takes for the header, which is gone already.
  const kept = mode === 'official' ? rows.slice(1) : rows;
  const items: QuestionedPrompt[] = [];
  const places = new Map<string, number>();
  let last: string | undefined;
  for (const { item, prompt, question } of kept) {
    const at = places.get(item);
    if (at === undefined || (mode === 'official' && item !== last)) {
      // Officially a later block of an item takes the place of an earlier one.
      const fresh = { id: item, prompt, questions: [question] };
      if (at === undefined) places.set(item, items.push(fresh) - 1);
      else items[at] = fresh;
    } else {
      const known = items[at];
      if (known !== undefined) items[at] = { ...known, questions: [...known.questions, question] };
    }
    last = item;
  }
  return items.map((item) => (mode === 'official' ? markDropped(item) : mended(item)));
}

/** A parent that is not there makes the published scorer fail on the item. */
function markDropped(item: QuestionedPrompt): QuestionedPrompt {
  const ids = new Set(item.questions.map(({ id }) => id));
  return item.questions.every(({ parents }) => parents.every((parent) => ids.has(parent)))
    ? item
    : { ...item, isDropped: true };
}

/** Parents that are not there are dropped, and questions stand behind their parents; one that would wait for itself does without. */
function mended(item: QuestionedPrompt): QuestionedPrompt {
  const byId = new Map(item.questions.map((question) => [question.id, question]));
  const ordered = new Map<string, DpgQuestion>();
  const place = (question: DpgQuestion, waiting: ReadonlySet<string>): void => {
    if (ordered.has(question.id)) return;
    const next = new Set([...waiting, question.id]);
    const parents = question.parents.filter((parent) => byId.has(parent) && !next.has(parent));
    for (const parent of parents) {
      const other = byId.get(parent);
      if (other !== undefined) place(other, next);
    }
    ordered.set(question.id, { ...question, parents: parents.filter((parent) => ordered.has(parent)) });
  };
  for (const question of item.questions) place(question, new Set());
  return { ...item, questions: [...ordered.values()] };
}

function rowsOf(text: string, path: string): Row[] {
  const table = parseTable(text, ',');
  if ('why' in table) throw bad(`${path}:${table.line}`, table.why);
  const [header, ...rows] = table.rows;
  const names = header?.fields.map((name) => name.trim()) ?? [];
  const missing = columns.filter((name) => !names.includes(name));
  if (missing.length > 0) throw bad(path, `it has no column ${missing.join(', ')}`);
  return rows.map(({ fields, line }) => {
    if (fields.length !== names.length)
      throw bad(`${path}:${line}`, `this row has ${fields.length} columns, the header ${names.length}`);
    const of = (name: (typeof columns)[number]): string => (fields[names.indexOf(name)] ?? '').trim();
    const category = of('tuple').split('(')[0]?.trim() ?? '';
    const parents = of('dependency')
      .split(',')
      .map((parent) => parent.trim())
      .filter((parent) => parent !== '' && parent !== '0');
    if (of('item_id') === '' || of('question_natural_language') === '')
      throw bad(`${path}:${line}`, 'this row has no item or no question');
    const question = { id: of('proposition_id'), parents, category, text: of('question_natural_language') };
    return { item: of('item_id'), prompt: of('text'), question };
  });
}

function bad(place: string, why: string): ReasongenError {
  return new ReasongenError({
    code: 'BAD_QUESTIONS',
    message: `these are no questions of DPG-Bench: ${why}`,
    place,
    hint: `the file is a table (.csv) with the columns ${columns.join(', ')}`,
    exitCode: exitCodes.badPreset,
  });
}
