/**
 * Spot checks of what workers say: a question is answered again by the run's own copy of the component, and both answers are compared. Only what a
 * component says by itself can be compared: not what it asked an endpoint for, nor what it would make on the device first.
 */
import type { AnswerService } from '../contracts/executor.ts';
import type { Log } from '../log.ts';
import { workerAnswerSchema } from './questions.ts';

/** What is wrong with an answer, in words; undefined where nothing is, or nobody here can tell. */
export type AnswerCheck = (answer: unknown) => Promise<string | undefined>;

/** Numbers may differ by so much, of 1 or of themselves: models on other processors round differently. */
const tolerance = 1e-4;

/** Reasons are words for people, in which numbers are rounded. */
const notCompared: readonly string[] = ['why'];

export class AnswerChecks {
  private readonly service: AnswerService;
  private readonly log: Log;
  private isOver = false;

  constructor(service: AnswerService, log: Log) {
    this.service = service;
    this.log = log;
  }

  /** Of the answer to a question; undefined where none can be checked any more. */
  of(question: unknown, signal: AbortSignal): AnswerCheck | undefined {
    return this.isOver ? undefined : (answer) => this.look(question, answer, signal);
  }

  private async look(question: unknown, answer: unknown, signal: AbortSignal): Promise<string | undefined> {
    const theirs = read(answer);
    if (theirs === undefined) return undefined;
    const own = read(await this.service.answer(question, signal));
    if (own === undefined) return this.end('the run itself cannot judge');
    const what = differenceOf(own.value, theirs.value);
    if (what === undefined) return undefined;
    const again = read(await this.service.answer(question, signal));
    if (again === undefined || differenceOf(own.value, again.value) !== undefined)
      return this.end('it says something else whenever it is asked');
    return what;
  }

  private end(why: string): undefined {
    const { slot, name } = this.service.identity;
    if (!this.isOver) this.log.warn(`what workers say for ${slot} "${name}" is believed, and not checked: ${why}`);
    this.isOver = true;
    return undefined;
  }
}

/** What a component said without asking anybody. */
function read(answer: unknown): { readonly value: unknown } | undefined {
  const parsed = workerAnswerSchema.safeParse(answer);
  if (!parsed.success || !('value' in parsed.data)) return undefined;
  const { value, tally } = parsed.data;
  return tally.questions + tally.kept > 0 ? undefined : { value };
}

/** Where two answers differ, in words. */
function differenceOf(own: unknown, theirs: unknown, path = ''): string | undefined {
  if (typeof own === 'number' && typeof theirs === 'number') {
    const isNear = Math.abs(own - theirs) <= tolerance * Math.max(1, Math.abs(own));
    return isNear || Object.is(own, theirs) ? undefined : told(own, theirs, path);
  }
  if (typeof own !== 'object' || typeof theirs !== 'object' || own === null || theirs === null)
    return own === theirs ? undefined : told(own, theirs, path);
  const [left, right] = [own, theirs] as readonly [Record<string, unknown>, Record<string, unknown>];
  for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
    if (notCompared.includes(key)) continue;
    const found = differenceOf(left[key], right[key], Array.isArray(own) ? `${path}[${key}]` : `${path}.${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

function told(own: unknown, theirs: unknown, path: string): string {
  // What is not there is no JSON.
  const shown = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 60));
  return `${shown(theirs)} in place of ${shown(own)}${path === '' ? '' : ` at ${path}`}`;
}
