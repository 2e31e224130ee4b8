/** Answers of workers beside those of the run's own component. */
import { expect, test } from 'vitest';
import type { AnswerService } from '../../../core/contracts/executor.ts';
import { silentLog, type Log } from '../../../core/log.ts';
import { AnswerChecks } from '../../../core/workers/recheck.ts';

const { signal } = new AbortController();
const tally = { questions: 0, kept: 0, tokens: 0 };

/** Checks by a component that gives these answers in turn, the last again and again. */
function checksBy(...answers: readonly unknown[]): { checks: AnswerChecks; lines: string[]; asked: () => number } {
  const lines: string[] = [];
  let asked = 0;
  const service: AnswerService = {
    identity: { kind: 'judge', slot: 'reward', name: 'it', program: '', component: '' },
    atOnce: 1,
    answer: () => Promise.resolve(answers[Math.min(asked++, answers.length - 1)]),
  };
  const log: Log = { ...silentLog(), warn: (line) => void lines.push(line) };
  return { checks: new AnswerChecks(service, log), lines, asked: () => asked };
}

const said = (value: unknown, more: Partial<typeof tally> = {}): unknown => ({ value, tally: { ...tally, ...more } });
const own = [{ value: 0.25, why: 'a quarter', parts: { red: 1 } }, 1, null];

test.each([
  ['the same', own, undefined],
  ['a number that another processor rounds otherwise', [{ ...(own[0] as object), value: 0.25001 }, 1, null], undefined],
  ['other words', [{ ...(own[0] as object), why: '1/4' }, 1, null], undefined],
  ['another score', [{ ...(own[0] as object), value: 0.26 }, 1, null], '0.26 in place of 0.25 at [0].value'],
  ['another part', [{ ...(own[0] as object), parts: { red: 0 } }, 1, null], '0 in place of 1 at [0].parts.red'],
  ['a score where there is none', [own[0], 1, 1], '1 in place of null at [2]'],
  ['fewer', [own[0], 1], 'nothing in place of null at [2]'],
  ['no number', [own[0], Number.NaN, null], 'null in place of 1 at [1]'],
])('%s', async (_what, theirs, wrong) => {
  const { checks } = checksBy(said(own));
  expect(await checks.of({}, signal)?.(said(theirs))).toBe(wrong);
});

test('what was asked of others, or failed, is not compared', async () => {
  const { checks, asked } = checksBy(said(1));
  const check = checks.of({}, signal);
  expect(await check?.(said(0, { questions: 1 }))).toBeUndefined();
  expect(await check?.(said(0, { kept: 1 }))).toBeUndefined();
  expect(await check?.({ failed: { message: 'no' } })).toBeUndefined();
  expect(await check?.('nonsense')).toBeUndefined();
  expect(asked()).toBe(0);
});

test('a component that disagrees with itself, or does not work here, is not checked any more', async () => {
  const fickle = checksBy(said(0.1), said(0.2), said(0.3));
  expect(await fickle.checks.of({}, signal)?.(said(0.5))).toBeUndefined();
  expect(fickle.lines).toEqual([
    expect.stringMatching(/reward "it" is believed, and not checked: it says something else/),
  ]);
  expect(fickle.checks.of({}, signal)).toBeUndefined();
  const broken = checksBy({ failed: { message: 'there is no model' } });
  expect(await broken.checks.of({}, signal)?.(said(0.5))).toBeUndefined();
  expect(broken.lines).toHaveLength(1);
  expect(broken.checks.of({}, signal)).toBeUndefined();
});
